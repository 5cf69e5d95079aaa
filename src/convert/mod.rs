//! Conversions into GGUF: llama2.c checkpoints ([`llama2c`]), GGUF itself, requantized or split
//! anew ([`requantize`]), and a base of Hugging Face or GGUF files with adapters merged into it
//! ([`Base`], [`merge`]). Sources are anything that reads and seeks, targets anything that writes;
//! rows pass through in pieces, so the size of a model does not matter.

mod base;
mod hugging_face;
mod llama2c;
mod merge;
mod requantize;
mod rows;
mod vocabulary;
mod write;

use std::io::{Read, Seek, SeekFrom};

use sha2::{Digest, Sha256};

pub use base::Base;
pub use hugging_face::{Checkpoint, parse_config, shard_names};
pub use llama2c::llama2c;
pub use merge::merge;
pub use requantize::requantize;
pub use vocabulary::Vocabulary;

use crate::config::LlamaConfig;
use crate::digest::hex;
use crate::error::{Error, Result};
use crate::gguf::{TensorType, Value};
use crate::quant::encode::{QuantError, Quantizer};
use rows::Update;
use write::write_model;

/// What to write.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Stem of the files' names: `NAME.gguf`, or `NAME-00001-of-00003.gguf`.
    pub name: String,
    /// Type of the matrices; `None` keeps the source's types. Vectors (norms) become F32 with any
    /// type given, and matrices whose columns are no multiple of the type's block become F16.
    pub target: Option<TensorType>,
    /// Another type for `token_embd.weight` and `output.weight`.
    pub embedding: Option<TensorType>,
    /// How scales are chosen.
    pub quantizer: Quantizer,
    /// Splits into files of at most so many bytes.
    pub max_part_bytes: Option<u64>,
    /// Further metadata that tells where the model comes from, written as `radllama.KEY`.
    pub provenance: Vec<(String, String)>,
}

/// What was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The files, in order.
    pub parts: Vec<PartReport>,
    /// The tensors, in order.
    pub tensors: Vec<TensorReport>,
}

/// One file that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartReport {
    /// The file's name.
    pub name: String,
    /// The file's length.
    pub bytes: u64,
    /// SHA-256 of the file, in lower-case hexadecimal.
    pub sha256: String,
}

/// One tensor that was written.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorReport {
    /// ggml's name.
    pub name: String,
    /// Type in the source.
    pub from: TensorType,
    /// Type written.
    pub to: TensorType,
    /// What quantization cost, against the weights with all adapters; zero where the bytes were copied.
    pub error: QuantError,
}

/// A tensor in one of the source files.
struct SourceTensor {
    name: String,
    ty: TensorType,
    dims: Vec<u64>,
    /// Index of the file.
    file: usize,
    /// First byte in the file.
    offset: u64,
    /// The width of a head where the rows of each head are in Hugging Face's half-split order, which
    /// is to become GGUF's interleaved one.
    half_split: Option<u64>,
    /// What to add to the weights.
    updates: Vec<Update>,
}

/// Bytes read at a time.
const COPY_BYTES: usize = 1 << 20;

/// SHA-256 of a whole source.
fn sha256_of(source: &mut (impl Read + Seek), name: &str) -> Result<String> {
    source.seek(SeekFrom::Start(0)).map_err(|error| Error::io(name, &error))?;
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0; COPY_BYTES]);
    loop {
        match source.read(&mut buffer) {
            Ok(0) => return Ok(hex(hasher.finalize())),
            Ok(read) => hasher.update(&buffer[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io(name, &error)),
        }
    }
}

fn read_at(source: &mut (impl Read + Seek), name: &str, at: u64, out: &mut [u8]) -> Result<()> {
    source
        .seek(SeekFrom::Start(at))
        .and_then(|_| source.read_exact(out))
        .map_err(|error| Error::io(name, &error))
}

/// Replaces the value of a key, or appends it.
fn set(metadata: &mut Vec<(String, Value)>, key: &str, value: Value) {
    match metadata.iter_mut().find(|(k, _)| k == key) {
        Some((_, old)) => *old = value,
        None => metadata.push((key.to_owned(), value)),
    }
}

/// `general.file_type`, llama.cpp's `enum llama_ftype`.
fn file_type(ty: TensorType) -> Option<u32> {
    match ty {
        TensorType::F32 => Some(0),
        TensorType::F16 => Some(1),
        TensorType::Q4_0 => Some(2),
        TensorType::Q4_1 => Some(3),
        TensorType::Q8_0 => Some(7),
        _ => None,
    }
}

/// Sets the keys that every conversion sets: the type, and where the model comes from.
fn stamp(metadata: &mut Vec<(String, Value)>, options: &Options, from: &str, sha256: String) {
    if let Some(ty) = options.target.and_then(file_type) {
        set(metadata, "general.file_type", Value::U32(ty));
        set(metadata, "general.quantization_version", Value::U32(2));
    }
    let version = concat!("radllama ", env!("CARGO_PKG_VERSION"));
    set(metadata, "radllama.converted_by", Value::String(version.to_owned()));
    set(metadata, "radllama.converted_from", Value::String(from.to_owned()));
    set(metadata, "radllama.source_sha256", Value::String(sha256));
    for (key, value) in &options.provenance {
        set(metadata, &format!("radllama.{key}"), Value::String(value.clone()));
    }
}

impl Options {
    fn type_for(&self, tensor: &SourceTensor) -> TensorType {
        let is_embedding = matches!(tensor.name.as_str(), "token_embd.weight" | "output.weight");
        let wanted = if is_embedding { self.embedding.or(self.target) } else { self.target };
        let Some(wanted) = wanted else { return tensor.ty };
        if tensor.dims.len() < 2 {
            return TensorType::F32;
        }
        match wanted.row_bytes(tensor.dims[0]) {
            Some(_) => wanted,
            None => TensorType::F16,
        }
    }
}

/// The `general` and `llama` keys of a model.
fn model_metadata(config: &LlamaConfig, name: &str) -> Vec<(String, Value)> {
    let text = |text: &str| Value::String(text.to_owned());
    let mut keys = vec![
        ("general.architecture", text("llama")),
        ("general.type", text("model")),
        ("general.name", text(name)),
        ("llama.block_count", Value::U32(config.num_hidden_layers)),
        ("llama.context_length", Value::U32(config.max_position_embeddings)),
        ("llama.embedding_length", Value::U32(config.hidden_size)),
        ("llama.feed_forward_length", Value::U32(config.intermediate_size)),
        ("llama.attention.head_count", Value::U32(config.num_attention_heads)),
        ("llama.attention.head_count_kv", Value::U32(config.num_key_value_heads)),
        ("llama.attention.layer_norm_rms_epsilon", Value::F32(config.rms_norm_eps)),
        ("llama.rope.freq_base", Value::F32(config.rope_theta)),
        ("llama.rope.dimension_count", Value::U32(config.head_dim)),
        ("llama.vocab_size", Value::U32(config.vocab_size)),
    ];
    if config.attention_size() != config.hidden_size {
        keys.push(("llama.attention.key_length", Value::U32(config.head_dim)));
        keys.push(("llama.attention.value_length", Value::U32(config.head_dim)));
    }
    keys.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}
