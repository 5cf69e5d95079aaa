//! `radllama guard`: impressions checked against their findings, and the checks themselves measured.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use radllama::data::PairReader;
use radllama::data::atomic::AtomicFile;
use radllama::eval::faithfulness::{self, Case, Figures};
use radllama::guard::{Guard, Lexicon, Report};
use radllama::{Error, Result};
use serde_json::{Value, json};

use super::output;

/// Check impressions against their findings: sides, measurements, negations, findings, degenerate text.
///
/// With --json a JSON line for each pair: {"id", "lines": [{"text", "support"}], "flags": [{"kind",
/// "severity", "line", "start", "end", "message"}]}; places count Unicode scalar values, of the impression
/// in flags and of the findings in support.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// JSON lines of {"id", "findings", "impression"}, with "prior" (or "comparison") where something is
    /// known of an earlier examination; "stop": "length" says that the token limit ended the impression.
    #[arg(long, value_name = "FILE")]
    pairs: PathBuf,
    /// A lexicon of one's own that adds to the built-in one (docs/guard.md).
    #[arg(long, value_name = "FILE")]
    lexicon: Option<PathBuf>,
    /// Measure the guard: how often it flags these impressions, and which errors planted in them it finds.
    #[arg(long)]
    eval: bool,
    /// Seed of the planted errors.
    #[arg(long, value_name = "N", default_value_t = 0, requires = "eval")]
    seed: u64,
    /// Write figures.json, report.md and confusion.jsonl (ids and kinds, no text) into this folder.
    #[arg(long, value_name = "DIR", requires = "eval")]
    report: Option<PathBuf>,
    /// Write the flagged impressions and the missed errors with their text into this file, to be read.
    #[arg(long, value_name = "FILE", requires = "eval")]
    with_text: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, json: bool) -> Result<ExitCode> {
    let guard = open(args.lexicon.as_deref())?;
    if args.eval {
        return evaluate(args, &guard, json);
    }
    each(&args.pairs, |pair| {
        let prior = pair.prior.as_deref();
        let report = match pair.cut {
            true => guard.check_cut(&pair.findings, &pair.impression, prior),
            false => guard.check(&pair.findings, &pair.impression, prior),
        };
        if json {
            output::object(&line(&pair.id, &report))
        } else {
            output::text(&readable(&pair.id, &report))
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The guard, with a lexicon of the user's own where there is one.
pub(crate) fn open(lexicon: Option<&Path>) -> Result<Guard> {
    let Some(path) = lexicon else { return Guard::built_in() };
    let text = std::fs::read(path).map_err(|error| Error::io(path, &error))?;
    let name = path.display().to_string();
    let text = String::from_utf8(text).map_err(|error| Error::BadData {
        place: name.clone(),
        what: format!("is not UTF-8 at byte {}", error.utf8_error().valid_up_to() + 1),
    })?;
    Ok(Guard::new(Lexicon::extended(&name, &text)?))
}

/// Reads the pairs one by one; each id must stand once.
fn each(path: &Path, mut done: impl FnMut(faithfulness::Pair) -> Result<()>) -> Result<()> {
    let mut reader = PairReader::open(path)?;
    let mut places: HashMap<String, String> = HashMap::new();
    while let Some(pair) = reader.next() {
        let pair = pair?;
        if let Some(first) = places.insert(pair.id.clone(), reader.place()) {
            return Err(Error::DuplicateId { id: pair.id, first, second: reader.place() });
        }
        let prior = match pair.extra.get("prior") {
            None | Some(Value::Null) => pair.comparison,
            Some(Value::String(prior)) => Some(prior.clone()),
            Some(_) => {
                let what = "\"prior\" must be a text".to_owned();
                return Err(Error::BadData { place: reader.place(), what });
            }
        };
        // As the outputs of `eval` and `batch` have it.
        let cut = pair.extra.get("stop").and_then(Value::as_str) == Some("length");
        let (id, findings, impression, mesh) = (pair.id, pair.findings, pair.impression, pair.mesh);
        done(faithfulness::Pair { id, findings, impression, prior, cut, mesh })?;
    }
    Ok(())
}

fn line(id: &str, report: &Report) -> Value {
    let lines: Vec<Value> = report
        .lines
        .iter()
        .map(|line| json!({ "text": line.text, "support": line.support }))
        .collect();
    json!({ "id": id, "lines": lines, "flags": report.flags })
}

fn readable(id: &str, report: &Report) -> String {
    let mut text = format!("{id}\n");
    for (number, line) in report.lines.iter().enumerate() {
        let flat = line.text.split_whitespace().collect::<Vec<_>>().join(" ");
        text.push_str(&format!("  {flat}\n"));
        for flag in report.flags.iter().filter(|flag| flag.line == number) {
            let (severity, kind) = (flag.severity.name(), flag.kind.name());
            text.push_str(&format!("    {severity} {kind}: {}\n", flag.message));
        }
    }
    for flag in report.flags.iter().filter(|flag| flag.line >= report.lines.len()) {
        let (severity, kind) = (flag.severity.name(), flag.kind.name());
        text.push_str(&format!("  {severity} {kind}: {}\n", flag.message));
    }
    text
}

fn evaluate(args: &Args, guard: &Guard, json: bool) -> Result<ExitCode> {
    let mut pairs = Vec::new();
    each(&args.pairs, |pair| {
        pairs.push(pair);
        Ok(())
    })?;
    if pairs.is_empty() {
        let what =
            "holds no pairs; one object {\"id\", \"findings\", \"impression\"} a line is expected";
        let place = args.pairs.display().to_string();
        return Err(Error::BadData { place, what: what.to_owned() });
    }
    let begin = Instant::now();
    for pair in &pairs {
        guard.check(&pair.findings, &pair.impression, pair.prior.as_deref());
    }
    let micros = begin.elapsed().as_secs_f64() * 1e6 / pairs.len() as f64;
    let cases = faithfulness::plant(&pairs, args.seed);
    let figures = faithfulness::measure(guard, &pairs, &cases);
    if let Some(folder) = &args.report {
        write_report(folder, &pairs, &cases, &figures, micros)?;
    }
    if let Some(path) = &args.with_text {
        write_text(path, guard, &pairs, &cases, &figures)?;
    }
    if json {
        output::object(&figures.json(micros))?;
    } else {
        output::text(&figures.markdown(micros))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn write_report(
    folder: &Path,
    pairs: &[faithfulness::Pair],
    cases: &[Case],
    figures: &Figures,
    micros: f64,
) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, &error))?;
    let mut confusion = String::new();
    for (row, kinds) in &figures.hard {
        let line = json!({ "id": pairs[*row].id, "planted": null, "flagged": kinds });
        confusion.push_str(&format!("{line}\n"));
    }
    for outcome in &figures.outcomes {
        let case = &cases[outcome.case];
        let line = json!({
            "id": pairs[case.row].id, "planted": case.planted, "caught": outcome.caught,
            "flagged": outcome.kinds,
        });
        confusion.push_str(&format!("{line}\n"));
    }
    for (name, text) in [
        ("figures.json", format!("{}\n", figures.json(micros))),
        ("report.md", figures.markdown(micros)),
        ("confusion.jsonl", confusion),
    ] {
        write(&folder.join(name), &text)?;
    }
    Ok(())
}

/// Flagged impressions and missed errors, with their text.
fn write_text(
    path: &Path,
    guard: &Guard,
    pairs: &[faithfulness::Pair],
    cases: &[Case],
    figures: &Figures,
) -> Result<()> {
    let mut text = String::new();
    for (row, _) in &figures.hard {
        let pair = &pairs[*row];
        let report = guard.check(&pair.findings, &pair.impression, pair.prior.as_deref());
        let line = json!({
            "id": pair.id, "findings": pair.findings, "impression": pair.impression,
            "flags": report.flags,
        });
        text.push_str(&format!("{line}\n"));
    }
    for outcome in figures.outcomes.iter().filter(|outcome| !outcome.caught) {
        let case = &cases[outcome.case];
        let pair = &pairs[case.row];
        let line = json!({
            "id": pair.id, "planted": case.planted, "findings": pair.findings, "text": case.text,
            "flagged": outcome.kinds,
        });
        text.push_str(&format!("{line}\n"));
    }
    write(path, &text)
}

fn write(path: &Path, text: &str) -> Result<()> {
    let mut file = AtomicFile::create(path)?;
    file.append(text.as_bytes())?;
    file.commit()
}
