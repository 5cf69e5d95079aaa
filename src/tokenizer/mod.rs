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

mod json;
mod spec;
mod split;
mod spm;
mod stream;

use std::collections::HashMap;

use tokenizers::Model as _;
use tokenizers::models::bpe::{BPE, Vocab};

pub use spec::TokenizerSpec;
pub use stream::StreamDecoder;

use crate::{Error, Result};
use split::PreTokenizer;
use spm::Spm;

/// How SentencePiece writes a space.
const SPACE: &str = "\u{2581}";

/// Control tokens that end a generation whatever the metadata names as EOS; llama.cpp knows them by
/// name, too.
const END_NAMES: [&str; 14] = [
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
    Scored(Spm),
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
fn byte_of(text: &str) -> Option<u8> {
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
    Ok(Model::Scored(Spm::new(ids, scores, bytes, unk, vocab_size)?))
}

/// Finishes `builder` with the tokens that text can become and their merges, without a cache: prompts
/// are short, and words of reports should not outlive them.
fn build_bpe(
    builder: tokenizers::models::bpe::BpeBuilder,
    tokens: Vec<String>,
    kinds: &[Kind],
    merges: &[String],
    unk: Option<u32>,
) -> Result<BPE> {
    let mut vocab = Vocab::with_capacity(tokens.len());
    for (id, (text, kind)) in (0u32..).zip(tokens.into_iter().zip(kinds)) {
        // Byte tokens and the unknown one are there because the crate looks its fallbacks up by
        // text; no merge makes one.
        if matches!(kind, Kind::Normal | Kind::Byte) || unk == Some(id) {
            if let Some(other) = vocab.insert(text, id) {
                return Err(bad(format!("tokens {other} and {id} have the same text")));
            }
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

fn append_bpe(bpe: &BPE, text: &str, out: &mut Vec<u32>) -> Result<()> {
    // The crate's error is not passed on: it might quote the text.
    let tokens =
        bpe.tokenize(text).map_err(|_| Error::Internal("the tokenizer's BPE failed".to_owned()))?;
    out.extend(tokens.iter().map(|t| t.id));
    Ok(())
}

/// GPT-2's printable stand-in for each byte (openai/gpt-2, `encoder.py`, `bytes_to_unicode`):
/// printable Latin-1 stands for itself, the others take U+0100 and on in order.
static BYTE_CHARS: [char; 256] = byte_chars();

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
