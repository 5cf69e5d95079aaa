//! XML documents out of a tar archive (gzipped or not), a folder or a single file, one at a time.
//! Nothing is unpacked onto the disk.

use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use walkdir::WalkDir;

use crate::error::{Error, Result};

/// Largest document that is read, in bytes: a report has some KB.
pub const MAX_DOCUMENT_BYTES: u64 = 16 << 20;
/// A tar archive is made of blocks of this size, and ends with blocks of zeros.
const BLOCK: usize = 512;

/// Takes a document: where it stands, and its bytes.
pub type Take<'a> = dyn FnMut(String, Vec<u8>) -> Result<()> + 'a;

/// Hands every XML document of `path` to `take`: of a folder the files `*.xml` in the order of their
/// names, of an archive its members `*.xml` in their order, or the one file itself. Returns how many
/// other files there were.
///
/// An archive is read to its last byte, so that its checksum is checked and a missing end is seen.
///
/// # Errors
/// [`Error::Io`] for what cannot be read or is damaged; whatever `take` returns.
pub fn documents(path: &Path, take: &mut Take<'_>) -> Result<u64> {
    if path.is_dir() {
        return folder(path, take);
    }
    let file = File::open(path).map_err(|error| Error::io(path, &error))?;
    let (magic, file) = peek(path, BufReader::with_capacity(1 << 16, file), 4)?;
    if magic.starts_with(b"PK") {
        let reason = "is a zip archive; unpack it and pass the folder".to_owned();
        return Err(Error::Io { path: path.display().to_string(), reason });
    }
    if magic.starts_with(&[0x1f, 0x8b]) {
        unzipped(path, MultiGzDecoder::new(file), take)
    } else {
        unzipped(path, file, take)
    }
}

fn folder(path: &Path, take: &mut Take<'_>) -> Result<u64> {
    let mut others = 0;
    for entry in WalkDir::new(path).sort_by_file_name() {
        let entry = entry.map_err(|error| walk_error(path, &error))?;
        if !entry.file_type().is_file() {
            continue;
        }
        if !is_document(&entry.file_name().to_string_lossy()) {
            others += 1;
            continue;
        }
        let file = File::open(entry.path()).map_err(|error| Error::io(entry.path(), &error))?;
        let bytes = read_limited(file).map_err(|error| Error::io(entry.path(), &error))?;
        take(entry.path().display().to_string(), bytes)?;
    }
    Ok(others)
}

/// A tar archive or one document, no longer compressed.
fn unzipped(path: &Path, reader: impl Read, take: &mut Take<'_>) -> Result<u64> {
    let (head, reader) = peek(path, reader, BLOCK)?;
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&head).trim_ascii_start();
    if text.starts_with(b"<") {
        let bytes = read_limited(reader).map_err(|error| Error::io(path, &error))?;
        take(path.display().to_string(), bytes)?;
        return Ok(0);
    }
    tar_members(path, reader, take)
}

fn tar_members(path: &Path, reader: impl Read, take: &mut Take<'_>) -> Result<u64> {
    let mut last = String::new();
    let damaged = |last: &str, error: &Damage| {
        let reason = if last.is_empty() {
            format!("is neither an XML report nor a whole tar archive of them ({error})")
        } else {
            format!("is damaged after {last} ({error}); fetch it again")
        };
        Error::Io { path: path.display().to_string(), reason }
    };
    let mut others = 0;
    let mut archive = tar::Archive::new(Tail { reader, zeros: 0 });
    let entries = archive.entries().map_err(|error| damaged("", &error.into()))?;
    for entry in entries {
        let entry = entry.map_err(|error| damaged(&last, &error.into()))?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let base = name.rsplit('/').next().unwrap_or(&name);
        if !is_document(base) {
            others += 1;
            continue;
        }
        let size = entry.size();
        let bytes = read_limited(entry).map_err(|error| damaged(&last, &error.into()))?;
        if (bytes.len() as u64) < size {
            return Err(damaged(&last, &Damage(format!("{name} is cut short"))));
        }
        take(format!("{}: {name}", path.display()), bytes)?;
        last = name;
    }
    // The archive's own end, then gzip's checksum, which stands behind it.
    let mut tail = archive.into_inner();
    std::io::copy(&mut tail, &mut std::io::sink())
        .map_err(|error| damaged(&last, &error.into()))?;
    if tail.zeros < BLOCK {
        return Err(damaged(&last, &Damage("the end of the archive is missing".into())));
    }
    Ok(others)
}

/// What is wrong with an archive, without its bytes: the tar crate's own messages quote what stands
/// where it looked for a header, and that may be a report.
struct Damage(String);

impl From<std::io::Error> for Damage {
    fn from(error: std::io::Error) -> Damage {
        Damage(match error.kind() {
            std::io::ErrorKind::UnexpectedEof => "it ends too soon".into(),
            std::io::ErrorKind::FileTooLarge => error.to_string(),
            _ if error.raw_os_error().is_some() => error.to_string(),
            _ => "a block is not what it should be".into(),
        })
    }
}

impl std::fmt::Display for Damage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Whether a file of this name is a document. `._1.xml` is what macOS leaves beside `1.xml`.
fn is_document(name: &str) -> bool {
    let xml = name.len() > 4 && name.to_ascii_lowercase().ends_with(".xml");
    xml && !name.starts_with("._")
}

fn read_limited(reader: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(MAX_DOCUMENT_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_DOCUMENT_BYTES {
        let what = format!("a document has more than {MAX_DOCUMENT_BYTES} bytes; is it a report?");
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, what));
    }
    Ok(bytes)
}

/// The first bytes, at most `count`, and a reader that begins with them again.
pub(super) fn peek<R: Read>(
    path: &Path,
    mut reader: R,
    count: usize,
) -> Result<(Vec<u8>, impl Read + use<R>)> {
    let mut head = Vec::with_capacity(count);
    (&mut reader)
        .take(count as u64)
        .read_to_end(&mut head)
        .map_err(|error| Error::io(path, &error))?;
    Ok((head.clone(), Cursor::new(head).chain(reader)))
}

/// An error of walking a folder as ours.
pub(super) fn walk_error(root: &Path, error: &walkdir::Error) -> Error {
    let path = error.path().unwrap_or(root).display().to_string();
    let reason = error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
    Error::Io { path, reason }
}

/// Counts the zeros with which what was read ends: a tar archive cut off between two members looks
/// whole but for the zeros at its end.
struct Tail<R> {
    reader: R,
    zeros: usize,
}

impl<R: Read> Read for Tail<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.reader.read(buffer)?;
        let read = &buffer[..count];
        self.zeros = match read.iter().rposition(|byte| *byte != 0) {
            Some(at) => count - at - 1,
            None => self.zeros.saturating_add(count),
        };
        Ok(count)
    }
}
