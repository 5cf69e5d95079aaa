//! `radllama batch`: the impressions of a file of findings, in a run that can be stopped, killed, taken up again
//! and spread over machines. docs/batch.md has the formats and what a run promises.

mod lines;
mod merge;
mod report;
mod work;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use radllama::data::stream::{self, RowFile};
use radllama::eval::outputs::Shard;
use radllama::rows::{Columns, Format, Row};
use radllama::{Error, Result};
use serde_json::{Value, json};

use super::args::{ModelArgs, SamplingArgs};
use super::{output, resume, stop};

/// The option that names another file of outputs.
const OPTION: &str = "--out";
/// What the program ends with where all rows are through and some of them are errors.
const SOME_FAILED: u8 = 3;

/// Write the impressions of a file of findings, a line a row; started again, it goes on where it stopped.
///
/// Reads a CSV table with a header, or one JSON object a line. A row that cannot be read or asked becomes a line
/// with "error", and the run goes on. Ends with 0; with 3 where rows are errors; with 130 where it was asked to
/// stop (Ctrl-C, SIGTERM); with 1 where it could not go on.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    /// A CSV (or TSV) table with a header, or JSON Lines; gzipped or not.
    #[arg(value_name = "IN", required = true)]
    input: Option<PathBuf>,
    /// Where the lines go, each as soon as it is written. OUT.run.json beside it says what they were made with.
    #[arg(long, value_name = "OUT", required_unless_present = "check")]
    out: Option<PathBuf>,
    /// Only read the file and say which rows cannot be used, and why.
    #[arg(long)]
    check: bool,
    /// Do only the rows I + 1, I + 1 + N, I + 1 + 2 N, …, I from 0 to N - 1: a task of a Slurm array of 0-(N-1).
    /// `radllama batch merge` joins the shards.
    #[arg(long, value_name = "I/N", value_parser = shard)]
    shard: Option<Shard>,
    /// Do the rows again that are errors.
    #[arg(long)]
    retry_errors: bool,
    /// Score the impressions against the file's own where it has some, and write report.md and report.html, as
    /// `radllama eval` does, into this folder.
    #[arg(long, value_name = "DIR", conflicts_with = "shard")]
    report: Option<PathBuf>,
    #[command(flatten)]
    reading: Reading,
    /// A lexicon of one's own for the guard, that adds to the built-in one (docs/guard.md).
    #[arg(long, value_name = "FILE")]
    lexicon: Option<PathBuf>,
    /// Another instruction than "Derive the impression from findings in the radiology report".
    #[arg(long, value_name = "TEXT")]
    instruction: Option<String>,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    model: ModelArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    Merge(merge::Args),
}

/// How to read the rows.
#[derive(Debug, clap::Args)]
struct Reading {
    /// How the file divides into rows; usually its name tells: .csv, .tsv and .txt are tables.
    #[arg(long, value_enum)]
    format: Option<FormatArg>,
    /// What stands between a table's cells; usually its header tells: comma, semicolon or tab.
    #[arg(long, value_name = "CHARACTER", value_parser = delimiter)]
    delimiter: Option<u8>,
    /// The file's encoding, such as windows-1252 or utf-16le; usually UTF-8, or UTF-16 with a byte order mark.
    #[arg(long, value_name = "NAME")]
    encoding: Option<String>,
    /// The column with the findings; usually "findings" in any case.
    #[arg(long, value_name = "NAME")]
    findings_column: Option<String>,
    /// The column with the ids; usually id, report_id, study_id or accession. Without one the row's number is
    /// its id. For this and the others "" means none.
    #[arg(long, value_name = "NAME")]
    id_column: Option<String>,
    /// The column with prior reports, which the model reads; usually "prior".
    #[arg(long, value_name = "NAME")]
    prior_column: Option<String>,
    /// The column with the comparison section, which the guard alone reads; usually "comparison".
    #[arg(long, value_name = "NAME")]
    comparison_column: Option<String>,
    /// The column with people's impressions to score against; usually "reference" or "impression".
    #[arg(long, value_name = "NAME")]
    reference_column: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum FormatArg {
    Csv,
    Jsonl,
}

fn shard(text: &str) -> std::result::Result<Shard, String> {
    text.parse().map_err(|error: Error| error.to_string())
}

fn delimiter(text: &str) -> std::result::Result<u8, String> {
    match (text, text.as_bytes()) {
        ("\\t" | "tab", _) => Ok(b'\t'),
        (_, &[byte]) if byte.is_ascii() && !b"\"\r\n".contains(&byte) => Ok(byte),
        _ => Err("one ASCII character is expected, or \"tab\"".to_owned()),
    }
}

impl Reading {
    fn options(&self, input: &Path) -> stream::Options {
        let usual = Format::of(&input.to_string_lossy());
        let format = match (self.format, self.delimiter, usual) {
            (Some(FormatArg::Jsonl), _, _) | (None, None, Format::Jsonl) => Format::Jsonl,
            (_, None, Format::Csv(delimiter)) => Format::Csv(delimiter),
            (_, delimiter, _) => Format::Csv(delimiter),
        };
        stream::Options {
            format: Some(format),
            encoding: self.encoding.clone(),
            columns: Columns {
                id: self.id_column.clone(),
                findings: self.findings_column.clone(),
                prior: self.prior_column.clone(),
                comparison: self.comparison_column.clone(),
                reference: self.reference_column.clone(),
            },
        }
    }
}

/// What is known of a file before anything is written.
struct Survey {
    rows: u64,
    /// Rows that cannot be used, at most [`MOST_SHOWN`] of them.
    problems: Vec<Row>,
    bad: u64,
    references: u64,
    sha256: String,
}

/// Problems that are shown one by one.
const MOST_SHOWN: usize = 1000;

fn survey(input: &Path, options: &stream::Options) -> Result<Survey> {
    let mut file = RowFile::open(input, options)?;
    let (mut rows, mut bad, mut references) = (0, 0, 0);
    let mut problems = Vec::new();
    while let Some(row) = file.next() {
        let row = row?;
        rows = row.number;
        match &row.report {
            Ok(report) => references += u64::from(report.reference.is_some()),
            Err(_) => {
                bad += 1;
                if problems.len() < MOST_SHOWN {
                    problems.push(row);
                }
            }
        }
    }
    Ok(Survey { rows, problems, bad, references, sha256: file.sha256() })
}

pub(crate) fn run(args: &Args, json: bool) -> Result<ExitCode> {
    let input = match (&args.action, &args.input) {
        (Some(Action::Merge(args)), _) => return merge::run(args, json),
        (None, Some(input)) => input,
        (None, None) => return Err(Error::Internal("clap asks for IN".into())),
    };
    let reading = args.reading.options(input);
    if args.check {
        return check(&survey(input, &reading)?, json);
    }
    let out = args.out.as_deref().ok_or_else(|| Error::Internal("clap asks for --out".into()))?;
    if std::fs::canonicalize(input)
        .ok()
        .is_some_and(|path| std::fs::canonicalize(out).ok() == Some(path))
    {
        return Err(Error::BadOption {
            option: "--out",
            value: "the input itself".to_owned(),
            expected: "another file",
        });
    }
    args.sampling.options(None).validate()?; // before a file of 50 MB is read for nothing
    let guard = super::guard::open(args.lexicon.as_deref())?;
    let survey = survey(input, &reading)?;
    say(&survey, args);
    let files = args.model.open()?;
    let options = args.sampling.options(files.manifest.as_ref().and_then(|m| m.decoding));
    options.validate()?;
    if let Some(notice) = files.manifest.as_ref().and_then(|manifest| manifest.notice.as_ref()) {
        output::note(notice);
    }
    output::note(super::impression::WARNING);
    let mut settings =
        resume::settings(&files, &args.model, &options, args.instruction.as_deref(), args.shard)?;
    settings["input_sha256"] = survey.sha256.clone().into();
    settings["rows"] = survey.rows.into();
    settings["reading"] = json!({
        "format": reading.format,
        "encoding": reading.encoding,
        "columns": reading.columns,
    });
    settings["lexicon_sha256"] = args.lexicon.as_deref().map(resume::hash).transpose()?.into();
    let job = work::Job {
        input,
        reading: &reading,
        out,
        rows: survey.rows,
        shard: args.shard,
        retry_errors: args.retry_errors,
        settings: &settings,
        files: &files,
        model: &args.model,
        options: &options,
        instruction: args.instruction.as_deref(),
        guard: &guard,
    };
    let done = work::run(&job)?;
    let evaluation = match &args.report {
        Some(folder) if !done.paused => Some(report::score(&job, folder, &resume::name(&files))?),
        _ => None,
    };
    if json {
        let mut object = done.json();
        object["out"] = out.display().to_string().into();
        object["shard"] = args.shard.map(|shard| shard.to_string()).into();
        if let Some(evaluation) = &evaluation {
            object["evaluation"] = evaluation.json();
        }
        output::object(&object)?;
    } else {
        output::line(&done.words(out, survey.rows))?;
        if let Some(evaluation) = &evaluation {
            output::text(&radllama::eval::render::markdown(evaluation))?;
        }
    }
    Ok(match (done.paused, done.counts.failed) {
        (true, _) => ExitCode::from(stop::CODE),
        (false, 0) => ExitCode::SUCCESS,
        (false, _) => ExitCode::from(SOME_FAILED),
    })
}

/// Says what is known before the work begins.
fn say(survey: &Survey, args: &Args) {
    let mut text = format!("{} rows", survey.rows);
    if survey.bad > 0 {
        let first: Vec<String> =
            survey.problems.iter().take(5).map(|row| row.number.to_string()).collect();
        let more = if survey.bad > 5 { ", …" } else { "" };
        text.push_str(&format!(
            ", of which {} cannot be used (row {}{more}; --check says why)",
            survey.bad,
            first.join(", ")
        ));
    }
    if survey.references > 0 && args.report.is_none() && args.shard.is_none() {
        text.push_str(&format!(
            "; {} have an impression to score against (--report DIR)",
            survey.references
        ));
    }
    output::note(&text);
}

fn check(survey: &Survey, json: bool) -> Result<ExitCode> {
    let error = |row: &Row| row.report.as_ref().err().cloned();
    if json {
        let problem = |row: &Row| {
            let error = error(row).map(|e| json!({ "code": e.code(), "message": e.to_string() }));
            json!({ "row": row.number, "line": row.line, "id": row.id, "error": error })
        };
        let problems: Vec<Value> = survey.problems.iter().map(problem).collect();
        output::object(&json!({
            "rows": survey.rows, "bad": survey.bad, "references": survey.references,
            "sha256": survey.sha256, "problems": problems,
        }))?;
    } else {
        for row in &survey.problems {
            let (code, what) = error(row).map(|e| (e.code(), e.to_string())).unwrap_or_default();
            output::line(&format!("row {} (line {}): {code}: {what}", row.number, row.line))?;
        }
        let hidden = survey.bad - survey.problems.len() as u64;
        if hidden > 0 {
            output::line(&format!("… and {hidden} more"))?;
        }
        output::line(&format!(
            "{} rows, {} of them cannot be used, {} have an impression",
            survey.rows, survey.bad, survey.references
        ))?;
    }
    Ok(if survey.bad == 0 { ExitCode::SUCCESS } else { ExitCode::from(SOME_FAILED) })
}
