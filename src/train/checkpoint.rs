//! A run of training as one safetensors file: factors, moments, the best adapter so far, and in the
//! metadata the options and how far it is. Resumed, a run goes on to the same values bit by bit: order
//! and dropout follow from seed and step.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use candle_core::{Device, Tensor};
use safetensors::tensor::{Dtype, SafeTensors, View};
use serde::{Deserialize, Serialize};

use super::network::internal;
use super::optimizer::Moments;
use super::trainer::{Options, State, Trainer};
use crate::error::{Error, Result};
use crate::lora::{Adapter, Pair};

/// The metadata's one key.
const KEY: &str = "radllama.training";

/// What stands in the metadata.
#[derive(Serialize, Deserialize)]
struct Metadata {
    format: u32,
    options: Options,
    state: State,
    /// What the caller wants to be the same again: data, base, template.
    fingerprint: String,
}

const FORMAT: u32 = 1;

/// A vector of f32 to be written, and its shape: its length.
struct Values(Vec<f32>, usize);

impl View for Values {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }
    fn shape(&self) -> &[usize] {
        std::slice::from_ref(&self.1)
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(bytemuck::cast_slice(&self.0))
    }
    fn data_len(&self) -> usize {
        4 * self.0.len()
    }
}

fn damaged(what: impl std::fmt::Display) -> Error {
    Error::Io {
        path: "checkpoint".to_owned(),
        reason: format!("is damaged ({what}); delete it to begin anew"),
    }
}

impl Trainer {
    /// The run as bytes. `fingerprint` says what it ran on.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub fn checkpoint(&self, fingerprint: &str) -> Result<Vec<u8>> {
        let mut tensors = BTreeMap::new();
        let mut add = |name: String, values: Vec<f32>| {
            let length = values.len();
            tensors.insert(name, Values(values, length));
        };
        for (name, var) in self.network.variables() {
            let values = var.flatten_all().and_then(|v| v.to_vec1::<f32>()).map_err(internal)?;
            add(format!("{name}.value"), values);
        }
        for (name, Moments { m, v }) in &self.moments {
            add(format!("{name}.m"), m.clone());
            add(format!("{name}.v"), v.clone());
        }
        for (&(layer, target), pair) in self.best.iter().flat_map(|best| &best.pairs) {
            let name = format!("layers.{layer}.{}", target.name());
            add(format!("{name}.a.best"), pair.a.clone());
            add(format!("{name}.b.best"), pair.b.clone());
        }
        let metadata = Metadata {
            format: FORMAT,
            options: self.options.clone(),
            state: self.state.clone(),
            fingerprint: fingerprint.to_owned(),
        };
        let text = serde_json::to_string(&metadata).map_err(|e| Error::Internal(e.to_string()))?;
        safetensors::serialize(tensors, Some(HashMap::from([(KEY.to_owned(), text)])))
            .map_err(|error| Error::Internal(format!("checkpoint: {error}")))
    }

    /// Takes up a run where [`Trainer::checkpoint`] left it.
    ///
    /// # Errors
    /// [`Error::BadOption`] when it was another run: other options, or another `fingerprint`;
    /// [`Error::Io`] for a damaged file.
    pub fn restore(&mut self, bytes: &[u8], fingerprint: &str) -> Result<()> {
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
        let text = header.metadata().as_ref().and_then(|map| map.get(KEY));
        let text = text.ok_or_else(|| damaged("no training state"))?;
        let metadata: Metadata = serde_json::from_str(text).map_err(damaged)?;
        let other = |what: &str| Error::BadOption {
            option: "resume",
            value: format!("a run with other {what}"),
            expected: "the same run; choose another output folder or pass --restart",
        };
        if metadata.format != FORMAT {
            return Err(damaged("of another version"));
        }
        if metadata.options != self.options {
            return Err(other("training options"));
        }
        if metadata.fingerprint != fingerprint {
            return Err(other("data, base, template or adapter options"));
        }
        let file = SafeTensors::deserialize(bytes).map_err(damaged)?;
        let read = |name: String, length: usize| -> Result<Vec<f32>> {
            let view = file.tensor(&name).map_err(damaged)?;
            if view.dtype() != Dtype::F32 || view.data().len() != 4 * length {
                return Err(damaged(format!("{name} has another size")));
            }
            Ok(view
                .data()
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect())
        };
        for (name, var) in self.network.variables() {
            let length = var.elem_count();
            let values = read(format!("{name}.value"), length)?;
            let tensor = Tensor::from_vec(values, var.shape(), &Device::Cpu).map_err(internal)?;
            var.set(&tensor).map_err(internal)?;
            let moments = Moments {
                m: read(format!("{name}.m"), length)?,
                v: read(format!("{name}.v"), length)?,
            };
            self.moments.insert(name, moments);
        }
        self.best = None;
        if metadata.state.best_loss.is_some() {
            let now = self.network.adapter()?;
            let pairs = now
                .pairs
                .into_iter()
                .map(|((layer, target), pair)| {
                    let name = format!("layers.{layer}.{}", target.name());
                    let a = read(format!("{name}.a.best"), pair.a.len())?;
                    let b = read(format!("{name}.b.best"), pair.b.len())?;
                    Ok(((layer, target), Pair { a, b, ..pair }))
                })
                .collect::<Result<_>>()?;
            self.best = Some(Adapter { pairs, ..now });
        }
        self.state = metadata.state;
        Ok(())
    }
}
