//! The static page: www/, the package and the weights in one directory that any web server can
//! serve.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::{bundle, offline, shell};

/// Where the page is assembled.
pub(crate) fn root() -> PathBuf {
    shell::target().join("www")
}

/// Assembles the page and returns its directory. The package in pkg/ is left as it is.
pub(crate) fn assemble() -> Result<PathBuf> {
    let page = root();
    for dir in ["app", "batch", "engine", "study", "widget", "examples", "weights"] {
        let stale = page.join(dir);
        if stale.exists() {
            std::fs::remove_dir_all(&stale)?;
        }
    }
    place(&shell::root().join("www"), &page)?;
    place(&shell::root().join("weights"), &page.join("weights"))?;
    // The plots of reports are shown on the page as well.
    place(&shell::root().join("src/render/plots.css"), &page.join("study/plots.css"))?;
    bundle::seal(&page)?;
    offline::list_files(&page)?;
    Ok(page)
}

/// Copies a file or a directory. Files are hard-linked where the file system can, as weights are large;
/// a linked file is replaced, never written through, so the source is safe.
pub(crate) fn place(from: &Path, to: &Path) -> Result<()> {
    if from.is_file() {
        if to.exists() {
            std::fs::remove_file(to)?;
        }
        if std::fs::hard_link(from, to).is_err() {
            std::fs::copy(from, to).with_context(|| format!("copying {}", from.display()))?;
        }
        return Ok(());
    }
    std::fs::create_dir_all(to)?;
    let entries =
        std::fs::read_dir(from).with_context(|| format!("{} is missing", from.display()))?;
    for entry in entries {
        let entry = entry?;
        place(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}
