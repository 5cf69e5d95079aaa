//! New model files, which get their names only once all of them are complete and on the disk: a
//! failure or a kill leaves nothing that could be taken for a model.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use radllama::{Error, Result};

/// Files being written into one folder, as `NAME.partial`. Dropped without
/// [`Partial::commit`], they are removed.
pub(crate) struct Partial {
    folder: PathBuf,
    names: Vec<String>,
}

/// Folder and stem of `DIR/NAME` or `DIR/NAME.gguf`; the folder is made.
pub(crate) fn folder_and_stem(output: &Path) -> Result<(PathBuf, String)> {
    let name = output.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = name.ok_or_else(|| Error::BadOption {
        option: "output",
        value: output.display().to_string(),
        expected: "a folder and a name",
    })?;
    let folder = output.parent().unwrap_or(Path::new("")).to_owned();
    if !folder.as_os_str().is_empty() {
        std::fs::create_dir_all(&folder).map_err(|error| Error::io(&folder, &error))?;
    }
    Ok((folder, name.strip_suffix(".gguf").unwrap_or(&name).to_owned()))
}

impl Partial {
    pub(crate) fn new(folder: PathBuf) -> Partial {
        Partial { folder, names: Vec::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.partial"))
    }

    /// The writer of the file that will be called `name`.
    pub(crate) fn open(&mut self, name: &str) -> Result<BufWriter<File>> {
        let path = self.path(name);
        let file = File::create(&path).map_err(|error| Error::io(&path, &error))?;
        self.names.push(name.to_owned());
        Ok(BufWriter::with_capacity(1 << 20, file))
    }

    /// Gives the files their names. The first part of a split, without which nothing is opened, comes
    /// last, and an older one goes before all others come: no mixture of two models is left at any
    /// moment.
    pub(crate) fn commit(mut self) -> Result<()> {
        let names = std::mem::take(&mut self.names);
        let sync = |name: &String| {
            let path = self.path(name);
            let file = File::options().write(true).open(&path); // Windows syncs no other way
            file.and_then(|file| file.sync_all()).map_err(|error| Error::io(&path, &error))
        };
        names.iter().try_for_each(sync)?;
        if let [first, _, ..] = names.as_slice() {
            let old = self.folder.join(first);
            if old.exists() {
                std::fs::remove_file(&old).map_err(|error| Error::io(&old, &error))?;
            }
        }
        for name in names.iter().rev() {
            let path = self.folder.join(name);
            std::fs::rename(self.path(name), &path).map_err(|error| Error::io(&path, &error))?;
        }
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        for name in &self.names {
            // What remains is harmless; the error that led here is what matters.
            let _ = std::fs::remove_file(self.path(name));
        }
    }
}
