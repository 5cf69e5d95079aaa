//! Pairs files are written line by line and get their names when they are whole.

use std::path::Path;

use sha2::{Digest, Sha256};

use super::atomic::AtomicFile;
use super::pairs::{FIELDS, Pair};
use super::table;
use crate::digest::hex;
use crate::error::{Error, Result};

/// What a pairs file is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    #[default]
    Jsonl,
    /// A table with a header.
    Csv,
}

impl Format {
    /// The end of a file's name.
    pub fn extension(self) -> &'static str {
        match self {
            Format::Jsonl => "jsonl",
            Format::Csv => "csv",
        }
    }
}

/// Writes a pairs file line by line; it gets its name when it is whole ([`AtomicFile`]).
#[derive(Debug)]
pub struct PairWriter {
    file: AtomicFile,
    encoder: Encoder,
    line: Vec<u8>,
    pairs: u64,
    bytes: u64,
    hash: Sha256,
}

#[derive(Debug)]
enum Encoder {
    Jsonl,
    Csv(table::Encoder),
}

impl PairWriter {
    /// Begins the JSON Lines file that will be `path`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create(path: &Path) -> Result<PairWriter> {
        PairWriter::with_format(path, Format::Jsonl)
    }

    /// Begins a file of another format.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn with_format(path: &Path, format: Format) -> Result<PairWriter> {
        let encoder = match format {
            Format::Jsonl => Encoder::Jsonl,
            Format::Csv => Encoder::Csv(table::Encoder::default()),
        };
        Ok(PairWriter {
            file: AtomicFile::create(path)?,
            encoder,
            line: Vec::new(),
            pairs: 0,
            bytes: 0,
            hash: Sha256::new(),
        })
    }

    /// Appends a pair.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::BadData`] for an extra field that has the name of one of [`FIELDS`], or
    /// that a table has no column for.
    pub fn write(&mut self, pair: &Pair) -> Result<()> {
        self.line.clear();
        match &mut self.encoder {
            Encoder::Jsonl => encode(pair, &mut self.line)?,
            Encoder::Csv(table) => table.encode(pair, &mut self.line)?,
        }
        self.file.append(&self.line)?;
        self.hash.update(&self.line);
        self.bytes += self.line.len() as u64;
        self.pairs += 1;
        Ok(())
    }

    /// Synchronises the file, whose name it does not yet get: for several files that belong together.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn seal(mut self) -> Result<Sealed> {
        self.file.sync()?;
        let sha256 = hex(self.hash.finalize());
        Ok(Sealed { file: self.file, pairs: self.pairs, bytes: self.bytes, sha256 })
    }

    /// Synchronises the file and gives it its name. Returns the number of pairs.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn finish(self) -> Result<u64> {
        self.file.commit()?;
        Ok(self.pairs)
    }
}

/// A pairs file that is whole on the disk and has no name yet.
#[derive(Debug)]
pub struct Sealed {
    file: AtomicFile,
    /// Pairs in it.
    pub pairs: u64,
    /// Its length.
    pub bytes: u64,
    /// Its hash, in hexadecimal.
    pub sha256: String,
}

impl Sealed {
    /// Gives the file its name.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn publish(self) -> Result<()> {
        self.file.commit()
    }
}

/// The line of a pair, with its end.
pub(super) fn encode(pair: &Pair, line: &mut Vec<u8>) -> Result<()> {
    check_extra(pair)?;
    serde_json::to_writer(&mut *line, pair).map_err(|error| Error::Internal(error.to_string()))?;
    line.push(b'\n');
    Ok(())
}

/// Refuses an extra field with the name of one of the pair's own: the file would have it twice.
pub(super) fn check_extra(pair: &Pair) -> Result<()> {
    match pair.extra.keys().find(|name| FIELDS.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => {
            let what = format!("the extra field {name:?} has the name of one of the pair's own");
            Err(Error::BadData { place: format!("report {}", pair.id), what })
        }
    }
}
