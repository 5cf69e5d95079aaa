//! The sans-IO push reader: bytes of one file in, in any chunking; the header, then rows of
//! tensors out as they complete. It holds at most [`PIECE_BYTES`] and one row (and, until the
//! header is complete, the unparsed item), whatever the size of the model.

use super::header::Header;
use super::parse::Parser;
use super::types::TensorInfo;
use crate::error::{Error, Result};

/// Rows are handed out in pieces of about this size (rounded up to whole rows); fewer only at the
/// end of a tensor.
pub const PIECE_BYTES: usize = 1 << 20;

/// What a [`Reader`] reports, in the order of the file.
#[derive(Debug)]
pub enum Event<'a> {
    /// The header is complete and consistent. Always first, once.
    Header(&'a Header),
    /// Whole consecutive rows of a tensor.
    Rows {
        /// Which tensor.
        tensor: &'a TensorInfo,
        /// Number of the first row in `bytes`.
        first_row: u64,
        /// The rows' bytes, as the tensor's type lays them out.
        bytes: &'a [u8],
    },
    /// All rows of the tensor were reported.
    TensorEnd(&'a TensorInfo),
}

type Callback<'c> = dyn FnMut(Event<'_>) -> Result<()> + 'c;

/// Reads one GGUF file from pushed bytes. After an error the reader repeats that error.
pub struct Reader {
    stage: Stage,
}

enum Stage {
    Header(Box<Parser>),
    Data(Box<Data>),
    Failed(Error),
}

struct Data {
    header: Header,
    /// Indices into `header.tensors`, by offset.
    order: Vec<usize>,
    /// Index into `order`.
    current: usize,
    /// Bytes taken, counted from the start of the file.
    position: u64,
    /// Rows of the current tensor that were reported.
    rows_done: u64,
    /// Bytes of the current tensor that are not reported yet; empty or shorter than a piece.
    carry: Vec<u8>,
}

impl Reader {
    /// A reader for a file of this name (used in messages only).
    pub fn new(name: impl Into<String>) -> Reader {
        Reader { stage: Stage::Header(Box::new(Parser::new(name.into()))) }
    }

    /// Takes the next bytes of the file and calls `on` for everything they complete. Rows that the
    /// push holds whole are lent out of it without a copy.
    ///
    /// # Errors
    /// What is wrong with the header, or what `on` returned.
    pub fn push(&mut self, bytes: &[u8], on: &mut Callback<'_>) -> Result<()> {
        let result = self.try_push(bytes, on);
        if let Err(error) = &result {
            self.stage = Stage::Failed(error.clone());
        }
        result
    }

    fn try_push(&mut self, bytes: &[u8], on: &mut Callback<'_>) -> Result<()> {
        let mut rest = bytes;
        if let Stage::Header(parser) = &mut self.stage {
            let Some((header, taken)) = parser.push(bytes)? else { return Ok(()) };
            let position = parser.position();
            rest = &bytes[taken..];
            on(Event::Header(&header))?;
            self.stage = Stage::Data(Box::new(Data::new(header, position)));
        }
        match &mut self.stage {
            Stage::Data(data) => data.push(rest, on),
            Stage::Failed(error) => Err(error.clone()),
            Stage::Header(_) => Ok(()),
        }
    }

    /// Checks that the file was complete.
    ///
    /// # Errors
    /// [`Error::Truncated`] when anything is outstanding, or the earlier error.
    pub fn finish(&self) -> Result<()> {
        match &self.stage {
            Stage::Header(parser) => Err(parser.ended()),
            Stage::Failed(error) => Err(error.clone()),
            Stage::Data(data) if data.current == data.order.len() => Ok(()),
            Stage::Data(data) => Err(Error::Truncated {
                name: data.header.name.clone(),
                expected: data.header.file_bytes(),
                found: data.position,
            }),
        }
    }

    /// The header, once it is complete.
    pub fn header(&self) -> Option<&Header> {
        if let Stage::Data(data) = &self.stage { Some(&data.header) } else { None }
    }

    /// Bytes the reader holds at this moment, the parsed header aside.
    pub fn buffered_bytes(&self) -> usize {
        match &self.stage {
            Stage::Header(parser) => parser.buffered(),
            Stage::Data(data) => data.carry.capacity(),
            Stage::Failed(_) => 0,
        }
    }
}

impl Data {
    fn new(header: Header, position: u64) -> Data {
        let mut order: Vec<usize> = (0..header.tensors.len()).collect();
        order.sort_by_key(|&i| header.tensors[i].offset);
        Data { header, order, current: 0, position, rows_done: 0, carry: Vec::new() }
    }

    fn push(&mut self, bytes: &[u8], on: &mut Callback<'_>) -> Result<()> {
        let mut rest = bytes;
        while let Some(&index) = self.order.get(self.current) {
            let tensor = &self.header.tensors[index];
            let start = self.header.data_offset + tensor.offset;
            if self.position < start {
                let padding = cut(&mut rest, start - self.position);
                self.position += padding.len() as u64;
                if self.position < start {
                    return Ok(());
                }
            }
            let end = start + tensor.bytes();
            let row_bytes = tensor.row_bytes() as usize; // at most MAX_ROW_BYTES
            let piece = PIECE_BYTES.next_multiple_of(row_bytes);
            while self.position < end {
                if rest.is_empty() {
                    return Ok(());
                }
                // What is missing to a piece or to the end of the tensor.
                let missing = (end - self.position).min((piece - self.carry.len()) as u64);
                let taken = cut(&mut rest, missing);
                self.position += taken.len() as u64;
                let complete = taken.len() as u64 == missing;
                if !complete || !self.carry.is_empty() {
                    let wanted = self.carry.len() + missing as usize;
                    reserve_for_piece(&mut self.carry, taken.len(), wanted);
                    self.carry.extend_from_slice(taken);
                }
                if !complete {
                    return Ok(());
                }
                let bytes = if self.carry.is_empty() { taken } else { &self.carry };
                on(Event::Rows { tensor, first_row: self.rows_done, bytes })?;
                self.rows_done += (bytes.len() / row_bytes) as u64;
                self.carry.clear();
            }
            on(Event::TensorEnd(tensor))?;
            self.rows_done = 0;
            self.current += 1;
        }
        self.carry = Vec::new();
        self.position += rest.len() as u64; // trailing padding
        Ok(())
    }
}

/// Splits up to `most` bytes off the front.
fn cut<'a>(rest: &mut &'a [u8], most: u64) -> &'a [u8] {
    let len = usize::try_from(most).unwrap_or(usize::MAX).min(rest.len());
    let (front, back) = rest.split_at(len);
    *rest = back;
    front
}

/// Room for `more` bytes, growing as bytes arrive but never past `wanted`: doubling alone could
/// reserve twice a piece, and reserving it whole would trust an announced row length.
fn reserve_for_piece(carry: &mut Vec<u8>, more: usize, wanted: usize) {
    let len = carry.len() + more;
    if len > carry.capacity() {
        carry.reserve_exact((len * 2).min(wanted).max(len) - carry.len());
    }
}

/// Parses the header at the start of `bytes` (a memory map, or a long enough prefix of a file).
///
/// # Errors
/// [`Error::Truncated`] when `bytes` end within the header; otherwise as [`Reader::push`].
pub fn read_header(name: impl Into<String>, bytes: &[u8]) -> Result<Header> {
    let mut parser = Parser::new(name.into());
    match parser.push(bytes)? {
        Some((header, _)) => Ok(header),
        None => Err(parser.ended()),
    }
}
