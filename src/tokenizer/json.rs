//! Hugging Face `tokenizer.json`, read into the same description as GGUF metadata.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use super::build::{END_NAMES, byte_of};
use super::split::LLAMA3_FULL;
use super::{SPACE, TokenizerSpec, bad};
use crate::Result;

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    normalizer: Option<Value>,
    pre_tokenizer: Option<Value>,
    post_processor: Option<Value>,
    model: Bpe,
}

#[derive(Deserialize)]
struct AddedToken {
    id: u32,
    content: String,
    #[serde(default)]
    special: bool,
}

#[derive(Deserialize)]
struct Bpe {
    #[serde(rename = "type")]
    kind: Option<String>,
    vocab: HashMap<String, u32>,
    merges: Vec<Merge>,
    unk_token: Option<String>,
    #[serde(default)]
    byte_fallback: bool,
    #[serde(default)]
    ignore_merges: bool,
    dropout: Option<f32>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
}

/// `"left right"` in older files, `["left", "right"]` in newer ones.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Line(String),
    Pair(String, String),
}

/// Reads the layouts [`Tokenizer::from_json`](super::Tokenizer::from_json) names.
pub(super) fn read(json: &[u8]) -> Result<TokenizerSpec> {
    let file: File =
        serde_json::from_slice(json).map_err(|e| bad(format!("tokenizer.json: {e}")))?;
    let model = file.model;
    if model.kind.as_deref().is_some_and(|kind| kind != "BPE") {
        return Err(bad(format!(
            "tokenizer.json: the model is {:?}, only BPE is supported",
            model.kind
        )));
    }
    let affix = |a: &Option<String>| a.as_deref().is_some_and(|a| !a.is_empty());
    if affix(&model.continuing_subword_prefix)
        || affix(&model.end_of_word_suffix)
        || model.dropout.is_some()
    {
        return Err(bad("tokenizer.json: the BPE uses prefixes, suffixes or dropout".to_owned()));
    }

    let (name, pre, add_space_prefix) = if model.byte_fallback {
        let prefix = sentencepiece_prefix(file.normalizer.as_ref(), file.pre_tokenizer.as_ref())?;
        ("llama", None, Some(prefix))
    } else {
        if file.normalizer.is_some() {
            return Err(unsupported("normalizer", file.normalizer.as_ref()));
        }
        ("gpt2", Some(byte_level_name(file.pre_tokenizer.as_ref())?), None)
    };
    if model.ignore_merges != (pre == Some("llama-bpe")) {
        return Err(bad(format!(
            "tokenizer.json: ignore_merges is {}, unlike its layout",
            model.ignore_merges
        )));
    }

    let (tokens, token_types) = tokens(model.vocab, &file.added_tokens, model.byte_fallback)?;
    let id_of = |text: &str| file.added_tokens.iter().find(|t| t.content == text).map(|t| t.id);
    let bos = file.post_processor.as_ref().and_then(leading_special).and_then(|text| id_of(&text));
    Ok(TokenizerSpec {
        model: name.to_owned(),
        pre: pre.map(str::to_owned),
        tokens,
        token_types,
        merges: merges(model.merges)?,
        bos,
        eos: END_NAMES.iter().find_map(|name| id_of(name)),
        unk: model.unk_token.as_deref().and_then(id_of),
        add_bos: Some(bos.is_some()),
        add_space_prefix,
        ..TokenizerSpec::default()
    })
}

fn unsupported(what: &str, value: Option<&Value>) -> crate::Error {
    let kind = value.and_then(|v| v["type"].as_str()).unwrap_or("none");
    bad(format!(
        "tokenizer.json: the {what} ({kind}) is none of Llama 2's, GPT-2's, SmolLM2's or Llama 3's"
    ))
}

/// Whether text gets a dummy prefix, from Llama 2's normalizer or the newer Metaspace pre-tokenizer.
/// The latter's scheme "first" differs after control tokens only, where llama.cpp's way is taken.
fn sentencepiece_prefix(normalizer: Option<&Value>, pre_tokenizer: Option<&Value>) -> Result<bool> {
    match (normalizer, pre_tokenizer) {
        (Some(normalizer), None) => {
            let single = std::slice::from_ref(normalizer);
            let steps = normalizer["normalizers"].as_array().map_or(single, Vec::as_slice);
            let is_replace = |v: &Value| {
                v["type"] == "Replace" && v["pattern"]["String"] == " " && v["content"] == SPACE
            };
            let is_prepend = |v: &Value| v["type"] == "Prepend" && v["prepend"] == SPACE;
            match steps {
                [prepend, replace] if is_prepend(prepend) && is_replace(replace) => Ok(true),
                [replace] if is_replace(replace) => Ok(false),
                _ => Err(unsupported("normalizer", Some(normalizer))),
            }
        }
        (None, Some(meta)) if meta["type"] == "Metaspace" && meta["replacement"] == SPACE => {
            Ok(meta["prepend_scheme"]
                .as_str()
                .map_or(meta["add_prefix_space"] != false, |s| s != "never"))
        }
        _ => Err(unsupported("pre-tokenizer", pre_tokenizer)),
    }
}

/// llama.cpp's name for a byte-level pre-tokenizer.
fn byte_level_name(pre_tokenizer: Option<&Value>) -> Result<&'static str> {
    let unknown = || unsupported("pre-tokenizer", pre_tokenizer);
    let value = pre_tokenizer.ok_or_else(unknown)?;
    let single = std::slice::from_ref(value);
    let steps = value["pretokenizers"].as_array().map_or(single, Vec::as_slice);
    // `use_regex` is true where it is absent.
    let is_byte_level = |v: &Value, regex: bool| {
        v["type"] == "ByteLevel"
            && v["add_prefix_space"] == false
            && v["use_regex"].as_bool().unwrap_or(true) == regex
    };
    match steps {
        [bytes] if is_byte_level(bytes, true) => Ok("gpt-2"),
        [digits, bytes]
            if digits["type"] == "Digits"
                && digits["individual_digits"] == true
                && is_byte_level(bytes, true) =>
        {
            Ok("smollm")
        }
        [split, bytes]
            if split["type"] == "Split"
                && split["pattern"]["Regex"] == LLAMA3_FULL
                && split["behavior"] == "Isolated"
                && is_byte_level(bytes, false) =>
        {
            Ok("llama-bpe")
        }
        _ => Err(unknown()),
    }
}

/// Tokens by id with their GGUF types. Ids that nothing names are unused tokens.
fn tokens(
    vocab: HashMap<String, u32>,
    added: &[AddedToken],
    byte_fallback: bool,
) -> Result<(Vec<String>, Vec<i32>)> {
    let named = vocab.len() + added.len();
    let size = vocab
        .values()
        .copied()
        .chain(added.iter().map(|t| t.id))
        .max()
        .map_or(0, |id| id as usize + 1);
    // A stray large id must not allocate gigabytes.
    if size > 2 * named + 1024 {
        return Err(bad(format!("tokenizer.json: {named} tokens have ids up to {}", size - 1)));
    }
    let mut tokens = vec![None; size];
    let mut types = vec![5; size];
    for (text, id) in vocab {
        let id = id as usize;
        types[id] = if byte_fallback && byte_of(&text).is_some() { 6 } else { 1 };
        if tokens[id].replace(text).is_some() {
            return Err(bad(format!("tokenizer.json: two tokens have the id {id}")));
        }
    }
    for token in added {
        let id = token.id as usize;
        types[id] = if token.special { 3 } else { 4 };
        tokens[id] = Some(token.content.clone());
    }
    let named =
        |(id, text): (usize, Option<String>)| text.unwrap_or_else(|| format!("[UNUSED_{id}]"));
    Ok((tokens.into_iter().enumerate().map(named).collect(), types))
}

fn merges(merges: Vec<Merge>) -> Result<Vec<String>> {
    merges
        .into_iter()
        .map(|merge| match merge {
            Merge::Line(line) => Ok(line),
            Merge::Pair(left, right) if !left.contains(' ') && !right.contains(' ') => {
                Ok(format!("{left} {right}"))
            }
            Merge::Pair(..) => {
                Err(bad("tokenizer.json: a merge has a space within a token".to_owned()))
            }
        })
        .collect()
}

/// The special token before the text in a TemplateProcessing post-processor, alone or in a sequence.
fn leading_special(post_processor: &Value) -> Option<String> {
    if let Some(steps) = post_processor["processors"].as_array() {
        return steps.iter().find_map(leading_special);
    }
    post_processor["single"][0]["SpecialToken"]["id"].as_str().map(str::to_owned)
}
