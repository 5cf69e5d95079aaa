//! What the service worker keeps: every file of the page with its hash.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use sha2::{Digest, Sha256};

/// The line of www/sw.js that is replaced.
const LINE: &str = "const FILES = [];";
/// Folders that the page does not need to run: they are read over the network or not at all.
const LEFT_OUT: &[&str] = &["weights", "examples"];

/// Writes the list of `page`'s files into its sw.js.
pub(crate) fn list_files(page: &Path) -> Result<()> {
    let mut files = Vec::new();
    for path in files_below(page)? {
        let name = relative(page, &path)?;
        let needed = !LEFT_OUT.iter().any(|dir| name.starts_with(&format!("{dir}/")))
            && name != "sw.js"
            && [".html", ".js", ".css", ".wasm", ".svg", ".png", ".webmanifest"]
                .iter()
                .any(|ending| name.ends_with(ending));
        if needed {
            let hash = BASE64_STANDARD.encode(Sha256::digest(std::fs::read(&path)?));
            files.push(format!("[{name:?}, {hash:?}]"));
        }
    }
    files.sort();
    let path = page.join("sw.js");
    let text = std::fs::read_to_string(&path).context("sw.js is missing")?;
    ensure!(text.contains(LINE), "sw.js has no line `{LINE}`");
    std::fs::remove_file(&path)?; // it may be a link to the source
    let list = format!("const FILES = [{}];", files.join(", "));
    Ok(std::fs::write(path, text.replacen(LINE, &list, 1))?)
}

/// All files below a folder.
pub(crate) fn files_below(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir)? {
            let path = entry?.path();
            if path.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    Ok(found)
}

/// A path below `dir` with `/` between its names.
pub(crate) fn relative(dir: &Path, path: &Path) -> Result<String> {
    let names = path.strip_prefix(dir)?.iter().map(|name| name.to_string_lossy().into_owned());
    Ok(names.collect::<Vec<_>>().join("/"))
}
