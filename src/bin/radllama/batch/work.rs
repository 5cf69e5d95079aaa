//! The run itself: row after row that has no line yet.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use radllama::data::atomic::AtomicFile;
use radllama::data::stream::{self, RowFile};
use radllama::engine::{GenerateOptions, Stop};
use radllama::eval::outputs::Shard;
use radllama::guard::Guard;
use radllama::native::ModelFiles;
use radllama::prompt::PromptRequest;
use radllama::rows::{Report, Row};
use radllama::{Error, Result};
use serde_json::{Value, json};

use super::super::args::ModelArgs;
use super::super::session::{Prompt, Session};
use super::super::{output, resume, stop};
use super::OPTION;
use super::lines::{Counts, Index, failed, written};

/// What to do.
pub(super) struct Job<'a> {
    pub(super) input: &'a Path,
    pub(super) reading: &'a stream::Options,
    pub(super) out: &'a Path,
    /// Rows of the input.
    pub(super) rows: u64,
    pub(super) shard: Option<Shard>,
    pub(super) retry_errors: bool,
    pub(super) settings: &'a Value,
    pub(super) files: &'a ModelFiles,
    pub(super) model: &'a ModelArgs,
    pub(super) options: &'a GenerateOptions,
    pub(super) instruction: Option<&'a str>,
    pub(super) guard: &'a Guard,
}

impl Job<'_> {
    /// Whether a row, from 1, is this run's.
    fn has(&self, row: u64) -> bool {
        self.shard.is_none_or(|shard| shard.has(row as usize - 1))
    }
}

/// What was done.
pub(super) struct Done {
    /// Of all lines in the file.
    pub(super) counts: Counts,
    /// Lines that were there before.
    resumed: u64,
    /// Rows of this run without a line.
    left: u64,
    /// Whether it was asked to stop.
    pub(super) paused: bool,
}

impl Done {
    pub(super) fn json(&self) -> Value {
        json!({
            "rows": self.counts.rows() + self.left,
            "written": self.counts.written,
            "failed": self.counts.failed,
            "resumed": self.resumed,
            "left": self.left,
            "paused": self.paused,
            "flagged": {
                "hard": self.counts.hard,
                "soft": self.counts.soft,
                "advisory": self.counts.advisory,
            },
        })
    }

    pub(super) fn words(&self, out: &Path, rows: u64) -> String {
        let Counts { written, failed, hard, soft, .. } = self.counts;
        let mut text = format!(
            "{}: {} of {rows} rows; impressions: {written}, errors: {failed}, with a hard flag: {hard}, with a soft one: {soft}",
            out.display(),
            self.counts.rows(),
        );
        if self.paused {
            text.push_str(&format!(
                "\npaused, {} rows are left: the same command goes on",
                self.left
            ));
        }
        text
    }
}

/// Does whatever has no line yet.
pub(super) fn run(job: &Job<'_>) -> Result<Done> {
    let io = |error: std::io::Error| Error::io(job.out, &error);
    let mut file = resume::open(job.out, job.settings, OPTION)?;
    let mut index = Index::new(job.rows);
    index.add(job.out, 0, &mut file)?;
    if job.retry_errors && index.counts.failed > 0 {
        rewrite(job, &index, file, |failed| !failed)?;
        file = resume::open(job.out, job.settings, OPTION)?;
        index = Index::new(job.rows);
        index.add(job.out, 0, &mut file)?;
    }
    file.seek(SeekFrom::End(0)).map_err(io)?;
    let mut done =
        Done { counts: index.counts, resumed: index.counts.rows(), left: 0, paused: false };
    done.left = (1..=job.rows).filter(|row| job.has(*row)).count() as u64 - done.resumed;
    if done.left > 0 {
        stop::listen("stopping behind the row at hand; once more stops at once")?;
        let mut rows = RowFile::open(job.input, job.reading)?;
        let mut news = News::new(done.left);
        let mut session = None;
        while let Some(row) = rows.next() {
            let row = row?;
            if !job.has(row.number)
                || index.places.get(row.number as usize - 1).is_none_or(Option::is_some)
            {
                continue;
            }
            let Some(line) = line(job, &mut session, &row, &mut done.counts)? else {
                done.paused = true;
                break;
            };
            // Of a line that a kill cuts short nothing is kept; what is whole stays.
            file.write_all(line.as_bytes()).and_then(|()| file.sync_data()).map_err(io)?;
            done.left -= 1;
            news.tell(&done.counts);
        }
        news.bar.finish_and_clear();
    }
    if !done.paused && done.left > 0 {
        let what = "has other rows than when it was first read; give the file as it was".to_owned();
        return Err(Error::BadData { place: job.input.display().to_string(), what });
    }
    if !done.paused {
        let mut index = Index::new(job.rows);
        index.add(job.out, 0, &mut file)?;
        if !index.sorted {
            rewrite(job, &index, file, |_| true)?; // rows that were done again stand at the end
        }
    }
    Ok(done)
}

/// The line of a row, or nothing where the run was asked to stop.
fn line(
    job: &Job<'_>,
    session: &mut Option<Session>,
    row: &Row,
    counts: &mut Counts,
) -> Result<Option<String>> {
    if stop::asked() {
        return Ok(None);
    }
    let id = row.id.as_deref();
    let done = match &row.report {
        Ok(report) => {
            let session = match session {
                Some(session) => session,
                None => session.insert(Session::open(job.files, job.model)?),
            };
            write(job, session, id.unwrap_or_default(), row.number, report, counts)
        }
        Err(error) => Err(error.clone()),
    };
    match done {
        Err(
            error @ (Error::BadData { .. }
            | Error::DuplicateId { .. }
            | Error::EmptyFindings
            | Error::BadText { .. }
            | Error::PromptTooLong { .. }
            | Error::BeamsTooLong { .. }
            | Error::NotFinite { .. }),
        ) => {
            counts.failed();
            Ok(Some(failed(id, row.number, &error)?))
        }
        done => done,
    }
}

fn write(
    job: &Job<'_>,
    session: &mut Session,
    id: &str,
    row: u64,
    report: &Report,
    counts: &mut Counts,
) -> Result<Option<String>> {
    let prior = report.prior.as_deref();
    let request = PromptRequest { findings: &report.findings, instruction: job.instruction, prior };
    let generation = session.generate(&Prompt::Report(request), job.options, false)?;
    if generation.stop == Stop::Cancelled {
        return Ok(None);
    }
    let impression = generation.text.trim();
    let prior = prior.or(report.comparison.as_deref());
    let checked = match generation.stop {
        Stop::Length => job.guard.check_cut(&report.findings, impression, prior),
        _ => job.guard.check(&report.findings, impression, prior),
    };
    counts.written(checked.flags.iter().map(|flag| flag.severity).min());
    let reference = report.reference.as_deref();
    written(id, row, impression, &generation, &checked, reference).map(Some)
}

/// Writes the file anew in the order of its rows, without the lines that `keep`, asked whether a line is an
/// error, does not keep.
fn rewrite(job: &Job<'_>, index: &Index, file: File, keep: impl Fn(bool) -> bool) -> Result<()> {
    let mut anew = AtomicFile::create(job.out)?;
    let mut files = [(job.out, file)];
    index.copy(&mut files, |place| keep(place.failed), &mut |line| anew.append(line))?;
    drop(files); // Windows renames over no open file
    anew.commit()
}

/// Progress: a bar on a terminal; elsewhere, in the log of a cluster's job, a line a minute.
struct News {
    bar: indicatif::ProgressBar,
    total: u64,
    done: u64,
    begin: Instant,
    told: Instant,
}

const EVERY: Duration = Duration::from_secs(60);

impl News {
    fn new(total: u64) -> News {
        let now = Instant::now();
        let bar = output::slow_bar("writing", total);
        News { bar, total, done: 0, begin: now, told: now }
    }

    fn tell(&mut self, counts: &Counts) {
        self.done += 1;
        self.bar.inc(1);
        self.bar
            .set_message(format!("writing ({} errors, {} hard flags)", counts.failed, counts.hard));
        if self.bar.is_hidden() && self.told.elapsed() >= EVERY && self.done < self.total {
            self.told = Instant::now();
            let left =
                self.begin.elapsed().mul_f64((self.total - self.done) as f64 / self.done as f64);
            output::note(&format!(
                "{} of {} rows, {} errors, {} with a hard flag; about {} min left",
                self.done,
                self.total,
                counts.failed,
                counts.hard,
                left.as_secs().div_ceil(60)
            ));
        }
    }
}
