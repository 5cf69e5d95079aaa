//! GGUF in, GGUF out: another type, another split, or both.

use std::io::{Read, Seek, SeekFrom, Write};

use super::{Options, Report, SourceTensor, sha256_of, stamp, write_model};
use crate::error::{Error, Result};
use crate::gguf::{Header, Reader, Value};

/// Rewrites a model from its file, or from all files of its split in order. Metadata is kept, but
/// for the type, the split and the provenance keys. Tensors whose type stays are copied byte for
/// byte. `names` are the files' names, for messages; `open` makes the writer of the named file.
///
/// # Errors
/// What is wrong with the source; [`Error::SplitMismatch`] when the files are not the parts of one
/// split in order; [`Error::BadWeight`] for weights that the type cannot hold; [`Error::Io`].
pub fn requantize<R: Read + Seek, W: Write>(
    files: &mut [R],
    names: &[&str],
    options: &Options,
    open: &mut dyn FnMut(&str) -> Result<W>,
) -> Result<Report> {
    let Source { mut metadata, tensors, hashes } = Source::read(files, names)?;
    // A file that was converted here before keeps its first source's name and hash in the chain.
    let from = format!("GGUF {}", names.first().copied().unwrap_or(""));
    stamp(&mut metadata, options, from.trim_end(), hashes.join(","));
    write_model(files, &tensors, &metadata, options, open)
}

/// What the files of a model say.
pub(super) struct Source {
    pub(super) metadata: Vec<(String, Value)>,
    pub(super) tensors: Vec<SourceTensor>,
    /// Of each file.
    pub(super) hashes: Vec<String>,
}

impl Source {
    pub(super) fn read<R: Read + Seek>(files: &mut [R], names: &[&str]) -> Result<Source> {
        let mut source = Source { metadata: Vec::new(), tensors: Vec::new(), hashes: Vec::new() };
        let mut announced = None;
        let count = files.len();
        for (no, file) in files.iter_mut().enumerate() {
            let name = names.get(no).copied().unwrap_or("a part");
            let header = header_of(file, name)?;
            check_part(&header, no, count)?;
            source.hashes.push(sha256_of(file, name)?);
            source.tensors.extend(header.tensors.iter().map(|tensor| SourceTensor {
                name: tensor.name.clone(),
                ty: tensor.ty,
                dims: tensor.dims.clone(),
                file: no,
                offset: header.data_offset + tensor.offset,
                half_split: None,
                updates: Vec::new(),
            }));
            if no == 0 {
                announced = header.split()?.map(|split| split.tensors_count as usize);
                source.metadata = header.metadata;
            }
        }
        let found = source.tensors.len();
        if let Some(announced) = announced.filter(|&announced| announced != found) {
            let what = format!("{announced} tensors are announced, {found} are there");
            return Err(Error::SplitMismatch { what });
        }
        Ok(source)
    }
}

fn header_of(file: &mut (impl Read + Seek), name: &str) -> Result<Header> {
    let length = file.seek(SeekFrom::End(0)).map_err(|error| Error::io(name, &error))?;
    file.seek(SeekFrom::Start(0)).map_err(|error| Error::io(name, &error))?;
    let mut reader = Reader::new(name);
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => reader.push(&buffer[..read], &mut |_| Ok(()))?,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io(name, &error)),
        }
        if let Some(header) = reader.header() {
            if length < header.file_bytes() {
                let (name, expected) = (name.to_owned(), header.file_bytes());
                return Err(Error::Truncated { name, expected, found: length });
            }
            return Ok(header.clone());
        }
    }
    reader.finish()?;
    Err(Error::Internal("a file ended without header and without error".to_owned()))
}

fn check_part(header: &Header, no: usize, count: usize) -> Result<()> {
    let (found_no, found_count) = match header.split()? {
        Some(split) => (split.no as usize, split.count as usize),
        None => (0, 1),
    };
    if found_count != count {
        let what = format!("{} belongs to {found_count} files, {count} are given", header.name);
        return Err(Error::SplitMismatch { what });
    }
    if found_no != no {
        let what =
            format!("{} is part {}, where part {} belongs", header.name, found_no + 1, no + 1);
        return Err(Error::SplitMismatch { what });
    }
    Ok(())
}
