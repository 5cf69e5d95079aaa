//! What a tokenizer is built from: the `tokenizer.*` metadata of a GGUF file, or the same facts read
//! from elsewhere.

use crate::gguf::{Header, Value};
use crate::{Error, Result};

/// The tokenizer metadata of a GGUF file, key by key (GGUF specification, section "Tokenizer").
///
/// The three arrays are indexed by token id. Absent optional keys take the defaults llama.cpp gives
/// them for the model kind.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TokenizerSpec {
    /// `tokenizer.ggml.model`: `llama` (SentencePiece) or `gpt2` (byte-level BPE).
    pub model: String,
    /// `tokenizer.ggml.pre`: how `gpt2` text is cut into words; ignored for `llama`.
    pub pre: Option<String>,
    /// `tokenizer.ggml.tokens`: the text of each token.
    pub tokens: Vec<String>,
    /// `tokenizer.ggml.scores`: SentencePiece scores, the higher the earlier merged. `llama` only.
    pub scores: Vec<f32>,
    /// `tokenizer.ggml.token_type`: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused,
    /// 6 byte. Empty means that all are normal.
    pub token_types: Vec<i32>,
    /// `tokenizer.ggml.merges`: `left right`, in the order of their rank.
    pub merges: Vec<String>,
    /// `tokenizer.ggml.bos_token_id`.
    pub bos: Option<u32>,
    /// `tokenizer.ggml.eos_token_id`.
    pub eos: Option<u32>,
    /// `tokenizer.ggml.unknown_token_id`.
    pub unk: Option<u32>,
    /// `tokenizer.ggml.padding_token_id`.
    pub pad: Option<u32>,
    /// `tokenizer.ggml.add_bos_token`.
    pub add_bos: Option<bool>,
    /// `tokenizer.ggml.add_eos_token`.
    pub add_eos: Option<bool>,
    /// `tokenizer.ggml.add_space_prefix`: SentencePiece's dummy prefix.
    pub add_space_prefix: Option<bool>,
    /// `tokenizer.chat_template`: a Jinja template. Kept for inspection, never executed.
    pub chat_template: Option<String>,
}

impl TokenizerSpec {
    /// Reads the same facts from Hugging Face's `tokenizer.json`, which has no scores.
    ///
    /// # Errors
    /// [`crate::Error::BadTokenizer`] for a layout that is none of those that
    /// [`Tokenizer::from_json`](super::Tokenizer::from_json) reads.
    pub fn from_tokenizer_json(json: &[u8]) -> Result<Self> {
        super::json::read(json)
    }

    /// Copies the tokenizer metadata out of a GGUF header.
    ///
    /// # Errors
    /// [`Error::MissingMetadata`] when the model name or the tokens are absent, or a key that is
    /// there has another type.
    pub fn from_header(header: &Header) -> Result<Self> {
        Ok(Self {
            model: header.str("tokenizer.ggml.model")?.to_owned(),
            pre: string(header, "tokenizer.ggml.pre")?,
            tokens: header.strings("tokenizer.ggml.tokens")?.to_vec(),
            scores: array(header, "tokenizer.ggml.scores", "an array of f32", |v| {
                Some(v.as_array()?.as_f32s()?.to_vec())
            })?,
            token_types: array(header, "tokenizer.ggml.token_type", "an array of i32", |v| {
                v.as_array()?.to_i32s()
            })?,
            merges: array(header, "tokenizer.ggml.merges", "an array of strings", |v| {
                Some(v.as_array()?.as_strings()?.to_vec())
            })?,
            bos: id(header, "tokenizer.ggml.bos_token_id")?,
            eos: id(header, "tokenizer.ggml.eos_token_id")?,
            unk: id(header, "tokenizer.ggml.unknown_token_id")?,
            pad: id(header, "tokenizer.ggml.padding_token_id")?,
            add_bos: optional(header, "tokenizer.ggml.add_bos_token", "a bool", Value::as_bool)?,
            add_eos: optional(header, "tokenizer.ggml.add_eos_token", "a bool", Value::as_bool)?,
            add_space_prefix: optional(
                header,
                "tokenizer.ggml.add_space_prefix",
                "a bool",
                Value::as_bool,
            )?,
            chat_template: string(header, "tokenizer.chat_template")?,
        })
    }
}

/// `None` for an absent key, an error for one of another type.
fn optional<T>(
    header: &Header,
    key: &str,
    expected: &'static str,
    convert: impl FnOnce(&Value) -> Option<T>,
) -> Result<Option<T>> {
    let Some(value) = header.get(key) else { return Ok(None) };
    let wrong = || Error::MissingMetadata { key: key.to_owned(), expected };
    convert(value).ok_or_else(wrong).map(Some)
}

fn array<T>(
    header: &Header,
    key: &str,
    expected: &'static str,
    convert: impl FnOnce(&Value) -> Option<Vec<T>>,
) -> Result<Vec<T>> {
    optional(header, key, expected, convert).map(Option::unwrap_or_default)
}

fn string(header: &Header, key: &str) -> Result<Option<String>> {
    optional(header, key, "a string", |v| v.as_str().map(str::to_owned))
}

fn id(header: &Header, key: &str) -> Result<Option<u32>> {
    optional(header, key, "an unsigned integer", |v| u32::try_from(v.as_u64()?).ok())
}
