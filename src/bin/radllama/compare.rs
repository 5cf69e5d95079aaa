//! `radllama compare`: several systems on one file of reports, in one table. docs/compare.md says how
//! systems are named.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser as _;
use radllama::data::PairReader;
use radllama::data::atomic::AtomicFile;
use radllama::eval::outputs::Output;
use radllama::eval::render::systems as render;
use radllama::eval::rouge::Rouge;
use radllama::eval::table::{Entry, Written, tabulate};
use radllama::eval::{Report, baselines};
use radllama::{Error, Result};
use serde_json::Value;

use super::args::{ModelArgs, SamplingArgs, ScoringArgs};
use super::eval::generate::{Job, generate};
use super::eval::inputs::{read_outputs, read_reports, read_train};
use super::{guard, output};

/// Put several systems into one table: ROUGE with intervals, length, what the guard flags, speed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// JSON lines of {"id", "findings", "impression"}: the reports and their reference impressions.
    #[arg(long, value_name = "FILE")]
    pairs: PathBuf,
    /// A system and what it is: model[:PATH][,OPTION=VALUE…] with the options of `eval` (adapter=DIR,
    /// no-adapter, beams=4, temperature=0.7, instruction=…), outputs:FILE, constant[:TEXT], retrieval,
    /// copy or reference. Repeat it; the first is the one that differences are taken to. outputs with a
    /// name that was given before joins shards.
    #[arg(long = "system", value_name = "NAME=SPEC", required = true)]
    systems: Vec<String>,
    /// Training pairs, for retrieval and for the constant.
    #[arg(long, value_name = "FILE")]
    train: Option<PathBuf>,
    /// Where table.md, table.html, table.csv, table.json go, and each model's outputs as NAME.jsonl, a line
    /// as soon as it is written: started again, the same comparison goes on where it stopped.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// What the table is called.
    #[arg(long, value_name = "TEXT", default_value = "Systems compared")]
    title: String,
    /// Leave out the reports that a system has no output for.
    #[arg(long)]
    partial: bool,
    /// A lexicon of one's own for the guard, that adds to the built-in one (docs/guard.md).
    #[arg(long, value_name = "FILE")]
    lexicon: Option<PathBuf>,
    #[command(flatten)]
    scoring: ScoringArgs,
}

/// What writes the impressions.
enum Spec {
    Constant(Option<String>),
    Copy,
    Reference,
    Retrieval,
    Outputs(Vec<PathBuf>),
    Model(Box<ModelSpec>),
}

/// The options of a model, as on the command line of `eval`.
#[derive(Debug, clap::Parser)]
#[command(no_binary_name = true, disable_help_flag = true)]
struct ModelSpec {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    sampling: SamplingArgs,
    /// Another instruction.
    #[arg(long)]
    instruction: Option<String>,
}

fn bad(value: impl Into<String>, expected: &'static str) -> Error {
    Error::BadOption { option: "system", value: value.into(), expected }
}

/// The systems in order, each name once.
fn systems(args: &[String]) -> Result<Vec<(String, Spec)>> {
    const FORM: &str = "NAME=SPEC, such as base=model,no-adapter or mine=outputs:FILE";
    const KINDS: &str = "model, outputs:FILE, constant, retrieval, copy or reference";
    let mut systems: Vec<(String, Spec)> = Vec::new();
    for arg in args {
        let (name, spec) = arg.split_once('=').ok_or_else(|| bad(arg, FORM))?;
        let name = name.trim();
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err(bad(arg, FORM));
        }
        let kind_ends = spec.find([':', ',']).unwrap_or(spec.len());
        let (kind, rest) = spec.split_at(kind_ends);
        let value = rest.strip_prefix(':').filter(|value| !value.is_empty());
        let spec = match (kind, value) {
            ("constant", value) => Spec::Constant(value.map(str::to_owned)),
            ("copy", None) => Spec::Copy,
            ("reference", None) => Spec::Reference,
            ("retrieval", None) => Spec::Retrieval,
            ("outputs", Some(path)) => Spec::Outputs(vec![path.into()]),
            ("model", _) => Spec::Model(Box::new(model(name, rest)?)),
            _ => return Err(bad(arg, KINDS)),
        };
        match systems.iter_mut().find(|(known, _)| known == name) {
            None => systems.push((name.to_owned(), spec)),
            Some((_, Spec::Outputs(paths))) if matches!(spec, Spec::Outputs(_)) => {
                if let Spec::Outputs(more) = spec {
                    paths.extend(more);
                }
            }
            Some(_) => return Err(bad(arg, "a name that no other system has")),
        }
    }
    Ok(systems)
}

/// `:PATH,beams=4,no-adapter` as arguments.
fn model(name: &str, spec: &str) -> Result<ModelSpec> {
    let (path, options) = match spec.strip_prefix(':') {
        Some(rest) => rest.split_once(',').unwrap_or((rest, "")),
        None => ("", spec.strip_prefix(',').unwrap_or(spec)),
    };
    let path = (!path.is_empty()).then(|| format!("--model={path}"));
    let options = options.split(',').filter(|option| !option.trim().is_empty());
    let options = options.map(|option| match option.trim().split_once('=') {
        Some((key, value)) => format!("--{}={value}", key.replace('_', "-")),
        None => format!("--{}", option.trim().replace('_', "-")),
    });
    ModelSpec::try_parse_from(path.into_iter().chain(options)).map_err(|error| {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
        bad(
            format!("{name}: {first}"),
            "model[:PATH] with options of `radllama eval`, such as model,beams=4",
        )
    })
}

pub(crate) fn run(args: &Args, json: bool) -> Result<ExitCode> {
    let systems = systems(&args.systems)?;
    let guard = guard::open(args.lexicon.as_deref())?;
    let mut reports = read_reports(&args.pairs)?;
    let train = args.train.as_deref().map(read_train).transpose()?;
    if train.is_none() && systems.iter().any(|(_, spec)| matches!(spec, Spec::Retrieval)) {
        let expected = "given with --train for the system retrieval";
        return Err(Error::BadOption { option: "train", value: "missing".into(), expected });
    }
    // Files that are given are read before hours of generating.
    let mut given = Vec::new();
    for (_, spec) in &systems {
        given.push(match spec {
            Spec::Outputs(paths) => Some(read_outputs(paths, &reports, args.partial)?),
            _ => None,
        });
    }
    std::fs::create_dir_all(&args.out).map_err(|error| Error::io(&args.out, &error))?;
    let stems = stems(&systems);
    let mut entries: Vec<(Entry, Vec<bool>)> = Vec::new();
    for (((name, spec), given), stem) in systems.iter().zip(given).zip(stems) {
        let (about, outputs) = match spec {
            Spec::Outputs(_) => ("outputs as given".to_owned(), given.unwrap_or_default()),
            Spec::Model(spec) => {
                let save = args.out.join(format!("{stem}.jsonl"));
                let done = generate(&Job {
                    pairs: &args.pairs,
                    reports: &reports,
                    model: &spec.model,
                    sampling: &spec.sampling,
                    instruction: spec.instruction.as_deref(),
                    shard: None,
                    save: Some(&save),
                    timings: true,
                })?;
                (done.name, read_outputs(&[done.path], &reports, false)?)
            }
            _ => {
                let (about, texts) = baseline(spec, &reports, train.as_deref());
                let written = texts.into_iter().map(Written::text).collect();
                let whole = vec![true; reports.len()];
                entries.push((Entry { name: name.clone(), about, written }, whole));
                continue;
            }
        };
        let there = outputs.iter().map(Option::is_some).collect();
        let written = |output: Option<Output>| output.map(Written::from).unwrap_or_default();
        let written = outputs.into_iter().map(written).collect();
        entries.push((Entry { name: name.clone(), about, written }, there));
    }
    let mut priors = priors(&args.pairs)?;
    let notes = keep_complete(&mut reports, &mut priors, &mut entries)?;
    let entries: Vec<Entry> = entries.into_iter().map(|(entry, _)| entry).collect();
    let options = args.scoring.options();
    let table = tabulate(&reports, &priors, &entries, &guard, notes, options)?;
    let figures = render::json(&table);
    for (name, text) in [
        ("table.md", render::markdown(&table, &args.title)),
        ("table.html", render::html(&table, &args.title)),
        ("table.csv", render::csv(&table)),
        ("table.json", format!("{figures:#}\n")),
    ] {
        write(&args.out.join(name), &text)?;
    }
    if json {
        output::object(&figures)?;
    } else {
        output::text(&render::markdown(&table, &args.title))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn write(path: &Path, text: &str) -> Result<()> {
    let mut file = AtomicFile::create(path)?;
    file.append(text.as_bytes())?;
    file.commit()
}

/// A file's name for each system: letters and digits of its own, told apart by a number where they are
/// the same.
fn stems(systems: &[(String, Spec)]) -> Vec<String> {
    let mut stems: Vec<String> = Vec::new();
    for (name, _) in systems {
        let clean = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' };
        let stem: String = name.chars().map(clean).collect();
        let stem = stem.trim_start_matches('.').to_owned();
        let again = (2..).map(|n| format!("{stem}-{n}"));
        let free = std::iter::once(stem.clone()).chain(again).find(|s| !stems.contains(s));
        stems.push(free.unwrap_or(stem));
    }
    stems
}

/// What a baseline is, and its outputs.
fn baseline(spec: &Spec, reports: &[Report], train: Option<&[Report]>) -> (String, Vec<String>) {
    let each = |of: &dyn Fn(&Report) -> String| reports.iter().map(of).collect();
    match spec {
        Spec::Constant(text) => {
            let (text, from) = match (text, train.and_then(baselines::most_frequent)) {
                (Some(text), _) => (text.as_str(), "a given text"),
                (None, Some(text)) => (text, "the most frequent impression of the training pairs"),
                (None, None) => (baselines::CONSTANT, "the most frequent impression of OpenI"),
            };
            (format!("baseline: always {from}"), vec![text.to_owned(); reports.len()])
        }
        Spec::Copy => {
            ("baseline: the findings themselves".to_owned(), each(&|r| r.findings.clone()))
        }
        Spec::Reference => {
            let about = "the reference impressions: what the guard flags of people’s own";
            (about.to_owned(), each(&|r| r.impression.clone()))
        }
        _ => {
            let bar = output::steps_bar("nearest neighbours", reports.len() as u64);
            let findings = reports.iter().map(|report| report.findings.as_str());
            let train = train.unwrap_or_default();
            let outputs =
                baselines::retrieval(train, findings, &mut Rouge::new(true), &mut || bar.inc(1));
            bar.finish_and_clear();
            let about = format!(
                "baseline: the consensus impression of the {} training reports with the nearest findings (TF-IDF)",
                baselines::NEIGHBOURS
            );
            (about, outputs)
        }
    }
}

/// What is known of an earlier examination, for each report: the guard asks for it.
fn priors(path: &Path) -> Result<Vec<Option<String>>> {
    PairReader::open(path)?
        .map(|pair| {
            let pair = pair?;
            let prior = pair.extra.get("prior").and_then(Value::as_str).map(str::to_owned);
            Ok(prior.or(pair.comparison))
        })
        .collect()
}

/// Leaves out the reports that a system has no output for (there are none unless --partial).
fn keep_complete(
    reports: &mut Vec<Report>,
    priors: &mut Vec<Option<String>>,
    entries: &mut [(Entry, Vec<bool>)],
) -> Result<Vec<String>> {
    fn keep<T>(list: &mut Vec<T>, complete: &[bool]) {
        let mut flags = complete.iter();
        list.retain(|_| flags.next() == Some(&true));
    }
    let complete: Vec<bool> =
        (0..reports.len()).map(|row| entries.iter().all(|(_, there)| there[row])).collect();
    let (count, all) = (complete.iter().filter(|whole| **whole).count(), reports.len());
    if count == 0 {
        let what = "no report has an output of every system".to_owned();
        return Err(Error::BadData { place: "the outputs".to_owned(), what });
    }
    if count == all {
        return Ok(Vec::new());
    }
    keep(reports, &complete);
    keep(priors, &complete);
    entries.iter_mut().for_each(|(entry, _)| keep(&mut entry.written, &complete));
    Ok(vec![format!(
        "Only {count} of {all} reports have an output of every system; the others are left out."
    )])
}
