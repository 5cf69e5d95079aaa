//! The lines of a batch: what is written for a row, and what a file of them already holds.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use radllama::engine::{Generation, Stop, Timings};
use radllama::eval::rouge::Rouge;
use radllama::guard::{self, Severity};
use radllama::{Error, Result};
use serde::{Deserialize, Serialize};

/// The line of a row that went well; `lines` and `flags` are as `radllama guard --json` has them.
#[derive(Serialize)]
pub(super) struct Written<'r> {
    id: &'r str,
    row: u64,
    impression: &'r str,
    stop: Stop,
    tokens: usize,
    prompt_tokens: usize,
    lines: Vec<Line<'r>>,
    flags: &'r [guard::Flag],
    acute: &'r [guard::Acute],
    #[serde(skip_serializing_if = "Option::is_none")]
    rouge: Option<F1>,
    timings: Timings,
}

/// ROUGE against the impression that the input has, stemmed.
#[derive(Serialize)]
struct F1 {
    rouge1: f64,
    rouge2: f64,
    #[serde(rename = "rougeL")]
    rouge_l: f64,
}

#[derive(Serialize)]
struct Line<'r> {
    text: &'r str,
    support: &'r [[usize; 2]],
}

/// The line of a row that is an error.
#[derive(Serialize)]
struct Failed<'r> {
    id: Option<&'r str>,
    row: u64,
    error: Failure,
}

#[derive(Serialize)]
struct Failure {
    code: &'static str,
    message: String,
}

/// The line of an impression, with its end. `reference`: somebody's impression of the same findings.
pub(super) fn written(
    id: &str,
    row: u64,
    impression: &str,
    generation: &Generation,
    report: &guard::Report,
    reference: Option<&str>,
) -> Result<String> {
    let lines = report.lines.iter();
    let rouge = reference.map(|reference| {
        let scores = Rouge::new(true).score_texts(reference, impression);
        F1 { rouge1: scores.rouge1.f1, rouge2: scores.rouge2.f1, rouge_l: scores.rouge_l.f1 }
    });
    line(&Written {
        id,
        row,
        impression,
        stop: generation.stop,
        tokens: generation.ids.len(),
        prompt_tokens: generation.prompt_ids.len(),
        lines: lines.map(|line| Line { text: &line.text, support: &line.support }).collect(),
        flags: &report.flags,
        acute: &report.acute,
        rouge,
        timings: generation.timings,
    })
}

/// The line of an error, with its end.
pub(super) fn failed(id: Option<&str>, row: u64, error: &Error) -> Result<String> {
    let message = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    line(&Failed { id, row, error: Failure { code: error.code(), message } })
}

fn line(value: &impl Serialize) -> Result<String> {
    let line = serde_json::to_string(value).map_err(|error| Error::Internal(error.to_string()))?;
    Ok(line + "\n")
}

/// How many rows went how.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Counts {
    /// Rows with an impression.
    pub(super) written: u64,
    /// Rows that are errors.
    pub(super) failed: u64,
    /// Rows by their heaviest flag.
    pub(super) hard: u64,
    pub(super) soft: u64,
    pub(super) advisory: u64,
}

impl Counts {
    /// Rows in all.
    pub(super) fn rows(&self) -> u64 {
        self.written + self.failed
    }

    pub(super) fn failed(&mut self) {
        self.failed += 1;
    }

    pub(super) fn written(&mut self, worst: Option<Severity>) {
        self.written += 1;
        match worst {
            Some(Severity::Hard) => self.hard += 1,
            Some(Severity::Soft) => self.soft += 1,
            Some(Severity::Advisory) => self.advisory += 1,
            None => {}
        }
    }

    fn count(&mut self, head: &Head) {
        if head.error.is_some() {
            return self.failed();
        }
        let named = |severity: Severity| head.flags.iter().any(|f| f.severity == severity.name());
        self.written(Severity::ALL.into_iter().find(|severity| named(*severity)));
    }
}

/// What is needed of a line.
#[derive(Deserialize)]
struct Head {
    row: u64,
    error: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    flags: Vec<Flag>,
}

#[derive(Deserialize)]
struct Flag {
    severity: String,
}

/// Where a row's line is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Which of several files.
    pub(super) file: usize,
    pub(super) offset: u64,
    pub(super) bytes: u64,
    pub(super) failed: bool,
}

/// Which rows files of lines hold. In memory are places alone.
pub(super) struct Index {
    /// By row, from 1.
    pub(super) places: Vec<Option<Place>>,
    pub(super) counts: Counts,
    /// Whether the lines of the last file are in the order of their rows.
    pub(super) sorted: bool,
}

impl Index {
    pub(super) fn new(rows: u64) -> Index {
        Index { places: vec![None; rows as usize], counts: Counts::default(), sorted: true }
    }

    /// Adds the lines of a file, read from its beginning to its end. A last line without an end is not one.
    pub(super) fn add(&mut self, path: &Path, number: usize, file: &mut File) -> Result<()> {
        let io = |error: std::io::Error| Error::io(path, &error);
        file.rewind().map_err(io)?;
        let mut lines = BufReader::with_capacity(1 << 16, file);
        let (mut line, mut offset, mut last) = (Vec::new(), 0, 0);
        self.sorted = true;
        for count in 1.. {
            line.clear();
            let bytes = lines.read_until(b'\n', &mut line).map_err(io)? as u64;
            if bytes == 0 || line.last() != Some(&b'\n') {
                break;
            }
            let bad = |what: String| Error::BadData {
                place: format!("{}, line {count}", path.display()),
                what,
            };
            let head: Head = serde_json::from_slice(&line).map_err(|_| {
                bad("is not a line that radllama batch writes; take the file away, or this line out of it".into())
            })?;
            let place = Place { file: number, offset, bytes, failed: head.error.is_some() };
            let rows = self.places.len();
            let slot = (head.row as usize).checked_sub(1).and_then(|at| self.places.get_mut(at));
            match slot {
                None => return Err(bad(format!("has row {}, but there are {rows}", head.row))),
                Some(Some(_)) => {
                    return Err(bad(format!("has row {}, which another line has, too", head.row)));
                }
                Some(slot) => *slot = Some(place),
            }
            self.counts.count(&head);
            self.sorted &= head.row > last;
            (offset, last) = (offset + bytes, head.row);
        }
        Ok(())
    }

    /// Copies the lines of all rows that `keep` keeps, in the order of the rows.
    pub(super) fn copy(
        &self,
        files: &mut [(&Path, File)],
        keep: impl Fn(&Place) -> bool,
        out: &mut impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut line = Vec::new();
        for place in self.places.iter().flatten().filter(|place| keep(place)) {
            let Some((path, file)) = files.get_mut(place.file) else { continue };
            line.resize(place.bytes as usize, 0);
            file.seek(SeekFrom::Start(place.offset))
                .and_then(|_| file.read_exact(&mut line))
                .map_err(|error| Error::io(&path, &error))?;
            out(&line)?;
        }
        Ok(())
    }
}

/// Numbers for people: the first ten, and how many there are.
pub(super) fn numbers(rows: &[u64]) -> String {
    let shown: Vec<String> = rows.iter().take(10).map(u64::to_string).collect();
    let more = if rows.len() > 10 { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}
