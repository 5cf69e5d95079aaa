//! The study file: JSON lines of `{"id", "findings", "outputs": {"system": "impression", …}}`, or a CSV
//! table with the columns `id` and `findings` and a column for each system.
//!
//! Both may have a `reference`, the impression that was signed; it is not shown. JSON lines may begin
//! with `{"study": "title", "seed": 7}`.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::{CRITERIA, MOST_REPORTS, MOST_SYSTEMS};
use crate::digest::sha256;
use crate::rows::{self, Fields, Format};
use crate::{Error, Result};

/// Reports and what the systems wrote of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Study {
    /// What it is called; may be empty.
    pub title: String,
    /// Of the order and the places.
    pub seed: u64,
    /// The systems' names, in the alphabet's order.
    pub systems: Vec<String>,
    /// The reports, at least one.
    pub items: Vec<Item>,
}

/// A report of a study.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Item {
    /// Unique in its study.
    pub id: String,
    /// What the reader reads.
    pub findings: String,
    /// The impression that was signed, where it is known.
    pub reference: Option<String>,
    /// An impression of each system, in the order of [`Study::systems`].
    pub outputs: Vec<String>,
}

/// A line of a file before its systems are held against the others'.
struct Row {
    line: u64,
    id: String,
    findings: String,
    reference: Option<String>,
    /// By system.
    outputs: Vec<(String, String)>,
}

impl Study {
    /// Reads a study file, JSON lines or CSV.
    ///
    /// # Errors
    /// [`Error::BadData`] with the line for what is no study, also for text that is not UTF-8, systems
    /// that are not the same in every line, fewer than 2 or more than 4 of them;
    /// [`Error::DuplicateId`]. The text itself is never shown.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Study> {
        let (mut study, rows) = read(name, bytes)?;
        let bad = |line: u64, what: String| Error::BadData { place: place(name, line), what };
        let Some(first) = rows.first() else {
            let what = "holds no reports; one object {\"id\", \"findings\", \"outputs\"} a line is expected";
            return Err(Error::BadData { place: name.to_owned(), what: what.to_owned() });
        };
        study.systems = first.outputs.iter().map(|(system, _)| system.clone()).collect();
        study.systems.sort();
        if !(2..=MOST_SYSTEMS).contains(&study.systems.len()) {
            let what = format!(
                "has {} systems; a study compares 2 to {MOST_SYSTEMS}",
                study.systems.len()
            );
            return Err(bad(first.line, what));
        }
        for row in rows {
            let mut outputs: HashMap<String, String> = row.outputs.into_iter().collect();
            if outputs.len() != study.systems.len() {
                let (own, all) = (outputs.len(), study.systems.len());
                let what = format!("has outputs of {own} systems, the lines before of {all}");
                return Err(bad(row.line, what));
            }
            let outputs = study.systems.iter().map(|system| outputs.remove(system)).collect();
            let outputs: Option<Vec<String>> = outputs;
            let Some(outputs) = outputs else {
                let what = "has outputs of other systems than the lines before";
                return Err(bad(row.line, what.to_owned()));
            };
            let (id, findings, reference) = (row.id, row.findings, row.reference);
            study.items.push(Item { id, findings, reference, outputs });
        }
        Ok(study)
    }

    /// What tells this study from all others: findings, outputs, systems, criteria and seed.
    pub fn hash(&self) -> String {
        let items = self.items.iter().map(|item| json!([item.id, item.findings, item.outputs]));
        let criteria = CRITERIA.map(|(name, _, _)| name);
        let all = json!([criteria, self.seed, self.systems, items.collect::<Vec<_>>()]);
        sha256(all.to_string())[..16].to_owned()
    }

    /// As a file that [`Study::parse`] reads.
    pub fn jsonl(&self) -> String {
        let mut text = format!("{}\n", json!({ "study": self.title, "seed": self.seed }));
        for item in &self.items {
            let outputs: Map<String, Value> = self
                .systems
                .iter()
                .cloned()
                .zip(item.outputs.iter().map(|output| Value::from(output.as_str())))
                .collect();
            let mut line = json!({ "id": item.id, "findings": item.findings, "outputs": outputs });
            if let Some(reference) = &item.reference {
                line["reference"] = reference.as_str().into();
            }
            text.push_str(&format!("{line}\n"));
        }
        text
    }
}

/// Reads reports that nobody has written impressions of yet: as a study file, but `outputs` are not
/// wanted and passed over, and `impression` is a name for `reference` too.
///
/// # Errors
/// As [`Study::parse`].
pub fn findings(name: &str, bytes: &[u8]) -> Result<Vec<Item>> {
    let (_, rows) = read(name, bytes)?;
    if rows.is_empty() {
        let what = "holds no findings; one object {\"id\", \"findings\"} a line is expected";
        return Err(Error::BadData { place: name.to_owned(), what: what.to_owned() });
    }
    let item = |row: Row| {
        let impression = row.outputs.into_iter().find(|(system, _)| system == "impression");
        let reference = row.reference.or(impression.map(|(_, text)| text));
        Item { id: row.id, findings: row.findings, reference, outputs: Vec::new() }
    };
    Ok(rows.into_iter().map(item).collect())
}

/// What stands in a file, with the lines.
pub(super) enum Records {
    /// JSON lines.
    Objects(Vec<(u64, Map<String, Value>)>),
    /// The header of a CSV table and its rows.
    Table(Vec<String>, Vec<(u64, Vec<String>)>),
}

/// Reads a file, which is JSON lines if it begins like that.
///
/// # Errors
/// [`Error::BadData`] with the line for what cannot be read.
pub(super) fn records(name: &str, bytes: &[u8]) -> Result<Records> {
    let bad =
        |line: u64, what: &str| Error::BadData { place: place(name, line), what: what.to_owned() };
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(bad(1, "is UTF-16; save the file as UTF-8"));
    }
    let begin = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    let lines = begin.starts_with(b"{") || begin.starts_with(b"[");
    let mut reader = rows::Records::new(if lines { Format::Jsonl } else { Format::Csv(None) });
    reader.push(bytes);
    reader.end();
    let (mut objects, mut cells) = (Vec::new(), Vec::new());
    while let Some(record) = reader.next() {
        let record = record.map_err(|what| bad(1, &what))?;
        match record.fields.map_err(|what| bad(record.line, &what))? {
            Fields::Object(object) => objects.push((record.line, object)),
            Fields::Cells(row) => cells.push((record.line, row)),
        }
    }
    Ok(match lines {
        true => Records::Objects(objects),
        false => Records::Table(reader.header().unwrap_or_default().to_vec(), cells),
    })
}

fn place(name: &str, line: u64) -> String {
    format!("{name}, line {line}")
}

/// All rows of a file, each id once.
fn read(name: &str, bytes: &[u8]) -> Result<(Study, Vec<Row>)> {
    let mut study = Study::default();
    let rows = match records(name, bytes)? {
        Records::Objects(objects) => json_lines(name, objects, &mut study)?,
        Records::Table(header, rows) => table(name, &header, rows)?,
    };
    if rows.len() > MOST_REPORTS {
        let what = format!("holds {} reports; a study has at most {MOST_REPORTS}", rows.len());
        return Err(Error::BadData { place: name.to_owned(), what });
    }
    let mut lines: HashMap<&str, u64> = HashMap::new();
    for row in &rows {
        let bad = |what: &str| Error::BadData { place: place(name, row.line), what: what.into() };
        if row.id.trim().is_empty() {
            return Err(bad("the id is empty"));
        }
        if row.findings.trim().is_empty() {
            return Err(bad("the findings are empty; take the report out"));
        }
        if let Some(first) = lines.insert(&row.id, row.line) {
            let (first, second) = (place(name, first), place(name, row.line));
            return Err(Error::DuplicateId { id: shown(&row.id), first, second });
        }
    }
    Ok((study, rows))
}

/// An id as it may stand in an error: should it be a text put into the wrong field, it is cut off.
pub(super) fn shown(id: &str) -> String {
    match id.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", &id[..end]),
        None => id.to_owned(),
    }
}

fn json_lines(
    name: &str,
    objects: Vec<(u64, Map<String, Value>)>,
    study: &mut Study,
) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (number, object) in objects {
        let bad = |what: String| Error::BadData { place: place(name, number), what };
        if rows.is_empty() && object.contains_key("study") && !object.contains_key("id") {
            study.title = object["study"].as_str().unwrap_or_default().to_owned();
            study.seed = match object.get("seed") {
                None => 0,
                Some(seed) => {
                    seed.as_u64().ok_or_else(|| bad("\"seed\" is not a whole number".into()))?
                }
            };
            continue;
        }
        let field = |field: &str| match object.get(field) {
            Some(Value::String(text)) => Ok(text.clone()),
            // Numbers as ids: as in crate::data's pairs.
            Some(Value::Number(id)) if field == "id" && id.is_u64() => Ok(id.to_string()),
            Some(_) => Err(bad(format!("\"{field}\" is no text"))),
            None => Err(bad(format!("the field \"{field}\" is missing"))),
        };
        let optional = |name: &str| match object.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(_) => field(name).map(Some),
        };
        let mut outputs = Vec::new();
        match object.get("outputs") {
            None => {
                if let Some(text) = optional("impression")? {
                    outputs.push(("impression".to_owned(), text));
                }
            }
            Some(Value::Object(given)) => {
                for (system, output) in given {
                    let output = output.as_str().ok_or_else(|| {
                        bad(format!("the output of {:?} is no text", shown(system)))
                    })?;
                    outputs.push((system.clone(), output.to_owned()));
                }
            }
            Some(_) => {
                return Err(bad("\"outputs\" is not an object of systems and their texts".into()));
            }
        }
        rows.push(Row {
            line: number,
            id: field("id")?,
            findings: field("findings")?,
            reference: optional("reference")?,
            outputs,
        });
    }
    Ok(rows)
}

fn table(name: &str, headers: &[String], cells: Vec<(u64, Vec<String>)>) -> Result<Vec<Row>> {
    let bad = |what: String| Error::BadData { place: place(name, 1), what };
    let column = |wanted: &str| headers.iter().position(|header| *header == wanted);
    let needed = |wanted: &str| {
        column(wanted).ok_or_else(|| {
            let what = "the table's columns are id, findings, reference where there is one, and one of each system";
            bad(format!("the column \"{wanted}\" is missing; {what}"))
        })
    };
    let (id, findings, reference) = (needed("id")?, needed("findings")?, column("reference"));
    if let Some(at) = (0..headers.len()).find(|at| headers[..*at].contains(&headers[*at])) {
        return Err(bad(format!("column {} has the name of another one", at + 1)));
    }
    if let Some(at) = headers.iter().position(|header| header.is_empty()) {
        return Err(bad(format!("column {} has no name", at + 1)));
    }
    let systems: Vec<usize> = (0..headers.len())
        .filter(|at| ![Some(id), Some(findings), reference].contains(&Some(*at)))
        .collect();
    let row = |(line, mut cells): (u64, Vec<String>)| {
        let mut cell = |at: usize| cells.get_mut(at).map(std::mem::take).unwrap_or_default();
        Row {
            line,
            id: cell(id),
            findings: cell(findings),
            reference: reference.map(&mut cell).filter(|text| !text.is_empty()),
            outputs: systems.iter().map(|at| (headers[*at].clone(), cell(*at))).collect(),
        }
    };
    Ok(cells.into_iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = "{\"study\": \"Chest\", \"seed\": 7}\n\n{\"id\": 1, \"findings\": \"f1\", \"outputs\": {\"b\": \"o1b\", \"a\": \"o1a\"}}\n{\"id\": \"2\", \"findings\": \"f2\", \"reference\": \"r\", \"outputs\": {\"a\": \"\", \"b\": \"o2b\"}}\n";

    fn parse(text: &str) -> Result<Study> {
        Study::parse("s", text.as_bytes())
    }

    #[test]
    fn both_forms_tell_the_same() {
        let study = parse(LINES).unwrap();
        assert_eq!((study.title.as_str(), study.seed), ("Chest", 7));
        assert_eq!(study.systems, ["a", "b"]);
        assert_eq!(study.items[0].outputs, ["o1a", "o1b"]);
        assert_eq!(study.items[1].reference.as_deref(), Some("r"));
        assert_eq!(parse(&study.jsonl()).unwrap(), study);
        let csv = "\u{feff}findings,b,id,a,reference\r\nf1,o1b,1,o1a,\r\nf2,o2b,2,\"\",r\r\n";
        let table = Study { title: "Chest".into(), seed: 7, ..parse(csv).unwrap() };
        assert_eq!(table, study);
        assert_eq!(table.hash(), study.hash());
        assert_eq!(study.hash().len(), 16);
        assert_ne!(Study { seed: 8, ..study.clone() }.hash(), study.hash());
        let mut other = study.clone();
        other.items[1].outputs[0].push('.');
        assert_ne!(other.hash(), study.hash());
    }

    #[test]
    fn findings_alone_are_enough_to_begin_with() {
        let read = |text: &str| findings("f", text.as_bytes()).unwrap();
        let lines = read("{\"id\": \"x\", \"findings\": \"f\", \"impression\": \"i\"}");
        let table = read("id,findings,impression\nx,f,i\n");
        assert_eq!((lines.len(), lines[0].reference.as_deref()), (1, Some("i")));
        assert_eq!(lines, table);
        assert!(findings("f", b"").is_err());
    }

    #[test]
    fn every_fault_is_told_with_its_line() {
        let row = |id: &str| {
            format!(
                "{{\"id\":\"{id}\",\"findings\":\"secret\",\"outputs\":{{\"a\":\"secret\",\"b\":\"\"}}}}\n"
            )
        };
        let two = row("1") + &row("2");
        for (text, words) in [
            (String::new(), &["column \"id\" is missing"][..]),
            ("{\"study\": \"t\"}".into(), &["no reports"]),
            (row("1") + &row("1"), &["id 1", "s, line 1", "s, line 2"]),
            (two.clone() + "secret", &["line 3", "JSON"]),
            (two.clone() + "{\"id\":\"3\",\"findings\":\"secret", &["line 3", "JSON"]),
            (two.clone() + "[1]", &["line 3", "object"]),
            (two.clone() + "{\"findings\":\"secret\"}", &["line 3", "\"id\" is missing"]),
            (row("1").replace("findings", "finding"), &["line 1", "\"findings\" is missing"]),
            (row("1").replace("\"\"", "7"), &["line 1", "output of \"b\" is no text"]),
            (two.clone() + &row("3").replace("\"a\"", "\"c\""), &["line 3", "other systems"]),
            (two.clone() + &row("3").replace(",\"b\":\"\"", ""), &["line 3", "of 1 systems"]),
            (row("1").replace(",\"b\":\"\"", ""), &["line 1", "1 systems", "2 to 4"]),
            (row(""), &["line 1", "id is empty"]),
            (row("1").replace("\"secret\",\"outputs", "\" \",\"outputs"), &["findings are empty"]),
            ("id,findings,a,b\n1,secret,x".into(), &["line 2", "3 cells"]),
            ("id,text,a,b\n1,secret,x,y".into(), &["\"findings\" is missing"]),
            ("id,findings,a,a\n1,secret,x,y".into(), &["column 4"]),
            ("id,findings,a,b\n1,f,x,y\n1,f,x,y\n".into(), &["id 1", "line 2", "line 3"]),
        ] {
            let error = parse(&text).unwrap_err().to_string();
            for word in words {
                assert!(error.contains(word), "{word:?} is not in {error:?}");
            }
            assert!(!error.contains("secret"), "{error}");
        }
        let latin = b"id,findings,a,b\n1,f,x,y\n2,caf\xe9,x,y\n";
        assert!(Study::parse("s", latin).unwrap_err().to_string().contains("line 3"));
        let wide = Study::parse("s", &[0xff, 0xfe, 0x41, 0]).unwrap_err().to_string();
        assert!(wide.contains("UTF-16"), "{wide}");
    }
}
