//! Files that are whole or not there: written under another name, synchronised, then renamed.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// A file that gets its name only when it is complete.
///
/// It is written as `NAME.PID.partial` in the folder where it will stand, because a rename is atomic
/// within one file system only. Dropped before [`AtomicFile::commit`], it is removed; a killed process
/// leaves the partial file, which no reader takes for a whole one.
#[derive(Debug)]
pub struct AtomicFile {
    path: PathBuf,
    partial: PathBuf,
    file: Option<BufWriter<File>>,
}

impl AtomicFile {
    /// Begins the file that will be `path`. The folder must exist.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create(path: &Path) -> Result<AtomicFile> {
        let name = path.file_name().ok_or_else(|| Error::Io {
            path: path.display().to_string(),
            reason: "is no name for a file".into(),
        })?;
        let mut partial = name.to_owned();
        partial.push(format!(".{}.partial", std::process::id()));
        let partial = path.with_file_name(partial);
        let file = File::create(&partial).map_err(|error| Error::io(&partial, &error))?;
        let file = Some(BufWriter::with_capacity(1 << 18, file));
        Ok(AtomicFile { path: path.to_owned(), partial, file })
    }

    /// Where the file will stand.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends, with an error that names the file.
    ///
    /// # Errors
    /// [`Error::Io`], a full disk among others.
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.write_all(bytes).map_err(|error| Error::io(&self.path, &error))
    }

    /// Brings everything written so far onto the disk. A full disk shows here at the latest.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn sync(&mut self) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.flush()
            .and_then(|()| file.get_ref().sync_all())
            .map_err(|error| Error::io(&self.path, &error))
    }

    /// Synchronises and gives the file its name, replacing what had it.
    ///
    /// # Errors
    /// [`Error::Io`]; the file that had the name before is then still there.
    pub fn commit(mut self) -> Result<()> {
        self.sync()?;
        self.file = None; // closed: Windows renames no open file
        let renamed = std::fs::rename(&self.partial, &self.path);
        if let Err(error) = renamed {
            // What remains is harmless; the error is what matters.
            let _ = std::fs::remove_file(&self.partial);
            return Err(Error::io(&self.path, &error));
        }
        sync_folder(&self.path);
        Ok(())
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.as_mut().map_or(Ok(0), |file| file.write(bytes))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if let Some(file) = self.file.take() {
            // Without writing what is still in the buffer: on a full disk that would only fail again.
            drop(file.into_parts());
            let _ = std::fs::remove_file(&self.partial);
        }
    }
}

/// Makes the rename last through a power cut where folders can be synchronised; elsewhere the file
/// system does as it does.
fn sync_folder(path: &Path) {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Ok(folder) = File::open(folder.unwrap_or(Path::new("."))) {
        let _ = folder.sync_all();
    }
}
