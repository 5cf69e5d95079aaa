//! A report as JSON gives it: by the names of docs/export.md, or as the program's other output has it.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::lines::{clean, lines_of};
use super::report::{Communication, Provenance, Report};
use crate::error::{Error, Result};

/// A text or a list of texts.
#[derive(Deserialize)]
#[serde(untagged)]
enum Lines {
    Text(String),
    List(Vec<String>),
}

/// A flag of the guard. Its places say nothing without the page.
#[derive(Deserialize)]
struct Flag {
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    severity: Option<String>,
    #[serde(default)]
    line: Option<u64>,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct Acute {
    #[serde(default)]
    concept: Option<String>,
    label: String,
    #[serde(default)]
    certain: Option<bool>,
}

/// The fields of an object, and where it stands.
struct Fields<'a> {
    fields: &'a mut Map<String, Value>,
    place: &'a str,
}

impl Fields<'_> {
    /// Reads the field `name`, if it is there.
    fn take<T: serde::de::DeserializeOwned>(
        &mut self,
        name: &str,
        expected: &str,
    ) -> Result<Option<T>> {
        match self.fields.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                serde_json::from_value(value).map(Some).map_err(|_| self.bad(name, expected))
            }
        }
    }

    /// What a field should be, without quoting it.
    fn bad(&self, name: &str, expected: &str) -> Error {
        let what = format!("\"{name}\" must be {expected}");
        Error::BadData { place: self.place.to_owned(), what }
    }
}

impl Report {
    /// Reads a JSON object; fields that are not known are passed over.
    ///
    /// # Errors
    /// [`Error::BadData`], as [`Report::from_fields`].
    pub fn from_json(json: &str) -> Result<Report> {
        let place = "the report";
        let bad = |what: String| Error::BadData { place: place.to_owned(), what };
        let value: Value = serde_json::from_str(json)
            .map_err(|error| bad(format!("is not JSON at column {}", error.column())))?;
        match value {
            Value::Object(fields) => Report::from_fields(fields, place),
            _ => Err(bad("is not a JSON object".to_owned())),
        }
    }

    /// Reads the fields of a JSON object: the ones of docs/export.md, and what the program's own output
    /// calls them (`text` for the impression, `comparison` for the prior examination, `guard` with `flags`
    /// and `acute`, `model` and `notice`). An impression in one text becomes its lines.
    ///
    /// # Errors
    /// [`Error::BadData`] at `place`: what is wrong with which field, never its text. [`Error::BadText`] for
    /// control characters in an impression.
    pub fn from_fields(mut fields: Map<String, Value>, place: &str) -> Result<Report> {
        let fields = &mut Fields { fields: &mut fields, place };
        let text = "a text";
        let lines = "a text or a list of texts";
        if let Some(Value::Object(guard)) = fields.fields.remove("guard") {
            for (name, value) in guard {
                if name != "lines" {
                    fields.fields.entry(name).or_insert(value);
                }
            }
        }
        let id = match fields.fields.remove("id") {
            None | Some(Value::Null) => None,
            Some(Value::String(id)) if !id.trim().is_empty() => Some(id),
            Some(Value::Number(id)) if id.is_u64() => Some(id.to_string()),
            Some(_) => return Err(fields.bad("id", "a text with something in it, or a number")),
        };
        let mut list = |names: [&str; 2]| -> Result<Vec<String>> {
            for name in names {
                match fields.take(name, lines)? {
                    Some(Lines::Text(text)) => return Ok(lines_of(&clean(name, &text)?)),
                    Some(Lines::List(list)) => return Ok(list),
                    None => {}
                }
            }
            Ok(Vec::new())
        };
        let impression = list(["impression", "text"])?;
        let recommendation = list(["recommendation", "recommendations"])?;
        let prior = match fields.take("prior", text)? {
            Some(prior) => Some(prior),
            None => fields.take("comparison", text)?,
        };
        let flags = "the guard's list of flags";
        let flags: Vec<Flag> = fields.take("flags", flags)?.unwrap_or_default();
        let acute = "the guard's list of acute findings";
        let acute: Vec<Acute> = fields.take("acute", acute)?.unwrap_or_default();
        let expected = "a list of {\"label\", \"who\", \"when\", \"how\"}";
        let told: Vec<Communication> = fields.take("communications", expected)?.unwrap_or_default();
        let expected = "an object of docs/export.md's fields";
        let mut provenance: Provenance = fields.take("provenance", expected)?.unwrap_or_default();
        if provenance.model.is_none() {
            provenance.model = fields.take("model", text)?;
        }
        Ok(Report {
            id,
            accession: fields.take("accession", text)?,
            study_uid: fields.take("study_uid", text)?,
            study_time: fields.take("study_time", text)?,
            time: fields.take("time", text)?,
            language: fields.take("language", text)?,
            patient: fields
                .take("patient", "an object of \"id\", \"family\" and \"given\"")?
                .unwrap_or_default(),
            findings: fields.take("findings", text)?.unwrap_or_default(),
            impression,
            recommendation,
            prior: prior.unwrap_or_default(),
            checks: flags.into_iter().map(Flag::line).collect(),
            communications: joined(told, acute),
            provenance,
            production: fields.take("production", "true or false")?.unwrap_or_default(),
        })
    }
}

impl Flag {
    fn line(self) -> String {
        let kind = [self.severity, self.kind].into_iter().flatten().collect::<Vec<_>>().join(", ");
        let line =
            self.line.map_or(String::new(), |line| format!(", line {}", line.saturating_add(1)));
        let (first, rest) = kind.split_at_checked(1).unwrap_or((&kind, ""));
        match kind.is_empty() {
            true => self.message,
            false => format!("{}{rest}{line}: {}", first.to_ascii_uppercase(), self.message),
        }
    }
}

/// The communications, and the acute findings that none of them is about.
fn joined(told: Vec<Communication>, acute: Vec<Acute>) -> Vec<Communication> {
    let mut all = told;
    for Acute { concept, label, certain } in acute {
        // One communication may be about several findings, with commas between.
        let about = |told: &Communication| match (&told.concept, &concept) {
            (Some(all), Some(one)) => all.split(',').any(|part| part.trim() == one),
            _ => told.label.split(',').any(|part| part.trim().eq_ignore_ascii_case(&label)),
        };
        if !all.iter().any(about) {
            let label = if certain == Some(false) { format!("{label} (possible)") } else { label };
            all.push(Communication { concept, label, ..Communication::default() });
        }
    }
    all
}
