//! The npm package `radllama`: the engine's JavaScript, the widget and the WebAssembly module in one
//! folder, packed as a registry would get it. The page and the weights are no part of it.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::page;
use crate::shell::{self, program, run};

/// The most that the packed file may weigh.
const MAX_BYTES: u64 = 2_000_000;

/// What is taken from the assembled page; folders with all they hold.
const PARTS: &[&str] =
    &["radllama.js", "index.d.ts", "widget.d.ts", "react.d.ts", "widget", "engine", "pkg"];

/// Assembles target/npm from the page in target/www and packs it; returns the packed file. The page
/// must be assembled and its WebAssembly built.
pub(crate) fn assemble() -> Result<PathBuf> {
    let (source, www) = (shell::root(), page::root());
    let dir = shell::target().join("npm");
    if dir.exists() {
        std::fs::remove_dir_all(&dir)?; // nothing stale may be packed
    }
    std::fs::create_dir_all(&dir)?;
    for part in PARTS {
        let missing = || format!("{part} is missing: run `cargo xtask wasm` and `page`");
        page::place(&www.join(part), &dir.join(part)).with_context(missing)?;
    }
    for part in ["package.json", "README.md"] {
        page::place(&source.join("www").join(part), &dir.join(part))?;
    }
    for part in ["LICENSE-MIT", "LICENSE-APACHE"] {
        page::place(&source.join(part), &dir.join(part))?;
    }
    let version = crate_version()?;
    let line = format!("\"version\": \"{version}\"");
    if !std::fs::read_to_string(dir.join("package.json"))?.contains(&line) {
        bail!("www/package.json must say {line}, as Cargo.toml does");
    }

    let arguments = ["pack", "--offline", "--ignore-scripts", "--loglevel=error"];
    run(program("npm", arguments).current_dir(&dir))?;
    let packed = dir.join(format!("radllama-{}.tgz", version));
    let bytes = std::fs::metadata(&packed).context("npm pack wrote no file")?.len();
    println!("{}: {} KB", packed.display(), bytes / 1000);
    if bytes > MAX_BYTES {
        bail!("the package is over its budget of {} KB", MAX_BYTES / 1000);
    }
    Ok(packed)
}

/// The version of the crate `radllama`, which the package carries too.
fn crate_version() -> Result<String> {
    let manifest = std::fs::read_to_string(shell::root().join("Cargo.toml"))?;
    let line = manifest.lines().find_map(|line| line.strip_prefix("version = "));
    Ok(line.context("Cargo.toml names no version")?.trim_matches('"').to_owned())
}
