//! Every check and test of the project behind one command and one verdict.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::setup::{self, WASM_TARGET};
use crate::shell::{cargo, program, root, shown, target};
use crate::{dist, package, page, wasm};

/// What has passed and failed so far, and the names of what failed.
#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
    failures: Vec<String>,
}

impl Tally {
    /// Counts a step that is one check by itself.
    fn check(&mut self, name: &str, result: Result<()>) {
        match result {
            Ok(()) => self.passed += 1,
            Err(error) => {
                eprintln!("{name}: {error:#}");
                self.fail(name);
            }
        }
    }

    fn fail(&mut self, name: &str) {
        self.failed += 1;
        self.failures.push(name.to_owned());
    }

    /// Counts a step that runs many tests. A run that ends badly without naming a failed test, or
    /// well without having run one, is a failure of its own.
    fn tests(&mut self, name: &str, mut command: Command, count: fn(&str) -> Counts) {
        let before = (self.passed, self.failed);
        let status = stream(&mut command, |line| {
            let counts = count(line);
            self.passed += counts.passed;
            self.failed += counts.failed;
        });
        let ran = (self.passed - before.0, self.failed - before.1);
        match status {
            Ok(true) if ran.0 > 0 && ran.1 == 0 => {}
            Ok(false) if ran.1 > 0 => self.failures.push(name.to_owned()),
            Ok(_) => self.fail(&format!("{name} (after {} passed, {} failed)", ran.0, ran.1)),
            Err(error) => self.fail(&format!("{name}: {error:#}")),
        }
    }
}

/// What one line of a test run's output adds.
#[derive(Debug, Default, PartialEq)]
struct Counts {
    passed: usize,
    failed: usize,
}

/// Runs everything; an error if anything failed.
pub(crate) fn test() -> Result<()> {
    let start = Instant::now();
    setup::everything()?;
    let environment = [
        // Native tests take the adapter that has 16-bit floats and subgroups unless they ask.
        ("VK_ICD_FILENAMES", setup::lavapipe()?),
        ("RADLLAMA_LAVAPIPE_ICD", setup::lavapipe()?),
        ("RADLLAMA_SWIFTSHADER_ICD", setup::swiftshader().context("Chromium has no SwiftShader")?),
        ("RADLLAMA_CHROMIUM", setup::chromium().context("Chromium is not installed")?),
        ("RADLLAMA_FIREFOX", setup::firefox().context("Firefox is not installed")?),
        ("RADLLAMA_PYTHON_PACKAGES", setup::python()?),
        ("RADLLAMA_TARGET", target()),
        ("RADLLAMA_BIN", target().join("debug/radllama")),
    ];
    let mut tally = Tally::default();

    step(start, "formatting");
    tally.check("cargo fmt", checked(cargo(["fmt", "--all", "--check"])));
    step(start, "lints");
    let deny = ["--", "--deny", "warnings"];
    let native = ["clippy", "--workspace", "--all-targets", "--features", "radllama/train"];
    tally.check("clippy", checked(cargo(native.iter().chain(&deny))));
    // Both for wasm: natively, the core alone would have two minutes' worth of crates checked once more.
    let core = [
        "clippy",
        "--package",
        "radllama",
        "--lib",
        "--no-default-features",
        "--target",
        WASM_TARGET,
    ];
    tally.check("clippy without features", checked(cargo(core.iter().chain(&deny))));
    let web = ["--features", "web"];
    tally.check("clippy for the web", checked(cargo(core.iter().chain(&web).chain(&deny))));
    step(start, "native tests");
    let mut native =
        cargo(["test", "--package", "radllama", "--features", "train", "--no-fail-fast"]);
    native.envs(environment.iter().cloned());
    tally.tests("cargo test", native, cargo_counts);
    let chores = cargo(["test", "--package", "xtask", "--profile", "xtask"]); // as it is built already
    tally.tests("cargo test of xtask", chores, cargo_counts);

    step(start, "the page");
    let built = wasm::build().and_then(|()| page::assemble().map(drop));
    tally.check("building the page", built);
    tally.check("packing the npm package", package::assemble().map(drop));
    tally.check("the folder for static hosts", dist::build());
    step(start, "browser tests");
    let mut browser = program("node", ["--test", "--test-concurrency=1", "--test-reporter=tap"]);
    browser.args(browser_tests()?).current_dir(root().join("tests/browser"));
    browser.envs(environment.iter().cloned()).env_remove("VK_ICD_FILENAMES");
    tally.tests("browser tests", browser, tap_counts);

    println!("\n{} minutes", start.elapsed().as_secs().div_ceil(60));
    for failure in &tally.failures {
        println!("FAILED: {failure}");
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    if tally.failed > 0 {
        std::process::exit(1); // after the summary, which stays the last line
    }
    Ok(())
}

/// Says what comes next, and at which minute.
fn step(start: Instant, name: &str) {
    println!("\n=== {name} (minute {})", start.elapsed().as_secs() / 60);
}

fn checked(mut command: Command) -> Result<()> {
    crate::shell::run(&mut command)
}

/// tests/browser/*.test.js, in order.
fn browser_tests() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(root().join("tests/browser"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".test.js") {
            names.push(name);
        }
    }
    names.sort();
    match names.is_empty() {
        true => bail!("no browser tests were found"),
        false => Ok(names),
    }
}

/// Runs a command, passing its standard output on line by line; whether it succeeded.
fn stream(command: &mut Command, mut each: impl FnMut(&str)) -> Result<bool> {
    eprintln!("$ {}", shown(command));
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let output = child.stdout.take().context("no standard output")?;
    for line in BufReader::new(output).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        std::io::stdout().flush()?;
        each(&line);
    }
    Ok(child.wait()?.success())
}

/// `test result: ok. 12 passed; 0 failed; …`. Ignored tests count as neither: they need files that the
/// repository does not hold, and say which.
fn cargo_counts(line: &str) -> Counts {
    let Some(rest) = line.trim_start().strip_prefix("test result: ") else {
        return Counts::default();
    };
    let number = |what: &str| -> usize {
        let before = rest.split_once(&format!(" {what}")).map(|(before, _)| before);
        before
            .and_then(|before| before.rsplit(' ').next())
            .and_then(|n| n.parse().ok())
            .unwrap_or(0)
    };
    Counts { passed: number("passed"), failed: number("failed") }
}

/// Node's TAP summary: `# pass 12`, `# fail 0`, and what was skipped or cancelled.
fn tap_counts(line: &str) -> Counts {
    let number = |what: &str| -> usize {
        line.strip_prefix("# ")
            .and_then(|rest| rest.strip_prefix(what))
            .and_then(|n| n.trim().parse().ok())
            .unwrap_or(0)
    };
    Counts {
        passed: number("pass "),
        failed: number("fail ") + number("cancelled ") + number("skipped ") + number("todo "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_are_counted() {
        let line = "test result: FAILED. 12 passed; 3 failed; 2 ignored; 0 measured; 9 filtered out; finished in 1s";
        assert_eq!(cargo_counts(line), Counts { passed: 12, failed: 3 });
        assert_eq!(cargo_counts("test x ... ok"), Counts::default());
        assert_eq!(tap_counts("# pass 7"), Counts { passed: 7, failed: 0 });
        assert_eq!(tap_counts("# skipped 2"), Counts { passed: 0, failed: 2 });
        assert_eq!(
            tap_counts("    # fail 2"),
            Counts::default(),
            "only the outermost summary counts"
        );
        assert_eq!(tap_counts("ok 1 - pass 3"), Counts::default());
    }
}
