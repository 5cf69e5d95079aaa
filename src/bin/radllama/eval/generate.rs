//! Writing the outputs of a model, one line a report, so that a run can be stopped and taken up again.
//!
//! Beside `O.jsonl` stands `O.jsonl.run.json`, which says what the outputs were made with. It is written
//! first, and a run with other settings is refused: outputs of two models in one file would be scored as
//! one. The outputs are appended a whole line at a time; of a line that a crash cut short nothing is kept.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use radllama::data::atomic::AtomicFile;
use radllama::digest::{hex, sha256};
use radllama::engine::GenerateOptions;
use radllama::eval::Report;
use radllama::eval::outputs::{self, Shard};
use radllama::manifest::Manifest;
use radllama::native::{AdapterSource, ModelFiles};
use radllama::prompt::PromptRequest;
use radllama::{Error, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::super::args::{ModelArgs, SamplingArgs};
use super::super::output;
use super::super::session::{Prompt, Session};

/// What to generate.
pub(super) struct Job<'a> {
    pub(super) pairs: &'a Path,
    pub(super) reports: &'a [Report],
    pub(super) model: &'a ModelArgs,
    pub(super) sampling: &'a SamplingArgs,
    pub(super) instruction: Option<&'a str>,
    pub(super) shard: Option<Shard>,
    /// Where to; usually beside the pairs, under a name that tells runs apart.
    pub(super) save: Option<&'a Path>,
}

/// What was generated.
pub(super) struct Done {
    pub(super) path: PathBuf,
    /// What the model is called.
    pub(super) name: String,
    /// Outputs in the file, and those of them that were there before.
    pub(super) outputs: usize,
    pub(super) resumed: usize,
}

/// Generates whatever is not in the file yet.
pub(super) fn generate(job: &Job<'_>) -> Result<Done> {
    let files = job.model.open()?;
    let options = job.sampling.options(files.manifest.as_ref().and_then(|m| m.decoding));
    options.validate()?;
    let settings = settings(job, &files, &options)?;
    let path = match job.save {
        Some(path) => path.to_owned(),
        None => usual_path(job, &settings),
    };
    output::note(&format!("outputs go to {}", path.display()));
    let (mut file, done) = open(&path, &settings, job)?;
    let todo: Vec<&Report> = job
        .reports
        .iter()
        .enumerate()
        .filter(|(row, _)| job.shard.is_none_or(|shard| shard.has(*row)) && !done[*row])
        .map(|(_, report)| report)
        .collect();
    let resumed = done.iter().filter(|done| **done).count();
    let result = Done { path, name: name(&files), outputs: resumed + todo.len(), resumed };
    if todo.is_empty() {
        return Ok(result);
    }
    let mut session = Session::open(&files, job.model)?;
    let bar = output::slow_bar("writing", todo.len() as u64);
    for report in todo {
        let request =
            PromptRequest { findings: &report.findings, instruction: job.instruction, prior: None };
        let line = match session.generate(&Prompt::Report(request), &options, false) {
            Ok(generation) => json!({
                "id": report.id,
                "impression": generation.text.trim(),
                "tokens": generation.ids.len(),
                "stop": generation.stop,
            }),
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
    let adapter = match (&files.adapter, &files.manifest) {
        (AdapterSource::Folder(folder), _) => {
            let file = |name| hash(&folder.join(name));
            Some([file("adapter_config.json")?, file("adapter_model.safetensors")?])
        }
        (AdapterSource::Manifest, Some(Manifest { adapter: Some(adapter), .. })) => {
            Some([adapter.config.sha256.clone(), adapter.weights.sha256.clone()])
        }
        _ => None,
    };
    let template = files.template(&files.tokenizer()?)?;
    Ok(json!({
        "radllama": env!("CARGO_PKG_VERSION"),
        "pairs_sha256": hash(job.pairs)?,
        "reports": job.reports.len(),
        "model": name(files),
        "model_sha256": files.sha256(),
        "adapter_sha256": adapter,
        "template": template.name(),
        "instruction": job.instruction,
        "context": job.model.context,
        // In Rust's own notation: whatever options there are, none is forgotten.
        "options": format!("{options:?}"),
        "shard": job.shard.map(|shard| shard.to_string()),
    }))
}

/// The model's name, with its adapter's where that was given.
fn name(files: &ModelFiles) -> String {
    match &files.adapter {
        AdapterSource::Folder(folder) => {
            let folder = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy();
            format!("{} + {folder}", files.name())
        }
        _ => files.name(),
    }
}

fn hash(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(|error| Error::io(path, &error))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(|error| Error::io(path, &error))? {
            0 => return Ok(hex(hash.finalize())),
            read => hash.update(&buffer[..read]),
        }
    }
}

/// `val.outputs-1a2b3c4d.jsonl` beside `val.jsonl`, `….0-of-4.jsonl` for a shard.
fn usual_path(job: &Job<'_>, settings: &Value) -> PathBuf {
    let run = sha256(without_shard(settings).to_string());
    let stem = job.pairs.file_stem().unwrap_or_default().to_string_lossy();
    let shard = job.shard.map_or_else(String::new, |s| format!(".{}-of-{}", s.index, s.count));
    job.pairs.with_file_name(format!("{stem}.outputs-{}{shard}.jsonl", &run[..8]))
}

/// Where the settings of outputs stand.
fn side(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".run.json");
    name.into()
}

fn without_shard(settings: &Value) -> Value {
    let mut settings = settings.clone();
    settings["shard"] = Value::Null;
    settings
}

fn read_side(path: &Path) -> Result<Option<Value>> {
    let side = side(path);
    match std::fs::read(&side) {
        Ok(bytes) => match serde_json::from_slice::<Value>(&bytes) {
            Ok(value) if value.is_object() => Ok(Some(value)),
            _ => Err(Error::BadData {
                place: side.display().to_string(),
                what: "is not what radllama writes there; generate into another file (--save)"
                    .into(),
            }),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(&side, &error)),
    }
}

/// Names of the settings that differ.
fn differing(a: &Value, b: &Value) -> Vec<String> {
    let names = a.as_object().into_iter().chain(b.as_object()).flat_map(|object| object.keys());
    let mut names: Vec<String> = names.filter(|name| a[*name] != b[*name]).cloned().collect();
    names.sort();
    names.dedup();
    names
}

/// Opens the outputs for appending and says which reports are done.
fn open(path: &Path, settings: &Value, job: &Job<'_>) -> Result<(File, Vec<bool>)> {
    let io = |error: std::io::Error| Error::io(path, &error);
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(io)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let reason = "another run is writing it; wait for that, or give each its own file";
            return Err(Error::Io { path: path.display().to_string(), reason: reason.into() });
        }
        Err(TryLockError::Error(error)) if error.kind() == std::io::ErrorKind::Unsupported => {}
        Err(TryLockError::Error(error)) => return Err(io(error)),
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(io)?;
    if bytes.is_empty() {
        let mut side = AtomicFile::create(&side(path))?;
        side.append(format!("{settings:#}\n").as_bytes())?;
        side.commit()?;
        return Ok((file, vec![false; job.reports.len()]));
    }
    let place = path.display().to_string();
    let refuse = |what: String| Err(Error::BadData { place: place.clone(), what });
    let Some(made_with) = read_side(path)? else {
        return refuse(
            "its .run.json is missing, so that nobody knows what it was made with; generate into another file (--save)".into(),
        );
    };
    let differing = differing(&made_with, settings);
    if !differing.is_empty() {
        return refuse(format!(
            "was made with other settings ({}); generate into another file (--save), or take this one away",
            differing.join(", ")
        ));
    }
    // Each line was written whole, with its end; what has none was cut short.
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    if whole < bytes.len() {
        output::note("the last line of the outputs was cut short and is written again");
        file.set_len(whole as u64).map_err(io)?;
        bytes.truncate(whole);
    }
    file.seek(SeekFrom::End(0)).map_err(io)?;
    if bytes.trim_ascii().is_empty() {
        return Ok((file, vec![false; job.reports.len()]));
    }
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| Error::BadData { place: place.clone(), what: "is not UTF-8".into() })?;
    let ids: Vec<&str> = job.reports.iter().map(|report| report.id.as_str()).collect();
    let done = outputs::collect([(&*place, text)], &ids, true)?;
    Ok((file, done.iter().map(Option::is_some).collect()))
}

/// Checks that shards with a `.run.json` were made alike, and returns it without the shard.
///
/// # Errors
/// [`Error::BadData`] naming what differs.
pub(super) fn common_settings(paths: &[PathBuf]) -> Result<Option<Value>> {
    let mut common: Option<(&Path, Value)> = None;
    for path in paths {
        let Some(found) = read_side(path)?.map(|settings| without_shard(&settings)) else {
            continue;
        };
        match &common {
            None => common = Some((path, found)),
            Some((first, settings)) => {
                let differing = differing(settings, &found);
                if !differing.is_empty() {
                    let what = format!(
                        "was made with other settings than {} ({}): these are not shards of one run",
                        first.display(),
                        differing.join(", ")
                    );
                    return Err(Error::BadData { place: path.display().to_string(), what });
                }
            }
        }
    }
    Ok(common.map(|(_, settings)| settings))
}

/// Writes outputs in the order given into one file, with its `.run.json` where there is one.
pub(super) fn write_merged<'o>(
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
        let mut file = AtomicFile::create(&side(path))?;
        file.append(format!("{settings:#}\n").as_bytes())?;
        file.commit()?;
    }
    file.commit()
}
