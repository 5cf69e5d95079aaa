//! The writer: a layout first (which tensor lies where, in which part), then the bytes of each
//! part, with tensor data supplied piece by piece, so that no model is ever held in memory. The
//! same input gives the same bytes.
//!
//! Split files are llama.cpp's: the first part holds all metadata, every part has `split.no`,
//! `split.count` and `split.tensors.count`, a tensor never crosses parts, and the names end in
//! `-00001-of-00003.gguf`.

use std::collections::HashSet;
use std::io::Write;

use super::types::{TensorInfo, TensorType};
use super::value::{Array, Value};
use super::{DEFAULT_ALIGNMENT, MAGIC};
use crate::error::{Error, Result};

/// A tensor to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    /// ggml's name.
    pub name: String,
    /// Storage type.
    pub ty: TensorType,
    /// Extents in ggml's order, columns first.
    pub dims: Vec<u64>,
}

/// Where everything of a model lies, in one file or several parts.
#[derive(Debug, Clone)]
pub struct Layout {
    parts: Vec<Part>,
}

/// One file of a [`Layout`].
#[derive(Debug, Clone)]
pub struct Part {
    /// The file up to its data section, padding included.
    head: Vec<u8>,
    first_tensor: usize,
    tensors: Vec<TensorInfo>,
    file_bytes: u64,
}

/// Name of part `no` (from 0) of `count`, as llama.cpp spells it.
pub fn part_name(stem: &str, no: usize, count: usize) -> String {
    format!("{stem}-{:05}-of-{count:05}.gguf", no + 1)
}

impl Layout {
    /// Lays out a model: metadata in the given order (`general.alignment` and the split keys
    /// aside, which the writer sets itself), tensors in the given order, aligned to 32 bytes. With
    /// `max_part_bytes` the result is a split whose files have at most so many bytes (and a split
    /// of one part where all fits), otherwise one plain file.
    ///
    /// # Errors
    /// [`Error::DuplicateTensor`]; [`Error::WrongShape`] for columns that do not suit the type;
    /// [`Error::BadOption`] when a single tensor (or the metadata) exceeds `max_part_bytes`, or
    /// more parts than the format can count are needed.
    pub fn new(
        metadata: &[(String, Value)],
        tensors: &[TensorSpec],
        max_part_bytes: Option<u64>,
    ) -> Result<Layout> {
        check(tensors)?;
        let mut keys = Vec::new();
        let mut key_count = 0;
        for (key, value) in metadata.iter().filter(|(key, _)| !owned_by_writer(key)) {
            put_key(&mut keys, key, value);
            key_count += 1;
        }
        let ranges = match max_part_bytes {
            None => vec![(0, tensors.len())],
            Some(most) => split_ranges(keys.len() as u64, tensors, most)?,
        };
        let count = ranges.len();
        let counts = u16::try_from(count).ok().zip(i32::try_from(tensors.len()).ok());
        let Some((count_u16, tensors_count)) = counts else {
            return Err(too_small(max_part_bytes.unwrap_or(0)));
        };
        let mut parts = Vec::with_capacity(count);
        for (no, (first, end)) in (0u16..).zip(ranges) {
            let (mut part_keys, mut part_key_count) = (Vec::new(), 0);
            if no == 0 {
                part_keys = std::mem::take(&mut keys);
                part_key_count = key_count;
            }
            if max_part_bytes.is_some() {
                put_split(&mut part_keys, no, count_u16, tensors_count);
                part_key_count += 3;
            }
            parts.push(Part::new(&part_keys, part_key_count, first, &tensors[first..end]));
        }
        Ok(Layout { parts })
    }

    /// The files, in order.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }
}

impl Part {
    fn new(keys: &[u8], key_count: u64, first_tensor: usize, specs: &[TensorSpec]) -> Part {
        let mut head = Vec::with_capacity(keys.len() + specs.len() * 100 + 64);
        head.extend(MAGIC);
        head.extend(3u32.to_le_bytes());
        head.extend((specs.len() as u64).to_le_bytes());
        head.extend(key_count.to_le_bytes());
        head.extend(keys);
        let mut tensors = Vec::with_capacity(specs.len());
        let mut offset = 0;
        for spec in specs {
            let TensorSpec { name, ty, dims } = spec.clone();
            let tensor = TensorInfo { name, ty, dims, offset };
            put_tensor(&mut head, &tensor);
            offset += padded(tensor.bytes());
            tensors.push(tensor);
        }
        head.resize(padded(head.len() as u64) as usize, 0);
        let file_bytes = head.len() as u64 + offset;
        Part { head, first_tensor, tensors, file_bytes }
    }

    /// Length of the file.
    pub fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Index, among all tensors of the layout, of the part's first one.
    pub fn first_tensor(&self) -> usize {
        self.first_tensor
    }

    /// The part's tensors.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// Writes the file. `fill` is called for every tensor with its index among all tensors of the
    /// layout and hands the tensor's bytes to the sink, in as many pieces as it likes.
    ///
    /// # Errors
    /// [`Error::Io`] naming `name` when `out` fails; [`Error::Truncated`] when `fill` gives another
    /// number of bytes than the tensor has; whatever `fill` returns.
    pub fn write(&self, name: &str, out: &mut dyn Write, fill: &mut Fill<'_>) -> Result<()> {
        let mut put = |bytes: &[u8]| {
            out.write_all(bytes)
                .map_err(|error| Error::Io { path: name.to_owned(), reason: error.to_string() })
        };
        put(&self.head)?;
        for (i, tensor) in self.tensors.iter().enumerate() {
            let mut written = 0u64;
            fill(self.first_tensor + i, tensor, &mut |bytes| {
                written += bytes.len() as u64;
                if written > tensor.bytes() { Ok(()) } else { put(bytes) }
            })?;
            if written != tensor.bytes() {
                return Err(Error::Truncated {
                    name: tensor.name.clone(),
                    expected: tensor.bytes(),
                    found: written,
                });
            }
            let padding = padded(written) - written;
            put(&[0; DEFAULT_ALIGNMENT as usize][..padding as usize])?;
        }
        out.flush().map_err(|error| Error::Io { path: name.to_owned(), reason: error.to_string() })
    }
}

/// Takes the bytes of a tensor, piece by piece.
pub type Sink<'s> = dyn FnMut(&[u8]) -> Result<()> + 's;

/// Supplies the bytes of tensor number `usize`, described by the [`TensorInfo`], to the sink.
pub type Fill<'f> = dyn FnMut(usize, &TensorInfo, &mut Sink<'_>) -> Result<()> + 'f;

fn owned_by_writer(key: &str) -> bool {
    matches!(key, "general.alignment" | "split.no" | "split.count" | "split.tensors.count")
}

fn padded(bytes: u64) -> u64 {
    bytes.next_multiple_of(DEFAULT_ALIGNMENT)
}

fn check(tensors: &[TensorSpec]) -> Result<()> {
    let mut names = HashSet::new();
    for tensor in tensors {
        if !names.insert(&tensor.name) {
            return Err(Error::DuplicateTensor { tensor: tensor.name.clone() });
        }
        let cols = tensor.dims.first().copied().unwrap_or(0);
        let empty = tensor.dims.is_empty() || tensor.dims.contains(&0);
        if empty || tensor.ty.row_bytes(cols).is_none() {
            let mut expected = tensor.dims.clone();
            if let Some(cols) = expected.first_mut() {
                *cols = (*cols).max(1).next_multiple_of(tensor.ty.block_len());
            }
            let (tensor, found) = (tensor.name.clone(), tensor.dims.clone());
            return Err(Error::WrongShape { tensor, expected, found });
        }
    }
    Ok(())
}

fn too_small(most: u64) -> Error {
    Error::BadOption {
        option: "the maximum size of a part",
        value: format!("{most} bytes"),
        expected: "at least the largest tensor, and the metadata, with their header",
    }
}

/// First and end index of the tensors of each part: as many as fit, in order.
fn split_ranges(key_bytes: u64, tensors: &[TensorSpec], most: u64) -> Result<Vec<(usize, usize)>> {
    let mut scratch = Vec::new();
    put_split(&mut scratch, 0, 0, 0);
    let fixed = 24 + scratch.len() as u64;
    let mut ranges = Vec::new();
    let (mut first, mut head, mut data) = (0, fixed + key_bytes, 0);
    if padded(head) > most {
        return Err(too_small(most));
    }
    for (i, spec) in tensors.iter().enumerate() {
        scratch.clear();
        let TensorSpec { name, ty, dims } = spec.clone();
        let tensor = TensorInfo { name, ty, dims, offset: 0 };
        put_tensor(&mut scratch, &tensor);
        let (info, bytes) = (scratch.len() as u64, padded(tensor.bytes()));
        if padded(head + info) + data + bytes > most {
            if padded(fixed + info) + bytes > most {
                return Err(too_small(most));
            }
            // Where even the first tensor does not fit beside the metadata, the first part has
            // the metadata alone, as with llama.cpp's --no-tensor-first-split.
            ranges.push((first, i));
            (first, head, data) = (i, fixed, 0);
        }
        head += info;
        data += bytes;
    }
    ranges.push((first, tensors.len()));
    Ok(ranges)
}

fn put_split(out: &mut Vec<u8>, no: u16, count: u16, tensors_count: i32) {
    put_key(out, "split.no", &Value::U16(no));
    put_key(out, "split.count", &Value::U16(count));
    put_key(out, "split.tensors.count", &Value::I32(tensors_count));
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn put_tensor(out: &mut Vec<u8>, tensor: &TensorInfo) {
    put_string(out, &tensor.name);
    out.extend((tensor.dims.len() as u32).to_le_bytes());
    for dim in &tensor.dims {
        out.extend(dim.to_le_bytes());
    }
    out.extend(tensor.ty.id().to_le_bytes());
    out.extend(tensor.offset.to_le_bytes());
}

fn put_key(out: &mut Vec<u8>, key: &str, value: &Value) {
    put_string(out, key);
    out.extend(value.type_id().to_le_bytes());
    match value {
        Value::U8(v) => out.push(*v),
        Value::I8(v) => out.extend(v.to_le_bytes()),
        Value::U16(v) => out.extend(v.to_le_bytes()),
        Value::I16(v) => out.extend(v.to_le_bytes()),
        Value::U32(v) => out.extend(v.to_le_bytes()),
        Value::I32(v) => out.extend(v.to_le_bytes()),
        Value::F32(v) => out.extend(v.to_le_bytes()),
        Value::Bool(v) => out.push(u8::from(*v)),
        Value::String(v) => put_string(out, v),
        Value::U64(v) => out.extend(v.to_le_bytes()),
        Value::I64(v) => out.extend(v.to_le_bytes()),
        Value::F64(v) => out.extend(v.to_le_bytes()),
        Value::Array(array) => put_array(out, array),
    }
}

fn put_array(out: &mut Vec<u8>, array: &Array) {
    out.extend(array.type_id().to_le_bytes());
    out.extend((array.len() as u64).to_le_bytes());
    match array {
        Array::U8(v) => out.extend(v),
        Array::I8(v) => out.extend(v.iter().flat_map(|x| x.to_le_bytes())),
        Array::U16(v) => out.extend(v.iter().flat_map(|x| x.to_le_bytes())),
        Array::I16(v) => out.extend(v.iter().flat_map(|x| x.to_le_bytes())),
        Array::U32(v) => out.extend(v.iter().flat_map(|x| x.to_le_bytes())),
        Array::I32(v) => out.extend(v.iter().flat_map(|x| x.to_le_bytes())),
        Array::F32(v) => out.extend(v.iter().flat_map(|x| x.to_le_bytes())),
        Array::Bool(v) => out.extend(v.iter().map(|&x| u8::from(x))),
        Array::String(v) => v.iter().for_each(|text| put_string(out, text)),
        Array::U64(v) => out.extend(v.iter().flat_map(|x| x.to_le_bytes())),
        Array::I64(v) => out.extend(v.iter().flat_map(|x| x.to_le_bytes())),
        Array::F64(v) => out.extend(v.iter().flat_map(|x| x.to_le_bytes())),
    }
}
