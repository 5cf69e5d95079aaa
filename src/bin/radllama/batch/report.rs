//! A finished batch scored against the impressions that its input has, as `radllama eval` scores.

use std::fs::File;
use std::path::Path;

use radllama::data::stream::RowFile;
use radllama::eval::rouge::words;
use radllama::eval::{Evaluation, Options, Report};
use radllama::{Error, Result};
use serde::Deserialize;

use super::super::eval;
use super::lines::Index;
use super::work::Job;

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    impression: String,
}

/// Scores every row that has findings and a reference; an error counts as an empty impression, as in
/// `radllama eval`. Texts are in memory here, all of them.
pub(super) fn score(job: &Job<'_>, folder: &Path, name: &str) -> Result<Evaluation> {
    let mut file = File::open(job.out).map_err(|error| Error::io(job.out, &error))?;
    let mut index = Index::new(job.rows);
    index.add(job.out, 0, &mut file)?;
    let mut outputs: Vec<String> = Vec::new();
    index.copy(&mut [(job.out, file)], |_| true, &mut |line| {
        let line: Line = serde_json::from_slice(line)
            .map_err(|error| Error::Internal(format!("a line of the batch: {error}")))?;
        outputs.push(line.impression);
        Ok(())
    })?;
    let mut rows = RowFile::open(job.input, job.reading)?;
    let (mut reports, mut impressions) = (Vec::new(), Vec::new());
    let (mut unread, mut without) = (0, 0);
    while let Some(row) = rows.next() {
        let row = row?;
        let Ok(report) = row.report else {
            unread += 1;
            continue;
        };
        let reference = report.reference.filter(|text| !words(text).is_empty());
        let (Some(impression), Some(output)) =
            (reference, outputs.get_mut(row.number as usize - 1))
        else {
            without += 1;
            continue;
        };
        impressions.push(std::mem::take(output));
        let (id, findings) = (row.id.unwrap_or_default(), report.findings);
        reports.push(Report { id, findings, impression, abnormal: None });
    }
    if reports.is_empty() {
        let what = "has no impressions to score against; name their column with --reference-column";
        let place = job.input.display().to_string();
        return Err(Error::BadData { place, what: what.to_owned() });
    }
    let mut notes = Vec::new();
    if unread > 0 {
        notes.push(format!("{unread} rows of the input cannot be read and are left out."));
    }
    if without > 0 {
        notes.push(format!("{without} rows have no impression to compare with and are left out."));
    }
    let given = vec![(name.to_owned(), impressions)];
    let evaluation = eval::score(&reports, None, None, given, notes, Options::default())?;
    eval::write_report(folder, &evaluation, &[])?;
    Ok(evaluation)
}
