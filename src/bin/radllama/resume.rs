//! Files of outputs that a run appends to, a line a report, so that it can be stopped and taken up again.
//!
//! Beside `O.jsonl` stands `O.jsonl.run.json`, which says what the outputs were made with. It is written
//! first, and a run with other settings is refused: outputs of two models in one file would pass for those of
//! one. The outputs are appended a whole line at a time; of a line that a crash cut short nothing is kept.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use radllama::data::atomic::AtomicFile;
use radllama::digest::hex;
use radllama::engine::GenerateOptions;
use radllama::eval::outputs::Shard;
use radllama::manifest::Manifest;
use radllama::native::{AdapterSource, ModelFiles};
use radllama::{Error, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::args::ModelArgs;
use super::output;

/// What outputs depend on, but for what they are made from.
pub(crate) fn settings(
    files: &ModelFiles,
    model: &ModelArgs,
    options: &GenerateOptions,
    instruction: Option<&str>,
    shard: Option<Shard>,
) -> Result<Value> {
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
        "model": name(files),
        "model_sha256": files.sha256(),
        "adapter_sha256": adapter,
        "template": template.name(),
        "instruction": instruction,
        "context": model.context,
        // In Rust's own notation: whatever options there are, none is forgotten.
        "options": format!("{options:?}"),
        "shard": shard.map(|shard| shard.to_string()),
    }))
}

/// The model's name, with its adapter's where that was given.
pub(crate) fn name(files: &ModelFiles) -> String {
    match &files.adapter {
        AdapterSource::Folder(folder) => {
            let folder = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy();
            format!("{} + {folder}", files.name())
        }
        _ => files.name(),
    }
}

/// The SHA-256 of a file.
pub(crate) fn hash(path: &Path) -> Result<String> {
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

/// Where the settings of outputs stand.
pub(crate) fn side(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".run.json");
    name.into()
}

/// Writes the settings of outputs.
pub(crate) fn write_side(path: &Path, settings: &Value) -> Result<()> {
    let mut side = AtomicFile::create(&side(path))?;
    side.append(format!("{settings:#}\n").as_bytes())?;
    side.commit()
}

/// The settings of a whole run of which this is a shard.
pub(crate) fn without_shard(settings: &Value) -> Value {
    let mut settings = settings.clone();
    settings["shard"] = Value::Null;
    settings
}

/// The settings of outputs, where they are kept; `option` is what names another file of outputs.
pub(crate) fn read_side(path: &Path, option: &str) -> Result<Option<Value>> {
    let side = side(path);
    match std::fs::read(&side) {
        Ok(bytes) => match serde_json::from_slice::<Value>(&bytes) {
            Ok(value) if value.is_object() => Ok(Some(value)),
            _ => Err(Error::BadData {
                place: side.display().to_string(),
                what: format!(
                    "is not what radllama writes there; generate into another file ({option})"
                ),
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

/// Opens a file to be read and appended to by this process alone; it is made where it is not there.
pub(crate) fn lock(path: &Path) -> Result<File> {
    let io = |error: std::io::Error| Error::io(path, &error);
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let reason = "another run is writing it; wait for that, or give each its own file";
            Err(Error::Io { path: path.display().to_string(), reason: reason.into() })
        }
        Err(TryLockError::Error(error)) if error.kind() == std::io::ErrorKind::Unsupported => {
            Ok(file)
        }
        Err(TryLockError::Error(error)) => Err(io(error)),
    }
}

/// Opens outputs that were made with `settings`, or begins them. What was read to its end can be appended to.
/// `option` is what names another file of outputs.
pub(crate) fn open(path: &Path, settings: &Value, option: &str) -> Result<File> {
    let io = |error: std::io::Error| Error::io(path, &error);
    let mut file = lock(path)?;
    let length = file.metadata().map_err(io)?.len();
    if length == 0 {
        write_side(path, settings)?;
        return Ok(file);
    }
    let refuse = |what: String| Err(Error::BadData { place: path.display().to_string(), what });
    let Some(made_with) = read_side(path, option)? else {
        return refuse(format!(
            "its .run.json is missing, so that nobody knows what it was made with; generate into another file ({option})"
        ));
    };
    let differing = differing(&made_with, settings);
    if !differing.is_empty() {
        return refuse(format!(
            "was made with other settings ({}); generate into another file ({option}), or take this one away",
            differing.join(", ")
        ));
    }
    let whole = whole_lines(&mut file, length).map_err(io)?;
    if whole < length {
        output::note("the last line of the outputs was cut short and is written again");
        file.set_len(whole).map_err(io)?;
    }
    file.rewind().map_err(io)?;
    Ok(file)
}

/// Bytes up to the end of the last line that has one: each was written whole, with its end.
fn whole_lines(file: &mut File, length: u64) -> std::io::Result<u64> {
    const BLOCK: u64 = 1 << 16;
    let mut block = Vec::new();
    let mut end = length;
    while end > 0 {
        let begin = end.saturating_sub(BLOCK);
        block.resize((end - begin) as usize, 0);
        file.seek(SeekFrom::Start(begin))?;
        file.read_exact(&mut block)?;
        if let Some(at) = block.iter().rposition(|byte| *byte == b'\n') {
            return Ok(begin + at as u64 + 1);
        }
        end = begin;
    }
    Ok(0)
}

/// Checks that shards with a `.run.json` were made alike, and returns it without the shard.
///
/// # Errors
/// [`Error::BadData`] naming what differs.
pub(crate) fn common_settings(paths: &[PathBuf], option: &str) -> Result<Option<Value>> {
    let mut common: Option<(&Path, Value)> = None;
    for path in paths {
        let Some(found) = read_side(path, option)?.map(|settings| without_shard(&settings)) else {
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
