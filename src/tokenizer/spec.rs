//! What a tokenizer is built from: the `tokenizer.*` metadata of a GGUF file, or the same facts read
//! from elsewhere.

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
