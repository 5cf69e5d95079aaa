//! From a description to a tokenizer, with every array checked against the others.

use std::collections::HashMap;

use tokenizers::models::bpe::{BPE, BpeBuilder, Vocab};

use super::split::PreTokenizer;
use super::spm::Spm;
use super::{Kind, Model, SPACE, Tokenizer, TokenizerSpec, bad};
use crate::Result;

/// Control tokens that end a generation whatever the metadata names as EOS; llama.cpp knows them by
/// name, too.
pub(super) const END_NAMES: [&str; 14] = [
    "<|im_end|>",
    "</s>",
    "<|eot_id|>",
    "<|end_of_text|>",
    "<|endoftext|>",
    "<|eom_id|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<end_of_turn>",
    "<EOT>",
    "_<EOT>",
    "<end_of_utterance>",
    "<eos>",
];

impl Tokenizer {
    /// Builds the tokenizer a GGUF file describes.
    ///
    /// # Errors
    /// [`Error::BadTokenizer`] for an unknown model or pre-tokenizer, arrays of different lengths,
    /// a text that two tokens share, a merge outside the vocabulary, or a special id out of range.
    pub fn from_spec(spec: TokenizerSpec) -> Result<Self> {
        let TokenizerSpec { tokens, token_types, .. } = &spec;
        let vocab_size = tokens.len();
        if vocab_size == 0 || u32::try_from(vocab_size).is_err() {
            return Err(bad(format!("a vocabulary of {vocab_size} tokens")));
        }
        if !token_types.is_empty() && token_types.len() != vocab_size {
            return Err(bad(format!("{vocab_size} tokens have {} types", token_types.len())));
        }
        let special_ids =
            [("BOS", spec.bos), ("EOS", spec.eos), ("unknown", spec.unk), ("padding", spec.pad)];
        for (name, id) in special_ids {
            if let Some(id) = id.filter(|&id| id as usize >= vocab_size) {
                return Err(bad(format!(
                    "the {name} token is {id}, but there are {vocab_size} tokens"
                )));
            }
        }
        let sentencepiece = match spec.model.as_str() {
            "llama" => true,
            "gpt2" => false,
            other => {
                return Err(bad(format!(
                    "the model {other:?} (tokenizer.ggml.model) is not known; llama and gpt2 are"
                )));
            }
        };

        let kinds: Vec<Kind> = tokens
            .iter()
            .enumerate()
            .map(|(id, text)| kind(text, token_types.get(id).copied(), sentencepiece))
            .collect();
        let (piece_bytes, piece_ends) = pieces(tokens, &kinds, sentencepiece)?;
        let mut specials = Vec::new();
        let mut control = HashMap::new();
        let mut ends: Vec<u32> = spec.eos.into_iter().collect();
        for (id, (text, kind)) in (0u32..).zip(tokens.iter().zip(&kinds)) {
            if text.is_empty() || !matches!(kind, Kind::Control | Kind::UserDefined) {
                continue;
            }
            specials.push((text.clone(), id));
            if *kind == Kind::Control && control.insert(text.clone(), id).is_some() {
                return Err(bad(format!("two control tokens are {text:?}")));
            }
            if END_NAMES.contains(&text.as_str()) && !ends.contains(&id) {
                ends.push(id);
            }
        }
        specials.sort_by_key(|(text, id)| (std::cmp::Reverse(text.len()), *id));

        let named = |name: &str| sentencepiece.then(|| control.get(name).copied()).flatten();
        let bos = spec.bos.or_else(|| named("<s>"));
        let eos = spec.eos.or_else(|| named("</s>"));
        let add_bos_default;
        let space_prefix = sentencepiece && spec.add_space_prefix.unwrap_or(true);
        let model = if sentencepiece {
            add_bos_default = true;
            sentencepiece_model(spec.tokens, &kinds, spec.scores, &spec.merges, spec.unk)?
        } else {
            let words = PreTokenizer::named(spec.pre.as_deref())?;
            add_bos_default = words.add_bos;
            let bpe = BPE::builder().ignore_merges(words.ignore_merges);
            Model::ByteLevel {
                bpe: build_bpe(bpe, spec.tokens, &kinds, &spec.merges, None)?,
                words,
            }
        };
        Ok(Self {
            model,
            kinds,
            piece_bytes,
            piece_ends,
            specials,
            control,
            ends,
            bos,
            eos,
            add_bos: spec.add_bos.unwrap_or(add_bos_default) && bos.is_some(),
            add_eos: spec.add_eos.unwrap_or(false) && eos.is_some(),
            space_prefix,
            chat_template: spec.chat_template,
        })
    }
}

fn kind(text: &str, token_type: Option<i32>, sentencepiece: bool) -> Kind {
    // Tokens that end a text are control tokens even in files that forgot to say so.
    if END_NAMES.contains(&text) {
        return Kind::Control;
    }
    match token_type {
        Some(2 | 3) => Kind::Control,
        Some(4) => Kind::UserDefined,
        Some(5) => Kind::Unused,
        Some(6) => Kind::Byte,
        None if sentencepiece && byte_of(text).is_some() => Kind::Byte,
        _ => Kind::Normal,
    }
}

/// The byte a SentencePiece byte token such as `<0x0A>` stands for.
pub(super) fn byte_of(text: &str) -> Option<u8> {
    let hex = text.strip_prefix("<0x")?.strip_suffix('>')?;
    (hex.len() == 2).then(|| u8::from_str_radix(hex, 16).ok()).flatten()
}

/// The bytes of all tokens and where each ends.
fn pieces(tokens: &[String], kinds: &[Kind], sentencepiece: bool) -> Result<(Vec<u8>, Vec<usize>)> {
    let byte_of_char: HashMap<char, u8> =
        (0u8..=255).map(|b| (BYTE_CHARS[usize::from(b)], b)).collect();
    let mut bytes = Vec::with_capacity(tokens.iter().map(String::len).sum());
    let mut ends = Vec::with_capacity(tokens.len());
    for (id, (text, kind)) in tokens.iter().zip(kinds).enumerate() {
        match kind {
            Kind::Byte => {
                let byte = byte_of(text)
                    .ok_or_else(|| bad(format!("token {id}, {text:?}, is no byte like <0x0A>")))?;
                bytes.push(byte);
            }
            Kind::Normal if sentencepiece => {
                bytes.extend_from_slice(text.replace(SPACE, " ").as_bytes())
            }
            Kind::Normal => {
                for c in text.chars() {
                    match byte_of_char.get(&c) {
                        Some(&byte) => bytes.push(byte),
                        None => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
                    }
                }
            }
            Kind::Control | Kind::UserDefined | Kind::Unused => {
                bytes.extend_from_slice(text.as_bytes())
            }
        }
        ends.push(bytes.len());
    }
    Ok((bytes, ends))
}

fn sentencepiece_model(
    tokens: Vec<String>,
    kinds: &[Kind],
    scores: Vec<f32>,
    merges: &[String],
    unk: Option<u32>,
) -> Result<Model> {
    if !merges.is_empty() {
        let mut builder = BPE::builder().byte_fallback(true).fuse_unk(true);
        if let Some(unk) = unk {
            builder = builder.unk_token(tokens[unk as usize].clone());
        }
        return Ok(Model::Ranked(build_bpe(builder, tokens, kinds, merges, unk)?));
    }
    let vocab_size = tokens.len();
    let mut bytes = [None; 256];
    let mut ids = HashMap::with_capacity(vocab_size);
    for (id, (text, kind)) in (0u32..).zip(tokens.into_iter().zip(kinds)) {
        match kind {
            Kind::Byte => {
                if let Some(byte) = byte_of(&text) {
                    bytes[usize::from(byte)] = Some(id);
                }
            }
            Kind::Normal => {
                if let Some(other) = ids.insert(text, id) {
                    return Err(bad(format!("tokens {other} and {id} have the same text")));
                }
            }
            Kind::Control | Kind::UserDefined | Kind::Unused => {}
        }
    }
    Ok(Model::Scored(Box::new(Spm::new(ids, scores, bytes, unk, vocab_size)?)))
}

/// Finishes `builder` with the tokens that text can become and their merges, without a cache: prompts
/// are short, and words of reports should not outlive them.
fn build_bpe(
    builder: BpeBuilder,
    tokens: Vec<String>,
    kinds: &[Kind],
    merges: &[String],
    unk: Option<u32>,
) -> Result<BPE> {
    let mut vocab = Vocab::with_capacity(tokens.len());
    for (id, (text, kind)) in (0u32..).zip(tokens.into_iter().zip(kinds)) {
        // Byte tokens and the unknown one are there because the crate looks its fallbacks up by
        // text; no merge makes one.
        let usable = matches!(kind, Kind::Normal | Kind::Byte) || unk == Some(id);
        if usable && let Some(other) = vocab.insert(text, id) {
            return Err(bad(format!("tokens {other} and {id} have the same text")));
        }
    }
    let merges = merges
        .iter()
        .enumerate()
        .map(|(rank, merge)| match merge.split_once(' ') {
            Some((left, right))
                if !left.is_empty() && !right.is_empty() && !right.contains(' ') =>
            {
                Ok((left.to_owned(), right.to_owned()))
            }
            _ => Err(bad(format!("merge {rank} is not two tokens: {merge:?}"))),
        })
        .collect::<Result<Vec<_>>>()?;
    // The builder copies merged texts into a buffer as long as the longest token and would panic on a
    // longer one.
    let longest = vocab.keys().map(String::len).max().unwrap_or(0);
    if let Some((left, right)) = merges.iter().find(|(l, r)| l.len() + r.len() > longest) {
        return Err(bad(format!(
            "the merge of {left:?} and {right:?} makes no token of the vocabulary"
        )));
    }
    builder
        .vocab_and_merges(vocab, merges)
        .cache_capacity(0)
        .build()
        .map_err(|e| bad(format!("a merge names a token outside the vocabulary ({e})")))
}

/// GPT-2's printable stand-in for each byte (openai/gpt-2, `encoder.py`, `bytes_to_unicode`):
/// printable Latin-1 stands for itself, the others take U+0100 and on in order.
pub(super) static BYTE_CHARS: [char; 256] = byte_chars();

const fn byte_chars() -> [char; 256] {
    let mut table = ['\0'; 256];
    let (mut byte, mut others) = (0usize, 0u32);
    while byte < 256 {
        let printable = matches!(byte as u8, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
        let code = if printable { byte as u32 } else { 0x100 + others };
        if !printable {
            others += 1;
        }
        if let Some(c) = char::from_u32(code) {
            table[byte] = c;
        }
        byte += 1;
    }
    table
}
