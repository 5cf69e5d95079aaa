//! The header's parser: fed with bytes in any chunking, it keeps what is half parsed and knows how
//! many bytes the next step needs, so that a file arriving byte by byte costs linear time.

use std::collections::HashSet;

use super::header::Header;
use super::types::{TensorInfo, TensorType, foreign_type_name};
use super::value::{Array, Value};
use super::{DEFAULT_ALIGNMENT, MAGIC};
use crate::error::{Error, Result};

// Limits far above any real model, so that a damaged count or length is an error and not an
// allocation. (Llama 3's header, the largest of its family, has 8 MB.)
const MAX_HEADER_BYTES: u64 = 64 << 20;
const MAX_STRING_BYTES: u64 = 16 << 20;
const MAX_NAME_BYTES: u64 = 1 << 10;
const MAX_KEYS: u64 = 1 << 16;
const MAX_TENSORS: u64 = 1 << 16;
const MAX_DIMS: u32 = 4;
const MAX_ALIGNMENT: u64 = 1 << 16;
/// Longest row of a tensor: the reader buffers one row.
const MAX_ROW_BYTES: u64 = 16 << 20;

/// Why a step stopped.
enum Stop {
    /// This many bytes from the current position are needed before it is worth trying again.
    Need(u64),
    /// The header is wrong.
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failed(error)
    }
}

fn corrupt<T>(what: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Failed(Error::CorruptHeader { what: what.into() }))
}

/// Reads little-endian fields from the bytes at hand.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, len: u64) -> Result<&'a [u8], Stop> {
        let rest = &self.bytes[self.at..];
        match usize::try_from(len).ok().and_then(|len| rest.get(..len)) {
            Some(bytes) => {
                self.at += bytes.len();
                Ok(bytes)
            }
            None => Err(Stop::Need(self.at as u64 + len)),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64)?);
        Ok(array)
    }

    fn u32(&mut self) -> Result<u32, Stop> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, Stop> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn string(&mut self, what: &str, most: u64) -> Result<String, Stop> {
        let len = self.u64()?;
        if len > most {
            return corrupt(format!("{what} has {len} bytes (at most {most} are allowed)"));
        }
        match std::str::from_utf8(self.take(len)?) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => corrupt(format!("{what} is not UTF-8")),
        }
    }
}

/// An array that is being read.
struct Pending {
    key: String,
    array: Array,
    left: u64,
}

/// What is parsed next.
enum Stage {
    Fixed,
    Keys { left: u64, tensors: u64 },
    Tensors { left: u64 },
    Done,
}

/// The resumable parser. Give it bytes with [`Parser::push`] until it returns the header.
pub(super) struct Parser {
    buffer: Vec<u8>,
    /// Consumed bytes at the front of `buffer`.
    at: usize,
    /// Position of `buffer[0]` in the file.
    base: u64,
    /// `buffer` must reach this length before the next step can succeed.
    need: usize,
    stage: Stage,
    pending: Option<Pending>,
    keys: HashSet<String>,
    names: HashSet<String>,
    header: Option<Header>,
}

/// Bytes the parser takes from a push at a time: a whole file pushed at once is not copied.
const FEED_BYTES: usize = 64 << 10;

impl Parser {
    pub(super) fn new(name: String) -> Parser {
        let header = Header {
            name,
            version: 0,
            metadata: Vec::new(),
            tensors: Vec::new(),
            alignment: DEFAULT_ALIGNMENT,
            data_offset: 0,
        };
        Parser {
            buffer: Vec::new(),
            at: 0,
            base: 0,
            need: MAGIC.len(),
            stage: Stage::Fixed,
            pending: None,
            keys: HashSet::new(),
            names: HashSet::new(),
            header: Some(header),
        }
    }

    /// Takes bytes. `Some((header, taken))` when the header is complete: the first `taken` bytes
    /// of this push belonged to it (the padding up to the data section not included).
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Option<(Header, usize)>> {
        let start = self.base + self.buffer.len() as u64;
        for feed in bytes.chunks(FEED_BYTES) {
            self.buffer.extend_from_slice(feed);
            if self.buffer.len() < self.need {
                continue;
            }
            self.run()?;
            if matches!(self.stage, Stage::Done) {
                let end = self.position();
                self.base = end;
                self.at = 0;
                self.buffer = Vec::new();
                return match self.header.take() {
                    Some(header) => Ok(Some((header, (end - start) as usize))),
                    None => Err(Error::Internal("a header was finished twice".to_owned())),
                };
            }
        }
        Ok(None)
    }

    /// Bytes parsed, counted from the start of the file.
    pub(super) fn position(&self) -> u64 {
        self.base + self.at as u64
    }

    /// Bytes held.
    pub(super) fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// The error for input that ends here.
    pub(super) fn ended(&self) -> Error {
        let found = self.base + self.buffer.len() as u64;
        let name = self.header.as_ref().map_or(String::new(), |header| header.name.clone());
        if found < 4 && !MAGIC.starts_with(&self.buffer) {
            return Error::NotGguf { name, found: self.buffer.clone() };
        }
        let expected = (self.base + self.need as u64).max(24);
        Error::Truncated { name, expected, found }
    }

    /// Steps until the bytes do not suffice, then remembers how many would.
    fn run(&mut self) -> Result<()> {
        loop {
            if matches!(self.stage, Stage::Done) {
                return Ok(());
            }
            match self.step() {
                Ok(()) if self.base + self.at as u64 > MAX_HEADER_BYTES => {
                    let what = format!("it has more than {MAX_HEADER_BYTES} bytes");
                    return Err(Error::CorruptHeader { what });
                }
                Ok(()) => {}
                Err(Stop::Failed(error)) => return Err(error),
                Err(Stop::Need(bytes)) => {
                    // Drop what is consumed; at most one feed is ever moved.
                    self.buffer.drain(..self.at);
                    self.base += self.at as u64;
                    self.at = 0;
                    self.need = usize::try_from(bytes).unwrap_or(usize::MAX);
                    return Ok(());
                }
            }
        }
    }

    /// Parses one item; moves `at` only when the item was complete.
    fn step(&mut self) -> Result<(), Stop> {
        let Some(header) = self.header.as_mut() else {
            return Err(Error::Internal("the header is gone".to_owned()).into());
        };
        let mut cursor = Cursor { bytes: &self.buffer, at: self.at };
        let from_here = |stop| match stop {
            Stop::Need(end) => Stop::Need(end - self.at as u64),
            failed => failed,
        };
        let result = match self.stage {
            Stage::Fixed => step_fixed(&mut cursor, header, &mut self.stage),
            Stage::Keys { left: 0, tensors } => {
                header.alignment = alignment(header)?;
                self.stage = Stage::Tensors { left: tensors };
                Ok(())
            }
            Stage::Keys { ref mut left, .. } => {
                if self.pending.is_none() {
                    step_key(&mut cursor, header, &mut self.keys, &mut self.pending).map(|done| {
                        *left -= u64::from(done);
                    })
                } else {
                    step_array(&mut cursor, &mut self.pending).map(|done| {
                        if let Some(Pending { key, array, .. }) = done {
                            header.metadata.push((key, Value::Array(array)));
                            *left -= 1;
                        }
                    })
                }
            }
            Stage::Tensors { left: 0 } => {
                let end = self.base + self.at as u64;
                header.data_offset = end.next_multiple_of(header.alignment);
                check_layout(header)?;
                self.stage = Stage::Done;
                Ok(())
            }
            Stage::Tensors { ref mut left } => {
                step_tensor(&mut cursor, header, &mut self.names).map(|()| *left -= 1)
            }
            Stage::Done => Ok(()),
        };
        result.map_err(from_here)?;
        self.at = cursor.at;
        Ok(())
    }
}

fn step_fixed(cursor: &mut Cursor<'_>, header: &mut Header, stage: &mut Stage) -> Result<(), Stop> {
    let magic: [u8; 4] = cursor.array()?;
    if magic != MAGIC {
        return Err(Error::NotGguf { name: header.name.clone(), found: magic.to_vec() }.into());
    }
    header.version = cursor.u32()?;
    if !(2..=3).contains(&header.version) {
        return Err(Error::GgufVersion { version: header.version }.into());
    }
    let (tensors, keys) = (cursor.u64()?, cursor.u64()?);
    if tensors > MAX_TENSORS {
        return corrupt(format!("it announces {tensors} tensors"));
    }
    if keys > MAX_KEYS {
        return corrupt(format!("it announces {keys} metadata keys"));
    }
    *stage = Stage::Keys { left: keys, tensors };
    Ok(())
}

/// One key with its value; false when the value is an array whose elements follow.
fn step_key(
    cursor: &mut Cursor<'_>,
    header: &mut Header,
    keys: &mut HashSet<String>,
    pending: &mut Option<Pending>,
) -> Result<bool, Stop> {
    let key = cursor.string("a metadata key", MAX_NAME_BYTES)?;
    let value = match cursor.u32()? {
        0 => Value::U8(u8::from_le_bytes(cursor.array()?)),
        1 => Value::I8(i8::from_le_bytes(cursor.array()?)),
        2 => Value::U16(u16::from_le_bytes(cursor.array()?)),
        3 => Value::I16(i16::from_le_bytes(cursor.array()?)),
        4 => Value::U32(cursor.u32()?),
        5 => Value::I32(i32::from_le_bytes(cursor.array()?)),
        6 => Value::F32(f32::from_le_bytes(cursor.array()?)),
        7 => Value::Bool(cursor.array::<1>()?[0] != 0),
        8 => Value::String(cursor.string(&key, MAX_STRING_BYTES)?),
        9 => {
            let (element, left) = (cursor.u32()?, cursor.u64()?);
            let Some(array) = empty_array(element) else {
                return corrupt(format!("{key} is an array of type {element}"));
            };
            if left > MAX_HEADER_BYTES {
                return corrupt(format!("{key} announces {left} elements"));
            }
            if !keys.insert(key.clone()) {
                return corrupt(format!("{key} appears twice"));
            }
            *pending = Some(Pending { key, array, left });
            return Ok(false);
        }
        10 => Value::U64(cursor.u64()?),
        11 => Value::I64(i64::from_le_bytes(cursor.array()?)),
        12 => Value::F64(f64::from_le_bytes(cursor.array()?)),
        other => return corrupt(format!("{key} has the unknown value type {other}")),
    };
    if !keys.insert(key.clone()) {
        return corrupt(format!("{key} appears twice"));
    }
    header.metadata.push((key, value));
    Ok(true)
}

fn empty_array(element: u32) -> Option<Array> {
    Some(match element {
        0 => Array::U8(Vec::new()),
        1 => Array::I8(Vec::new()),
        2 => Array::U16(Vec::new()),
        3 => Array::I16(Vec::new()),
        4 => Array::U32(Vec::new()),
        5 => Array::I32(Vec::new()),
        6 => Array::F32(Vec::new()),
        7 => Array::Bool(Vec::new()),
        8 => Array::String(Vec::new()),
        10 => Array::U64(Vec::new()),
        11 => Array::I64(Vec::new()),
        12 => Array::F64(Vec::new()),
        _ => return None,
    })
}

/// Reads as many elements as the bytes allow; the finished array when none is left.
fn step_array(
    cursor: &mut Cursor<'_>,
    slot: &mut Option<Pending>,
) -> Result<Option<Pending>, Stop> {
    let Some(pending) = slot.as_mut() else { return Ok(None) };
    if pending.left > 0 {
        let Pending { array, left, key } = pending;
        macro_rules! numbers {
            ($vec:expr, $ty:ty) => {{
                let size = size_of::<$ty>() as u64;
                let here = ((cursor.bytes.len() - cursor.at) as u64 / size).min(*left);
                // Nothing whole is here: say how much the next element needs.
                let bytes = cursor.take(here.max(1) * size)?;
                $vec.extend(bytes.chunks_exact(size_of::<$ty>()).map(|chunk| {
                    let mut value = [0; size_of::<$ty>()];
                    value.copy_from_slice(chunk);
                    <$ty>::from_le_bytes(value)
                }));
                *left -= here;
            }};
        }
        match array {
            Array::U8(v) => numbers!(v, u8),
            Array::I8(v) => numbers!(v, i8),
            Array::U16(v) => numbers!(v, u16),
            Array::I16(v) => numbers!(v, i16),
            Array::U32(v) => numbers!(v, u32),
            Array::I32(v) => numbers!(v, i32),
            Array::F32(v) => numbers!(v, f32),
            Array::U64(v) => numbers!(v, u64),
            Array::I64(v) => numbers!(v, i64),
            Array::F64(v) => numbers!(v, f64),
            Array::Bool(v) => {
                v.push(cursor.array::<1>()?[0] != 0);
                *left -= 1;
            }
            Array::String(v) => {
                v.push(cursor.string(key, MAX_STRING_BYTES)?);
                *left -= 1;
            }
        }
    }
    if pending.left == 0 { Ok(slot.take()) } else { Ok(None) }
}

fn step_tensor(
    cursor: &mut Cursor<'_>,
    header: &mut Header,
    names: &mut HashSet<String>,
) -> Result<(), Stop> {
    let name = cursor.string("a tensor name", MAX_NAME_BYTES)?;
    let dimensions = cursor.u32()?;
    if dimensions == 0 || dimensions > MAX_DIMS {
        return corrupt(format!("tensor {name} has {dimensions} dimensions"));
    }
    let mut dims = Vec::with_capacity(dimensions as usize);
    for _ in 0..dimensions {
        dims.push(cursor.u64()?);
    }
    let (id, offset) = (cursor.u32()?, cursor.u64()?);
    let Some(ty) = TensorType::from_id(id) else {
        let type_name = foreign_type_name(id);
        return Err(Error::UnknownTensorType { tensor: name, type_name }.into());
    };
    let tensor = TensorInfo { name, ty, dims, offset };
    let Some(row_bytes) = ty.row_bytes(tensor.cols()) else {
        return corrupt(format!(
            "tensor {} has {} columns, no multiple of {ty}'s block of {}",
            tensor.name,
            tensor.cols(),
            ty.block_len()
        ));
    };
    if row_bytes == 0 || row_bytes > MAX_ROW_BYTES || tensor.rows() == 0 {
        return corrupt(format!("tensor {} has the shape {:?}", tensor.name, tensor.dims));
    }
    if tensor.dims.iter().try_fold(4u64, |product, &dim| product.checked_mul(dim)).is_none() {
        return corrupt(format!("tensor {} has the shape {:?}", tensor.name, tensor.dims));
    }
    if !names.insert(tensor.name.clone()) {
        return Err(Error::DuplicateTensor { tensor: tensor.name }.into());
    }
    header.tensors.push(tensor);
    Ok(())
}

fn alignment(header: &Header) -> Result<u64, Stop> {
    let Some(value) = header.get("general.alignment") else { return Ok(DEFAULT_ALIGNMENT) };
    match value.as_u64() {
        Some(bytes) if bytes.is_power_of_two() && bytes <= MAX_ALIGNMENT => Ok(bytes),
        _ => corrupt(format!("general.alignment is {value:?}, not a power of two")),
    }
}

/// Tensors may lie in any order, but each follows another with no more than padding between them.
fn check_layout(header: &Header) -> Result<(), Stop> {
    let mut order: Vec<&TensorInfo> = header.tensors.iter().collect();
    order.sort_by_key(|tensor| tensor.offset);
    let mut end: u64 = 0;
    for tensor in order {
        let expected = end.next_multiple_of(header.alignment);
        if tensor.offset != expected {
            return corrupt(format!(
                "tensor {} begins at {} of the data, but {expected} is the next free position",
                tensor.name, tensor.offset
            ));
        }
        end = match tensor.offset.checked_add(tensor.bytes()) {
            // Far from overflow, so that no later sum can.
            Some(end) if end < 1 << 60 => end,
            _ => return corrupt(format!("tensor {} ends past any file", tensor.name)),
        };
    }
    Ok(())
}
