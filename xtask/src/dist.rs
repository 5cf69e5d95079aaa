//! The page as a folder that any static host serves: everything that belongs to one version in a folder
//! named by its hash, which may be cached for ever, and beside it what must be asked for anew.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Result, ensure};
use flate2::{Compression, write::GzEncoder};
use sha2::{Digest, Sha256};

use crate::offline::{files_below, list_files, relative};
use crate::{page, shell};

/// Folders and files that go into the folder of the version.
const VERSIONED: &[&str] = &["app", "batch", "engine", "pkg", "study", "widget", "radllama.js"];
/// What a first visit may cost besides the model, compressed.
const MAX_BYTES: usize = 1_000_000;

/// Makes dist/ from the page in target/www, which must be assembled.
pub(crate) fn build() -> Result<()> {
    let (from, to) = (page::root(), shell::root().join("dist"));
    if to.exists() {
        std::fs::remove_dir_all(&to)?;
    }
    let mut hash = Sha256::new();
    let files = files_below(&from)?;
    let versioned = |name: &str| VERSIONED.contains(&name.split('/').next().unwrap_or_default());
    for path in &files {
        let name = relative(&from, path)?;
        if versioned(&name) {
            hash.update(name.as_bytes());
            hash.update(std::fs::read(path)?);
        }
    }
    let version: String =
        hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    for path in &files {
        let name = relative(&from, path)?;
        if name.starts_with("examples/")
            || name.ends_with(".d.ts")
            || name == "package.json"
            || name.ends_with(".md") && !name.starts_with("weights/")
        {
            continue;
        }
        let dest = if versioned(&name) { to.join(&version).join(&name) } else { to.join(&name) };
        if let Some(parent) = dest.parent() {
            std::fs::create_dir_all(parent)?;
        }
        if name.ends_with(".html") || name == "manifest.webmanifest" {
            std::fs::write(&dest, with_version(&std::fs::read_to_string(path)?, &version))?;
        } else if name == "sw.js" {
            std::fs::copy(shell::root().join("www/sw.js"), &dest)?; // its list is of other paths here
        } else {
            page::place(path, &dest)?;
        }
    }
    list_files(&to)?;
    let bytes = compress(&to)?;
    println!(
        "{}: version {version}, {} KB compressed without the model",
        to.display(),
        bytes / 1000
    );
    ensure!(bytes <= MAX_BYTES, "over its budget of {} KB", MAX_BYTES / 1000);
    Ok(())
}

/// Addresses of what lies in the folder of the version.
fn with_version(text: &str, version: &str) -> String {
    let mut text = text.to_owned();
    for name in VERSIONED {
        for before in ["href=\"", "src=\"", "\"src\": \""] {
            // A folder or the file itself: batch/ is of the version, batch.html is not.
            for behind in ["/", "\""] {
                let named = format!("{before}{name}{behind}");
                text = text.replace(&named, &format!("{before}{version}/{name}{behind}"));
            }
        }
    }
    text
}

/// Lays a .gz and a .br beside what gains by it, and returns the sum of the smaller ones.
fn compress(dir: &Path) -> Result<usize> {
    let mut sum = 0;
    for path in files_below(dir)? {
        let name = relative(dir, &path)?;
        let gains = [".html", ".js", ".css", ".wasm", ".svg", ".json", ".webmanifest"];
        if name.starts_with("weights/") && !name.ends_with(".json") {
            continue;
        }
        let bytes = std::fs::read(&path)?;
        if !gains.iter().any(|ending| name.ends_with(ending)) {
            sum += bytes.len();
            continue;
        }
        let beside = |ending: &str| format!("{}.{ending}", path.display());
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(&bytes)?;
        std::fs::write(beside("gz"), gzip.finish()?)?;
        let mut brotli = Vec::new();
        let options = brotli::enc::BrotliEncoderParams { quality: 11, ..Default::default() };
        brotli::BrotliCompress(&mut bytes.as_slice(), &mut brotli, &options)?;
        std::fs::write(beside("br"), &brotli)?;
        sum += brotli.len();
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::with_version;

    #[test]
    fn addresses_of_the_version_and_no_others_change() {
        let html = r#"<link href="app/a.css"><script src="radllama.js"></script><a href="weights/x"><b href="https://app/">"#;
        let expected = r#"<link href="v/app/a.css"><script src="v/radllama.js"></script><a href="weights/x"><b href="https://app/">"#;
        assert_eq!(with_version(html, "v"), expected);
        assert_eq!(
            with_version(r#"{ "src": "app/icon.svg" }"#, "v"),
            r#"{ "src": "v/app/icon.svg" }"#
        );
    }
}
