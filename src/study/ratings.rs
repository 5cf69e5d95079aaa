//! What readers answered, as a CSV file each: a row for each report and system.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Deserialize;

use super::file::{Records, records as read, shown};
use super::plan::{code, plan};
use super::{CRITERIA, MOST, MOST_REPORTS, MOST_SYSTEMS, Study, letter};
use crate::render::csv::table;
use crate::{Error, Result};

/// A reader's answer to one report.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Answer {
    /// For place A, B, … the marks in the order of [`CRITERIA`]; none where the reader gave none.
    pub marks: Vec<[Option<u8>; CRITERIA.len()]>,
    /// The place that the reader prefers, from 0.
    pub preferred: Option<usize>,
    /// How long the report was looked at.
    pub seconds: f64,
}

/// A row: what one reader said of one system's impression of one report.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// [`Study::hash`].
    pub study: String,
    /// The reader's code.
    pub reader: String,
    /// When the report came, from 1.
    pub order: usize,
    /// The report's id.
    pub report: String,
    /// Where the impression stood, from 0.
    pub place: usize,
    /// Who wrote it.
    pub system: String,
    /// In the order of [`CRITERIA`].
    pub marks: [Option<u8>; CRITERIA.len()],
    /// Whether it is the preferred one; nothing where the reader preferred none.
    pub preferred: Option<bool>,
    /// How long the reader looked at the report.
    pub seconds: Option<f64>,
}

const BEFORE: [&str; 6] = ["study", "reader", "order", "report", "place", "system"];
const BEHIND: [&str; 2] = ["preferred", "seconds"];

fn columns() -> impl Iterator<Item = &'static str> {
    BEFORE.into_iter().chain(CRITERIA.map(|(name, _, _)| name)).chain(BEHIND)
}

/// The rows of a reader's answers, which are in the order of the reader's plan; reports behind the last
/// answer have none.
///
/// # Errors
/// As [`plan`]; [`Error::Internal`] for answers that do not fit the plan.
pub fn records(study: &Study, reader: &str, answers: &[Answer]) -> Result<Vec<Record>> {
    let plan = plan(study, reader)?;
    let misfit = || Error::Internal("the answers are not this study's".to_owned());
    if answers.len() > plan.len() {
        return Err(misfit());
    }
    let hash = study.hash();
    let mut records = Vec::new();
    for (order, (shown, answer)) in plan.iter().zip(answers).enumerate() {
        let systems = shown.places.len();
        let mark_ok = |mark: &Option<u8>| mark.is_none_or(|mark| (1..=MOST).contains(&mark));
        if answer.marks.len() > systems
            || answer.preferred.is_some_and(|place| place >= systems)
            || !answer.marks.iter().flatten().all(mark_ok)
        {
            return Err(misfit());
        }
        for (place, system) in shown.places.iter().enumerate() {
            records.push(Record {
                study: hash.clone(),
                reader: code(reader)?.to_owned(),
                order: order + 1,
                report: study.items[shown.item].id.clone(),
                place,
                system: study.systems[*system].clone(),
                marks: answer.marks.get(place).copied().unwrap_or_default(),
                preferred: answer.preferred.map(|preferred| preferred == place),
                seconds: Some(answer.seconds.max(0.0)),
            });
        }
    }
    Ok(records)
}

/// Rows as a CSV file.
pub fn csv(records: &[Record]) -> String {
    let rows = records.iter().map(|record| {
        let mark = |mark: Option<u8>| mark.map(|mark| mark.to_string()).unwrap_or_default();
        let row = [
            record.study.clone(),
            record.reader.clone(),
            record.order.to_string(),
            record.report.clone(),
            letter(record.place).to_string(),
            record.system.clone(),
        ];
        let behind = [
            record.preferred.map(|yes| u8::from(yes).to_string()).unwrap_or_default(),
            record.seconds.map(|seconds| format!("{seconds:.1}")).unwrap_or_default(),
        ];
        row.into_iter().chain(record.marks.map(mark)).chain(behind).collect::<Vec<_>>()
    });
    table(std::iter::once(columns().map(str::to_owned).collect()).chain(rows))
}

/// Reads a reader's file: the rows with their lines.
///
/// # Errors
/// [`Error::BadData`] with the line: columns that are missing, cells that are no marks, text that is not
/// UTF-8.
pub fn parse(name: &str, bytes: &[u8]) -> Result<Vec<(u64, Record)>> {
    let bad = |line: u64, what: String| {
        let place = format!("{name}, line {line}");
        Error::BadData { place, what }
    };
    let Records::Table(headers, rows) = read(name, bytes)? else {
        return Err(bad(1, "is no CSV table of ratings; is it the study's file?".into()));
    };
    let mut at = HashMap::new();
    for column in columns() {
        let found = headers.iter().position(|header| header == column);
        let found = found.ok_or_else(|| {
            bad(1, format!("the column \"{column}\" is missing; is it a reader's file?"))
        })?;
        at.insert(column, found);
    }
    let mut records = Vec::new();
    for (line, row) in rows {
        let cell = |column: &str| {
            at.get(column).and_then(|at| row.get(*at)).map_or("", |cell| cell.trim())
        };
        let must = |column: &str| match cell(column) {
            "" => Err(bad(line, format!("\"{column}\" is empty"))),
            text => Ok(text.to_owned()),
        };
        let mut marks = [None; CRITERIA.len()];
        for (mark, (name, _, _)) in marks.iter_mut().zip(CRITERIA) {
            *mark = match cell(name) {
                "" => None,
                text => {
                    let given = text.parse().ok().filter(|mark| (1..=MOST).contains(mark));
                    let what = || format!("\"{name}\" is not a whole number from 1 to {MOST}");
                    Some(given.ok_or_else(|| bad(line, what()))?)
                }
            };
        }
        let preferred = match cell("preferred") {
            "" => None,
            "1" => Some(true),
            "0" => Some(false),
            _ => return Err(bad(line, "\"preferred\" must be 1, 0 or empty".into())),
        };
        let seconds = match cell("seconds") {
            "" => None,
            text => {
                let seconds = text.parse().ok().filter(|s: &f64| s.is_finite() && *s >= 0.0);
                Some(seconds.ok_or_else(|| bad(line, "\"seconds\" is no number".into()))?)
            }
        };
        let place = match cell("place").as_bytes() {
            [letter @ b'A'..=b'Z'] => usize::from(letter - b'A'),
            _ => return Err(bad(line, "\"place\" must be a letter from A on".into())),
        };
        let order = must("order")?.parse();
        records.push((
            line,
            Record {
                study: must("study")?,
                reader: must("reader")?,
                order: order.map_err(|_| bad(line, "\"order\" is not a whole number".into()))?,
                report: must("report")?,
                place,
                system: must("system")?,
                marks,
                preferred,
                seconds,
            },
        ));
    }
    if records.is_empty() {
        let what = "holds no ratings".to_owned();
        return Err(Error::BadData { place: name.to_owned(), what });
    }
    Ok(records)
}

/// The rows of several readers' files, checked against each other: one study, each reader's answer
/// once, the same systems everywhere, one preference a report. `study` is the hash that they must have,
/// if it is known.
///
/// # Errors
/// [`Error::BadData`], [`Error::DuplicateId`], with file and line.
pub fn merge(files: &[(&str, &[u8])], study: Option<&str>) -> Result<Vec<Record>> {
    let mut merged: Vec<(String, Record)> = Vec::new();
    for (name, bytes) in files {
        let rows = parse(name, bytes)?.into_iter();
        merged.extend(rows.map(|(line, record)| (format!("{name}, line {line}"), record)));
    }
    let bad = |place: &str, what: String| Error::BadData { place: place.to_owned(), what };
    let Some((first_place, first)) = merged.first() else {
        return Err(bad("the readers' files", "there are none; give at least one".into()));
    };
    let systems: HashSet<&str> = merged.iter().map(|(_, record)| &*record.system).collect();
    if !(2..=MOST_SYSTEMS).contains(&systems.len()) {
        let what = format!(
            "has {} systems together with the other files; a study compares 2 to {MOST_SYSTEMS}",
            systems.len()
        );
        return Err(bad(first_place, what));
    }
    let mut places: HashMap<(&str, &str, &str), &str> = HashMap::new();
    let mut answers: BTreeMap<(&str, &str), Vec<&(String, Record)>> = BTreeMap::new();
    let mut reports = HashSet::new();
    for row in &merged {
        let (place, record) = row;
        if record.study != *study.unwrap_or(&first.study) {
            let of = if study.is_some() { "the study given" } else { first_place };
            let what = format!("belongs to another study than {of}");
            return Err(bad(place, what));
        }
        let key = (&*record.reader, &*record.report, &*record.system);
        if let Some(before) = places.insert(key, place) {
            return Err(Error::DuplicateId {
                id: format!("{}, {}, {}", shown(key.0), shown(key.1), shown(key.2)),
                first: (*before).to_owned(),
                second: place.clone(),
            });
        }
        reports.insert(key.1);
        answers.entry((key.0, key.1)).or_default().push(row);
    }
    if reports.len() > MOST_REPORTS {
        let what = format!("more than {MOST_REPORTS} reports are rated");
        return Err(bad("the readers' files", what));
    }
    for rows in answers.values() {
        let Some((place, record)) = rows.first() else { continue };
        if rows.len() != systems.len() {
            let what = format!(
                "the report has rows of {} systems from this reader, and the study {}; is a row missing?",
                rows.len(),
                systems.len()
            );
            return Err(bad(place, what));
        }
        let preferred = rows.iter().filter(|(_, record)| record.preferred == Some(true)).count();
        let none = rows.iter().all(|(_, record)| record.preferred.is_none());
        if preferred != 1 && !none {
            let what = format!(
                "the reader prefers {preferred} of the report's impressions; exactly one may be marked 1"
            );
            return Err(bad(place, what));
        }
        let mut taken = HashSet::new();
        if !rows.iter().all(|(_, record)| taken.insert(record.place)) {
            let what =
                format!("two impressions of the report stand in place {}", letter(record.place));
            return Err(bad(place, what));
        }
    }
    Ok(merged.into_iter().map(|(_, record)| record).collect())
}
