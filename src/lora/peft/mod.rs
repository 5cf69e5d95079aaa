//! PEFT's adapter files: `adapter_config.json` and `adapter_model.safetensors`
//! (`peft/tuners/lora/config.py`, `peft/utils/save_and_load.py`; read against PEFT 0.21).
//!
//! Bytes in, bytes out: files are the caller's. Whatever would change what an adapter computes and
//! is not supported is refused by name, and every tensor of a file is used exactly once.

mod config;
mod tensors;

use std::collections::BTreeMap;

use safetensors::SafeTensors;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use self::config::Settings;
pub use self::tensors::Element;
use super::{Adapter, LoraConfig, Pair, Target};
use crate::config::LlamaConfig;
use crate::digest::hex;
use crate::error::{Error, Result};

/// Key of the safetensors' metadata that holds [`base_sha256`].
const BASE_SHA256: &str = "radllama.base_sha256";

/// Names a base by its weights: SHA-256 over the SHA-256 digests of its files (safetensors shards or
/// GGUF parts, in order), each as 64 lower-case hexadecimal digits with nothing between them. As a
/// command: `sha256sum FILES | cut -c1-64 | tr -d '\n' | sha256sum`.
pub fn base_sha256<S: AsRef<str>>(files: &[S]) -> String {
    let mut hasher = Sha256::new();
    files.iter().for_each(|digest| hasher.update(digest.as_ref().as_bytes()));
    hex(hasher.finalize())
}

fn bad(what: impl Into<String>) -> Error {
    Error::BadAdapter { what: what.into() }
}

/// The name of the module in Hugging Face's Llama: `model.layers.0.self_attn.q_proj`.
fn module_name(layer: u32, target: Target) -> String {
    format!("model.layers.{layer}.{}.{}", target.parent(), target.name())
}

/// The name of A (`'A'`) or B (`'B'`) in the file.
fn tensor_name(layer: u32, target: Target, factor: char) -> String {
    format!("base_model.model.{}.lora_{factor}.weight", module_name(layer, target))
}

impl Adapter {
    /// Reads an adapter for a model of this configuration from the bytes of `adapter_config.json`
    /// and `adapter_model.safetensors` (F32, F16 or BF16).
    ///
    /// # Errors
    /// [`Error::BadAdapter`] for a configuration or an archive that is damaged or of no known kind;
    /// [`Error::UnsupportedFeature`] for DoRA, trained biases or whole modules and other settings
    /// that are not implemented; [`Error::MissingTensor`], [`Error::UnexpectedTensor`] and
    /// [`Error::WrongShape`] when the tensors are not those that configuration and model ask for;
    /// [`Error::BadWeight`] for values that are not finite.
    pub fn from_peft(
        config_json: &[u8],
        safetensors: &[u8],
        model: &LlamaConfig,
    ) -> Result<Adapter> {
        let settings = Settings::parse(config_json)?;
        let damaged = |e| bad(format!("adapter_model.safetensors is damaged ({e})"));
        let (_, header) = SafeTensors::read_metadata(safetensors).map_err(damaged)?;
        let file = SafeTensors::deserialize(safetensors).map_err(damaged)?;
        let metadata = header.metadata().as_ref();
        let base_sha256 = metadata.and_then(|map| map.get(BASE_SHA256)).cloned();

        let mut factors = BTreeMap::new();
        for (name, view) in file.tensors() {
            let key = tensors::parse_name(&name, model)
                .ok_or_else(|| Error::UnexpectedTensor { tensor: name.clone() })?;
            factors.insert(key, tensors::read(&name, &view)?);
        }
        let modules: Vec<_> = factors.keys().map(|&(layer, target, _)| (layer, target)).collect();
        let mut pairs = BTreeMap::new();
        for (layer, target) in modules {
            if pairs.contains_key(&(layer, target)) {
                continue;
            }
            let mut factor = |which| {
                factors.remove(&(layer, target, which)).ok_or_else(|| Error::MissingTensor {
                    tensor: tensor_name(layer, target, which),
                })
            };
            let (a, b) = (factor('A')?, factor('B')?);
            let (rank, scale) = settings.rank_and_scale(&module_name(layer, target));
            let (out, cols) = target.shape(model);
            a.check_shape(&tensor_name(layer, target, 'A'), rank, cols)?;
            b.check_shape(&tensor_name(layer, target, 'B'), out, rank)?;
            pairs.insert((layer, target), Pair { rank, scale, a: a.values, b: b.values });
        }
        if pairs.is_empty() {
            return Err(bad("adapter_model.safetensors holds no tensors"));
        }
        settings.check_modules(&pairs, model)?;
        let mut target_modules: Vec<Target> = pairs.keys().map(|&(_, target)| target).collect();
        target_modules.sort_unstable();
        target_modules.dedup();
        let config = LoraConfig {
            r: settings.r,
            lora_alpha: settings.lora_alpha as f32,
            lora_dropout: settings.lora_dropout,
            use_rslora: settings.use_rslora,
            target_modules,
            base_model: settings.base_model,
        };
        Ok(Adapter { config, base_sha256, pairs })
    }

    /// `adapter_config.json` and `adapter_model.safetensors` for PEFT. The same adapter gives the
    /// same bytes.
    ///
    /// # Errors
    /// [`Error::BadAdapter`] when a pair's factors do not have its rank; [`Error::BadWeight`] for one
    /// that F16 does not hold.
    pub fn to_peft(&self, element: Element) -> Result<(Vec<u8>, Vec<u8>)> {
        let mut tensors = BTreeMap::new();
        for (&(layer, target), pair) in &self.pairs {
            for (factor, values) in [('A', &pair.a), ('B', &pair.b)] {
                let name = tensor_name(layer, target, factor);
                let rank = pair.rank as usize;
                if rank == 0 || values.is_empty() || values.len() % rank != 0 {
                    return Err(bad(format!(
                        "{name} has {} weights for rank {rank}",
                        values.len()
                    )));
                }
                let other = values.len() / rank;
                let shape = if factor == 'A' { [rank, other] } else { [other, rank] };
                tensors.insert(name, (shape, values.as_slice()));
            }
        }
        let json = serde_json::to_vec_pretty(&self.config_json())
            .map_err(|e| Error::Internal(e.to_string()))?;
        Ok((json, tensors::write(&tensors, self.metadata(), element)?))
    }

    /// Refuses an adapter that says it was trained on another base.
    ///
    /// # Errors
    /// [`Error::OtherBase`].
    pub fn check_base(&self, base_sha256: &str) -> Result<()> {
        match &self.base_sha256 {
            Some(expected) if expected != base_sha256 => {
                Err(Error::OtherBase { expected: expected.clone(), found: base_sha256.to_owned() })
            }
            _ => Ok(()),
        }
    }

    fn metadata(&self) -> BTreeMap<&'static str, &str> {
        let mut metadata = BTreeMap::from([("format", "pt")]);
        if let Some(hash) = &self.base_sha256 {
            metadata.insert(BASE_SHA256, hash);
        }
        metadata
    }

    fn config_json(&self) -> Value {
        let config = &self.config;
        let (mut ranks, mut alphas) = (Map::new(), Map::new());
        for (&(layer, target), pair) in &self.pairs {
            let name = module_name(layer, target);
            if pair.rank != config.r {
                ranks.insert(name.clone(), json!(pair.rank));
            }
            let usual = LoraConfig { r: pair.rank, ..config.clone() }.scale();
            if pair.scale != usual {
                // In f64, so that dividing gives the same f32 again.
                let r = f64::from(pair.rank);
                let divisor = if config.use_rslora { r.sqrt() } else { r };
                alphas.insert(name, number(f64::from(pair.scale) * divisor));
            }
        }
        let (target_modules, layers) = self.module_names();
        json!({
            "alpha_pattern": alphas,
            "auto_mapping": null,
            "base_model_name_or_path": config.base_model,
            "bias": "none",
            "exclude_modules": null,
            "fan_in_fan_out": false,
            "inference_mode": true,
            "init_lora_weights": true,
            "layer_replication": null,
            "layers_pattern": null,
            "layers_to_transform": layers,
            "loftq_config": {},
            "lora_alpha": number(f64::from(config.lora_alpha)),
            "lora_bias": false,
            "lora_dropout": config.lora_dropout,
            "megatron_config": null,
            "megatron_core": "megatron.core",
            "modules_to_save": null,
            "peft_type": "LORA",
            "r": config.r,
            "rank_pattern": ranks,
            "revision": null,
            "target_modules": target_modules,
            "task_type": "CAUSAL_LM",
            "use_dora": false,
            "use_rslora": config.use_rslora,
        })
    }

    /// `target_modules` and `layers_to_transform`, so that PEFT makes exactly the pairs that are
    /// here: names and layers where every layer has the same targets, otherwise each module.
    fn module_names(&self) -> (Vec<String>, Value) {
        let mut layers: Vec<u32> = self.pairs.keys().map(|&(layer, _)| layer).collect();
        layers.dedup();
        let mut targets: Vec<Target> = self.pairs.keys().map(|&(_, target)| target).collect();
        targets.sort_unstable();
        targets.dedup();
        if self.pairs.len() == layers.len() * targets.len() {
            (targets.iter().map(|target| target.name().to_owned()).collect(), json!(layers))
        } else {
            (self.pairs.keys().map(|&(l, target)| module_name(l, target)).collect(), Value::Null)
        }
    }
}

/// A whole number without a fraction, as PEFT writes it.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 1e15 { json!(value as i64) } else { json!(value) }
}
