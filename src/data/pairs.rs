//! Pairs of findings and impression, and the JSON Lines files that hold them: one object a line,
//! `{"id", "findings", "impression"}`, with optional fields beside these.
//!
//! Reading and writing ([`PairWriter`]) stream: one line is in memory at a time. Errors name the file and the line and
//! never hold a word of a report.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

pub use super::writer::{Format, PairWriter, Sealed};
use crate::error::{Error, Result};
use crate::rows::json::object;

/// Longest line that is read, in bytes: a report has a few KB, so more is another kind of file, and
/// would have to be held in memory.
pub const MAX_LINE_BYTES: usize = 16 << 20;

/// One report: what the radiologist saw, and what was concluded from it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pair {
    /// Unique within a file: `CXR1` in OpenI, `s` and the study id in MIMIC-CXR.
    pub id: String,
    /// The findings section.
    pub findings: String,
    /// The impression section.
    pub impression: String,
    /// Whether the report describes anything abnormal, where the source tells.
    pub abnormal: Option<bool>,
    /// Why the examination was asked for.
    pub indication: Option<String>,
    /// What it was compared with.
    pub comparison: Option<String>,
    /// MeSH terms given to the report.
    pub mesh: Vec<String>,
    /// All other fields of the line, kept as they are (numbers beyond 64 bits as the nearest `f64`).
    pub extra: Map<String, Value>,
}

/// The fields of [`Pair`] by their names in a file, in the order in which they are written.
pub const FIELDS: [&str; 7] =
    ["id", "findings", "impression", "abnormal", "indication", "comparison", "mesh"];

impl Pair {
    /// A pair without optional fields.
    pub fn new(
        id: impl Into<String>,
        findings: impl Into<String>,
        impression: impl Into<String>,
    ) -> Pair {
        Pair {
            id: id.into(),
            findings: findings.into(),
            impression: impression.into(),
            ..Pair::default()
        }
    }

    /// Whether both sections have text.
    pub fn is_complete(&self) -> bool {
        !self.findings.trim().is_empty() && !self.impression.trim().is_empty()
    }

    /// Reads the fields of an object; `id` may be a whole number. Says what is wrong with which field.
    pub(super) fn from_fields(mut fields: Map<String, Value>) -> Result<Pair, String> {
        let id = match fields.remove("id") {
            Some(Value::String(id)) if !id.trim().is_empty() => id,
            Some(Value::Number(id)) if id.is_u64() => id.to_string(),
            Some(_) => return Err("\"id\" must be a text with something in it, or a number".into()),
            None => return Err("the field \"id\" is missing".into()),
        };
        let mut optional = |name: &str| match fields.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(format!("\"{name}\" must be a text")),
        };
        let mut required =
            |name: &str| optional(name)?.ok_or_else(|| format!("the field \"{name}\" is missing"));
        let (findings, impression) = (required("findings")?, required("impression")?);
        let (indication, comparison) = (optional("indication")?, optional("comparison")?);
        let abnormal = match fields.remove("abnormal") {
            None | Some(Value::Null) => None,
            Some(Value::Bool(abnormal)) => Some(abnormal),
            Some(_) => return Err("\"abnormal\" must be true or false".into()),
        };
        let term = |term| match term {
            Value::String(term) => Ok(term),
            _ => Err("\"mesh\" must be a list of texts".to_owned()),
        };
        let mesh = match fields.remove("mesh") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(terms)) => terms.into_iter().map(term).collect::<Result<_, _>>()?,
            Some(_) => return Err("\"mesh\" must be a list of texts".into()),
        };
        Ok(Pair { id, findings, impression, abnormal, indication, comparison, mesh, extra: fields })
    }
}

impl Serialize for Pair {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("findings", &self.findings)?;
        map.serialize_entry("impression", &self.impression)?;
        if let Some(abnormal) = self.abnormal {
            map.serialize_entry("abnormal", &abnormal)?;
        }
        for (name, text) in [("indication", &self.indication), ("comparison", &self.comparison)] {
            if let Some(text) = text {
                map.serialize_entry(name, text)?;
            }
        }
        if !self.mesh.is_empty() {
            map.serialize_entry("mesh", &self.mesh)?;
        }
        for (name, value) in &self.extra {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// Reads a pairs file line by line. Empty lines are passed over.
///
/// After an [`Error::BadData`] the next call reads on with the next line; every other error is the
/// last item.
#[derive(Debug)]
pub struct PairReader<R> {
    name: String,
    lines: R,
    line: u64,
    refuse_unknown: bool,
    ended: bool,
    buffer: Vec<u8>,
}

impl PairReader<BufReader<File>> {
    /// Opens a JSON Lines file.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|error| Error::io(path, &error))?;
        Ok(PairReader::new(path.display().to_string(), BufReader::with_capacity(1 << 16, file)))
    }
}

impl<R: BufRead> PairReader<R> {
    /// Reads from `lines`; `name` is what errors call it.
    pub fn new(name: impl Into<String>, lines: R) -> PairReader<R> {
        PairReader {
            name: name.into(),
            lines,
            line: 0,
            refuse_unknown: false,
            ended: false,
            buffer: Vec::new(),
        }
    }

    /// Makes a field outside [`FIELDS`] an error, instead of keeping it in [`Pair::extra`].
    pub fn refuse_unknown(mut self) -> PairReader<R> {
        self.refuse_unknown = true;
        self
    }

    /// The number of the line read last, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Where the line read last stands, as errors say it.
    pub fn place(&self) -> String {
        format!("{}, line {}", self.name, self.line)
    }

    /// The fields of the next line that is not empty, not yet as a pair. Errors as the iterator's.
    pub fn next_fields(&mut self) -> Option<Result<Map<String, Value>>> {
        loop {
            if self.ended {
                return None;
            }
            self.buffer.clear();
            let mut limited = (&mut self.lines).take(MAX_LINE_BYTES as u64 + 1);
            match limited.read_until(b'\n', &mut self.buffer) {
                Ok(0) => {
                    self.ended = true;
                    return None;
                }
                Ok(_) => self.line += 1,
                Err(error) => {
                    self.ended = true;
                    let reason = format!("line {}: {error}", self.line + 1);
                    return Some(Err(Error::Io { path: self.name.clone(), reason }));
                }
            }
            if self.buffer.len() > MAX_LINE_BYTES {
                self.ended = true;
                let reason = format!(
                    "line {} has more than {MAX_LINE_BYTES} bytes; one report a line is expected",
                    self.line
                );
                return Some(Err(Error::Io { path: self.name.clone(), reason }));
            }
            let bytes = match self.line {
                1 => self.buffer.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.buffer),
                _ => &self.buffer,
            };
            // Without the line break, behind which a parser would see a text cut short go on.
            let bytes = bytes.trim_ascii_end();
            if bytes.is_empty() {
                continue;
            }
            let read = std::str::from_utf8(bytes)
                .map_err(|error| {
                    format!("is not UTF-8 at byte {} of the line", error.valid_up_to() + 1)
                })
                .and_then(object);
            return Some(read.map_err(|what| self.bad(what)));
        }
    }

    /// Makes a pair of what [`PairReader::next_fields`] gave.
    pub(super) fn pair(&self, fields: Map<String, Value>) -> Result<Pair> {
        let pair = Pair::from_fields(fields).map_err(|what| self.bad(what))?;
        match pair.extra.keys().next() {
            Some(name) if self.refuse_unknown => {
                let what =
                    format!("the field {name:?} is not known; keep unknown fields or take it out");
                Err(self.bad(what))
            }
            _ => Ok(pair),
        }
    }

    fn bad(&self, what: String) -> Error {
        Error::BadData { place: self.place(), what }
    }
}

impl<R: BufRead> Iterator for PairReader<R> {
    type Item = Result<Pair>;

    fn next(&mut self) -> Option<Result<Pair>> {
        let fields = self.next_fields()?;
        Some(fields.and_then(|fields| self.pair(fields)))
    }
}

/// Reads a whole pairs file into memory and checks that every id stands once. For files of some
/// thousand reports; larger ones are streamed with [`PairReader`].
///
/// # Errors
/// [`Error::Io`]; [`Error::BadData`] with the line; [`Error::DuplicateId`] with both.
pub fn read_pairs(path: &Path) -> Result<Vec<Pair>> {
    let mut reader = PairReader::open(path)?;
    let mut lines = HashMap::new();
    let mut pairs = Vec::new();
    while let Some(pair) = reader.next() {
        let pair = pair?;
        match lines.entry(pair.id.clone()) {
            Entry::Vacant(entry) => drop(entry.insert(reader.line())),
            Entry::Occupied(entry) => {
                return Err(Error::DuplicateId {
                    id: pair.id,
                    first: format!("{}, line {}", reader.name, entry.get()),
                    second: reader.place(),
                });
            }
        }
        pairs.push(pair);
    }
    Ok(pairs)
}
