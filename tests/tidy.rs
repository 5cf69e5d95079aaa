//! The project's conventions as checks that fail. Each failure says where and why.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use radllama::kernels::cases::{Extent, cases};
use radllama::kernels::{self, HEAD_DIMS, assemble, permutations};
use radllama::manifest::Manifest;

/// The layers of src/, the lowest first: a module imports from layers below its own, never from beside
/// or above. tests/ and xtask/ stand on top of everything.
const LAYERS: &[&[&str]] = &[
    &["error", "digest"],
    &["config", "sampler"],
    // What figures are made and shown with, for eval above and study.
    &["gguf", "stats", "render"],
    &["quant", "tokenizer"],
    &["kernels", "lora", "prompt"],
    // convert merges adapters (lora) into what it writes.
    // guard knows the templates' marks (prompt), and stands low so that engine and web may use it.
    // export needs nothing but errors and hashes, and is for web and bin.
    &["model", "manifest", "convert", "guard", "export", "rows"],
    // study reads tables (rows).
    &["cpu", "gpu", "study"],
    &["engine"],
    &["native", "data"],
    &["train", "eval"],
    // The page scores impressions, too (eval).
    &["web"],
    &["bin"],
];

/// Imports that break the rule, with the reason why they still stand.
const CROSSING: &[(&str, &str, &str)] = &[];

/// Files over 400 lines that are right as they are, with the reason. 800 is the end for every file.
const LONG: &[(&str, &str)] = &[
    ("src/engine.rs", "one generation from prompt to stop, to be read in one go"),
    ("src/kernels/cases.rs", "one table of cases, and the comparison that they all share"),
    ("src/gguf/parse.rs", "one resumable parser, whose steps share their state"),
    ("src/guard/checks.rs", "the checks side by side, over one state"),
    ("src/guard/lexicon.rs", "one file format, from its fields to the relations between concepts"),
    (
        "src/eval/faithfulness/plant.rs",
        "all planted errors, with the words that make each one an error",
    ),
    ("src/web.rs", "the whole surface for JavaScript in the one file that may know of it"),
    ("www/index.d.ts", "all of the package's types, read and shipped as one file"),
    ("tests/compare.rs", "one list of planted faults over one table of cases"),
    ("tests/executors.rs", "one table of models and faults for both executors and the engine"),
    ("tests/gguf.rs", "writer and reader are each other's test"),
    ("tests/merge.rs", "one small checkpoint, merged in every way and damaged in every way"),
    ("tests/tidy.rs", "all conventions in one place"),
    ("tests/train.rs", "the network, its gradients and its runs over one tiny model"),
    ("tests/tokenizer.rs", "two families of vocabularies against the same texts"),
];
const AIM: usize = 400;
const END: usize = 800;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file of the project: its path from the root with `/`, and its text.
struct Source {
    path: String,
    text: String,
}

/// All text files of the project; what is built, fetched or binary is left out.
fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    let mut open = vec![root().to_path_buf()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let built = ["target", "dist", "node_modules", "__pycache__"];
            if built.contains(&name.as_str()) || name.starts_with(".git") || name.ends_with(".log")
            {
                continue;
            }
            if path.is_dir() {
                open.push(path);
            } else if let Some(text) = text(&path) {
                let relative = path.strip_prefix(root()).unwrap();
                let parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
                found.push(Source { path: parts.join("/"), text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.len() > 100, "only {} files were found", found.len());
    found
}

fn text(path: &PathBuf) -> Option<String> {
    let binary = path.extension().is_some_and(|e| e == "gguf" || e == "bin" || e == "safetensors");
    if binary { None } else { String::from_utf8(std::fs::read(path).unwrap()).ok() }
}

/// The Rust files of src/ without their comments and test modules, line numbers kept.
fn code() -> Vec<Source> {
    let mut files = sources();
    files.retain(|file| file.path.starts_with("src/") && file.path.ends_with(".rs"));
    for file in &mut files {
        file.text = without_comments_and_tests(&file.text);
    }
    assert!(files.len() > 40, "only {} files in src", files.len());
    files
}

fn without_comments_and_tests(text: &str) -> String {
    let before_tests =
        text.split_once("#[cfg(test)]\nmod tests {").map_or(text, |(before, _)| before);
    let lines = before_tests.lines().map(|line| match line.find("//") {
        // Not the slashes of an address in a string.
        Some(at) if !line[..at].ends_with(':') => &line[..at],
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Every line of `files` that holds one of `words`, as `path:line: word`.
fn lines_with<'a>(files: impl IntoIterator<Item = &'a Source>, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        for (number, line) in file.text.lines().enumerate() {
            for word in words.iter().filter(|word| line.contains(*word)) {
                found.push(format!("{}:{}: {word}", file.path, number + 1));
            }
        }
    }
    found
}

fn assert_none(faults: &[String], why: &str) {
    assert!(faults.is_empty(), "{why}\n  {}", faults.join("\n  "));
}

/// `engine` for src/engine.rs, `gpu` for src/gpu/device.rs, nothing for src/lib.rs.
fn module(path: &str) -> Option<&str> {
    let first = path.strip_prefix("src/")?.split('/').next()?;
    let name = first.strip_suffix(".rs").unwrap_or(first);
    (name != "lib").then_some(name)
}

/// The modules that `crate::a::…` and `crate::{a, b::{…}}` name. What lib.rs re-exports counts as the
/// module it is from.
fn imports(code: &str, from: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, prefix) in code.match_indices(from) {
        let rest = &code[at + prefix.len()..];
        let Some(list) = rest.strip_prefix('{') else {
            names.insert(identifier(rest));
            continue;
        };
        let mut depth = 0;
        let mut begin = true;
        for (i, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => begin = true,
                c if begin && !c.is_whitespace() => {
                    names.insert(identifier(&list[i..]));
                    begin = false;
                }
                _ => {}
            }
        }
    }
    let home = |name: String| match name.as_str() {
        "Error" | "Result" => "error".to_owned(),
        "LlamaConfig" => "config".to_owned(),
        _ => name,
    };
    names.into_iter().map(home).collect()
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

#[test]
fn imports_point_down() {
    let (mut faults, mut crossed) = (Vec::new(), BTreeSet::new());
    for file in code() {
        let Some(own) = module(&file.path) else { continue };
        let Some(own_layer) = layer(own) else {
            faults.push(format!("{}: module {own} has no place in LAYERS", file.path));
            continue;
        };
        let from = if own == "bin" { "radllama::" } else { "crate::" };
        for import in imports(&file.text, from) {
            if import == own {
                continue;
            }
            match layer(&import) {
                Some(layer) if layer < own_layer => {}
                Some(_) => match CROSSING.iter().find(|(a, b, _)| *a == own && *b == import) {
                    Some((a, b, _)) => drop(crossed.insert((*a, *b))),
                    None => faults.push(format!("{}: {own} imports {import}", file.path)),
                },
                None => faults.push(format!("{}: {import} has no place in LAYERS", file.path)),
            }
        }
    }
    let stale = CROSSING.iter().filter(|(a, b, _)| !crossed.contains(&(*a, *b)));
    faults
        .extend(stale.map(|(a, b, _)| format!("CROSSING: {a} no longer imports {b}; take it out")));
    assert_none(
        &faults,
        "Imports point down only, so that the core knows neither wgpu nor JavaScript and every part \
         can be read without the ones above it:",
    );
}

#[test]
fn the_parsing_of_imports_is_right() {
    let code =
        "use crate::{Error, a::{x, y}, b, self_made::z};\nlet x = crate::c::d();\nuse std::io;";
    let expected = ["a", "b", "c", "error", "self_made"];
    assert_eq!(imports(code, "crate::"), expected.map(String::from).into());
    let code = without_comments_and_tests(
        "a // crate::b\n\"http://c\"\n#[cfg(test)]\nmod tests {\n crate::d",
    );
    assert_eq!(code, "a \n\"http://c\"");
}

#[test]
fn modules_reach_each_other_by_name() {
    let faults: Vec<_> = code()
        .iter()
        .filter_map(|file| {
            // `super` may not leave the module, or it would be an import that no check sees.
            let depth = file.path.matches('/').count();
            let deep = depth < 2 && file.text.contains("super::");
            let deeper =
                file.path.starts_with("src/") && depth < 3 && file.text.contains("super::super");
            (deep || deeper).then(|| file.path.clone())
        })
        .collect();
    assert_none(&faults, "Other modules are reached by crate::NAME, which the layer check reads:");
}

#[test]
fn test_modules_stand_last() {
    let mut faults = Vec::new();
    for file in
        sources().iter().filter(|file| file.path.contains("src/") && file.path.ends_with(".rs"))
    {
        let marks = file.text.matches("#[cfg(test)]").count();
        let last = file.text.contains("#[cfg(test)]\nmod tests {") && file.text.ends_with("\n}\n");
        if marks > 1 || (marks == 1 && !last) {
            faults.push(file.path.clone());
        }
    }
    assert_none(
        &faults,
        "A file has one `mod tests`, at its end; what stands there is not checked:",
    );
}

#[test]
fn files_are_short() {
    let mut faults = Vec::new();
    let mut long = BTreeMap::new();
    let counted = |path: &str| {
        let written = ["src/", "xtask/", "www/", "tests/", "shaders/", "benches/"];
        let kinds = [".rs", ".js", ".mjs", ".ts", ".css", ".html", ".wgsl", ".py"];
        written.iter().any(|dir| path.starts_with(dir))
            && kinds.iter().any(|kind| path.ends_with(kind))
    };
    for file in sources().iter().filter(|file| counted(&file.path)) {
        let lines = file.text.lines().count();
        if lines > END {
            faults.push(format!("{}: {lines} lines, more than {END}: divide it", file.path));
        } else if lines > AIM {
            long.insert(file.path.clone(), lines);
        }
    }
    for (path, lines) in &long {
        if !LONG.iter().any(|(allowed, _)| allowed == path) {
            faults.push(format!("{path}: {lines} lines; divide it, or give LONG a reason"));
        }
    }
    let stale = LONG.iter().filter(|(path, _)| !long.contains_key(*path));
    faults.extend(
        stale.map(|(path, _)| format!("LONG: {path} has at most {AIM} lines; take it out")),
    );
    assert_none(&faults, "A reader holds about 400 lines in mind:");
}

#[test]
fn shader_twin_and_cases_stand_together() {
    let mut faults = Vec::new();
    let all = permutations(&HEAD_DIMS);
    let listed: BTreeSet<&str> = assemble::PERMUTATIONS
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    for kernel in &listed {
        for file in [format!("shaders/{kernel}.wgsl"), format!("src/kernels/{kernel}.rs")] {
            if !root().join(&file).is_file() {
                faults
                    .push(format!("{kernel} is listed in shaders/permutations, but has no {file}"));
            }
        }
        if kernels::bindings(kernel).is_empty() {
            faults.push(format!("kernels::bindings knows no {kernel}"));
        }
        if kernels::params_bytes(kernel) == 0 {
            faults.push(format!("kernels::params_bytes knows no {kernel}"));
        }
        if !all.iter().any(|p| p.kernel == *kernel && p.variant == kernels::Variant::Base) {
            faults.push(format!("{kernel} has no base variant to fall back to"));
        }
    }
    for permutation in &all {
        for extent in [Extent::Quick, Extent::Full] {
            let found = cases(permutation, extent);
            if found.is_empty() {
                faults.push(format!("{} has no {extent:?} case", permutation.name()));
            }
            if found.iter().any(|c| c.call.permutation(permutation.variant) != *permutation) {
                faults.push(format!("a case of {} calls another kernel", permutation.name()));
            }
        }
    }
    let known = |path: &str| {
        let name = path.strip_suffix(".wgsl").unwrap_or(path);
        match name.strip_prefix("shared/") {
            Some(shared) => {
                let import = format!("#import {shared}");
                listed.iter().any(|k| {
                    std::fs::read_to_string(root().join(format!("shaders/{k}.wgsl")))
                        .is_ok_and(|text| text.lines().any(|line| line == import))
                })
            }
            None => listed.contains(name),
        }
    };
    for file in sources().iter().filter(|file| file.path.ends_with(".wgsl")) {
        match file.path.strip_prefix("shaders/") {
            Some(path) if known(path) => {}
            _ => faults.push(format!("{}: no permutation uses this shader", file.path)),
        }
    }
    assert_none(
        &faults,
        "A kernel is a shader, a CPU twin and cases that hold one against the other; without one of \
         them it may compute anything:",
    );
}

#[test]
fn shaders_say_what_they_compute_and_who_their_twin_is() {
    let mut faults = Vec::new();
    for file in sources().iter().filter(|file| file.path.ends_with(".wgsl")) {
        let comments = file.text.lines().map_while(|line| line.strip_prefix("//"));
        let header = comments.collect::<Vec<_>>().concat();
        if header.len() < 40 {
            faults.push(format!("{}: no header comment", file.path));
        }
        if file.path.starts_with("shaders/shared/") {
            continue;
        }
        let words = |mark: &str| {
            let rest = header.split_once(mark).map_or("", |(_, rest)| rest);
            rest.chars()
                .take_while(|c| c.is_alphanumeric() || "_:/.".contains(*c))
                .collect::<String>()
        };
        let layout = format!("src/{}", words("Layout: ").trim_end_matches('.'));
        if !root().join(&layout).is_file() {
            faults.push(format!("{}: the layout's {layout} is not there", file.path));
        }
        let twin = words("Twin: kernels::");
        let home = format!(
            "src/kernels/{}.rs",
            twin.trim_end_matches('.').trim_end_matches("::reference")
        );
        let text = std::fs::read_to_string(root().join(&home)).unwrap_or_default();
        if !text.contains("pub fn reference(") {
            faults.push(format!("{}: the twin {twin:?} is not there", file.path));
        }
    }
    assert_none(&faults, "A shader opens with what it computes, its layout and its twin:");
}

#[test]
fn the_core_knows_no_host() {
    let files = code();
    let outside = |homes: &'static [&'static str]| {
        files.iter().filter(move |file| !homes.iter().any(|home| file.path.starts_with(home)))
    };
    let javascript = ["JsValue", "wasm_bindgen", "js_sys", "web_sys", "gloo"];
    assert_none(
        &lines_with(outside(&["src/web.rs", "src/web/"]), &javascript),
        "JavaScript is known to src/web alone; the engine runs the same everywhere:",
    );
    assert_none(
        &lines_with(outside(&["src/gpu/"]), &["wgpu::", "use wgpu"]),
        "wgpu is known to src/gpu alone; everything else is data that any backend can run:",
    );
    assert_none(
        &lines_with(
            outside(&["src/native", "src/data/", "src/train/", "src/bin/"]),
            &["std::fs", "std::time", "std::env", "std::net", "std::process", "std::thread"],
        ),
        "Files, clocks and threads are the host's; the core must build for a browser, where there are none:",
    );
    assert_none(
        &lines_with(
            outside(&["src/bin/"]),
            &["println!", "eprintln!", "print!(", "tracing::", "log::"],
        ),
        "The library neither prints nor logs: findings and impressions must not end up in a log:",
    );
}

#[test]
fn the_library_does_not_panic_by_choice() {
    let panics = [
        ".unwrap()",
        ".expect(",
        "panic!(",
        "todo!(",
        "unimplemented!(",
        "unreachable!(",
        "dbg!(",
        "assert!(",
        "assert_eq!(",
    ];
    // A wrong size there would read or write beyond a slice.
    let guards_unsafe = |line: &String| {
        let (amx, matrix) = ("src/train/amx.rs:", "src/train/matrix.rs:");
        (line.starts_with(amx) || line.starts_with(matrix)) && line.ends_with(": assert!(")
    };
    let mut found = lines_with(&code(), &panics);
    found.retain(|line| !guards_unsafe(line));
    assert_none(
        &found,
        "A panic ends the page's worker or a clinic's process; return an Error with a code:",
    );
}

#[test]
fn unsafe_gives_its_reason() {
    let mut faults = Vec::new();
    for file in sources().iter().filter(|f| f.path.ends_with(".rs") && f.path.contains("src/")) {
        let lines: Vec<&str> = file.text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or("");
            if !code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe")
            {
                continue;
            }
            let above = &lines[number.saturating_sub(6)..number];
            let given =
                code.contains("reason = ") || above.iter().any(|line| line.contains("// SAFETY: "));
            if !given {
                faults.push(format!("{}:{}", file.path, number + 1));
            }
        }
    }
    assert_none(&faults, "Each `unsafe` has a `// SAFETY: ` above it that says why it holds:");
}

#[test]
fn manifests_name_files_that_are_there() {
    let mut found = 0;
    let mut faults = Vec::new();
    for file in sources().iter().filter(|file| file.path.starts_with("weights/")) {
        if !file.path.ends_with(".json") || file.path.matches('/').count() > 1 {
            continue;
        }
        let dir = Path::new(&file.path).parent().unwrap();
        let manifest =
            Manifest::parse(file.text.as_bytes()).unwrap_or_else(|e| panic!("{}: {e}", file.path));
        for part in manifest.all_files() {
            found += 1;
            match std::fs::metadata(root().join(dir).join(&part.path)) {
                Ok(metadata) if metadata.len() == part.bytes => {}
                Ok(metadata) => faults.push(format!("{} has {} bytes", part.path, metadata.len())),
                Err(error) => faults.push(format!("{}: {error}", part.path)),
            }
        }
    }
    assert_none(&faults, "What is loaded is what the manifests in weights/ name, or nothing:");
    assert!(found > 0, "no manifest was found");
}

#[test]
fn no_file_depends_on_a_registrys_address() {
    // In two pieces, so that this file does not name them. Cargo writes its own into Cargo.lock.
    let hosts: Vec<String> = [
        ("crates", ".io"),
        ("static.rust-", "lang.org"),
        ("npmjs", ".org"),
        ("npmjs", ".com"),
        ("yarnpkg", ".com"),
        ("pypi", ".org"),
        ("pythonhosted", ".org"),
        ("unpkg", ".com"),
        ("jsdelivr", ".net"),
        ("esm", ".sh"),
        ("cdnjs", ".cloudflare"),
        ("proxy.golang", ".org"),
        ("deb.debian", ".org"),
    ]
    .map(|(a, b)| format!("{a}{b}"))
    .to_vec();
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let files = sources();
    let faults = lines_with(files.iter().filter(|file| file.path != "Cargo.lock"), &hosts);
    assert_none(
        &faults,
        "Packages are named by name, version and hash; where they come from is the machine's setting, and \
         the page loads nothing from other hosts:",
    );
}
