//! MIMIC-CXR's free-text reports in their published layout: `files/pNN/pNNNNNNNN/sNNNNNNNN.txt`, a
//! folder a patient, a file a study (Johnson et al. 2019).
//!
//! The id is the study's with its letter, as the file is called; the numbers under `study_id` in the
//! official split mean the same. The patient's number is kept as `subject_id`. The text of a section is
//! as the file has it, line breaks and `___` marks included, but for white space at both ends; see
//! [`crate::data::filter`] for what may be done to it. Of several matching sections the last with text
//! counts. `indication` is the history where a report has no indication.

use std::path::Path;

use walkdir::WalkDir;

use super::archive::{MAX_DOCUMENT_BYTES, walk_error};
use super::pairs::Pair;
use super::prepare::{Found, Sink};
use super::sections::{Section, last, sections};
use crate::error::{Error, Result};

/// Hands every report below `folder` (with or without its `files`) to `sink`, in the order of names,
/// one patient's folder at a time. Returns how many other files there were.
///
/// # Errors
/// [`Error::Io`], also when there is no report; what `sink` returns.
pub fn reports(folder: &Path, sink: &mut Sink<'_>) -> Result<u64> {
    if folder.is_file() {
        return Err(no_reports(folder));
    }
    let files = folder.join("files");
    let root = if files.is_dir() { &files } else { folder };
    let (mut reports, mut others) = (0u64, 0);
    for entry in WalkDir::new(root).sort_by_file_name() {
        let entry = entry.map_err(|error| walk_error(root, &error))?;
        if !entry.file_type().is_file() {
            continue;
        }
        let path = entry.path();
        match ids(path) {
            None => others += 1,
            Some((study, subject)) => {
                reports += 1;
                let length = entry.metadata().map_err(|error| walk_error(root, &error))?.len();
                let place = path.strip_prefix(root).unwrap_or(path).display().to_string();
                if length > MAX_DOCUMENT_BYTES {
                    let what = format!("has {length} bytes; is it a report?");
                    sink(Err(Error::BadData { place, what }))?;
                    continue;
                }
                let bytes = std::fs::read(path).map_err(|error| Error::io(path, &error))?;
                sink(parse(place, study, subject, &bytes))?;
            }
        }
    }
    if reports == 0 { Err(no_reports(folder)) } else { Ok(others) }
}

fn no_reports(folder: &Path) -> Error {
    let reason = "holds no files/pNN/pNNNNNNNN/sNNNNNNNN.txt; unpack mimic-cxr-reports.zip and pass \
                  the folder that has its files folder";
    Error::Io { path: folder.display().to_string(), reason: reason.into() }
}

/// The id that a split means: the official one has bare numbers.
pub fn id_of(text: &str) -> String {
    let text = text.trim();
    if digits(text) { format!("s{text}") } else { text.to_owned() }
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The study's id (`s50000001`) and the subject's number of a path that ends as published.
fn ids(path: &Path) -> Option<(String, String)> {
    let mut names = path.iter().rev().map(|name| name.to_str());
    let study = names.next()??.strip_suffix(".txt")?;
    let subject = names.next()??.strip_prefix('p')?;
    let group = names.next()??.strip_prefix('p')?;
    let published = digits(study.strip_prefix('s')?) && digits(subject) && digits(group);
    published.then(|| (study.to_owned(), subject.to_owned()))
}

/// Reads one report.
///
/// # Errors
/// [`Error::BadData`], with `place` and never a word of the text.
fn parse(place: String, study: String, subject: String, bytes: &[u8]) -> Result<Found> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let what = format!("is not UTF-8 at byte {}", error.valid_up_to() + 1);
            return Err(Error::BadData { place, what });
        }
    };
    let found = sections(text);
    let text_of = |section| last(&found, section).map(str::to_owned);
    let mut pair = Pair {
        indication: text_of(Section::Indication).or_else(|| text_of(Section::History)),
        comparison: text_of(Section::Comparison),
        ..Pair::new(
            study,
            text_of(Section::Findings).unwrap_or_default(),
            text_of(Section::Impression).unwrap_or_default(),
        )
    };
    pair.extra.insert("subject_id".into(), subject.into());
    Ok(Found { pair, place, sections: !found.is_empty() })
}
