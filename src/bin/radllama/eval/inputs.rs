//! The files that an evaluation reads, checked before anything is computed.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};

use radllama::data::PairReader;
use radllama::eval::Report;
use radllama::eval::outputs::{self, Output, shown};
use radllama::eval::rouge::words;
use radllama::{Error, Result};

use super::super::args::read_text;

/// Reads the pairs to evaluate on: at least one, every id once, every impression with a word in it.
pub(crate) fn read_reports(path: &Path) -> Result<Vec<Report>> {
    let mut reader = PairReader::open(path)?;
    let mut lines: HashMap<String, String> = HashMap::new();
    let mut reports = Vec::new();
    while let Some(pair) = reader.next() {
        let pair = pair?;
        if words(&pair.impression).is_empty() {
            let what = "the impression is empty, so that nothing can be compared with it; take the report out of the pairs";
            return Err(Error::BadData { place: reader.place(), what: what.to_owned() });
        }
        match lines.entry(pair.id.clone()) {
            Entry::Vacant(entry) => drop(entry.insert(reader.place())),
            Entry::Occupied(entry) => {
                return Err(Error::DuplicateId {
                    id: shown(&pair.id),
                    first: entry.get().clone(),
                    second: reader.place(),
                });
            }
        }
        reports.push(report(pair));
    }
    if reports.is_empty() {
        let what =
            "holds no pairs; one object {\"id\", \"findings\", \"impression\"} a line is expected";
        return Err(Error::BadData { place: path.display().to_string(), what: what.to_owned() });
    }
    Ok(reports)
}

/// Reads training pairs; those without findings or impression teach nothing and are passed over.
pub(crate) fn read_train(path: &Path) -> Result<Vec<Report>> {
    let mut train = Vec::new();
    for pair in PairReader::open(path)? {
        let pair = pair?;
        if pair.is_complete() {
            train.push(report(pair));
        }
    }
    if train.is_empty() {
        let what = "holds no pair with findings and impression";
        return Err(Error::BadData { place: path.display().to_string(), what: what.to_owned() });
    }
    Ok(train)
}

fn report(pair: radllama::data::Pair) -> Report {
    Report {
        id: pair.id,
        findings: pair.findings,
        impression: pair.impression,
        abnormal: pair.abnormal,
    }
}

/// Reads the outputs of one system from all its files, in the order of `reports`.
pub(crate) fn read_outputs(
    paths: &[PathBuf],
    reports: &[Report],
    partial: bool,
) -> Result<Vec<Option<Output>>> {
    let files = paths
        .iter()
        .map(|path| Ok((path.display().to_string(), read_text(path)?)))
        .collect::<Result<Vec<_>>>()?;
    let ids: Vec<&str> = reports.iter().map(|report| report.id.as_str()).collect();
    outputs::collect(files.iter().map(|(name, text)| (&**name, &**text)), &ids, partial)
}
