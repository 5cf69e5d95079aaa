//! `radllama eval`: outputs of a system, generated or given, beside what it has to beat.
//!
//! Over several machines: each runs `--shard I/N --save O.I.jsonl`, then one scores all shards,
//! `--outputs O.0.jsonl --outputs O.1.jsonl …`, and joins them into one file if given `--save`.

pub(crate) mod generate;
pub(crate) mod inputs;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use radllama::data::atomic::AtomicFile;
use radllama::eval::outputs::{Output, Shard};
use radllama::eval::rouge::Rouge;
use radllama::eval::{Evaluation, Options, Report, System, baselines, evaluate, render, subsets};
use radllama::{Error, Result};
use serde_json::json;

use super::args::{ModelArgs, NamedFile, SamplingArgs, ScoringArgs};
use super::{output, resume};
use generate::Job;
use inputs::{read_outputs, read_reports, read_train};

/// Score a model's impressions, or given ones, beside the baselines they have to beat.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// JSON lines of {"id", "findings", "impression"}: the reports and their reference impressions.
    #[arg(long, value_name = "FILE")]
    pairs: PathBuf,
    /// JSON lines of {"id", "impression"}: what a system wrote. Repeat it for the shards of one system.
    #[arg(long, value_name = "FILE")]
    outputs: Vec<PathBuf>,
    /// Another system's outputs, such as the base model's without an adapter, to compare with. May be
    /// repeated; a name given twice joins shards.
    #[arg(long, value_name = "NAME=FILE")]
    compare: Vec<NamedFile>,
    /// Training pairs, for the retrieval baseline and to tell seen from unseen findings.
    #[arg(long, value_name = "FILE")]
    train: Option<PathBuf>,
    /// What tables call the system; usually the file's or the model's name.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The impression that the constant baseline always writes; usually the training pairs' most
    /// frequent one.
    #[arg(long, value_name = "TEXT")]
    constant: Option<String>,
    #[command(flatten)]
    scoring: ScoringArgs,
    /// Generate only the reports at positions I, I + N, I + 2 N, … of the pairs, I from 0 to N - 1, and
    /// score nothing.
    #[arg(long, value_name = "I/N", value_parser = shard, conflicts_with_all = ["outputs", "report", "per_item", "base"])]
    shard: Option<Shard>,
    /// Where generated outputs go, a line as soon as each is written; started again, the same run goes
    /// on where it stopped. Usually beside the pairs. With --outputs: write all of them here as one file.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Also generate without the adapter, zero-shot, to compare with.
    #[arg(long, conflicts_with_all = ["outputs", "shard"])]
    zero_shot: bool,
    /// Also generate with this model, as the base that the other was tuned from, to compare with.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["outputs", "zero_shot"])]
    base: Option<PathBuf>,
    /// Another instruction than "Derive the impression from findings in the radiology report".
    #[arg(long, value_name = "TEXT", conflicts_with = "outputs")]
    instruction: Option<String>,
    /// Score the reports that have an output, even if others have none.
    #[arg(long)]
    partial: bool,
    /// Write every report's scores, a JSON line each.
    #[arg(long, value_name = "FILE")]
    per_item: Option<PathBuf>,
    /// Write report.md and report.html, with plots, into this folder.
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// Show the reports with the lowest scores in report.html, with their text.
    #[arg(long, requires = "report")]
    with_text: bool,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    model: ModelArgs,
}

fn shard(text: &str) -> std::result::Result<Shard, String> {
    text.parse().map_err(|error: Error| error.to_string())
}

pub(crate) fn run(args: &Args, json: bool) -> Result<ExitCode> {
    if !args.outputs.is_empty() && args.model.model.is_some() {
        return Err(Error::BadOption {
            option: "model",
            value: "given together with outputs".into(),
            expected: "left out where outputs are given, or the other way round",
        });
    }
    let mut reports = read_reports(&args.pairs)?;
    let train = args.train.as_deref().map(read_train).transpose()?;
    // Compared files are read before hours of generating.
    let compared = NamedFile::joined(&args.compare)
        .into_iter()
        .map(|(name, files)| Ok((name.to_owned(), read_outputs(&files, &reports, args.partial)?)))
        .collect::<Result<Vec<_>>>()?;
    let mut given = Vec::new();
    if args.outputs.is_empty() {
        let mut job = Job {
            pairs: &args.pairs,
            reports: &reports,
            model: &args.model,
            sampling: &args.sampling,
            instruction: args.instruction.as_deref(),
            shard: args.shard,
            save: args.save.as_deref(),
            timings: false,
        };
        let done = generate::generate(&job)?;
        if let Some(shard) = args.shard {
            return say_shard(&done, shard, json);
        }
        let name = args.name.clone().unwrap_or(done.name);
        given.push((name, read_outputs(&[done.path], &reports, args.partial)?));
        if args.zero_shot || args.base.is_some() {
            let model = args.model.base(args.base.as_deref());
            let save = args.save.as_ref().map(|save| save.with_extension("base.jsonl"));
            (job.model, job.save) = (&model, save.as_deref());
            let done = generate::generate(&job)?;
            let outputs = read_outputs(&[done.path], &reports, args.partial)?;
            given.push(("base zero-shot".to_owned(), outputs));
        }
    } else {
        let settings = resume::common_settings(&args.outputs, generate::OPTION)?;
        let outputs = read_outputs(&args.outputs, &reports, args.partial)?;
        if let Some(path) = &args.save {
            generate::write_merged(path, outputs.iter().flatten(), settings.as_ref())?;
        }
        given.push((name(args), outputs));
    }
    given.extend(compared);
    let mut notes = Vec::new();
    keep_complete(&mut reports, &mut given, &mut notes)?;
    let lines: Vec<String> = given
        .first()
        .map(|(_, outputs)| outputs.iter().flatten().map(|o| o.impression.clone()).collect())
        .unwrap_or_default();
    let options = args.scoring.options();
    let texts = |outputs: Vec<Option<Output>>| {
        outputs.into_iter().flatten().map(|output| output.impression).collect()
    };
    let given = given.into_iter().map(|(name, outputs)| (name, texts(outputs))).collect();
    let constant = args.constant.as_deref();
    let evaluation = score(&reports, train.as_deref(), constant, given, notes, options)?;
    if let Some(path) = &args.per_item {
        write_per_item(path, &reports, &evaluation)?;
    }
    if let Some(folder) = &args.report {
        let texts = if args.with_text { lowest(&reports, &lines, &evaluation) } else { Vec::new() };
        write_report(folder, &evaluation, &texts)?;
    }
    if json {
        output::object(&evaluation.json())?;
    } else {
        output::text(&render::markdown(&evaluation))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn say_shard(done: &generate::Done, shard: Shard, json: bool) -> Result<ExitCode> {
    if json {
        output::object(&json!({
            "shard": shard.to_string(),
            "outputs": done.path.display().to_string(),
            "count": done.outputs,
            "resumed": done.resumed,
        }))?;
    } else {
        output::line(&format!(
            "shard {shard}: {} outputs in {}",
            done.outputs,
            done.path.display()
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// How many of the lowest scores --with-text shows.
const LOWEST: usize = 20;

fn lowest(reports: &[Report], outputs: &[String], evaluation: &Evaluation) -> Vec<render::Text> {
    let scores = evaluation.systems.first().map_or(&[][..], |system| &system.scores);
    let mut texts: Vec<render::Text> = reports
        .iter()
        .zip(outputs)
        .zip(scores)
        .map(|((report, output), scores)| render::Text {
            id: report.id.clone(),
            findings: report.findings.clone(),
            reference: report.impression.clone(),
            output: output.clone(),
            score: scores.rouge_l.f1,
        })
        .collect();
    texts.sort_by(|a, b| a.score.total_cmp(&b.score));
    texts.truncate(LOWEST);
    texts
}

/// Writes report.md and report.html.
pub(crate) fn write_report(
    folder: &Path,
    evaluation: &Evaluation,
    texts: &[render::Text],
) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, &error))?;
    let title = evaluation.systems.first().map_or("Evaluation", |system| system.name.as_str());
    let title = format!("Evaluation of {title}");
    for (name, text) in [
        ("report.md", render::markdown(evaluation)),
        ("report.html", render::html(evaluation, &title, texts)),
    ] {
        let mut file = AtomicFile::create(&folder.join(name))?;
        file.append(text.as_bytes())?;
        file.commit()?;
    }
    Ok(())
}

/// What to call the system.
fn name(args: &Args) -> String {
    let stem = args.outputs.first().and_then(|path| path.file_stem());
    let stem = stem.map(|stem| stem.to_string_lossy().into_owned());
    args.name.clone().or(stem).unwrap_or_else(|| "model".to_owned())
}

/// Drops the reports that a system has no output for (there are none unless --partial), so that all are
/// compared on the same.
fn keep_complete(
    reports: &mut Vec<Report>,
    given: &mut [(String, Vec<Option<Output>>)],
    notes: &mut Vec<String>,
) -> Result<()> {
    let complete: Vec<bool> = (0..reports.len())
        .map(|row| given.iter().all(|(_, outputs)| outputs[row].is_some()))
        .collect();
    let count = complete.iter().filter(|complete| **complete).count();
    if count == 0 {
        let what = "no report has an output of every system";
        return Err(Error::BadData { place: "the outputs".to_owned(), what: what.to_owned() });
    }
    if count < reports.len() {
        notes.push(format!(
            "Only {count} of {} reports have an output of every system; the others are left out.",
            reports.len()
        ));
    }
    fn keep<T>(list: &mut Vec<T>, complete: &[bool]) {
        let mut flags = complete.iter();
        list.retain(|_| flags.next() == Some(&true));
    }
    keep(reports, &complete);
    given.iter_mut().for_each(|(_, outputs)| keep(outputs, &complete));
    Ok(())
}

/// Adds the baselines and scores everything.
pub(crate) fn score(
    reports: &[Report],
    train: Option<&[Report]>,
    constant: Option<&str>,
    given: Vec<(String, Vec<String>)>,
    mut notes: Vec<String>,
    options: Options,
) -> Result<Evaluation> {
    let mut systems: Vec<System> = given
        .into_iter()
        .map(|(name, outputs)| System { name, about: "outputs as given".to_owned(), outputs })
        .collect();
    let (constant, from) = match (constant, train.and_then(baselines::most_frequent)) {
        (Some(text), _) => (text, "a given text"),
        (None, Some(text)) => (text, "the most frequent impression of the training pairs"),
        (None, None) => (baselines::CONSTANT, "the most frequent impression of OpenI"),
    };
    systems.push(System {
        name: "constant".to_owned(),
        about: format!("baseline: always {from}"),
        outputs: vec![constant.to_owned(); reports.len()],
    });
    systems.push(System {
        name: "copy".to_owned(),
        about: "baseline: the findings themselves".to_owned(),
        outputs: reports.iter().map(|report| report.findings.clone()).collect(),
    });
    if let Some(train) = train {
        let bar = output::steps_bar("nearest neighbours", reports.len() as u64);
        let findings = reports.iter().map(|report| report.findings.as_str());
        // Stems, whatever the scores are of: the baseline is to be the same one.
        let outputs =
            baselines::retrieval(train, findings, &mut Rouge::new(true), &mut || bar.inc(1));
        bar.finish_and_clear();
        systems.push(System {
            name: "retrieval".to_owned(),
            about: format!(
                "baseline: the consensus impression of the {} training reports with the nearest findings (TF-IDF)",
                baselines::NEIGHBOURS
            ),
            outputs,
        });
        let ids: std::collections::HashSet<&str> = train.iter().map(|r| r.id.as_str()).collect();
        let leaked = reports.iter().filter(|report| ids.contains(report.id.as_str())).count();
        if leaked > 0 {
            notes.push(format!(
                "{leaked} ids of the pairs are ids of training pairs too: if they are the same reports, these figures prove nothing."
            ));
        }
    }
    let train = train.map(|train| train.iter().map(|report| report.findings.as_str()));
    let (subsets, remarks) = subsets::subsets(reports, train);
    notes.extend(remarks);
    evaluate(reports, &systems, subsets, notes, options)
}

/// The first system's scores, a report a line in the order of the pairs.
fn write_per_item(path: &Path, reports: &[Report], evaluation: &Evaluation) -> Result<()> {
    let mut file = AtomicFile::create(path)?;
    let scores = evaluation.systems.first().map_or(&[][..], |system| &system.scores);
    for (report, scores) in reports.iter().zip(scores) {
        let mut line = json!(scores);
        line["id"] = report.id.as_str().into();
        file.append(format!("{line}\n").as_bytes())?;
    }
    file.commit()
}
