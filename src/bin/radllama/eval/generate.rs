//! Writing the outputs of a model, one line a report, so that a run can be stopped and taken up again.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use radllama::data::atomic::AtomicFile;
use radllama::digest::sha256;
use radllama::engine::GenerateOptions;
use radllama::eval::Report;
use radllama::eval::outputs::{self, Shard};
use radllama::native::ModelFiles;
use radllama::prompt::PromptRequest;
use radllama::{Error, Result};
use serde_json::{Value, json};

use super::super::args::{ModelArgs, SamplingArgs};
use super::super::output;
use super::super::resume;
use super::super::session::{Prompt, Session};

/// The option that names another file.
pub(crate) const OPTION: &str = "--save";

/// What to generate.
pub(crate) struct Job<'a> {
    pub(crate) pairs: &'a Path,
    pub(crate) reports: &'a [Report],
    pub(crate) model: &'a ModelArgs,
    pub(crate) sampling: &'a SamplingArgs,
    pub(crate) instruction: Option<&'a str>,
    pub(crate) shard: Option<Shard>,
    /// Where to; usually beside the pairs, under a name that tells runs apart.
    pub(crate) save: Option<&'a Path>,
    /// Whether to write down what each output took; the bytes are others every time then.
    pub(crate) timings: bool,
}

/// What was generated.
pub(crate) struct Done {
    pub(crate) path: PathBuf,
    /// What the model is called.
    pub(crate) name: String,
    /// Outputs in the file, and those of them that were there before.
    pub(crate) outputs: usize,
    pub(crate) resumed: usize,
}

/// Generates whatever is not in the file yet.
pub(crate) fn generate(job: &Job<'_>) -> Result<Done> {
    let files = job.model.open()?;
    let options = job.sampling.options(files.manifest.as_ref().and_then(|m| m.decoding));
    options.validate()?;
    let settings = settings(job, &files, &options)?;
    let path = match job.save {
        Some(path) => path.to_owned(),
        None => usual_path(job, &settings),
    };
    output::note(&format!("outputs go to {}", path.display()));
    let mut file = resume::open(&path, &settings, OPTION)?;
    let done = done(&path, &mut file, job)?;
    let todo: Vec<&Report> = job
        .reports
        .iter()
        .enumerate()
        .filter(|(row, _)| job.shard.is_none_or(|shard| shard.has(*row)) && !done[*row])
        .map(|(_, report)| report)
        .collect();
    let resumed = done.iter().filter(|done| **done).count();
    let result = Done { path, name: resume::name(&files), outputs: resumed + todo.len(), resumed };
    if todo.is_empty() {
        return Ok(result);
    }
    let mut session = Session::open(&files, job.model)?;
    let bar = output::slow_bar("writing", todo.len() as u64);
    for report in todo {
        let request =
            PromptRequest { findings: &report.findings, instruction: job.instruction, prior: None };
        let line = match session.generate(&Prompt::Report(request), &options, false) {
            Ok(generation) => {
                let mut line = json!({
                    "id": report.id,
                    "impression": generation.text.trim(),
                    "tokens": generation.ids.len(),
                    "stop": generation.stop,
                });
                if job.timings {
                    line["timings"] = json!(generation.timings);
                }
                line
            }
            // What cannot be asked has no answer, and counts as an empty one.
            Err(
                error
                @ (Error::PromptTooLong { .. } | Error::BadText { .. } | Error::EmptyFindings),
            ) => json!({ "id": report.id, "impression": "", "error": error.code() }),
            Err(error) => return Err(error),
        };
        let line = format!("{line}\n");
        file.write_all(line.as_bytes()).map_err(|error| Error::io(&result.path, &error))?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    file.sync_all().map_err(|error| Error::io(&result.path, &error))?;
    Ok(result)
}

/// What the outputs depend on.
fn settings(job: &Job<'_>, files: &ModelFiles, options: &GenerateOptions) -> Result<Value> {
    let mut settings = resume::settings(files, job.model, options, job.instruction, job.shard)?;
    settings["pairs_sha256"] = resume::hash(job.pairs)?.into();
    settings["reports"] = job.reports.len().into();
    Ok(settings)
}

/// Which reports have an output in the file, whose end is where the next is written.
fn done(path: &Path, file: &mut File, job: &Job<'_>) -> Result<Vec<bool>> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|error| Error::io(path, &error))?;
    if bytes.trim_ascii().is_empty() {
        return Ok(vec![false; job.reports.len()]);
    }
    let place = path.display().to_string();
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| Error::BadData { place: place.clone(), what: "is not UTF-8".into() })?;
    let ids: Vec<&str> = job.reports.iter().map(|report| report.id.as_str()).collect();
    let done = outputs::collect([(&*place, text)], &ids, true)?;
    Ok(done.iter().map(Option::is_some).collect())
}

/// `val.outputs-1a2b3c4d.jsonl` beside `val.jsonl`, `….0-of-4.jsonl` for a shard.
fn usual_path(job: &Job<'_>, settings: &Value) -> PathBuf {
    let run = sha256(resume::without_shard(settings).to_string());
    let stem = job.pairs.file_stem().unwrap_or_default().to_string_lossy();
    let shard = job.shard.map_or_else(String::new, |s| format!(".{}-of-{}", s.index, s.count));
    job.pairs.with_file_name(format!("{stem}.outputs-{}{shard}.jsonl", &run[..8]))
}

/// Writes outputs in the order given into one file, with its `.run.json` where there is one.
pub(crate) fn write_merged<'o>(
    path: &Path,
    outputs: impl IntoIterator<Item = &'o outputs::Output>,
    settings: Option<&Value>,
) -> Result<()> {
    let mut file = AtomicFile::create(path)?;
    for output in outputs {
        let line = serde_json::to_string(&output.line)
            .map_err(|error| Error::Internal(error.to_string()))?;
        file.append(format!("{line}\n").as_bytes())?;
    }
    if let Some(settings) = settings {
        resume::write_side(path, settings)?;
    }
    file.commit()
}
