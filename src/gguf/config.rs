//! [`LlamaConfig`] from GGUF metadata. Whatever would change the model's results and is not
//! implemented is refused here, by name.

use super::header::Header;
use super::value::Value;
use crate::config::LlamaConfig;
use crate::error::{Error, Result};

/// Keys (after `llama.`) that select behaviour this crate does not have, with the value that means
/// "off". A present key with another value is refused.
const NEUTRAL: [(&str, f32); 14] = [
    ("expert_count", 0.0),
    ("attention.sliding_window", 0.0),
    ("attention.clamp_kqv", 0.0),
    ("attention.max_alibi_bias", 0.0),
    ("attention.temperature_scale", 0.0),
    ("attention.temperature_length", 0.0),
    ("attn_logit_softcapping", 0.0),
    ("final_logit_softcapping", 0.0),
    ("rope.scale_linear", 1.0),
    ("rope.scaling.attn_factor", 1.0),
    ("residual_scale", 1.0),
    ("embedding_scale", 1.0),
    ("logit_scale", 1.0),
    ("rope.scaling.yarn_log_multiplier", 0.0),
];

impl Header {
    /// The model's configuration, with lm_head tied when *this* file has no `output.weight`. For
    /// the first part of a split use [`Header::config_with`].
    pub fn config(&self) -> Result<LlamaConfig> {
        self.config_with(self.tensor("output.weight").is_some())
    }

    /// The model's configuration. `has_output`: whether `output.weight` is in any part of the
    /// model; if not, lm_head shares the embedding.
    ///
    /// # Errors
    /// [`Error::UnsupportedArchitecture`] for anything but `llama`; [`Error::UnsupportedFeature`]
    /// for settings that would change results if ignored; [`Error::MissingMetadata`];
    /// [`Error::BadConfig`] from [`LlamaConfig::validate`].
    pub fn config_with(&self, has_output: bool) -> Result<LlamaConfig> {
        let architecture = self.str("general.architecture")?;
        if architecture != "llama" {
            return Err(Error::UnsupportedArchitecture { found: architecture.to_owned() });
        }
        self.refuse_unsupported()?;

        let hidden_size = self.u32("llama.embedding_length")?;
        let heads = self.same_in_all_layers("llama.attention.head_count")?.ok_or_else(|| {
            Error::MissingMetadata {
                key: "llama.attention.head_count".to_owned(),
                expected: "an unsigned integer",
            }
        })?;
        let head_dim = self.head_dim(hidden_size, heads)?;
        let config = LlamaConfig {
            hidden_size,
            intermediate_size: self.same_in_all_layers("llama.feed_forward_length")?.ok_or_else(
                || Error::MissingMetadata {
                    key: "llama.feed_forward_length".to_owned(),
                    expected: "an unsigned integer",
                },
            )?,
            num_hidden_layers: self.u32("llama.block_count")?,
            num_attention_heads: heads,
            num_key_value_heads: self
                .same_in_all_layers("llama.attention.head_count_kv")?
                .unwrap_or(heads),
            head_dim,
            vocab_size: self.vocab_size()?,
            max_position_embeddings: self.u32("llama.context_length")?,
            rms_norm_eps: self.f32("llama.attention.layer_norm_rms_epsilon")?,
            rope_theta: self
                .optional("llama.rope.freq_base", "a float", Value::as_f32)?
                .unwrap_or(10_000.0), // llama.cpp's default
            tie_word_embeddings: !has_output,
        };
        config.validate()?;
        Ok(config)
    }

    fn refuse_unsupported(&self) -> Result<()> {
        let refuse = |what: String| Err(Error::UnsupportedFeature { what });
        for (key, neutral) in NEUTRAL {
            let key = format!("llama.{key}");
            if let Some(value) = self.get(&key) {
                let number = value.as_f32().or_else(|| value.as_u64().map(|v| v as f32));
                if number != Some(neutral) {
                    return refuse(format!("{key} = {value:?}"));
                }
            }
        }
        let scaling = self.optional("llama.rope.scaling.type", "a string", Value::as_str)?;
        if let Some(scaling) = scaling.filter(|&s| s != "none") {
            return refuse(format!("RoPE scaling of type {scaling}"));
        }
        let factor = self.optional("llama.rope.scaling.factor", "a float", Value::as_f32)?;
        if scaling.is_none() && factor.is_some_and(|f| f != 0.0 && f != 1.0) {
            // llama.cpp takes an absent type for linear.
            return refuse("linear RoPE scaling".to_owned());
        }
        for key in ["llama.attention.causal", "llama.use_parallel_residual"] {
            let usual = key == "llama.attention.causal";
            if self.optional(key, "a bool", Value::as_bool)?.is_some_and(|v| v != usual) {
                return refuse(format!("{key} = {}", !usual));
            }
        }
        if self.get("llama.rope.dimension_sections").is_some() {
            return refuse("sectioned RoPE".to_owned());
        }
        if self.tensors.iter().any(|t| t.name.starts_with("rope_") || t.name.contains(".rope_")) {
            return refuse("per-frequency RoPE factors (Llama 3.1 and later)".to_owned());
        }
        Ok(())
    }

    /// An integer, or an array with one integer a layer when all are equal.
    fn same_in_all_layers(&self, key: &str) -> Result<Option<u32>> {
        let expected = "an unsigned integer";
        if let Some(Value::Array(array)) = self.get(key) {
            let missing = || Error::MissingMetadata { key: key.to_owned(), expected };
            let values = array.to_i32s().ok_or_else(missing)?;
            let first = *values.first().ok_or_else(missing)?;
            if values.iter().any(|&v| v != first) {
                return Err(Error::UnsupportedFeature {
                    what: format!("{key} that differs by layer"),
                });
            }
            return u32::try_from(first).map(Some).map_err(|_| missing());
        }
        self.optional(key, expected, |value| u32::try_from(value.as_u64()?).ok())
    }

    fn head_dim(&self, hidden_size: u32, heads: u32) -> Result<u32> {
        let read = |key: &str| {
            self.optional(key, "an unsigned integer", |v| u32::try_from(v.as_u64()?).ok())
        };
        let key = read("llama.attention.key_length")?;
        let value = read("llama.attention.value_length")?;
        let rotary = read("llama.rope.dimension_count")?;
        if heads == 0 {
            return Err(Error::BadConfig { what: "llama.attention.head_count is 0".to_owned() });
        }
        let head_dim = match key.or(rotary) {
            Some(head_dim) => head_dim,
            None if hidden_size.is_multiple_of(heads) => hidden_size / heads,
            None => {
                return Err(Error::BadConfig {
                    what: format!("hidden size {hidden_size} does not divide into {heads} heads"),
                });
            }
        };
        let refuse = |what: String| Err(Error::UnsupportedFeature { what });
        if value.is_some_and(|v| v != head_dim) {
            return refuse(format!("values of another width than keys ({value:?}, {head_dim})"));
        }
        if rotary.is_some_and(|r| r != head_dim) {
            return refuse(format!("RoPE on a part of the head ({rotary:?} of {head_dim})"));
        }
        if let Some(scale) = self.optional("llama.attention.scale", "a float", Value::as_f32)? {
            let usual = 1.0 / (head_dim as f32).sqrt();
            if scale != 0.0 && (scale - usual).abs() > 1e-6 * usual {
                return refuse(format!("llama.attention.scale = {scale}"));
            }
        }
        Ok(head_dim)
    }

    fn vocab_size(&self) -> Result<u32> {
        let stated = self.optional("llama.vocab_size", "an unsigned integer", |value| {
            u32::try_from(value.as_u64()?).ok()
        })?;
        if let Some(stated) = stated {
            return Ok(stated);
        }
        let rows = match self.tensor("token_embd.weight") {
            Some(embedding) => embedding.rows(),
            None => self.array("tokenizer.ggml.tokens")?.len() as u64,
        };
        u32::try_from(rows)
            .map_err(|_| Error::BadConfig { what: format!("a vocabulary of {rows} tokens") })
    }
}
