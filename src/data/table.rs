//! Pairs as a CSV table: a header with the names of the fields, a row a report.
//!
//! `abnormal` is `true`, `false` or empty; an empty optional text is one that is not there; the terms
//! of `mesh` stand between `;`. What is no text among the extra fields is written as JSON.

use std::io::Read;

use serde_json::{Map, Value};

use super::pairs::{FIELDS, Pair};
use super::writer::check_extra;
use crate::error::{Error, Result};

/// Encodes pairs as rows, the header first. The columns are the known fields and the extra fields of
/// the first pair.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    extra: Option<Vec<String>>,
}

impl Encoder {
    /// Appends the row of a pair, and before the first the header.
    pub(super) fn encode(&mut self, pair: &Pair, out: &mut Vec<u8>) -> Result<()> {
        check_extra(pair)?;
        let bad = |what: String| Error::BadData { place: format!("report {}", pair.id), what };
        let mut rows = csv::WriterBuilder::new().from_writer(&mut *out);
        let internal = |error: csv::Error| Error::Internal(error.to_string());
        let extra = match &self.extra {
            Some(extra) => extra,
            None => {
                let extra: Vec<String> = pair.extra.keys().cloned().collect();
                let header = FIELDS.into_iter().chain(extra.iter().map(String::as_str));
                rows.write_record(header).map_err(internal)?;
                self.extra.insert(extra)
            }
        };
        if let Some(name) = pair.extra.keys().find(|name| !extra.contains(name)) {
            return Err(bad(format!(
                "the field {name:?} has no column, because the first report has no such field; \
                 write JSON Lines, or leave the field out"
            )));
        }
        if pair.mesh.iter().any(|term| term.contains(';')) {
            return Err(bad("a MeSH term has a semicolon in it; write JSON Lines".into()));
        }
        let abnormal = pair.abnormal.map(|abnormal| abnormal.to_string()).unwrap_or_default();
        let mesh = pair.mesh.join(";");
        let own = [
            pair.id.as_str(),
            &pair.findings,
            &pair.impression,
            &abnormal,
            pair.indication.as_deref().unwrap_or_default(),
            pair.comparison.as_deref().unwrap_or_default(),
            &mesh,
        ];
        let extra = extra.iter().map(|name| match pair.extra.get(name) {
            None => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
        });
        let row = own.into_iter().map(str::to_owned).chain(extra);
        rows.write_record(row).map_err(internal)?;
        rows.flush().map_err(|error| Error::Internal(error.to_string()))
    }
}

/// Reads a CSV table row by row, as the fields of each row by the names of the columns.
pub(super) struct Rows<R> {
    name: String,
    table: csv::Reader<R>,
    headers: Vec<String>,
    record: csv::StringRecord,
    line: u64,
    ended: bool,
}

impl<R: Read> Rows<R> {
    /// Reads the header, in which the columns `needed` must stand.
    pub(super) fn new(name: String, reader: R, needed: &[&str]) -> Result<Rows<R>> {
        let mut table = csv::ReaderBuilder::new().from_reader(reader);
        let bad = |what: String| Error::BadData { place: format!("{name}, line 1"), what };
        let record = table.headers().map_err(|error| read_error(&name, 1, &error))?;
        let headers: Vec<String> = record
            .iter()
            .map(|header| header.trim_start_matches('\u{feff}').trim().to_owned())
            .collect();
        let missing: Vec<_> =
            needed.iter().filter(|name| !headers.iter().any(|header| header == *name)).collect();
        if !missing.is_empty() {
            return Err(bad(format!(
                "the table has no column {missing:?}; name the right ones with --id-column, \
                 --findings-column and --impression-column"
            )));
        }
        if let Some((at, twice)) =
            headers.iter().enumerate().find(|(at, header)| headers[..*at].contains(header))
        {
            return Err(bad(format!("the column {twice:?} stands twice (column {})", at + 1)));
        }
        let record = csv::StringRecord::new();
        Ok(Rows { name, table, headers, record, line: 1, ended: false })
    }

    /// Where the row read last begins.
    pub(super) fn place(&self) -> String {
        format!("{}, line {}", self.name, self.line)
    }

    /// The fields of the next row, all of them texts.
    pub(super) fn next_fields(&mut self) -> Option<Result<Map<String, Value>>> {
        if self.ended {
            return None;
        }
        match self.table.read_record(&mut self.record) {
            Ok(false) => None,
            Ok(true) => {
                self.line = self.record.position().map_or(self.line, csv::Position::line);
                let cells = self.headers.iter().zip(self.record.iter());
                Some(Ok(cells.map(|(name, cell)| (name.clone(), cell.into())).collect()))
            }
            Err(error) => {
                self.line = error.position().map_or(self.line, csv::Position::line);
                let error = read_error(&self.name, self.line, &error);
                self.ended = matches!(error, Error::Io { .. });
                Some(Err(error))
            }
        }
    }
}

/// Turns the cells of [`FIELDS`] into what they stand for; empty optional cells go.
pub(super) fn typed(fields: &mut Map<String, Value>) -> Result<(), String> {
    for name in &FIELDS[3..] {
        let Some(Value::String(cell)) = fields.get_mut(*name) else { continue };
        if cell.is_empty() {
            fields.remove(*name);
        } else if *name == "mesh" {
            let terms: Vec<&str> = cell.split(';').collect();
            fields[*name] = terms.into();
        } else if *name == "abnormal" {
            let abnormal = match cell.trim().to_ascii_lowercase().as_str() {
                "true" | "1" => true,
                "false" | "0" => false,
                _ => return Err("\"abnormal\" must be true, false or empty".into()),
            };
            fields[*name] = abnormal.into();
        }
    }
    Ok(())
}

/// The csv crate's own words hold counts and places, no text; UTF-8 errors name the cell.
fn read_error(name: &str, line: u64, error: &csv::Error) -> Error {
    match error.kind() {
        csv::ErrorKind::Io(error) => Error::Io { path: name.to_owned(), reason: error.to_string() },
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => Error::BadData {
            place: format!("{name}, line {line}"),
            what: format!(
                "the row has {len} cells, the header {expected_len}; is a quote missing?"
            ),
        },
        csv::ErrorKind::Utf8 { err, .. } => Error::BadData {
            place: format!("{name}, line {line}"),
            what: format!("cell {} is not UTF-8", err.field() + 1),
        },
        _ => Error::BadData { place: format!("{name}, line {line}"), what: error.to_string() },
    }
}
