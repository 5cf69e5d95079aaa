//! Conversions into GGUF: llama2.c checkpoints ([`llama2c`]) and GGUF itself, requantized or split
//! anew ([`requantize`]). Sources are anything that reads and seeks, targets anything that writes;
//! rows pass through in pieces, so the size of a model does not matter.

mod llama2c;
mod requantize;
mod vocabulary;

use std::io::{Read, Seek, SeekFrom, Write};

use sha2::{Digest, Sha256};

pub use llama2c::llama2c;
pub use requantize::requantize;
pub use vocabulary::Vocabulary;

use crate::error::{Error, Result};
use crate::gguf::{Layout, TensorSpec, TensorType, Value, part_name};
use crate::quant::encode::{QuantError, encode_row};

/// What to write.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Stem of the files' names: `NAME.gguf`, or `NAME-00001-of-00003.gguf`.
    pub name: String,
    /// Type of the matrices; `None` keeps the source's types. Vectors (norms) become F32 with any
    /// type given, and matrices whose columns are no multiple of the type's block become F16.
    pub target: Option<TensorType>,
    /// Another type for `token_embd.weight` and `output.weight`.
    pub embedding: Option<TensorType>,
    /// Splits into files of at most so many bytes.
    pub max_part_bytes: Option<u64>,
    /// Further metadata that tells where the model comes from, written as `radllama.KEY`.
    pub provenance: Vec<(String, String)>,
}

/// What was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The files, in order.
    pub parts: Vec<PartReport>,
    /// The tensors, in order.
    pub tensors: Vec<TensorReport>,
}

/// One file that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartReport {
    /// The file's name.
    pub name: String,
    /// The file's length.
    pub bytes: u64,
    /// SHA-256 of the file, in lower-case hexadecimal.
    pub sha256: String,
}

/// One tensor that was written.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorReport {
    /// ggml's name.
    pub name: String,
    /// Type in the source.
    pub from: TensorType,
    /// Type written.
    pub to: TensorType,
    /// What quantization cost; zero where the bytes were copied.
    pub error: QuantError,
}

/// A tensor in one of the source files.
struct SourceTensor {
    name: String,
    ty: TensorType,
    dims: Vec<u64>,
    /// Index of the file.
    file: usize,
    /// First byte in the file.
    offset: u64,
}

/// Bytes copied at a time.
const COPY_BYTES: usize = 1 << 20;

fn io_error(name: &str, error: &std::io::Error) -> Error {
    Error::Io { path: name.to_owned(), reason: error.to_string() }
}

fn hex(digest: impl AsRef<[u8]>) -> String {
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-256 of a whole source.
fn sha256_of(source: &mut (impl Read + Seek), name: &str) -> Result<String> {
    source.seek(SeekFrom::Start(0)).map_err(|error| io_error(name, &error))?;
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0; COPY_BYTES]);
    loop {
        match source.read(&mut buffer) {
            Ok(0) => return Ok(hex(hasher.finalize())),
            Ok(read) => hasher.update(&buffer[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(io_error(name, &error)),
        }
    }
}

fn read_at(source: &mut (impl Read + Seek), name: &str, at: u64, out: &mut [u8]) -> Result<()> {
    source
        .seek(SeekFrom::Start(at))
        .and_then(|_| source.read_exact(out))
        .map_err(|error| io_error(name, &error))
}

/// Replaces the value of a key, or appends it.
fn set(metadata: &mut Vec<(String, Value)>, key: &str, value: Value) {
    match metadata.iter_mut().find(|(k, _)| k == key) {
        Some((_, old)) => *old = value,
        None => metadata.push((key.to_owned(), value)),
    }
}

/// `general.file_type`, llama.cpp's `enum llama_ftype`.
fn file_type(ty: TensorType) -> Option<u32> {
    match ty {
        TensorType::F32 => Some(0),
        TensorType::F16 => Some(1),
        TensorType::Q4_0 => Some(2),
        TensorType::Q4_1 => Some(3),
        TensorType::Q8_0 => Some(7),
        _ => None,
    }
}

/// Sets the keys that every conversion sets: the type, and where the model comes from.
fn stamp(metadata: &mut Vec<(String, Value)>, options: &Options, from: &str, sha256: String) {
    if let Some(ty) = options.target.and_then(file_type) {
        set(metadata, "general.file_type", Value::U32(ty));
        set(metadata, "general.quantization_version", Value::U32(2));
    }
    let version = concat!("radllama ", env!("CARGO_PKG_VERSION"));
    set(metadata, "radllama.converted_by", Value::String(version.to_owned()));
    set(metadata, "radllama.converted_from", Value::String(from.to_owned()));
    set(metadata, "radllama.source_sha256", Value::String(sha256));
    for (key, value) in &options.provenance {
        set(metadata, &format!("radllama.{key}"), Value::String(value.clone()));
    }
}

impl Options {
    fn type_for(&self, tensor: &SourceTensor) -> TensorType {
        let is_embedding = matches!(tensor.name.as_str(), "token_embd.weight" | "output.weight");
        let wanted = if is_embedding { self.embedding.or(self.target) } else { self.target };
        let Some(wanted) = wanted else { return tensor.ty };
        if tensor.dims.len() < 2 {
            return TensorType::F32;
        }
        match wanted.row_bytes(tensor.dims[0]) {
            Some(_) => wanted,
            None => TensorType::F16,
        }
    }
}

/// Lets every byte written be hashed.
struct Hashing<W> {
    inner: W,
    hasher: Sha256,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

/// Lays the model out and writes all its files.
fn write_model<R: Read + Seek, W: Write>(
    files: &mut [R],
    tensors: &[SourceTensor],
    metadata: &[(String, Value)],
    options: &Options,
    open: &mut dyn FnMut(&str) -> Result<W>,
) -> Result<Report> {
    let specs: Vec<TensorSpec> = tensors
        .iter()
        .map(|tensor| TensorSpec {
            name: tensor.name.clone(),
            ty: options.type_for(tensor),
            dims: tensor.dims.clone(),
        })
        .collect();
    let layout = Layout::new(metadata, &specs, options.max_part_bytes)?;
    let mut report = Report { parts: Vec::new(), tensors: Vec::new() };
    for (no, part) in layout.parts().iter().enumerate() {
        let name = match options.max_part_bytes {
            Some(_) => part_name(&options.name, no, layout.parts().len()),
            None => format!("{}.gguf", options.name),
        };
        let mut out = Hashing { inner: open(&name)?, hasher: Sha256::new() };
        part.write(&name, &mut out, &mut |index, info, sink| {
            let from = &tensors[index];
            let Some(file) = files.get_mut(from.file) else {
                return Err(Error::Internal(format!("no source file for {}", from.name)));
            };
            let error = if from.ty == info.ty {
                copy(file, from, info.bytes(), sink)?;
                QuantError::default()
            } else {
                recode(file, from, info.ty, sink)?
            };
            let name = info.name.clone();
            report.tensors.push(TensorReport { name, from: from.ty, to: info.ty, error });
            Ok(())
        })?;
        let sha256 = hex(out.hasher.finalize());
        report.parts.push(PartReport { name, bytes: part.file_bytes(), sha256 });
    }
    Ok(report)
}

fn copy(
    file: &mut (impl Read + Seek),
    from: &SourceTensor,
    bytes: u64,
    sink: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut buffer = vec![0; COPY_BYTES.min(usize::try_from(bytes).unwrap_or(COPY_BYTES))];
    let mut done = 0;
    while done < bytes {
        let len = buffer.len().min(usize::try_from(bytes - done).unwrap_or(usize::MAX));
        read_at(file, &from.name, from.offset + done, &mut buffer[..len])?;
        sink(&buffer[..len])?;
        done += len as u64;
    }
    Ok(())
}

fn recode(
    file: &mut (impl Read + Seek),
    from: &SourceTensor,
    to: TensorType,
    sink: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<QuantError> {
    let cols = from.dims[0];
    let rows: u64 = from.dims[1..].iter().product();
    let row_bytes = from.ty.row_bytes(cols).unwrap_or(0) as usize;
    let rows_at_once = (COPY_BYTES / row_bytes.max(1)).max(1) as u64;
    let mut source = vec![0; row_bytes * rows_at_once.min(rows) as usize];
    let (mut values, mut decoded) = (vec![0.0; cols as usize], vec![0.0; cols as usize]);
    let (mut encoded, mut error) = (Vec::new(), QuantError::default());
    let mut first = 0;
    while first < rows {
        let count = rows_at_once.min(rows - first);
        let source = &mut source[..row_bytes * count as usize];
        read_at(file, &from.name, from.offset + first * row_bytes as u64, source)?;
        for row in source.chunks_exact(row_bytes) {
            from.ty.dequantize(row, &mut values);
            encoded.clear();
            encode_row(to, &values, &from.name, &mut encoded)?;
            to.dequantize(&encoded, &mut decoded);
            error.add(&values, &decoded);
            sink(&encoded)?;
        }
        first += count;
    }
    Ok(error)
}
