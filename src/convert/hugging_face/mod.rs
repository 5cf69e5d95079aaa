//! Checkpoints as Hugging Face's transformers saves them: `config.json`, `tokenizer.json`, and
//! `model.safetensors` or the shards of `model.safetensors.index.json`.
//!
//! The rows of q and k are in half-split rotary order there and become interleaved, as GGUF's llama
//! files have them (`permute` in llama.cpp's `convert_hf_to_gguf.py`).

mod config;
mod shards;
mod tokenizer;

use std::io::{Read, Seek};

pub use shards::shard_names;

use self::shards::Shards;
use super::{Base, SourceTensor, model_metadata, sha256_of};
use crate::config::LlamaConfig;
use crate::error::{Error, Result};
use crate::lora::Target;

/// The model's shape from a checkpoint's `config.json`.
///
/// # Errors
/// [`Error::UnsupportedArchitecture`] and [`Error::UnsupportedFeature`] for models that are no plain
/// Llama; [`Error::BadCheckpoint`] for what is not understood.
pub fn parse_config(json: &[u8]) -> Result<LlamaConfig> {
    config::parse(json).map(|(config, _)| config)
}

/// The small files of a checkpoint.
#[derive(Debug, Clone, Copy)]
pub struct Checkpoint<'a> {
    /// `config.json`
    pub config: &'a [u8],
    /// `tokenizer.json`
    pub tokenizer: &'a [u8],
    /// `chat_template.jinja`, or the template within `tokenizer_config.json`.
    pub chat_template: Option<&'a str>,
    /// `model.safetensors.index.json`, where there are shards.
    pub index: Option<&'a [u8]>,
    /// What to call the model.
    pub name: &'a str,
}

impl<R: Read + Seek> Base<R> {
    /// A checkpoint with its weight files, in the order of [`shard_names`].
    ///
    /// # Errors
    /// [`Error::UnsupportedArchitecture`] and [`Error::UnsupportedFeature`] for models that are no
    /// plain Llama; [`Error::BadCheckpoint`] for files that are damaged or do not belong together;
    /// [`Error::MissingTensor`], [`Error::UnexpectedTensor`], [`Error::WrongShape`];
    /// [`Error::BadTokenizer`], [`Error::VocabularyMismatch`]; [`Error::Io`].
    pub fn hugging_face(
        checkpoint: &Checkpoint<'_>,
        mut files: Vec<R>,
        names: &[&str],
    ) -> Result<Base<R>> {
        let (config, ends) = config::parse(checkpoint.config)?;
        let mut shards = Shards::open(&mut files, names, checkpoint.index)?;
        let mut tensors = Vec::new();
        for wanted in Wanted::all(&config) {
            let found = shards.take(&wanted.source, &wanted.shape)?;
            tensors.push(SourceTensor {
                name: wanted.name,
                ty: found.ty,
                dims: wanted.shape.into_iter().rev().collect(),
                file: found.file,
                offset: found.offset,
                half_split: wanted.half_split,
                updates: Vec::new(),
            });
        }
        shards.finish()?;
        let mut metadata = model_metadata(&config, checkpoint.name);
        metadata.extend(tokenizer::metadata(checkpoint, &ends, config.vocab_size)?);
        let hashes = files
            .iter_mut()
            .zip(names)
            .map(|(file, name)| sha256_of(file, name))
            .collect::<Result<_>>()?;
        let from = format!("Hugging Face checkpoint {}", checkpoint.name).trim_end().to_owned();
        Ok(Base { config, files, hashes, from, metadata, tensors })
    }
}

/// A tensor that a Llama has.
struct Wanted {
    /// GGUF's name.
    name: String,
    /// Hugging Face's name.
    source: String,
    /// Rows first.
    shape: Vec<u64>,
    half_split: Option<u64>,
}

impl Wanted {
    /// All of them, in the order of GGUF files.
    fn all(config: &LlamaConfig) -> Vec<Wanted> {
        let (d, v) = (u64::from(config.hidden_size), u64::from(config.vocab_size));
        let plain = |name: &str, source: &str, shape: &[u64]| Wanted {
            name: format!("{name}.weight"),
            source: format!("{source}.weight"),
            shape: shape.to_vec(),
            half_split: None,
        };
        let mut all = vec![plain("token_embd", "model.embed_tokens", &[v, d])];
        for i in 0..config.num_hidden_layers {
            let layer = format!("model.layers.{i}");
            let norm = |name: &str, source: &str| {
                plain(&format!("blk.{i}.{name}"), &format!("{layer}.{source}"), &[d])
            };
            let matrix = |target: Target| {
                let (out, cols) = target.shape(config);
                Wanted {
                    half_split: target.permuted_heads(config).map(|_| u64::from(config.head_dim)),
                    ..plain(
                        &format!("blk.{i}.{}", target.gguf_name()),
                        &format!("{layer}.{}.{}", target.parent(), target.name()),
                        &[u64::from(out), u64::from(cols)],
                    )
                }
            };
            all.push(norm("attn_norm", "input_layernorm"));
            all.extend([Target::Q, Target::K, Target::V, Target::O].map(matrix));
            all.push(norm("ffn_norm", "post_attention_layernorm"));
            all.extend([Target::Gate, Target::Up, Target::Down].map(matrix));
        }
        all.push(plain("output_norm", "model.norm", &[d]));
        if !config.tie_word_embeddings {
            all.push(plain("output", "lm_head", &[v, d]));
        }
        all
    }
}

fn bad(what: impl Into<String>) -> Error {
    Error::BadCheckpoint { what: what.into() }
}
