//! The rows of a file on the disk: gunzipped and brought into UTF-8 as they are read.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};
use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};

use super::archive::peek;
use crate::digest::hex;
use crate::error::{Error, Result};
use crate::rows::{Columns, Format, Reader, Row};

/// Bytes that are read at a time.
const BLOCK: usize = 1 << 16;
/// No encoding's text has this byte in UTF-8: it makes the row an error in which something could not be decoded.
const UNDECODABLE: u8 = 0xff;

/// How to read a file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    /// How it divides into rows; otherwise its name tells.
    pub format: Option<Format>,
    /// The encoding, by a label of the WHATWG's Encoding Standard. Without one UTF-16 is known by its byte order
    /// mark, and everything else is UTF-8.
    pub encoding: Option<String>,
    /// Which column is what.
    pub columns: Columns,
}

/// A file's rows, one at a time.
pub struct RowFile {
    path: String,
    file: Box<dyn Read>,
    decoder: Option<Decoder>,
    /// Whether the first block, which may have a byte order mark, is yet to come.
    first: bool,
    sniffs: bool,
    block: Vec<u8>,
    decoded: Vec<u8>,
    reader: Reader,
    hash: Sha256,
    ended: bool,
    /// Whether it was said that there is nothing to do.
    checked: bool,
}

impl RowFile {
    /// Opens a file, gzipped or not.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::BadOption`] for an encoding that nobody knows.
    pub fn open(path: &Path, options: &Options) -> Result<RowFile> {
        let encoding = options.encoding.as_deref().map(encoding).transpose()?;
        let file = File::open(path).map_err(|error| Error::io(path, &error))?;
        let (magic, file) = peek(path, BufReader::with_capacity(BLOCK, file), 2)?;
        let file: Box<dyn Read> = if magic == [0x1f, 0x8b] {
            Box::new(MultiGzDecoder::new(file))
        } else {
            Box::new(file)
        };
        // The file's name alone: what errors say then is the same on every machine.
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let format = options.format.unwrap_or_else(|| Format::of(&name));
        Ok(RowFile {
            path: path.display().to_string(),
            file,
            decoder: encoding.filter(|e| *e != UTF_8).map(Encoding::new_decoder_with_bom_removal),
            first: true,
            sniffs: encoding.is_none(),
            block: vec![0; BLOCK],
            decoded: Vec::new(),
            reader: Reader::new(name, format, options.columns.clone()),
            hash: Sha256::new(),
            ended: false,
            checked: false,
        })
    }

    /// The next row; an error is the last item.
    ///
    /// # Errors
    /// [`Error::Io`]; what [`Reader::next`] and [`Reader::finish`] refuse.
    #[allow(clippy::should_implement_trait, reason = "as Reader::next")]
    pub fn next(&mut self) -> Option<Result<Row>> {
        loop {
            if let Some(row) = self.reader.next() {
                self.checked |= row.is_err();
                self.ended |= row.is_err();
                return Some(row);
            }
            if self.ended {
                let first = !std::mem::replace(&mut self.checked, true);
                return first.then(|| self.reader.finish().err().map(Err)).flatten();
            }
            match self.fill() {
                Ok(0) => {
                    self.ended = true;
                    self.decode(0, true);
                    self.reader.end();
                }
                Ok(filled) => self.decode(filled, false),
                Err(error) => {
                    (self.ended, self.checked) = (true, true);
                    let reason = error.to_string();
                    return Some(Err(Error::Io { path: self.path.clone(), reason }));
                }
            }
        }
    }

    /// The hash of everything that was read, in hexadecimal.
    pub fn sha256(self) -> String {
        hex(self.hash.finalize())
    }

    /// Reads a block: less only at the end of the file.
    fn fill(&mut self) -> std::io::Result<usize> {
        let mut filled = 0;
        while filled < self.block.len() {
            match self.file.read(&mut self.block[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.hash.update(&self.block[..filled]);
        Ok(filled)
    }

    fn decode(&mut self, filled: usize, last: bool) {
        let mut bytes = &self.block[..filled];
        if std::mem::take(&mut self.first) && self.sniffs {
            let utf16 = Encoding::for_bom(bytes).filter(|(e, _)| [UTF_16LE, UTF_16BE].contains(e));
            self.decoder = utf16.map(|(encoding, _)| encoding.new_decoder_with_bom_removal());
        }
        let Some(decoder) = &mut self.decoder else { return self.reader.push(bytes) };
        loop {
            let most = decoder.max_utf8_buffer_length_without_replacement(bytes.len());
            self.decoded.resize(most.unwrap_or(BLOCK).max(16), 0);
            let (result, read, written) =
                decoder.decode_to_utf8_without_replacement(bytes, &mut self.decoded, last);
            self.reader.push(&self.decoded[..written]);
            bytes = &bytes[read..];
            match result {
                DecoderResult::InputEmpty => return,
                DecoderResult::OutputFull => {}
                DecoderResult::Malformed(..) => self.reader.push(&[UNDECODABLE]),
            }
        }
    }
}

fn encoding(label: &str) -> Result<&'static Encoding> {
    Encoding::for_label(label.as_bytes()).ok_or_else(|| Error::BadOption {
        option: "encoding",
        value: label.to_owned(),
        expected: "a name such as utf-8, utf-16le, windows-1252 or iso-8859-1",
    })
}
