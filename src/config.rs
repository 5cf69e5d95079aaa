//! The shape of a Llama model, with the field names of Hugging Face's `config.json`.

use crate::error::{Error, Result};

/// Dimensions and constants of a Llama-architecture model.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct LlamaConfig {
    /// D: width of the residual stream.
    pub hidden_size: u32,
    /// F: width of the feed-forward layer.
    pub intermediate_size: u32,
    /// Number of transformer blocks.
    pub num_hidden_layers: u32,
    /// H: query heads.
    pub num_attention_heads: u32,
    /// Hkv: key/value heads (grouped-query attention when fewer than H).
    pub num_key_value_heads: u32,
    /// Dh: width of one head.
    pub head_dim: u32,
    /// V: number of tokens.
    pub vocab_size: u32,
    /// Longest context the model was trained for, in tokens.
    pub max_position_embeddings: u32,
    /// The epsilon inside RMSNorm's square root.
    pub rms_norm_eps: f32,
    /// Base of the rotary frequencies.
    pub rope_theta: f32,
    /// Whether lm_head shares the embedding's weights.
    pub tie_word_embeddings: bool,
}

/// The widest head the attention kernels hold in their accumulators.
pub const MAX_HEAD_DIM: u32 = 128;

impl LlamaConfig {
    /// Checks that the fields describe a model that the kernels can run.
    pub fn validate(&self) -> Result<()> {
        let bad = |what: String| Err(Error::BadConfig { what });
        for (name, value, most) in [
            ("hidden_size", self.hidden_size, 1 << 16),
            ("intermediate_size", self.intermediate_size, 1 << 18),
            ("num_hidden_layers", self.num_hidden_layers, 1 << 10),
            ("num_attention_heads", self.num_attention_heads, 1 << 10),
            ("num_key_value_heads", self.num_key_value_heads, 1 << 10),
            ("head_dim", self.head_dim, MAX_HEAD_DIM),
            ("vocab_size", self.vocab_size, 1 << 20),
            ("max_position_embeddings", self.max_position_embeddings, 1 << 24),
        ] {
            if value == 0 || value > most {
                return bad(format!("{name} is {value}, but must be 1 to {most}"));
            }
        }
        if !self.num_attention_heads.is_multiple_of(self.num_key_value_heads) {
            return bad(format!(
                "num_attention_heads {} is not a multiple of num_key_value_heads {}",
                self.num_attention_heads, self.num_key_value_heads
            ));
        }
        if !self.head_dim.is_multiple_of(4) {
            return bad(format!("head_dim {} is not a multiple of 4", self.head_dim));
        }
        for (name, value) in
            [("hidden_size", self.hidden_size), ("intermediate_size", self.intermediate_size)]
        {
            if value % 32 != 0 {
                return bad(format!(
                    "{name} {value} is not a multiple of 32, the quantization block"
                ));
            }
        }
        if !self.attention_size().is_multiple_of(32) {
            return bad(format!(
                "heads × head_dim {} is not a multiple of 32",
                self.attention_size()
            ));
        }
        if !(self.rms_norm_eps > 0.0 && self.rms_norm_eps < 1.0) {
            return bad(format!("rms_norm_eps is {}", self.rms_norm_eps));
        }
        if !(self.rope_theta.is_finite() && self.rope_theta > 1.0) {
            return bad(format!("rope_theta is {}", self.rope_theta));
        }
        Ok(())
    }

    /// H × Dh: width of the concatenated query heads.
    pub fn attention_size(&self) -> u32 {
        self.num_attention_heads * self.head_dim
    }

    /// Hkv × Dh: width of the keys, and of the values, of one token.
    pub fn kv_size(&self) -> u32 {
        self.num_key_value_heads * self.head_dim
    }
}
