//! Low-rank adapters (LoRA, Hu et al. 2021) as Hugging Face's PEFT keeps them.
//!
//! An adapted product is `W x + s · B (A x)` with A \[R\]\[in\], B \[out\]\[R\] and s = alpha / R, or
//! alpha / √R for rsLoRA (Kalajdzievski 2023). Rows are in Hugging Face's order everywhere in this
//! module: the half-split rotary order for q and k, where GGUF's llama files are interleaved.

pub mod peft;

use std::collections::BTreeMap;

use crate::config::LlamaConfig;

/// A matrix that can be adapted. In the order of the forward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// Queries.
    Q,
    /// Keys.
    K,
    /// Values.
    V,
    /// Attention output.
    O,
    /// The gate of the feed-forward layer.
    Gate,
    /// Its up projection.
    Up,
    /// Its down projection.
    Down,
}

impl Target {
    /// Every matrix that can be adapted.
    pub const ALL: [Target; 7] =
        [Target::Q, Target::K, Target::V, Target::O, Target::Gate, Target::Up, Target::Down];

    /// The target of PEFT's name for it, such as `q_proj`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|target| target.name() == name)
    }

    /// PEFT's name for it in `target_modules`.
    pub fn name(self) -> &'static str {
        match self {
            Target::Q => "q_proj",
            Target::K => "k_proj",
            Target::V => "v_proj",
            Target::O => "o_proj",
            Target::Gate => "gate_proj",
            Target::Up => "up_proj",
            Target::Down => "down_proj",
        }
    }

    /// The Hugging Face module that holds it, within `model.layers.N.`.
    pub fn parent(self) -> &'static str {
        match self {
            Target::Q | Target::K | Target::V | Target::O => "self_attn",
            Target::Gate | Target::Up | Target::Down => "mlp",
        }
    }

    /// GGUF's name for it, within `blk.N.`.
    pub fn gguf_name(self) -> &'static str {
        match self {
            Target::Q => "attn_q",
            Target::K => "attn_k",
            Target::V => "attn_v",
            Target::O => "attn_output",
            Target::Gate => "ffn_gate",
            Target::Up => "ffn_up",
            Target::Down => "ffn_down",
        }
    }

    /// (out, in): rows and columns of the matrix.
    pub fn shape(self, config: &LlamaConfig) -> (u32, u32) {
        let (d, f) = (config.hidden_size, config.intermediate_size);
        let (q, kv) = (config.attention_size(), config.kv_size());
        match self {
            Target::Q => (q, d),
            Target::K | Target::V => (kv, d),
            Target::O => (d, q),
            Target::Gate | Target::Up => (f, d),
            Target::Down => (d, f),
        }
    }

    /// Heads whose rows GGUF's llama files interleave, for q and k.
    pub fn permuted_heads(self, config: &LlamaConfig) -> Option<u32> {
        match self {
            Target::Q => Some(config.num_attention_heads),
            Target::K => Some(config.num_key_value_heads),
            _ => None,
        }
    }
}

/// The two factors of one matrix's update.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// R.
    pub rank: u32,
    /// What B A is multiplied by.
    pub scale: f32,
    /// \[R\]\[in\]
    pub a: Vec<f32>,
    /// \[out\]\[R\]
    pub b: Vec<f32>,
}

/// Pairs by layer and target.
pub type Pairs = BTreeMap<(u32, Target), Pair>;

/// What an adapter was trained with: the fields of PEFT's `adapter_config.json` that have a meaning
/// here.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraConfig {
    /// R, where no pattern says otherwise.
    pub r: u32,
    /// Numerator of the scale.
    pub lora_alpha: f32,
    /// Dropout before A while training.
    pub lora_dropout: f32,
    /// Whether the scale is alpha / √R.
    pub use_rslora: bool,
    /// What is adapted, in every layer.
    pub target_modules: Vec<Target>,
    /// What PEFT calls the base.
    pub base_model: String,
}

impl LoraConfig {
    /// What B A is multiplied by, rounded once, as PEFT's Python has it.
    pub fn scale(&self) -> f32 {
        let r = f64::from(self.r);
        (f64::from(self.lora_alpha) / if self.use_rslora { r.sqrt() } else { r }) as f32
    }
}

/// An adapter: one [`Pair`] for each adapted matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct Adapter {
    /// How it was trained.
    pub config: LoraConfig,
    /// SHA-256 over the base it was trained on, where the adapter tells.
    pub base_sha256: Option<String>,
    /// What it adapts.
    pub pairs: Pairs,
}
