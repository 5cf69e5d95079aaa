//! `adapter_config.json`: what has a meaning here, what may be ignored, and what is refused.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{bad, module_name};
use crate::config::LlamaConfig;
use crate::error::{Error, Result};
use crate::lora::{Pair, Target};

/// Keys whose value never changes what a finished adapter computes: names, versions, and settings
/// of training or of a feature that is switched on by another key.
const WITHOUT_MEANING: [&str; 11] = [
    "auto_mapping",
    "eva_config", // an initialisation; the ranks it chose are in rank_pattern
    "inference_mode",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "task_type",
    "ensure_weight_tying", // of modules_to_save, which is refused
    "_custom_modules",
];

/// Values of `init_lora_weights` that leave the base as it is. Others (PiSSA, OLoRA, CorDA, LoftQ,
/// LoRA-GA) train on a changed base.
const PLAIN_INITS: [&str; 3] = ["gaussian", "eva", "orthogonal"];

/// What the file says.
pub(super) struct Settings {
    pub(super) r: u32,
    pub(super) lora_alpha: f64,
    pub(super) lora_dropout: f32,
    pub(super) use_rslora: bool,
    pub(super) base_model: String,
    targets: Modules,
    excluded: Modules,
    layers: Option<Vec<u32>>,
    ranks: Vec<(Pattern, u32)>,
    alphas: Vec<(Pattern, f64)>,
}

/// Which modules a key names.
enum Modules {
    /// None.
    Nothing,
    /// Every module whose name is one of these, or ends in a dot and one of these.
    Ends(Vec<String>),
    /// Every linear layer but the last.
    AllLinear,
    /// A regular expression: the tensors say what it found.
    Expression,
}

/// A key of `rank_pattern` or `alpha_pattern`.
struct Pattern {
    text: String,
    /// Whether it starts at the name's start.
    anchored: bool,
}

impl Settings {
    pub(super) fn parse(json: &[u8]) -> Result<Settings> {
        let parsed: Value = serde_json::from_slice(json)
            .map_err(|e| bad(format!("adapter_config.json is not understood ({e})")))?;
        let Value::Object(mut map) = parsed else {
            return Err(bad("adapter_config.json is not an object"));
        };
        for key in WITHOUT_MEANING {
            map.remove(key);
        }
        let kind = map.remove("peft_type");
        if kind.as_ref().and_then(Value::as_str) != Some("LORA") {
            return Err(refused(&format!("peft_type = {}", shown(kind.as_ref()))));
        }
        let r = map.remove("r");
        let r = positive(r.as_ref()).ok_or_else(|| bad(format!("r is {}", shown(r.as_ref()))))?;
        let lora_alpha = finite(&mut map, "lora_alpha")?
            .ok_or_else(|| bad("adapter_config.json lacks lora_alpha"))?;
        let settings = Settings {
            r,
            lora_alpha,
            lora_dropout: finite(&mut map, "lora_dropout")?.unwrap_or(0.0) as f32,
            use_rslora: match map.remove("use_rslora") {
                None | Some(Value::Null) => false,
                Some(Value::Bool(value)) => value,
                other => return Err(bad(format!("use_rslora is {}", shown(other.as_ref())))),
            },
            base_model: match map.remove("base_model_name_or_path") {
                Some(Value::String(name)) => name,
                _ => String::new(),
            },
            targets: modules(&mut map, "target_modules")?,
            excluded: modules(&mut map, "exclude_modules")?,
            layers: layers(&mut map)?,
            ranks: patterns(&mut map, "rank_pattern", |v| positive(Some(v)))?,
            alphas: patterns(&mut map, "alpha_pattern", |v| v.as_f64().filter(|v| v.is_finite()))?,
        };
        check_rest(map)?;
        Ok(settings)
    }

    /// R and the scale of a module, as PEFT computes them.
    pub(super) fn rank_and_scale(&self, module: &str) -> (u32, f32) {
        let rank = first(&self.ranks, module).unwrap_or(self.r);
        let alpha = first(&self.alphas, module).unwrap_or(self.lora_alpha);
        let r = f64::from(rank);
        (rank, (alpha / if self.use_rslora { r.sqrt() } else { r }) as f32)
    }

    /// Refuses pairs that PEFT would not load and modules that have no pair.
    pub(super) fn check_modules(
        &self,
        pairs: &BTreeMap<(u32, Target), Pair>,
        model: &LlamaConfig,
    ) -> Result<()> {
        for layer in 0..model.num_hidden_layers {
            for target in Target::ALL {
                let Some(expected) = self.expects(layer, &module_name(layer, target)) else {
                    continue;
                };
                let tensor = super::tensor_name(layer, target, 'A');
                match (expected, pairs.contains_key(&(layer, target))) {
                    (true, false) => return Err(Error::MissingTensor { tensor }),
                    (false, true) => return Err(Error::UnexpectedTensor { tensor }),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Whether a module is adapted; `None` where only the tensors can tell.
    fn expects(&self, layer: u32, module: &str) -> Option<bool> {
        match &self.excluded {
            Modules::Ends(_) if self.excluded.contains(module) => return Some(false),
            Modules::AllLinear | Modules::Expression => return None,
            _ => {}
        }
        match &self.targets {
            Modules::Expression | Modules::Nothing => None,
            // PEFT applies layers_to_transform to ends of names only.
            Modules::Ends(ends) if !ends.iter().any(|end| end == module) => {
                let here = self.layers.as_ref().is_none_or(|layers| layers.contains(&layer));
                Some(here && self.targets.contains(module))
            }
            _ => Some(self.targets.contains(module)),
        }
    }
}

impl Modules {
    fn contains(&self, module: &str) -> bool {
        match self {
            Modules::Nothing | Modules::Expression => false,
            Modules::AllLinear => true,
            Modules::Ends(ends) => ends.iter().any(|end| is_end(module, end)),
        }
    }
}

fn is_end(module: &str, end: &str) -> bool {
    module.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn refused(what: &str) -> Error {
    Error::UnsupportedFeature { what: format!("an adapter with {what}") }
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "missing".to_owned(), Value::to_string)
}

fn positive(value: Option<&Value>) -> Option<u32> {
    u32::try_from(value?.as_u64()?).ok().filter(|&value| value > 0)
}

fn finite(map: &mut Map<String, Value>, key: &str) -> Result<Option<f64>> {
    match map.remove(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_f64().filter(|value| value.is_finite()) {
            Some(number) => Ok(Some(number)),
            None => Err(bad(format!("{key} is {value}"))),
        },
    }
}

fn modules(map: &mut Map<String, Value>, key: &str) -> Result<Modules> {
    match map.remove(key) {
        None | Some(Value::Null) => Ok(Modules::Nothing),
        Some(Value::String(text)) if text == "all-linear" => Ok(Modules::AllLinear),
        Some(Value::String(text)) if text.is_empty() => Ok(Modules::Nothing),
        Some(Value::String(_)) => Ok(Modules::Expression),
        Some(Value::Array(names)) => {
            let ends: Option<Vec<String>> =
                names.iter().map(|name| name.as_str().map(str::to_owned)).collect();
            ends.map(Modules::Ends).ok_or_else(|| bad(format!("{key} is not a list of names")))
        }
        Some(other) => Err(bad(format!("{key} is {other}"))),
    }
}

fn layers(map: &mut Map<String, Value>) -> Result<Option<Vec<u32>>> {
    match map.remove("layers_pattern") {
        None | Some(Value::Null) => {}
        Some(Value::String(name)) if name.is_empty() || name == "layers" => {}
        Some(Value::Array(names)) if names.iter().all(|name| name == "layers") => {}
        Some(other) => return Err(refused(&format!("layers_pattern = {other}"))),
    }
    let value = map.remove("layers_to_transform");
    let number = |value: &Value| value.as_u64().and_then(|layer| u32::try_from(layer).ok());
    let list = match &value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(list)) if list.is_empty() => return Ok(None),
        Some(Value::Array(list)) => list.iter().map(number).collect(),
        Some(one) => number(one).map(|layer| vec![layer]),
    };
    list.map(Some).ok_or_else(|| bad(format!("layers_to_transform is {}", shown(value.as_ref()))))
}

/// In PEFT's order of matching, which is the file's: sorted by key.
fn patterns<T>(
    map: &mut Map<String, Value>,
    key: &str,
    read: impl Fn(&Value) -> Option<T>,
) -> Result<Vec<(Pattern, T)>> {
    let entries = match map.remove(key) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Object(entries)) => entries,
        Some(other) => return Err(bad(format!("{key} is {other}"))),
    };
    let mut patterns = Vec::new();
    for (pattern, value) in entries {
        let anchored = pattern.starts_with('^');
        let text = pattern.trim_start_matches('^').replace("\\.", ".");
        // PEFT takes the keys for regular expressions; names, where a dot is a dot, are enough.
        if text.is_empty() || !text.chars().all(|c| c.is_ascii_alphanumeric() || "._".contains(c)) {
            return Err(refused(&format!("the expression {pattern} in {key}")));
        }
        let value = read(&value).ok_or_else(|| bad(format!("{key} gives {pattern} {value}")))?;
        patterns.push((Pattern { text, anchored }, value));
    }
    Ok(patterns)
}

fn first<T: Copy>(patterns: &[(Pattern, T)], module: &str) -> Option<T> {
    let matches = |pattern: &Pattern| {
        module == pattern.text || (!pattern.anchored && is_end(module, &pattern.text))
    };
    patterns.iter().find(|(pattern, _)| matches(pattern)).map(|&(_, value)| value)
}

/// Refuses what is left and says something.
fn check_rest(map: Map<String, Value>) -> Result<()> {
    for (key, value) in map {
        let neutral = match &value {
            Value::Null | Value::Bool(false) => true,
            Value::Bool(true) => key == "init_lora_weights",
            Value::String(text) => match key.as_str() {
                "bias" => text == "none",
                "init_lora_weights" => PLAIN_INITS.contains(&text.as_str()),
                _ => text.is_empty(),
            },
            Value::Array(list) => list.is_empty(),
            Value::Object(entries) => entries.is_empty(),
            Value::Number(number) => number.as_f64() == Some(0.0),
        };
        if !neutral {
            return Err(refused(&format!("{key} = {value}")));
        }
    }
    Ok(())
}
