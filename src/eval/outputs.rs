//! The outputs of a system: JSON lines of `{"id", "impression"}`, whole or in shards.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::{Error, Result};

/// A system's impression of one report.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// The report's id in the pairs file.
    pub id: String,
    /// What the system wrote; may be empty.
    pub impression: String,
    /// The whole line as it was read, with whatever else it tells.
    pub line: Map<String, Value>,
}

/// An id as it may stand in an error: should it be a text put into the wrong field, it is cut off.
pub fn shown(id: &str) -> String {
    const MOST: usize = 40;
    match id.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &id[..end]),
        None => id.to_owned(),
    }
}

/// Reads the outputs in a file's text. Blank lines are skipped.
///
/// # Errors
/// [`Error::BadData`] with the line for what is no such object; the text itself is never shown.
pub fn parse(text: &str, name: &str) -> Result<Vec<(usize, Output)>> {
    let mut outputs = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() {
            continue;
        }
        let bad = |what: &str| Error::BadData {
            place: format!("{name}, line {number}"),
            what: format!("{what}; one object {{\"id\", \"impression\"}} a line is expected"),
        };
        let line: Map<String, Value> =
            serde_json::from_str(line).map_err(|error| bad(kind(&error)))?;
        // Numbers as ids: as in crate::data's pairs.
        let id = match line.get("id") {
            Some(Value::String(id)) => id.clone(),
            Some(Value::Number(id)) if id.is_u64() => id.to_string(),
            Some(_) => return Err(bad("\"id\" is neither a text nor a whole number")),
            None => return Err(bad("the field \"id\" is missing")),
        };
        let impression = match line.get("impression") {
            Some(Value::String(impression)) => impression.clone(),
            Some(_) => return Err(bad("\"impression\" is no text")),
            None => return Err(bad("the field \"impression\" is missing")),
        };
        let output = Output { id, impression, line };
        outputs.push((number, output));
    }
    Ok(outputs)
}

/// serde_json's messages may quote the text; these do not.
fn kind(error: &serde_json::Error) -> &'static str {
    match error.classify() {
        serde_json::error::Category::Data => "is not a JSON object",
        serde_json::error::Category::Eof => "the JSON ends too soon",
        _ => "is not JSON",
    }
}

/// Puts the outputs of one or more files (name, text) into the order of `ids`. `None` stands where there
/// is none.
///
/// # Errors
/// [`Error::BadData`] as [`parse`]; for an empty file; for an id that `ids` has not; and, unless
/// `partial`, for ids without an output. [`Error::DuplicateId`].
pub fn collect<'t>(
    files: impl IntoIterator<Item = (&'t str, &'t str)>,
    ids: &[&str],
    partial: bool,
) -> Result<Vec<Option<Output>>> {
    let places: HashMap<&str, usize> = ids.iter().enumerate().map(|(at, id)| (*id, at)).collect();
    let mut found: Vec<Option<(String, Output)>> = vec![None; ids.len()];
    let mut names = Vec::new();
    for (name, text) in files {
        names.push(name);
        let outputs = parse(text, name)?;
        if outputs.is_empty() {
            let what = "holds no outputs; generate them first".to_owned();
            return Err(Error::BadData { place: name.to_owned(), what });
        }
        for (number, output) in outputs {
            let place = format!("{name}, line {number}");
            let Some(at) = places.get(output.id.as_str()) else {
                let what = format!(
                    "the id {} is not in the pairs; the outputs belong to other pairs",
                    shown(&output.id)
                );
                return Err(Error::BadData { place, what });
            };
            if let Some((first, _)) = &found[*at] {
                return Err(Error::DuplicateId {
                    id: shown(&output.id),
                    first: first.clone(),
                    second: place,
                });
            }
            found[*at] = Some((place, output));
        }
    }
    let missing: Vec<_> = found.iter().zip(ids).filter(|(f, _)| f.is_none()).collect();
    if let (Some((_, first)), false) = (missing.first(), partial) {
        let what = format!(
            "{} of {} ids have no output, {} the first; finish the run, give all shards, or score what is there with --partial",
            missing.len(),
            ids.len(),
            shown(first)
        );
        return Err(Error::BadData { place: names.join(", "), what });
    }
    Ok(found.into_iter().map(|found| found.map(|(_, output)| output)).collect())
}

/// Which reports of a file a machine is to do: those at positions i, i + n, i + 2n, …
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// From 0.
    pub index: usize,
    /// How many there are.
    pub count: usize,
}

impl Shard {
    /// Whether the report at `position` is in this shard.
    pub fn has(self, position: usize) -> bool {
        position % self.count == self.index
    }
}

impl std::str::FromStr for Shard {
    type Err = Error;

    fn from_str(text: &str) -> Result<Shard> {
        let parsed =
            text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match parsed {
            Some((index, count)) if index < count => Ok(Shard { index, count }),
            _ => Err(Error::BadOption {
                option: "shard",
                value: shown(text),
                expected: "I/N with I from 0 to N - 1, such as 0/4",
            }),
        }
    }
}

impl std::fmt::Display for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}
