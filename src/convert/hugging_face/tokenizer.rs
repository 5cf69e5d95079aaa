//! `tokenizer.json` as GGUF metadata.

use super::config::Ends;
use super::{Checkpoint, bad};
use crate::convert::Vocabulary;
use crate::error::{Error, Result};
use crate::gguf::{Array, Value};
use crate::tokenizer::TokenizerSpec;

/// Type of a token that no text becomes.
const UNUSED: i32 = 5;

/// The `tokenizer` keys: SentencePiece with scores where the file has byte fallback, else byte-level
/// BPE with merges. Rows of the embedding that have no token get unused ones, as in llama.cpp's
/// converter.
pub(super) fn metadata(
    checkpoint: &Checkpoint<'_>,
    ends: &Ends,
    vocab_size: u32,
) -> Result<Vec<(String, Value)>> {
    let spec = TokenizerSpec::from_tokenizer_json(checkpoint.tokenizer)?;
    let wanted = vocab_size as usize;
    if spec.tokens.len() > wanted {
        let tokenizer = spec.tokens.len();
        return Err(Error::VocabularyMismatch { tokenizer, model: wanted });
    }
    let mut keys = if spec.model == "llama" {
        let mut vocabulary = Vocabulary::from_tokenizer_json(checkpoint.tokenizer)?;
        for id in vocabulary.len()..wanted {
            vocabulary.tokens.push(unused(id));
            vocabulary.scores.push(0.0);
            vocabulary.types.push(UNUSED);
        }
        let mut keys = vocabulary.metadata();
        if let Some(prefix) = spec.add_space_prefix {
            super::super::set(&mut keys, "tokenizer.ggml.add_space_prefix", Value::Bool(prefix));
        }
        keys
    } else {
        byte_level(spec, ends, wanted)?
    };
    if let Some(template) = checkpoint.chat_template {
        keys.push(("tokenizer.chat_template".to_owned(), Value::String(template.to_owned())));
    }
    Ok(keys)
}

fn unused(id: usize) -> String {
    format!("[PAD{id}]")
}

fn byte_level(mut spec: TokenizerSpec, ends: &Ends, wanted: usize) -> Result<Vec<(String, Value)>> {
    for id in spec.tokens.len()..wanted {
        spec.tokens.push(unused(id));
        spec.token_types.push(UNUSED);
    }
    let eos = ends.eos.or(spec.eos).ok_or_else(|| bad("config.json lacks eos_token_id"))?;
    let bos = spec.bos.or(ends.bos).unwrap_or(eos);
    if eos.max(bos) as usize >= wanted {
        return Err(bad(format!("config.json ends texts with token {}", eos.max(bos))));
    }
    let text = |text: String| Value::String(text);
    let keys = [
        ("model", text(spec.model)),
        ("pre", text(spec.pre.unwrap_or_default())),
        ("tokens", Value::Array(Array::String(spec.tokens))),
        ("token_type", Value::Array(Array::I32(spec.token_types))),
        ("merges", Value::Array(Array::String(spec.merges))),
        ("bos_token_id", Value::U32(bos)),
        ("eos_token_id", Value::U32(eos)),
        ("add_bos_token", Value::Bool(spec.add_bos.unwrap_or(false))),
    ];
    Ok(keys.into_iter().map(|(key, value)| (format!("tokenizer.ggml.{key}"), value)).collect())
}
