//! The sealed worker's script in one file. Under its policy nothing can be imported, so the modules that
//! www/engine/sealed.js imports are laid together: wasm-bindgen's glue, and ours in one block behind it, so
//! that names of the two cannot meet.
//!
//! This is no bundler: it knows the one form of import and export that our modules have, and refuses
//! anything else.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// Our modules, each after those that it imports.
const MODULES: &[&str] = &[
    "errors.js",
    "limits.js",
    "gpu-features.js",
    "pieces.js",
    "serve.js",
    "rows.js",
    "studies.js",
    "sealed.js",
];

/// Writes engine/sealed.js of an assembled page over its source.
pub(crate) fn seal(page: &Path) -> Result<()> {
    let read = |path: &Path| {
        std::fs::read_to_string(path).with_context(|| format!("{} is missing", path.display()))
    };
    let glue = page.join("pkg/radllama.js");
    let mut bundle = without_modules(&read(&glue).context("run `cargo xtask wasm` first")?, &[])?;
    bundle.push_str("{\n");
    for (index, name) in MODULES.iter().enumerate() {
        let path = page.join("engine").join(name);
        let text = without_modules(&read(&path)?, &MODULES[..index])
            .with_context(|| format!("in {}", path.display()))?;
        write!(bundle, "// {name}\n{text}")?;
    }
    bundle.push_str("}\n");
    let path = page.join("engine/sealed.js");
    std::fs::remove_file(&path)?; // it may be a link to the source
    Ok(std::fs::write(path, bundle)?)
}

/// A module's text without its imports, which must come from the glue or from `known`, and without the
/// word `export`.
fn without_modules(text: &str, known: &[&str]) -> Result<String> {
    let mut kept = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("import ") {
            let mut statement = line.to_owned();
            while !statement.ends_with(';') {
                statement += lines.next().context("an import has no end")?;
            }
            let from = statement.split('\'').nth(1).unwrap_or_default();
            let ours = from.strip_prefix("./").is_some_and(|name| known.contains(&name));
            if !(ours || from == "../pkg/radllama.js") || statement.contains(" as ") {
                bail!("this import cannot be laid in: {statement}");
            }
        } else if line.starts_with("export {") {
            // The glue's last line: what it names is in reach anyway.
        } else if line.starts_with("export default") || line.starts_with("export *") {
            bail!("this export cannot be laid in: {line}");
        } else {
            kept.push_str(line.strip_prefix("export ").unwrap_or(line));
            kept.push('\n');
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn imports_and_exports_go_and_what_is_unknown_is_refused() {
        let text = "import {\n  a,\n} from './a.js';\nexport const b = a;\nexport { b };\n";
        assert_eq!(without_modules(text, &["a.js"]).unwrap(), "const b = a;\n");
        for bad in [
            "import { a } from './other.js';",
            "import { a as b } from './a.js';",
            "import x from 'left-pad';",
            "export default 3;",
            "export * from './a.js';",
        ] {
            assert!(without_modules(bad, &["a.js"]).is_err(), "{bad}");
        }
    }
}
