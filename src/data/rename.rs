//! Pairs from JSON Lines and CSV files with names of their own for the fields.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use serde_json::{Map, Value};

use super::archive::peek;
use super::pairs::{FIELDS, Format, Pair, PairReader};
use super::prepare::{Found, Sink};
use super::table::{Rows, typed};
use crate::error::{Error, Result};

/// What to do with fields outside [`FIELDS`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Unknown {
    /// Carry them over.
    #[default]
    Keep,
    /// An error that names the field.
    Refuse,
    /// Leave them out.
    Drop,
}

/// Where ids come from.
#[derive(Debug, Clone)]
pub enum Ids {
    /// The field of this name.
    Field(String),
    /// This prefix and the number of the line or row, from 1.
    Numbered(String),
}

/// Where a file has the three fields of a pair.
#[derive(Debug, Clone)]
pub struct Columns {
    /// The id.
    pub id: Ids,
    /// The findings' name.
    pub findings: String,
    /// The impression's name.
    pub impression: String,
    /// What to do with all others.
    pub unknown: Unknown,
}

/// Hands every report of a file to `sink`; `-` is stdin. Gzipped files are read as they are; without
/// `format` it is what the file's name says, JSON Lines where it says nothing.
///
/// # Errors
/// [`Error::Io`]; [`Error::BadData`] for columns that are missing; what `sink` returns.
pub fn reports(
    path: &Path,
    format: Option<Format>,
    columns: &Columns,
    sink: &mut Sink<'_>,
) -> Result<u64> {
    let format = format.unwrap_or_else(|| format_of(path));
    if path == Path::new("-") {
        read("stdin", std::io::stdin().lock(), format, columns, sink)?;
        return Ok(0);
    }
    let file = File::open(path).map_err(|error| Error::io(path, &error))?;
    let (magic, file) = peek(path, BufReader::with_capacity(1 << 16, file), 2)?;
    let name = path.display().to_string();
    if magic == [0x1f, 0x8b] {
        read(&name, MultiGzDecoder::new(file), format, columns, sink)?;
    } else {
        read(&name, file, format, columns, sink)?;
    }
    Ok(0)
}

fn format_of(path: &Path) -> Format {
    let name = path.to_string_lossy().to_lowercase();
    let table = name.strip_suffix(".gz").unwrap_or(&name).ends_with(".csv");
    if table { Format::Csv } else { Format::Jsonl }
}

fn read(
    name: &str,
    reader: impl Read,
    format: Format,
    columns: &Columns,
    sink: &mut Sink<'_>,
) -> Result<()> {
    let mut number = 0u64;
    let mut take = |place: String, fields: Result<Map<String, Value>>| {
        number += 1;
        sink(fields.and_then(|fields| match columns.pair(fields, number) {
            Ok(pair) => Ok(Found { pair, place, sections: true }),
            Err(what) => Err(Error::BadData { place, what }),
        }))
    };
    match format {
        Format::Jsonl => {
            let mut lines = PairReader::new(name, BufReader::with_capacity(1 << 16, reader));
            while let Some(fields) = lines.next_fields() {
                take(lines.place(), fields)?;
            }
        }
        Format::Csv => {
            let mut needed = vec![columns.findings.as_str(), &columns.impression];
            if let Ids::Field(name) = &columns.id {
                needed.push(name);
            }
            let mut rows = Rows::new(name.to_owned(), BufReader::new(reader), &needed)?;
            while let Some(fields) = rows.next_fields() {
                let fields = fields.and_then(|mut fields| match typed(&mut fields) {
                    Ok(()) => Ok(fields),
                    Err(what) => Err(Error::BadData { place: rows.place(), what }),
                });
                take(rows.place(), fields)?;
            }
        }
    }
    Ok(())
}

impl Columns {
    /// The pair of a line's or row's fields. Says what is wrong with which field.
    fn pair(&self, mut fields: Map<String, Value>, number: u64) -> Result<Pair, String> {
        let mut take = |name: &str| {
            fields.remove(name).ok_or_else(|| format!("the field {name:?} is missing"))
        };
        let id = match &self.id {
            Ids::Field(name) => take(name)?,
            Ids::Numbered(prefix) => format!("{prefix}{number}").into(),
        };
        // A section that is null is one that is empty.
        let text = |value: Value| if value.is_null() { "".into() } else { value };
        let findings = text(take(&self.findings)?);
        let impression = text(take(&self.impression)?);
        let values = [("id", id), ("findings", findings), ("impression", impression)];
        for (field, value) in values {
            if fields.insert(field.into(), value).is_some() && self.unknown != Unknown::Drop {
                return Err(format!(
                    "a field {field:?} stands beside the one chosen for it and would be lost; \
                     leave such fields out with --unknown drop"
                ));
            }
        }
        match self.unknown {
            Unknown::Keep => {}
            Unknown::Drop => fields.retain(|name, _| FIELDS.contains(&name.as_str())),
            Unknown::Refuse => {
                if let Some(name) = fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
                    return Err(format!(
                        "the field {name:?} is not known; choose --unknown keep or drop"
                    ));
                }
            }
        }
        Pair::from_fields(fields)
    }
}
