//! `radllama study`: a blinded reader study, from systems' outputs to a file for www/study.html, and from
//! the readers' files to figures.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use radllama::data::atomic::AtomicFile;
use radllama::eval::outputs;
use radllama::stats::bootstrap::RESAMPLES;
use radllama::study::{Item, Options, Study, analyse, file, plan, ratings, report};
use radllama::{Error, Result};
use serde_json::json;

use super::args::{NamedFile, read_text};
use super::output;

/// Blinded reader studies: radiologists judge several systems' impressions side by side.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Plan(PlanArgs),
    Report(ReportArgs),
}

/// Make a study file from reports and what two to four systems wrote of them. Readers open it in
/// study.html.
#[derive(Debug, clap::Args)]
struct PlanArgs {
    /// JSON lines of {"id", "findings"} or a CSV table with these columns; "impression", where it is
    /// there, is the reference.
    #[arg(long, value_name = "FILE")]
    pairs: PathBuf,
    /// A system's outputs, JSON lines of {"id", "impression"} as `eval` and `batch` write them. A name
    /// given twice joins shards.
    #[arg(long = "system", value_name = "NAME=FILE", required = true)]
    systems: Vec<NamedFile>,
    /// Let the reference impressions take part as one more system, blinded like the others, under this
    /// name.
    #[arg(long, value_name = "NAME")]
    reference: Option<String>,
    /// Take N reports, drawn by the seed from those that every system has an output for.
    #[arg(long, value_name = "N")]
    sample: Option<usize>,
    /// Of the sample, of the order of reports and of the places of systems.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// What the study is called.
    #[arg(long, value_name = "TEXT", default_value = "")]
    title: String,
    /// The study file.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Write down which system stands where for this reader, as a CSV table: the key that readers must
    /// not see. May be repeated.
    #[arg(long = "key", value_name = "READER=FILE")]
    keys: Vec<NamedFile>,
}

/// Merge readers' files and say what they found: means, differences, preferences, agreement.
#[derive(Debug, clap::Args)]
struct ReportArgs {
    /// CSV files that study.html exported.
    #[arg(required = true, value_name = "FILE")]
    ratings: Vec<PathBuf>,
    /// The study file: readers' files of another study are refused, and the report has its title.
    #[arg(long, value_name = "FILE")]
    study: Option<PathBuf>,
    /// Write report.html, with plots, report.md, figures.csv, figures.json and ratings.csv, all readers'
    /// rows, into this folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Draws of the bootstrap.
    #[arg(long, value_name = "N", default_value_t = RESAMPLES)]
    resamples: usize,
    /// Seed of the bootstrap.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

pub(crate) fn run(args: &Args, json: bool) -> Result<ExitCode> {
    match &args.command {
        Command::Plan(args) => plan_study(args, json),
        Command::Report(args) => say_report(args, json),
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| Error::io(path, &error))
}

fn write(path: &Path, text: &str) -> Result<()> {
    let mut file = AtomicFile::create(path)?;
    file.append(text.as_bytes())?;
    file.commit()
}

fn plan_study(args: &PlanArgs, json: bool) -> Result<ExitCode> {
    let mut items = file::findings(&args.pairs.display().to_string(), &read(&args.pairs)?)?;
    let mut systems: Vec<(&str, Vec<Option<String>>)> = Vec::new();
    for (name, paths) in NamedFile::joined(&args.systems) {
        let texts = paths
            .iter()
            .map(|path| Ok((path.display().to_string(), read_text(path)?)))
            .collect::<Result<Vec<_>>>()?;
        let ids: Vec<&str> = items.iter().map(|item| item.id.as_str()).collect();
        let files = texts.iter().map(|(name, text)| (&**name, &**text));
        let found = outputs::collect(files, &ids, true)?;
        let texts = found.into_iter().map(|output| Some(output?.impression)).collect();
        systems.push((name, texts));
    }
    if let Some(name) = &args.reference {
        systems.push((name, items.iter().map(|item| item.reference.clone()).collect()));
    }
    let complete = |row: &usize| systems.iter().all(|(_, outputs)| outputs[*row].is_some());
    let mut rows: Vec<usize> = (0..items.len()).filter(complete).collect();
    let (reports, usable) = (items.len(), rows.len());
    if let Some(wanted) = args.sample {
        rows = sample(&items, rows, wanted, args.seed)?;
    }
    let mut lines = String::new();
    lines.push_str(&format!("{}\n", json!({ "study": args.title, "seed": args.seed })));
    for row in rows {
        let item = std::mem::take(&mut items[row]);
        let mut line = json!({ "id": item.id, "findings": item.findings, "outputs": {} });
        if let Some(reference) = item.reference {
            line["reference"] = reference.into();
        }
        for (name, outputs) in &systems {
            line["outputs"][*name] = outputs[row].as_deref().unwrap_or_default().into();
        }
        lines.push_str(&format!("{line}\n"));
    }
    // What is written is what readers' pages will read.
    let name = args.out.display().to_string();
    let study = Study::parse(&name, lines.as_bytes())?;
    for key in &args.keys {
        write(&key.path, &plan::key(&study, &key.name)?)?;
    }
    write(&args.out, &lines)?;
    if json {
        output::object(&json!({
            "study": study.hash(),
            "reports": study.items.len(),
            "systems": study.systems,
            "left_out": reports - usable,
            "out": name,
        }))?;
    } else {
        output::line(&format!(
            "study {}: {} reports, {} systems, in {name}",
            study.hash(),
            study.items.len(),
            study.systems.len()
        ))?;
        if usable < reports {
            output::note(&format!("{} reports lack an output and were left out", reports - usable));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `wanted` of `rows` in their order, chosen by the seed: those whose ids have the smallest hashes.
fn sample(items: &[Item], mut rows: Vec<usize>, wanted: usize, seed: u64) -> Result<Vec<usize>> {
    if wanted == 0 || wanted > rows.len() {
        return Err(Error::BadOption {
            option: "sample",
            value: format!("{wanted}, of {} reports with an output of every system", rows.len()),
            expected: "at least 1 and no more than there are",
        });
    }
    rows.sort_by_cached_key(|row| radllama::digest::sha256(format!("{seed} {}", items[*row].id)));
    rows.truncate(wanted);
    rows.sort_unstable();
    Ok(rows)
}

fn say_report(args: &ReportArgs, json: bool) -> Result<ExitCode> {
    let study = match &args.study {
        Some(path) => Some(Study::parse(&path.display().to_string(), &read(path)?)?),
        None => None,
    };
    let files = args
        .ratings
        .iter()
        .map(|path| Ok((path.display().to_string(), read(path)?)))
        .collect::<Result<Vec<_>>>()?;
    let files: Vec<(&str, &[u8])> =
        files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    let hash = study.as_ref().map(Study::hash);
    let records = ratings::merge(&files, hash.as_deref())?;
    let analysis = analyse(&records, Options { resamples: args.resamples, seed: args.seed })?;
    let title = study.as_ref().map_or("", |study| study.title.as_str());
    let figures = report::json(&analysis)?;
    if let Some(folder) = &args.out {
        std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, &error))?;
        for (name, text) in [
            ("ratings.csv", ratings::csv(&records)),
            ("figures.csv", report::csv(&analysis)),
            ("figures.json", format!("{figures:#}\n")),
            ("report.md", report::markdown(&analysis, title)),
            ("report.html", report::html(&analysis, title)),
        ] {
            write(&folder.join(name), &text)?;
        }
    }
    if json {
        output::object(&figures)?;
    } else {
        output::text(&report::markdown(&analysis, title))?;
    }
    Ok(ExitCode::SUCCESS)
}
