//! Rows of findings in CSV and JSON Lines files, pushed in as bytes: what `radllama batch` and the page read.
//!
//! [`Reader`] holds no file and no row but the one that is being read. A row that cannot be read is a [`Row`]
//! with an error, and the next one is read all the same; only a file that no row can come of ends the reading.
//! Rows are numbered from 1, the header not counted, and errors name row and line and no word of a report.

mod columns;
mod csv;
pub mod json;
mod lines;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use columns::{Columns, Role};

use crate::error::{Error, Result};
use columns::Chosen;

/// Longest row that is read, in bytes: as much text as a prompt may have at most. More is a quote that is never
/// closed, or another kind of file.
pub const MAX_ROW_BYTES: usize = 4 << 20;
/// Longest id, in bytes.
const MAX_ID_BYTES: usize = 1000;

/// How a file divides into rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// A header and a row a report. Without a delimiter the header tells it: the one of `,`, `;` and tab that
    /// it has most of.
    Csv(Option<u8>),
    /// One JSON object a line.
    Jsonl,
}

impl Format {
    /// What the name of a file says; JSON Lines where it says nothing.
    pub fn of(name: &str) -> Format {
        let name = name.to_lowercase();
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        match name.rsplit_once('.') {
            Some((_, "csv" | "txt")) => Format::Csv(None),
            Some((_, "tsv")) => Format::Csv(Some(b'\t')),
            _ => Format::Jsonl,
        }
    }
}

/// A report to write the impression of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The findings; never blank.
    pub findings: String,
    /// A prior report.
    pub prior: Option<String>,
    /// What the examination was compared with.
    pub comparison: Option<String>,
    /// The impression that somebody wrote.
    pub reference: Option<String>,
}

/// A row, readable or not.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// From 1, the header not counted.
    pub number: u64,
    /// The line on which it begins, from 1.
    pub line: u64,
    /// The report's id, or the number where the file has none; nothing where it cannot be read.
    pub id: Option<String>,
    /// What is to be done, or why nothing can be.
    pub report: Result<Report>,
}

/// What a row says, not yet as a report.
#[derive(Debug, Clone, PartialEq)]
pub enum Fields {
    /// A row of a table: a cell for each column of the header.
    Cells(Vec<String>),
    /// A line of JSON Lines.
    Object(Map<String, Value>),
}

/// A row's fields or what is wrong with them.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// From 1, the header not counted.
    pub number: u64,
    /// The line on which it begins, from 1.
    pub line: u64,
    /// What it says. The words for what is wrong quote nothing.
    pub fields: std::result::Result<Fields, String>,
}

#[derive(Debug)]
enum Source {
    Csv { splitter: csv::Splitter, header: Option<Vec<String>> },
    Jsonl(lines::Splitter),
}

/// The rows of a file, whatever their columns mean.
#[derive(Debug)]
pub struct Records {
    source: Source,
    /// The first bytes, until it is known whether they are a byte order mark.
    head: Option<Vec<u8>>,
    number: u64,
    ended: bool,
}

const BOM: &[u8] = b"\xef\xbb\xbf";

impl Records {
    /// Reads rows of this format.
    pub fn new(format: Format) -> Records {
        let source = match format {
            Format::Csv(delimiter) => {
                Source::Csv { splitter: csv::Splitter::new(delimiter), header: None }
            }
            Format::Jsonl => Source::Jsonl(lines::Splitter::default()),
        };
        Records { source, head: Some(Vec::new()), number: 0, ended: false }
    }

    /// Takes the next bytes: UTF-8, with or without a byte order mark.
    pub fn push(&mut self, bytes: &[u8]) {
        let Some(head) = &mut self.head else { return self.feed(bytes) };
        head.extend_from_slice(bytes);
        if head.len() >= BOM.len() {
            self.open();
        }
    }

    /// Says that no more bytes come.
    pub fn end(&mut self) {
        self.open();
        self.ended = true;
    }

    fn open(&mut self) {
        if let Some(head) = self.head.take() {
            self.feed(head.strip_prefix(BOM).unwrap_or(&head));
        }
    }

    fn feed(&mut self, bytes: &[u8]) {
        match &mut self.source {
            Source::Csv { splitter, .. } => splitter.push(bytes),
            Source::Jsonl(splitter) => splitter.push(bytes),
        }
    }

    /// The names of a table's columns, once they have been read.
    pub fn header(&self) -> Option<&[String]> {
        match &self.source {
            Source::Csv { header, .. } => header.as_deref(),
            Source::Jsonl(_) => None,
        }
    }

    /// The next row; nothing where more bytes are needed or the file has ended.
    ///
    /// # Errors
    /// What is wrong with a header, in words.
    #[allow(clippy::should_implement_trait, reason = "None is not the end")]
    pub fn next(&mut self) -> Option<std::result::Result<Record, String>> {
        let (line, fields) = match &mut self.source {
            Source::Jsonl(splitter) => {
                let (line, text) = splitter.next(self.ended)?;
                (line, text.and_then(|text| json::object(&text)).map(Fields::Object))
            }
            Source::Csv { splitter, header } => {
                if header.is_none() {
                    match splitter.next(self.ended)? {
                        (_, Ok(names)) => {
                            let trimmed = names.iter().map(|name| name.trim().to_owned());
                            *header = Some(trimmed.collect());
                        }
                        (_, Err(what)) => return Some(Err(format!("the header {what}"))),
                    }
                }
                let width = header.as_ref().map_or(0, Vec::len);
                let (line, cells) = splitter.next(self.ended)?;
                let cells = cells.and_then(|cells| match cells.len() {
                    count if count == width => Ok(Fields::Cells(cells)),
                    count => Err(format!(
                        "has {count} cells, the header {width}; is a quote or a delimiter missing?"
                    )),
                });
                (line, cells)
            }
        };
        self.number += 1;
        Some(Ok(Record { number: self.number, line, fields }))
    }
}

/// The reports of a file, row by row.
#[derive(Debug)]
pub struct Reader {
    name: String,
    records: Records,
    columns: Columns,
    /// Which column is what, once that is known; for objects it is looked for in each.
    chosen: Option<Chosen>,
    /// Where each id was seen first.
    ids: HashMap<String, u64>,
    /// Whether any row had findings to it, be they empty.
    found: bool,
    failed: bool,
}

impl Reader {
    /// Reads a file; `name` is what errors call it.
    pub fn new(name: impl Into<String>, format: Format, columns: Columns) -> Reader {
        Reader {
            name: name.into(),
            records: Records::new(format),
            columns,
            chosen: None,
            ids: HashMap::new(),
            found: false,
            failed: false,
        }
    }

    /// Takes the next bytes: UTF-8, with or without a byte order mark.
    pub fn push(&mut self, bytes: &[u8]) {
        self.records.push(bytes);
    }

    /// Says that no more bytes come.
    pub fn end(&mut self) {
        self.records.end();
    }

    /// The next row; nothing where more bytes are needed or the file has ended. An error is the last item.
    ///
    /// # Errors
    /// [`Error::BadData`] for a file of which no row can be read: without a header, or without a column of
    /// findings.
    #[allow(clippy::should_implement_trait, reason = "None is not the end")]
    pub fn next(&mut self) -> Option<Result<Row>> {
        if self.failed {
            return None;
        }
        let record = match self.records.next() {
            Some(Ok(record)) => self.choose().map(|()| record),
            Some(Err(what)) => Err(what),
            // A header alone must be right, too.
            None => match self.choose() {
                Ok(()) => return None,
                Err(what) => Err(what),
            },
        };
        match record {
            Ok(record) => Some(Ok(self.row(record))),
            Err(what) => {
                self.failed = true;
                Some(Err(Error::BadData { place: self.name.clone(), what }))
            }
        }
    }

    /// To be asked when all rows have been taken: whether there was anything to do.
    ///
    /// # Errors
    /// [`Error::BadData`] for a file without rows, or without findings in any of them.
    pub fn finish(&self) -> Result<()> {
        let what = if self.records.number == 0 {
            "holds no rows; a CSV table with a header, or one JSON object a line is expected".into()
        } else if !self.found {
            self.columns.missing(Role::Findings, self.records.header().unwrap_or_default())
        } else {
            return Ok(());
        };
        Err(Error::BadData { place: self.name.clone(), what })
    }

    fn choose(&mut self) -> std::result::Result<(), String> {
        if let (None, Some(header)) = (&self.chosen, self.records.header()) {
            self.chosen = Some(self.columns.choose(header)?);
        }
        Ok(())
    }

    fn row(&mut self, record: Record) -> Row {
        let Record { number, line, fields } = record;
        let place = format!("{}, row {number}, line {line}", self.name);
        let bad = |what| Error::BadData { place: place.clone(), what };
        let fields = match fields {
            Ok(fields) => fields,
            Err(what) => return Row { number, line, id: None, report: Err(bad(what)) },
        };
        let mut texts = self.columns.texts(self.chosen.as_ref(), fields);
        let id = match texts.id(number, MAX_ID_BYTES) {
            Ok(id) => id,
            Err(what) => return Row { number, line, id: None, report: Err(bad(what)) },
        };
        if let Some(first) = self.ids.get(&id) {
            let error = Error::DuplicateId {
                id: id.clone(),
                first: format!("{}, row {first}", self.name),
                second: format!("row {number}, line {line}"),
            };
            return Row { number, line, id: Some(id), report: Err(error) };
        }
        self.ids.insert(id.clone(), number);
        let report = match texts.report() {
            Ok(report) if report.findings.trim().is_empty() => {
                self.found = true;
                Err(Error::EmptyFindings)
            }
            Ok(report) => {
                self.found = true;
                Ok(report)
            }
            Err(what) => Err(bad(what)),
        };
        Row { number, line, id: Some(id), report }
    }
}
