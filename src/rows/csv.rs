//! CSV as RFC 4180 has it, divided into rows as the bytes come.
//!
//! Not the csv crate, which takes a quote that is never closed for one cell up to the end of the file: here
//! such a row is an error, and reading goes on with the line behind the one on which it began, so that one
//! stray quote costs one row. Where nothing is wrong both give the same cells (a test holds them together).

use super::MAX_ROW_BYTES;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first byte of a cell.
    Begin,
    /// In a cell without quotes.
    Plain,
    /// In a cell with quotes.
    Quoted,
    /// Behind a quote that closes a cell, unless another follows.
    Closed,
    /// In a line of which nothing can be made.
    Skip,
}

/// A row's first line and its cells, or what is wrong with it.
type Found = (u64, Result<Vec<String>, String>);

/// Divides bytes into rows and these into cells.
#[derive(Debug)]
pub(super) struct Splitter {
    delimiter: Option<u8>,
    buffer: Vec<u8>,
    /// The row's first byte, and the next byte to look at.
    start: usize,
    at: usize,
    state: State,
    cells: Vec<Vec<u8>>,
    cell: Vec<u8>,
    /// Behind the row's first line, where it has several.
    second_line: Option<usize>,
    /// Why a line is skipped.
    why: String,
    /// The number of the row's first line.
    line: u64,
    /// Line breaks within the row.
    breaks: u64,
    /// Whether a carriage return came last, whose line feed may follow.
    returned: bool,
}

impl Splitter {
    pub(super) fn new(delimiter: Option<u8>) -> Splitter {
        Splitter {
            delimiter,
            buffer: Vec::new(),
            start: 0,
            at: 0,
            state: State::Begin,
            cells: Vec::new(),
            cell: Vec::new(),
            second_line: None,
            why: String::new(),
            line: 1,
            breaks: 0,
            returned: false,
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.state == State::Skip {
            self.start = self.at; // of what is skipped nothing is kept
        }
        self.buffer.drain(..self.start);
        self.at -= self.start;
        self.second_line = self.second_line.map(|at| at - self.start);
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next row that is whole; `ended`: no more bytes come. Blank lines are passed over.
    pub(super) fn next(&mut self, ended: bool) -> Option<Found> {
        let delimiter = match self.delimiter {
            Some(delimiter) => delimiter,
            None => *self.delimiter.insert(likeliest(&self.buffer, ended)?),
        };
        loop {
            let Some(&byte) = self.buffer.get(self.at) else {
                if !ended {
                    return None;
                }
                match self.state {
                    State::Quoted => {
                        if let Some(found) = self.malformed("has a quote that is never closed") {
                            return Some(found);
                        }
                    }
                    State::Begin if self.cells.is_empty() => return None,
                    _ => return Some(self.finish()),
                }
                continue;
            };
            self.at += 1;
            let breaks = byte == b'\n' || byte == b'\r';
            match self.state {
                State::Begin if byte == b'\n' && self.returned && self.at == self.start + 1 => {
                    self.start = self.at; // the second half of a line break
                    self.returned = false;
                }
                State::Skip | State::Begin | State::Plain | State::Closed if breaks => {
                    let blank = self.state == State::Begin && self.cells.is_empty();
                    self.returned = byte == b'\r';
                    if blank {
                        self.start = self.at;
                        self.line += 1;
                        continue;
                    }
                    return Some(self.finish());
                }
                State::Skip => {}
                State::Begin if byte == b'"' => self.state = State::Quoted,
                State::Begin | State::Plain | State::Closed if byte == delimiter => {
                    self.cells.push(std::mem::take(&mut self.cell));
                    self.state = State::Begin;
                }
                State::Begin | State::Plain => {
                    self.cell.push(byte);
                    self.state = State::Plain;
                }
                State::Quoted if byte == b'"' => self.state = State::Closed,
                State::Quoted => {
                    if byte == b'\n' {
                        self.breaks += 1;
                        self.second_line.get_or_insert(self.at);
                    }
                    self.cell.push(byte);
                }
                State::Closed if byte == b'"' => {
                    self.cell.push(byte);
                    self.state = State::Quoted;
                }
                State::Closed => {
                    let why =
                        "has text behind a closing quote; is a quote missing, or one not doubled?";
                    if let Some(found) = self.malformed(why) {
                        return Some(found);
                    }
                }
            }
            self.returned &= self.at == self.start;
            if self.state != State::Skip && self.at - self.start > MAX_ROW_BYTES {
                let why = format!("has more than {MAX_ROW_BYTES} bytes; is a quote never closed?");
                if let Some(found) = self.malformed(&why) {
                    return Some(found);
                }
            }
        }
    }

    /// Gives the row up. Reading goes on behind its first line: at once, where that is known, else when the line
    /// has been skipped.
    fn malformed(&mut self, why: &str) -> Option<Found> {
        self.cells.clear();
        self.cell.clear();
        self.breaks = 0;
        self.why = why.to_owned();
        match self.second_line.take() {
            Some(second) => {
                let line = self.line;
                (self.start, self.at, self.state) = (second, second, State::Begin);
                self.line += 1;
                Some((line, Err(std::mem::take(&mut self.why))))
            }
            None => {
                // Where the file has ended there is no line break to wait for, and none is missed.
                self.state = State::Skip;
                None
            }
        }
    }

    /// The row that ends before the byte at hand.
    fn finish(&mut self) -> Found {
        let line = self.line;
        self.line += self.breaks + 1;
        let row = &self.buffer[self.start..self.at];
        let cells = if self.state == State::Skip {
            Err(std::mem::take(&mut self.why))
        } else {
            match std::str::from_utf8(row) {
                Ok(_) => {
                    self.cells.push(std::mem::take(&mut self.cell));
                    let cells = std::mem::take(&mut self.cells).into_iter();
                    // Each is UTF-8 as the row is: they were divided at ASCII.
                    Ok(cells.map(|cell| String::from_utf8(cell).unwrap_or_default()).collect())
                }
                Err(error) => Err(not_utf8(error.valid_up_to())),
            }
        };
        self.cells.clear();
        self.cell.clear();
        self.breaks = 0;
        self.second_line = None;
        self.start = self.at;
        self.state = State::Begin;
        (line, cells)
    }
}

/// What is said of a row in another encoding; `byte` from 0.
pub(super) fn not_utf8(byte: usize) -> String {
    format!(
        "is not UTF-8 at byte {} of the row; save the file as UTF-8, or name its encoding (windows-1252 is the usual one)",
        byte + 1
    )
}

/// The delimiter that the header has most of, once the header is there. `,` where it has none.
fn likeliest(bytes: &[u8], ended: bool) -> Option<u8> {
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0)];
    let mut quoted = false;
    let mut some = false;
    let mut whole = ended;
    for &byte in bytes {
        match byte {
            b'\n' | b'\r' if !quoted && some => {
                whole = true;
                break;
            }
            b'"' => quoted = !quoted,
            _ if quoted => {}
            _ => counts.iter_mut().filter(|(d, _)| *d == byte).for_each(|(_, count)| *count += 1),
        }
        some |= !byte.is_ascii_whitespace();
    }
    if !whole && bytes.len() <= MAX_ROW_BYTES {
        return None;
    }
    // Of equals the first.
    counts.iter().rev().max_by_key(|(_, count)| *count).map(|(delimiter, _)| *delimiter)
}
