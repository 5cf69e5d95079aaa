//! Lines as the bytes come, for JSON Lines.

use super::MAX_ROW_BYTES;
use super::csv::not_utf8;

/// Divides bytes into lines.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    buffer: Vec<u8>,
    /// The line's first byte, and the next byte to look at.
    start: usize,
    at: usize,
    /// Lines that have ended.
    lines: u64,
    /// Whether the line is too long to be kept.
    skips: bool,
}

impl Splitter {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.skips {
            self.start = self.at;
        }
        self.buffer.drain(..self.start);
        self.at -= self.start;
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next line that is whole and not blank, with its number, or what is wrong with it; `ended`: no more
    /// bytes come.
    pub(super) fn next(&mut self, ended: bool) -> Option<(u64, Result<String, String>)> {
        loop {
            let rest = &self.buffer[self.at..];
            let found = rest.iter().position(|byte| *byte == b'\n');
            let end = match found {
                Some(length) => self.at + length,
                None => {
                    self.at = self.buffer.len();
                    self.skips |= self.at - self.start > MAX_ROW_BYTES;
                    if !ended || (self.at == self.start && !self.skips) {
                        return None;
                    }
                    self.at
                }
            };
            let line = self.buffer[self.start..end].trim_ascii();
            let long = std::mem::take(&mut self.skips) || end - self.start > MAX_ROW_BYTES;
            let text = match std::str::from_utf8(line) {
                _ if long => Err(format!(
                    "has more than {MAX_ROW_BYTES} bytes; one report a line is expected"
                )),
                Ok(text) => Ok(text.to_owned()),
                Err(error) => Err(not_utf8(error.valid_up_to())),
            };
            let blank = line.is_empty() && !long;
            self.at = (end + 1).min(self.buffer.len());
            self.start = self.at;
            self.lines += 1;
            if !blank {
                return Some((self.lines, text));
            }
        }
    }
}
