//! Checkpoints of karpathy/llama2.c in its first ("legacy", version 0) format: seven i32, then f32
//! tensors, the layers of each kind one after another (`export.py`, `run.c`). Its RoPE turns
//! neighbouring pairs, as GGUF's llama does, so rows need no permutation.

use std::io::{Read, Seek, SeekFrom, Write};

use super::{Options, Report, SourceTensor, Vocabulary};
use super::{model_metadata, read_at, sha256_of, stamp, write_model};
use crate::config::LlamaConfig;
use crate::error::{Error, Result};
use crate::gguf::TensorType;

/// Constants that the format does not store (`run.c`).
const RMS_NORM_EPS: f32 = 1e-5;
const ROPE_THETA: f32 = 10_000.0;
const HEADER_BYTES: u64 = 28;

/// Converts a checkpoint with its vocabulary. `name` is the source's name, for messages; `open`
/// makes the writer of the named file.
///
/// # Errors
/// [`Error::BadConfig`] for a header that describes no model, [`Error::Truncated`] when the file's
/// length is not what the header asks for, [`Error::VocabularyMismatch`]; [`Error::BadWeight`] for
/// weights that the type cannot hold; [`Error::Io`].
pub fn llama2c<R: Read + Seek, W: Write>(
    source: &mut R,
    name: &str,
    vocabulary: &Vocabulary,
    options: &Options,
    open: &mut dyn FnMut(&str) -> Result<W>,
) -> Result<Report> {
    let mut head = [0; HEADER_BYTES as usize];
    let found = source.seek(SeekFrom::End(0)).map_err(|error| Error::io(name, &error))?;
    if found < HEADER_BYTES {
        return Err(Error::Truncated { name: name.to_owned(), expected: HEADER_BYTES, found });
    }
    read_at(source, name, 0, &mut head)?;
    let config = config_from(&head)?;
    if vocabulary.len() != config.vocab_size as usize {
        let (tokenizer, model) = (vocabulary.len(), config.vocab_size as usize);
        return Err(Error::VocabularyMismatch { tokenizer, model });
    }
    let (tensors, expected) = tensors_of(&config);
    if found != expected {
        return Err(Error::Truncated { name: name.to_owned(), expected, found });
    }

    let mut metadata = model_metadata(&config, &options.name);
    metadata.extend(vocabulary.metadata());
    let options = Options { target: options.target.or(Some(TensorType::F32)), ..options.clone() };
    let sha256 = sha256_of(source, name)?;
    stamp(&mut metadata, &options, &format!("llama2.c checkpoint {name}"), sha256);
    write_model(std::slice::from_mut(source), &tensors, &metadata, &options, open)
}

fn config_from(head: &[u8; HEADER_BYTES as usize]) -> Result<LlamaConfig> {
    let mut fields = [0i32; 7];
    for (field, b) in fields.iter_mut().zip(head.chunks_exact(4)) {
        *field = i32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    }
    let [dim, hidden, layers, heads, kv_heads, vocab, context] = fields;
    let size = |name: &str, value: i32| {
        u32::try_from(value).ok().filter(|&v| v > 0).ok_or_else(|| Error::BadConfig {
            what: format!("the llama2.c header has {name} = {value}"),
        })
    };
    let (dim, heads) = (size("dim", dim)?, size("n_heads", heads)?);
    if dim % heads != 0 {
        let what = format!("the llama2.c header has dim {dim} and {heads} heads");
        return Err(Error::BadConfig { what });
    }
    let config = LlamaConfig {
        hidden_size: dim,
        intermediate_size: size("hidden_dim", hidden)?,
        num_hidden_layers: size("n_layers", layers)?,
        num_attention_heads: heads,
        num_key_value_heads: size("n_kv_heads", kv_heads)?,
        head_dim: dim / heads,
        vocab_size: size("vocab_size", vocab.saturating_abs())?,
        max_position_embeddings: size("seq_len", context)?,
        rms_norm_eps: RMS_NORM_EPS,
        rope_theta: ROPE_THETA,
        tie_word_embeddings: vocab > 0, // the sign marks a separate classifier
    };
    config.validate()?;
    Ok(config)
}

/// The tensors in GGUF's order, and the length that the file must have.
fn tensors_of(config: &LlamaConfig) -> (Vec<SourceTensor>, u64) {
    let [d, f, v] =
        [config.hidden_size, config.intermediate_size, config.vocab_size].map(u64::from);
    let (q, kv) = (u64::from(config.attention_size()), u64::from(config.kv_size()));
    let layers = u64::from(config.num_hidden_layers);
    let mut at = HEADER_BYTES;
    let mut take = |weights: u64| {
        let offset = at;
        at += 4 * weights;
        offset
    };
    let tensor = |name: String, dims: &[u64], offset: u64| SourceTensor {
        name,
        ty: TensorType::F32,
        dims: dims.to_vec(),
        file: 0,
        offset,
        half_split: None,
        updates: Vec::new(),
    };

    let embedding = take(v * d);
    // In the file's order; each kind holds all layers.
    let kinds: [(&str, Vec<u64>); 9] = [
        ("attn_norm", vec![d]),
        ("attn_q", vec![d, q]),
        ("attn_k", vec![d, kv]),
        ("attn_v", vec![d, kv]),
        ("attn_output", vec![q, d]),
        ("ffn_norm", vec![d]),
        ("ffn_gate", vec![d, f]), // w1
        ("ffn_down", vec![f, d]), // w2
        ("ffn_up", vec![d, f]),   // w3
    ];
    let starts = kinds.each_ref().map(|(_, dims)| take(layers * dims.iter().product::<u64>()));
    let final_norm = take(d);
    // cos and sin of RoPE, which is computed instead.
    take(u64::from(config.max_position_embeddings) * u64::from(config.head_dim));
    let classifier = (!config.tie_word_embeddings).then(|| take(v * d));

    let mut tensors = vec![tensor("token_embd.weight".to_owned(), &[d, v], embedding)];
    for layer in 0..layers {
        for ((kind, dims), start) in kinds.iter().zip(starts) {
            let offset = start + 4 * layer * dims.iter().product::<u64>();
            tensors.push(tensor(format!("blk.{layer}.{kind}.weight"), dims, offset));
        }
    }
    tensors.push(tensor("output_norm.weight".to_owned(), &[d], final_norm));
    if let Some(classifier) = classifier {
        tensors.push(tensor("output.weight".to_owned(), &[d, v], classifier));
    }
    (tensors, at)
}
