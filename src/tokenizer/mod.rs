//! Text to token ids and back, for the two families of Llama-architecture models.
//!
//! - `gpt2`: byte-level BPE (SmolLM2, Llama 3). Text is cut into words by [`split`], each word's
//!   bytes are spelled in GPT-2's printable alphabet, and the `tokenizers` crate merges them by rank.
//! - `llama`: SentencePiece BPE (Llama 2), over scores in [`spm`], or over ranked merges in the
//!   `tokenizers` crate where a `tokenizer.json` lists them.
//!
//! Ids equal llama.cpp's, with one deliberate exception: text is never parsed into control tokens
//! unless [`Tokenizer::encode_special`] is asked to. `<|im_end|>` in a report is a dozen ordinary
//! characters. Bytes a `gpt2` vocabulary has no token for are dropped, as there (SmolLM2 has none
//! for seven control characters nor for the unassigned planes U+40000 and above).

mod build;
mod json;
mod spec;
mod split;
mod spm;
mod stream;

use std::collections::HashMap;

use tokenizers::Model as _;
use tokenizers::models::bpe::BPE;

pub use spec::TokenizerSpec;
pub use stream::StreamDecoder;

use crate::{Error, Result};
use build::BYTE_CHARS;
use split::PreTokenizer;
use spm::Spm;

/// How SentencePiece writes a space.
const SPACE: &str = "\u{2581}";

/// A piece of a prompt. Adjacent texts are encoded as one, so how a template is cut does not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'t> {
    /// Exactly one control token, by its text.
    Control(&'t str),
    /// Text, whoever wrote it: never parsed into control tokens.
    Text(&'t str),
}

/// What a token is, from `tokenizer.ggml.token_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Normal,
    /// Control and unknown tokens: no text becomes one, and they are not shown.
    Control,
    /// Matched in any text before everything else.
    UserDefined,
    Unused,
    Byte,
}

#[derive(Debug)]
enum Model {
    ByteLevel { bpe: BPE, words: PreTokenizer },
    Scored(Box<Spm>),
    Ranked(BPE),
}

/// A piece of text or a token found in it.
enum Fragment<'t> {
    Text(&'t str),
    Token(u32),
}

/// A tokenizer for one vocabulary of V tokens. Built once, then immutable.
#[derive(Debug)]
pub struct Tokenizer {
    model: Model,
    kinds: Vec<Kind>,
    /// The bytes of all tokens, one after the other; `piece_ends[id]` is where token id ends.
    piece_bytes: Vec<u8>,
    piece_ends: Vec<usize>,
    /// Control and user-defined tokens, the longest text first: the order in which they are matched.
    specials: Vec<(String, u32)>,
    control: HashMap<String, u32>,
    ends: Vec<u32>,
    bos: Option<u32>,
    eos: Option<u32>,
    add_bos: bool,
    add_eos: bool,
    space_prefix: bool,
    chat_template: Option<String>,
}

impl Tokenizer {
    /// Builds the tokenizer of a Hugging Face `tokenizer.json`: the layouts of Llama 2 (BPE with byte
    /// fallback), GPT-2, SmolLM2 and Llama 3. The file does not say which token ends a text; it is
    /// taken by name.
    ///
    /// # Errors
    /// [`Error::BadTokenizer`] naming the part that is not JSON or not one of these layouts.
    pub fn from_json(tokenizer_json: &[u8]) -> Result<Self> {
        Self::from_spec(json::read(tokenizer_json)?)
    }

    /// V, control tokens included.
    pub fn vocab_size(&self) -> usize {
        self.kinds.len()
    }

    /// The token that begins a text.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// The token that ends a text. Others may end it as well: see [`is_end`](Self::is_end).
    pub fn eos(&self) -> Option<u32> {
        self.eos
    }

    /// Whether the model was trained with BOS before every text. The encoding functions never add
    /// it; prompts do.
    pub fn add_bos(&self) -> bool {
        self.add_bos
    }

    /// Whether the model was trained with EOS after every text. Never added here.
    pub fn add_eos(&self) -> bool {
        self.add_eos
    }

    /// Whether generation stops at `id`: EOS, or a control token known to end a turn or a text.
    pub fn is_end(&self, id: u32) -> bool {
        self.ends.contains(&id)
    }

    /// All tokens that end a text.
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// Whether `id` is a control (or unknown) token: no user text becomes one.
    pub fn is_control(&self, id: u32) -> bool {
        self.kinds.get(id as usize) == Some(&Kind::Control)
    }

    /// The id of a control token by its text, like `<|im_start|>`.
    pub fn control(&self, text: &str) -> Option<u32> {
        self.control.get(text).copied()
    }

    /// The model's own Jinja chat template, unexecuted.
    pub fn chat_template(&self) -> Option<&str> {
        self.chat_template.as_deref()
    }

    /// Ids of a text by anybody. Control tokens written in it stay text. No BOS, no EOS.
    ///
    /// # Errors
    /// [`Error::Internal`] only.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        self.encode_parts(&[Part::Text(text)])
    }

    /// Ids of a text whose author is trusted: control tokens written in it are parsed.
    ///
    /// # Errors
    /// [`Error::Internal`] only.
    pub fn encode_special(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = Vec::new();
        self.encode_text(text, true, true, &mut ids)?;
        Ok(ids)
    }

    /// Ids of a prompt: control tokens exactly where the parts say so, nowhere else. SentencePiece's
    /// dummy prefix stands at the start and after each control token, as in llama.cpp.
    ///
    /// # Errors
    /// [`Error::BadTokenizer`] for a control part that is no control token of this vocabulary.
    pub fn encode_parts(&self, parts: &[Part<'_>]) -> Result<Vec<u32>> {
        self.encode_parts_at(parts, true)
    }

    /// As [`encode_parts`](Self::encode_parts); with `at_start` false the parts go on after text, so
    /// no dummy prefix precedes them.
    pub(crate) fn encode_parts_at(
        &self,
        parts: &[Part<'_>],
        mut at_start: bool,
    ) -> Result<Vec<u32>> {
        let mut ids = Vec::new();
        let mut text = String::new();
        for part in parts {
            match part {
                Part::Text(t) => text.push_str(t),
                Part::Control(name) => {
                    let id = self.control(name).ok_or_else(|| {
                        bad(format!("the prompt template needs the control token {name}, which this vocabulary lacks"))
                    })?;
                    self.encode_text(&text, false, at_start, &mut ids)?;
                    text.clear();
                    ids.push(id);
                    at_start = true;
                }
            }
        }
        self.encode_text(&text, false, at_start, &mut ids)?;
        Ok(ids)
    }

    fn encode_text(
        &self,
        text: &str,
        parse_control: bool,
        mut at_start: bool,
        out: &mut Vec<u32>,
    ) -> Result<()> {
        for fragment in self.fragments(text, parse_control) {
            match fragment {
                Fragment::Token(id) => {
                    out.push(id);
                    at_start = true;
                }
                Fragment::Text(text) => {
                    self.encode_fragment(text, at_start, out)?;
                    at_start = false;
                }
            }
        }
        Ok(())
    }

    /// Finds special tokens in `text`: the longest first over the whole text, then the next in what
    /// is left.
    fn fragments<'t>(&self, text: &'t str, parse_control: bool) -> Vec<Fragment<'t>> {
        let mut fragments = if text.is_empty() { Vec::new() } else { vec![Fragment::Text(text)] };
        for (special, id) in &self.specials {
            if !parse_control && self.kinds[*id as usize] == Kind::Control {
                continue;
            }
            if !text.contains(special.as_str()) {
                continue;
            }
            let mut next = Vec::with_capacity(fragments.len());
            for fragment in fragments {
                let Fragment::Text(text) = fragment else {
                    next.push(fragment);
                    continue;
                };
                for (index, between) in text.split(special.as_str()).enumerate() {
                    if index > 0 {
                        next.push(Fragment::Token(*id));
                    }
                    if !between.is_empty() {
                        next.push(Fragment::Text(between));
                    }
                }
            }
            fragments = next;
        }
        fragments
    }

    fn encode_fragment(&self, text: &str, at_start: bool, out: &mut Vec<u32>) -> Result<()> {
        if let Model::ByteLevel { bpe, words } = &self.model {
            let mut spelled = String::new();
            for word in words.split(text) {
                spelled.clear();
                spelled.extend(word.bytes().map(|b| BYTE_CHARS[usize::from(b)]));
                append_bpe(bpe, &spelled, out)?;
            }
            return Ok(());
        }
        let mut escaped = text.replace(' ', SPACE);
        if self.space_prefix && at_start {
            escaped.insert_str(0, SPACE);
        }
        match &self.model {
            Model::Ranked(bpe) => append_bpe(bpe, &escaped, out),
            Model::Scored(spm) => {
                spm.encode(&escaped, out);
                Ok(())
            }
            Model::ByteLevel { .. } => Ok(()),
        }
    }

    /// The bytes of token `id`; of a control token, its text.
    ///
    /// # Errors
    /// [`Error::TokenOutOfRange`].
    pub fn piece(&self, id: u32) -> Result<&[u8]> {
        let index = id as usize;
        let Some(&end) = self.piece_ends.get(index) else {
            return Err(Error::TokenOutOfRange { id, vocab_size: self.kinds.len() as u32 });
        };
        let start = index.checked_sub(1).map_or(0, |before| self.piece_ends[before]);
        Ok(&self.piece_bytes[start..end])
    }

    /// The text of `ids`. SentencePiece's dummy prefix is taken off again, so that decoding what was
    /// encoded gives the same text. Bytes that are not UTF-8 are U+FFFD. Control tokens are left out
    /// unless `show_control`.
    ///
    /// # Errors
    /// [`Error::TokenOutOfRange`].
    pub fn decode(&self, ids: &[u32], show_control: bool) -> Result<String> {
        let mut bytes = Vec::new();
        let mut at_start = true;
        for &id in ids {
            self.append_bytes(id, show_control, &mut at_start, &mut bytes)?;
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Decodes ids as they are generated, without control tokens, as a text of its own: a dummy
    /// prefix at its start is taken off.
    pub fn stream(&self) -> StreamDecoder<'_> {
        StreamDecoder::new(self, false, true)
    }

    /// As [`stream`](Self::stream), for ids that go on after text: a space at the start stays.
    pub fn stream_continuing(&self) -> StreamDecoder<'_> {
        StreamDecoder::new(self, false, false)
    }

    /// Appends what `id` adds to a text. `at_start`: whether a dummy prefix would stand here.
    fn append_bytes(
        &self,
        id: u32,
        show_control: bool,
        at_start: &mut bool,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let piece = self.piece(id)?;
        match self.kinds[id as usize] {
            Kind::Control | Kind::Unused => {
                if show_control {
                    out.extend_from_slice(piece);
                }
                *at_start = true;
            }
            Kind::UserDefined => {
                out.extend_from_slice(piece);
                *at_start = true;
            }
            Kind::Normal | Kind::Byte => {
                let strip = self.space_prefix && *at_start && piece.first() == Some(&b' ');
                out.extend_from_slice(&piece[usize::from(strip)..]);
                *at_start = false;
            }
        }
        Ok(())
    }
}

fn bad(what: String) -> Error {
    Error::BadTokenizer { what }
}

fn append_bpe(bpe: &BPE, text: &str, out: &mut Vec<u32>) -> Result<()> {
    // The crate's error is not passed on: it might quote the text.
    let tokens =
        bpe.tokenize(text).map_err(|_| Error::Internal("the tokenizer's BPE failed".to_owned()))?;
    out.extend(tokens.iter().map(|t| t.id));
    Ok(())
}
