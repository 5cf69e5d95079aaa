//! What Hugging Face's libraries save, from the file system: transformers' checkpoints and PEFT's adapters.

use std::cell::RefCell;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::rc::Rc;

use serde_json::Value;

use super::{name_of, read};
use crate::config::LlamaConfig;
use crate::convert::{Base, Checkpoint, Options, merge, parse_config, shard_names};
use crate::error::{Error, Result};
use crate::gguf::TensorType;
use crate::model::loader::{Part, Store};
use crate::model::{Loader, Weights};

/// Opens a folder with `config.json`, `tokenizer.json` and `model.safetensors` or its shards. `name` is
/// what to call the model.
///
/// # Errors
/// [`Error::Io`]; what [`Base::hugging_face`] finds.
pub fn open_checkpoint(folder: &Path, name: &str) -> Result<Base<File>> {
    let optional = |name: &str| {
        let path = folder.join(name);
        path.is_file().then(|| read(&path)).transpose()
    };
    let config = read(&folder.join("config.json"))?;
    let tokenizer = read(&folder.join("tokenizer.json"))?;
    let template =
        chat_template(optional("chat_template.jinja")?, optional("tokenizer_config.json")?);
    // transformers looks for the single file first, too.
    let single = "model.safetensors";
    let index = match folder.join(single).is_file() {
        true => None,
        false => Some(read(&folder.join("model.safetensors.index.json"))?),
    };
    let names = match &index {
        Some(index) => shard_names(index)?,
        None => vec![single.to_owned()],
    };
    let open = |name: &String| {
        let path = folder.join(name);
        File::open(&path).map_err(|error| Error::io(&path, &error))
    };
    let files = names.iter().map(open).collect::<Result<_>>()?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let checkpoint = Checkpoint {
        config: &config,
        tokenizer: &tokenizer,
        chat_template: template.as_deref(),
        index: index.as_deref(),
        name,
    };
    Base::hugging_face(&checkpoint, files, &names)
}

/// The shape of the model in such a folder, without a look at its weights.
///
/// # Errors
/// [`Error::Io`]; what is wrong with `config.json`.
pub fn checkpoint_config(folder: &Path) -> Result<LlamaConfig> {
    parse_config(&read(&folder.join("config.json"))?)
}

fn chat_template(jinja: Option<Vec<u8>>, config: Option<Vec<u8>>) -> Option<String> {
    if let Some(text) = jinja {
        return String::from_utf8(text).ok();
    }
    let config: Value = serde_json::from_slice(&config?).ok()?;
    config["chat_template"].as_str().map(str::to_owned)
}

/// Reads a checkpoint's weights into a store, in f32, without a file in between.
///
/// # Errors
/// As [`open_checkpoint`]; what [`merge`] and [`Loader`] find.
pub fn load_checkpoint<S: Store>(folder: &Path, store: S) -> Result<Weights<S>> {
    let name = name_of(folder);
    let base = open_checkpoint(folder, &name)?;
    let sha256 = base.hashes().to_vec();
    let options = Options { name, target: Some(TensorType::F32), ..Options::default() };
    let part = Part { name: options.name.clone(), ..Part::default() };
    let loading =
        Rc::new(RefCell::new(Loading { loader: Loader::new(store, vec![part]), error: None }));
    let written = merge(base, Vec::new(), &options, &mut |_| Ok(Pipe(Rc::clone(&loading))));
    let loading = Rc::into_inner(loading).map(RefCell::into_inner);
    let Loading { loader, error } =
        loading.ok_or_else(|| Error::Internal("the conversion kept its writer".into()))?;
    // What the loader found explains better than the writer why the writing failed.
    error.map_or(Ok(()), Err)?;
    written?;
    Ok(Weights { sha256, ..loader.finish()? })
}

/// `adapter_config.json` and `adapter_model.safetensors` of a PEFT adapter's folder, as bytes.
///
/// # Errors
/// [`Error::Io`].
pub fn read_peft(folder: &Path) -> Result<(Vec<u8>, Vec<u8>)> {
    let file = |name| read(&folder.join(name));
    Ok((file("adapter_config.json")?, file("adapter_model.safetensors")?))
}

struct Loading<S> {
    loader: Loader<S>,
    error: Option<Error>,
}

/// Hands what is written to the loader.
struct Pipe<S>(Rc<RefCell<Loading<S>>>);

impl<S: Store> Write for Pipe<S> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut loading = self.0.borrow_mut();
        match loading.loader.push(0, bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(error) => {
                let told = std::io::Error::other(error.to_string());
                loading.error = Some(error);
                Err(told)
            }
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
