//! `config.json`.

use serde_json::Value;

use super::bad;
use crate::config::LlamaConfig;
use crate::error::{Error, Result};

/// Token ids that the configuration names.
#[derive(Debug, Default)]
pub(super) struct Ends {
    pub(super) bos: Option<u32>,
    pub(super) eos: Option<u32>,
}

/// Keys that change a model's results where they are neither absent, null, false nor 0.
const UNSUPPORTED: [&str; 8] = [
    "attention_bias",
    "mlp_bias",
    "sliding_window",
    "quantization_config",
    "rope_interleaved",
    "num_local_experts",
    "attn_logit_softcapping",
    "final_logit_softcapping",
];

/// Reads the configuration of a plain Llama; defaults are transformers'.
pub(super) fn parse(json: &[u8]) -> Result<(LlamaConfig, Ends)> {
    let value: Value = serde_json::from_slice(json)
        .map_err(|error| bad(format!("config.json is not understood ({error})")))?;
    check(&value)?;
    let number = |key: &str| {
        let number = value[key].as_u64().and_then(|number| u32::try_from(number).ok());
        match (number, &value[key]) {
            (None, Value::Null) => Ok(None),
            (None, other) => Err(bad(format!("config.json has {key} = {other}"))),
            (number, _) => Ok(number),
        }
    };
    let require = |key: &str| number(key)?.ok_or_else(|| bad(format!("config.json lacks {key}")));
    let float = |value: &Value, key: &str, usual: f64| match &value[key] {
        Value::Null => Ok(usual),
        other => other.as_f64().ok_or_else(|| bad(format!("config.json has {key} = {other}"))),
    };
    let hidden_size = require("hidden_size")?;
    let heads = require("num_attention_heads")?;
    let head_dim = match number("head_dim")? {
        Some(head_dim) => head_dim,
        None if heads > 0 && hidden_size.is_multiple_of(heads) => hidden_size / heads,
        None => return Err(bad(format!("hidden_size {hidden_size} has {heads} heads"))),
    };
    let parameters = rope_parameters(&value)?;
    let config = LlamaConfig {
        hidden_size,
        intermediate_size: require("intermediate_size")?,
        num_hidden_layers: require("num_hidden_layers")?,
        num_attention_heads: heads,
        num_key_value_heads: number("num_key_value_heads")?.unwrap_or(heads),
        head_dim,
        vocab_size: require("vocab_size")?,
        max_position_embeddings: number("max_position_embeddings")?.unwrap_or(2048),
        rms_norm_eps: float(&value, "rms_norm_eps", 1e-6)? as f32,
        rope_theta: match parameters {
            Some(parameters) if !parameters["rope_theta"].is_null() => {
                float(parameters, "rope_theta", 10_000.0)? as f32
            }
            _ => float(&value, "rope_theta", 10_000.0)? as f32,
        },
        tie_word_embeddings: value["tie_word_embeddings"].as_bool().unwrap_or(false),
    };
    config.validate()?;
    // Llama 3 names several ends; the first is <|end_of_text|>.
    let id = |value: &Value| {
        let first = value.as_array().and_then(|ids| ids.first()).unwrap_or(value);
        first.as_u64().and_then(|id| u32::try_from(id).ok())
    };
    Ok((config, Ends { bos: id(&value["bos_token_id"]), eos: id(&value["eos_token_id"]) }))
}

fn check(value: &Value) -> Result<()> {
    let kind = value["model_type"].as_str();
    let classes = value["architectures"].as_array();
    let is_llama = classes.is_none_or(|all| all.iter().all(|class| class == "LlamaForCausalLM"));
    if kind != Some("llama") || !is_llama {
        let classes = classes.map(|all| format!(" ({})", Value::from(all.clone())));
        let found = format!("{}{}", kind.unwrap_or("unknown"), classes.unwrap_or_default());
        return Err(Error::UnsupportedArchitecture { found });
    }
    let refuse = |what: String| Err(Error::UnsupportedFeature { what });
    for key in UNSUPPORTED {
        let setting = &value[key];
        let off = setting.is_null() || setting == false || setting.as_f64() == Some(0.0);
        if !off {
            return refuse(format!("{key} = {setting}"));
        }
    }
    let activation = &value["hidden_act"];
    if !activation.is_null() && activation != "silu" {
        return refuse(format!("hidden_act = {activation}"));
    }
    Ok(())
}

/// `rope_parameters` of transformers 5, where it only says theta; refuses every kind of scaling.
fn rope_parameters(value: &Value) -> Result<Option<&Value>> {
    let mut parameters = None;
    for key in ["rope_scaling", "rope_parameters"] {
        let rope = &value[key];
        if rope.is_null() {
            continue;
        }
        let default = |kind: &Value| kind.is_null() || kind == "default";
        let partial = &rope["partial_rotary_factor"];
        let whole = partial.is_null() || partial.as_f64() == Some(1.0);
        let named = rope["rope_type"].is_string() || rope["type"].is_string();
        let plain = default(&rope["rope_type"]) && default(&rope["type"]) && whole;
        if !plain || (!named && rope["rope_theta"].is_null()) {
            return Err(Error::UnsupportedFeature { what: format!("{key} = {rope}") });
        }
        parameters = Some(rope);
    }
    Ok(parameters)
}
