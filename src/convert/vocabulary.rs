//! A SentencePiece-style vocabulary from Hugging Face's `tokenizer.json`, as GGUF metadata.
//!
//! `tokenizer.json` has no scores, but the merges' ranks. In Llama-2's SentencePiece model the
//! score of a piece is minus its rank, and the ids run in the same order, so the scores come back
//! exactly: −(id − 259) after 3 control and 256 byte tokens, which have 0. Pieces of spaces alone
//! are the exception: the model gives them −10⁹, so that they are merged last, which shows in
//! `tokenizer.json` as merges at the end of the list.

use serde::Deserialize;
use std::collections::HashMap;

use crate::error::{Error, Result};
use crate::gguf::{Array, Value};

/// Tokens with what SentencePiece knows of them. Index = id.
#[derive(Debug, Clone, PartialEq)]
pub struct Vocabulary {
    /// The pieces, with `▁` for a space.
    pub tokens: Vec<String>,
    /// The greater, the earlier a piece is merged.
    pub scores: Vec<f32>,
    /// llama.cpp's token types: 1 normal, 2 unknown, 3 control, 4 user defined, 6 byte.
    pub types: Vec<i32>,
    /// Id of `<s>`.
    pub bos: u32,
    /// Id of `</s>`.
    pub eos: u32,
    /// Id of `<unk>`.
    pub unk: u32,
}

const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const BYTE: i32 = 6;

/// Llama-2's score of pieces of spaces alone.
const SPACES_SCORE: f32 = -1e9;

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    added_tokens: Vec<Added>,
    model: Model,
}

#[derive(Deserialize)]
struct Added {
    id: u32,
    content: String,
    #[serde(default)]
    special: bool,
}

#[derive(Deserialize)]
struct Model {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    byte_fallback: bool,
    unk_token: Option<String>,
    vocab: HashMap<String, u32>,
    #[serde(default)]
    merges: Vec<Merge>,
}

/// `"a b"` in older files, `["a", "b"]` in newer.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Joined(String),
    Pair(String, String),
}

impl Vocabulary {
    /// Reads a `tokenizer.json` of BPE with byte fallback.
    ///
    /// # Errors
    /// [`Error::BadTokenizer`] when it is not of that kind, its ids have gaps, `<s>` or `</s>` is
    /// missing, or the ids do not run in the order of the merges (so that scores are unknown).
    pub fn from_tokenizer_json(json: &[u8]) -> Result<Vocabulary> {
        let bad = |what: String| Error::BadTokenizer { what };
        let file: File = serde_json::from_slice(json)
            .map_err(|error| bad(format!("tokenizer.json is not understood: {error}")))?;
        let model = file.model;
        if model.kind.as_deref().is_some_and(|kind| kind != "BPE") || !model.byte_fallback {
            return Err(bad("tokenizer.json is not a BPE with byte fallback".to_owned()));
        }

        let extra = file.added_tokens.iter().filter(|t| !model.vocab.contains_key(&t.content));
        let count = model.vocab.len() + extra.count();
        let mut tokens: Vec<Option<String>> = vec![None; count];
        let mut types = vec![NORMAL; count];
        for (token, &id) in &model.vocab {
            place(&mut tokens, id, token)?;
            if is_byte(token) {
                types[id as usize] = BYTE;
            }
        }
        for added in &file.added_tokens {
            place(&mut tokens, added.id, &added.content)?;
            types[added.id as usize] = if added.special { CONTROL } else { USER_DEFINED };
        }
        let tokens = tokens.into_iter().collect::<Option<Vec<String>>>();
        let tokens = tokens.ok_or_else(|| bad("the token ids have gaps".to_owned()))?;

        let id_of = |token: &str| {
            tokens
                .iter()
                .position(|t| t == token)
                .map(|id| id as u32)
                .ok_or_else(|| bad(format!("the token {token} is missing")))
        };
        let unk = id_of(model.unk_token.as_deref().unwrap_or("<unk>"))?;
        let (bos, eos) = (id_of("<s>")?, id_of("</s>")?);
        types[unk as usize] = UNKNOWN;
        if types.iter().filter(|&&ty| ty == BYTE).count() != 256 {
            return Err(bad("not all 256 byte tokens are there".to_owned()));
        }

        let spaces_last = check_order(&model)?;
        let first = types.iter().position(|&ty| ty == NORMAL).unwrap_or(count);
        let score = |id: usize| match types[id] {
            NORMAL if spaces_last && is_spaces(&tokens[id]) => SPACES_SCORE,
            NORMAL => 0.0 - (id - first) as f32,
            _ => 0.0,
        };
        let scores = (0..count).map(score).collect();
        Ok(Vocabulary { tokens, scores, types, bos, eos, unk })
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The `tokenizer.ggml.*` keys of a `llama` tokenizer.
    pub fn metadata(&self) -> Vec<(String, Value)> {
        let key = |name: &str, value| (format!("tokenizer.ggml.{name}"), value);
        vec![
            key("model", Value::String("llama".to_owned())),
            key("pre", Value::String("default".to_owned())),
            key("tokens", Value::Array(Array::String(self.tokens.clone()))),
            key("scores", Value::Array(Array::F32(self.scores.clone()))),
            key("token_type", Value::Array(Array::I32(self.types.clone()))),
            key("bos_token_id", Value::U32(self.bos)),
            key("eos_token_id", Value::U32(self.eos)),
            key("unknown_token_id", Value::U32(self.unk)),
            key("add_bos_token", Value::Bool(true)),
            key("add_eos_token", Value::Bool(false)),
            key("add_space_prefix", Value::Bool(true)),
        ]
    }
}

fn place(tokens: &mut [Option<String>], id: u32, token: &str) -> Result<()> {
    let taken = |what| Err(Error::BadTokenizer { what });
    match tokens.get_mut(id as usize) {
        None => taken(format!("the token ids have gaps below {id}")),
        Some(Some(old)) if old != token => taken(format!("id {id} has two tokens")),
        Some(slot) => {
            *slot = Some(token.to_owned());
            Ok(())
        }
    }
}

/// `<0x0A>` and its like.
fn is_byte(token: &str) -> bool {
    let hex = token.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'));
    hex.is_some_and(|hex| hex.len() == 2 && u8::from_str_radix(hex, 16).is_ok())
}

fn is_spaces(token: &str) -> bool {
    token.chars().all(|c| c == '▁')
}

/// Merges with a lower rank must make tokens with a lower id, but merges of spaces alone may come
/// after all others. Returns whether they do.
fn check_order(model: &Model) -> Result<bool> {
    let bad = |what: &str| Err(Error::BadTokenizer { what: what.to_owned() });
    let (mut last, mut spaces_last) = (0, false);
    for merge in &model.merges {
        let merged = match merge {
            Merge::Pair(a, b) => format!("{a}{b}"),
            Merge::Joined(pair) => pair.replacen(' ', "", 1),
        };
        let Some(&id) = model.vocab.get(&merged) else {
            return bad("a merge makes a token that is not there");
        };
        if id < last && !spaces_last && is_spaces(&merged) {
            (last, spaces_last) = (0, true);
        }
        if id < last || (spaces_last && !is_spaces(&merged)) {
            return bad("the token ids do not run in the order of the merges");
        }
        last = id;
    }
    Ok(spaces_last)
}
