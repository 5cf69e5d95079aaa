//! Rows of CSV and JSON Lines files, and scores of impressions, for the page that works through a batch.
#![allow(unreachable_pub, reason = "wasm-bindgen exports what is public, from here as well")]

use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::*;

use super::{Js, plain, thrown};
use crate::error::{Error, Result};
use crate::eval::rouge::Rouge;
use crate::rows::{Columns, Fields, Format, Reader, Records, Role, Row};

/// How to read a file.
#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Options {
    /// `csv` or `jsonl`; otherwise the name tells.
    format: Option<String>,
    /// One character; otherwise the header tells.
    delimiter: Option<String>,
    columns: Columns,
}

impl Options {
    fn parse(name: &str, json: &str) -> Result<(Format, Columns)> {
        let bad = |value: String, expected| Error::BadOption { option: "options", value, expected };
        let options: Options = serde_json::from_str(json)
            .map_err(|error| bad(error.to_string(), "an object of known options"))?;
        let delimiter = match options.delimiter.as_deref().map(str::as_bytes) {
            None => None,
            Some(&[byte]) if byte.is_ascii() => Some(byte),
            Some(_) => return Err(bad("delimiter".to_owned(), "one ASCII character")),
        };
        let format = match (options.format.as_deref(), Format::of(name), delimiter) {
            (Some("jsonl"), _, _) | (None, Format::Jsonl, None) => Format::Jsonl,
            (_, Format::Csv(usual), None) => Format::Csv(usual),
            (_, _, delimiter) => Format::Csv(delimiter),
        };
        Ok((format, options.columns))
    }
}

/// The reports of a file, as its bytes come: see [`Reader`].
#[wasm_bindgen]
pub struct RowReader(Reader);

/// A row as JavaScript sees it.
#[derive(Serialize)]
struct RowInfo {
    row: u64,
    line: u64,
    id: Option<String>,
    findings: Option<String>,
    prior: Option<String>,
    comparison: Option<String>,
    reference: Option<String>,
    error: Option<ErrorInfo>,
}

#[derive(Serialize)]
struct ErrorInfo {
    code: &'static str,
    message: String,
}

impl From<Row> for RowInfo {
    fn from(row: Row) -> RowInfo {
        let (report, error) = match row.report {
            Ok(report) => (Some(report), None),
            Err(error) => {
                (None, Some(ErrorInfo { code: error.code(), message: error.to_string() }))
            }
        };
        let report = report.unwrap_or_default();
        RowInfo {
            row: row.number,
            line: row.line,
            id: row.id,
            findings: error.is_none().then_some(report.findings),
            prior: report.prior,
            comparison: report.comparison,
            reference: report.reference,
            error,
        }
    }
}

#[wasm_bindgen]
impl RowReader {
    /// Reads a file of this name; `options`: JSON of `{ format, delimiter, columns: { findings, id, … } }`.
    #[wasm_bindgen(constructor)]
    pub fn new(name: &str, options: &str) -> Js<RowReader> {
        let (format, columns) = Options::parse(name, options).map_err(thrown)?;
        Ok(RowReader(Reader::new(name, format, columns)))
    }

    /// Takes the next bytes, in UTF-8, and gives the rows that they complete.
    pub fn push(&mut self, bytes: &[u8]) -> Js<JsValue> {
        self.0.push(bytes);
        self.rows()
    }

    /// The last rows; throws where there was nothing to do.
    pub fn end(&mut self) -> Js<JsValue> {
        self.0.end();
        let rows = self.rows()?;
        self.0.finish().map_err(thrown)?;
        Ok(rows)
    }

    fn rows(&mut self) -> Js<JsValue> {
        let mut rows = Vec::new();
        while let Some(row) = self.0.next() {
            rows.push(RowInfo::from(row.map_err(thrown)?));
        }
        plain(&rows)
    }
}

/// The beginning of a file, before anybody has said what its columns are.
#[derive(Serialize)]
struct Preview {
    format: &'static str,
    /// The names of its columns, or of its objects' fields.
    names: Vec<String>,
    /// The first rows: a text for each name.
    rows: Vec<Vec<String>>,
    /// For each role the name that it is known by.
    found: std::collections::BTreeMap<&'static str, String>,
}

/// Rows that a preview shows.
const PREVIEW_ROWS: usize = 5;

/// What a file begins with; `whole`: these bytes are all of it.
#[wasm_bindgen(js_name = previewRows)]
pub fn preview_rows(name: &str, bytes: &[u8], whole: bool, options: &str) -> Js<JsValue> {
    let (format, _) = Options::parse(name, options).map_err(thrown)?;
    let mut records = Records::new(format);
    records.push(bytes);
    if whole {
        records.end();
    }
    let mut fields = Vec::new();
    while let Some(record) = records.next() {
        let record =
            record.map_err(|what| thrown(Error::BadData { place: name.to_owned(), what }))?;
        if let Ok(read) = record.fields {
            fields.push(read);
        }
        if fields.len() == PREVIEW_ROWS {
            break;
        }
    }
    let names: Vec<String> = match records.header() {
        Some(header) => header.to_vec(),
        None => {
            let mut names: Vec<String> = Vec::new();
            for object in &fields {
                let Fields::Object(object) = object else { continue };
                let new: Vec<String> =
                    object.keys().filter(|key| !names.contains(key)).cloned().collect();
                names.extend(new);
            }
            names
        }
    };
    let cells = |fields: Fields| match fields {
        Fields::Cells(cells) => cells,
        Fields::Object(object) => names
            .iter()
            .map(|name| match object.get(name) {
                None | Some(serde_json::Value::Null) => String::new(),
                Some(serde_json::Value::String(text)) => text.clone(),
                Some(value) => value.to_string(),
            })
            .collect(),
    };
    let usual = Columns::default();
    let known = |role| usual.find(role, names.iter().map(String::as_str));
    let found = Role::ALL
        .into_iter()
        .filter_map(|role| Some((role.name(), names.get(known(role)?)?.clone())))
        .collect();
    let format = if format == Format::Jsonl { "jsonl" } else { "csv" };
    plain(&Preview { format, rows: fields.into_iter().map(cells).collect(), found, names })
}

/// ROUGE-1, -2 and -L (F1, stemmed) of an impression against a reference.
#[wasm_bindgen(js_name = rougeScores)]
pub fn rouge_scores(reference: &str, impression: &str) -> Vec<f64> {
    let scores = Rouge::new(true).score_texts(reference, impression);
    vec![scores.rouge1.f1, scores.rouge2.f1, scores.rouge_l.f1]
}
