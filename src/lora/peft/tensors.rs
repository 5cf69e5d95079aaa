//! The tensors of `adapter_model.safetensors`.

use std::collections::BTreeMap;

use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Map, Value, json};

use super::{Target, bad};
use crate::config::LlamaConfig;
use crate::error::{Error, Result};

/// What an adapter's factors are written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// As they were trained.
    F32,
    /// Rounded to half the size.
    F16,
}

impl Element {
    fn bytes(self) -> usize {
        match self {
            Element::F32 => 4,
            Element::F16 => 2,
        }
    }
}

/// A matrix as f32.
pub(super) struct Matrix {
    shape: Vec<u64>,
    pub(super) values: Vec<f32>,
}

impl Matrix {
    /// Refuses any other shape.
    pub(super) fn check_shape(&self, name: &str, rows: u32, cols: u32) -> Result<()> {
        let expected = vec![u64::from(rows), u64::from(cols)];
        if self.shape == expected {
            return Ok(());
        }
        Err(Error::WrongShape { tensor: name.to_owned(), expected, found: self.shape.clone() })
    }
}

/// Layer, target and factor (`'A'` or `'B'`) of
/// `base_model.model.model.layers.{i}.{parent}.{target}.lora_{factor}.weight`; `None` for any other
/// name, and for a layer that the model does not have.
pub(super) fn parse_name(name: &str, model: &LlamaConfig) -> Option<(u32, Target, char)> {
    let rest = name.strip_prefix("base_model.model.model.layers.")?.strip_suffix(".weight")?;
    let mut parts = rest.split('.');
    let number = parts.next()?;
    let layer: u32 = number.parse().ok()?;
    let parent = parts.next()?;
    let target = Target::from_name(parts.next()?).filter(|target| target.parent() == parent)?;
    let factor = match parts.next()? {
        "lora_A" => 'A',
        "lora_B" => 'B',
        _ => return None,
    };
    let plain = layer.to_string() == number && parts.next().is_none();
    (plain && layer < model.num_hidden_layers).then_some((layer, target, factor))
}

/// The weights of a tensor as f32.
pub(super) fn read(name: &str, view: &TensorView<'_>) -> Result<Matrix> {
    let data = view.data();
    let halves = || data.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]));
    let values: Vec<f32> = match view.dtype() {
        Dtype::F32 => {
            data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
        }
        Dtype::F16 => halves().map(|bits| f16::from_bits(bits).to_f32()).collect(),
        Dtype::BF16 => halves().map(|bits| bf16::from_bits(bits).to_f32()).collect(),
        other => {
            return Err(bad(format!("{name} has type {other:?}, but must be F32, F16 or BF16")));
        }
    };
    if !values.iter().all(|value| value.is_finite()) {
        return Err(Error::BadWeight { tensor: name.to_owned() });
    }
    Ok(Matrix { shape: view.shape().iter().map(|&n| n as u64).collect(), values })
}

/// A file of tensors, by name with their shapes. Written here, since the crate's own writer
/// keeps metadata in a hash map and so gives other bytes each time.
pub(super) fn write(
    tensors: &BTreeMap<String, ([usize; 2], &[f32])>,
    metadata: BTreeMap<&'static str, &str>,
    element: Element,
) -> Result<Vec<u8>> {
    let mut header = Map::new();
    header.insert("__metadata__".to_owned(), json!(metadata));
    let mut end = 0;
    for (name, (shape, values)) in tensors {
        let start = end;
        end += element.bytes() * values.len();
        let dtype = format!("{element:?}");
        let entry = json!({ "dtype": dtype, "shape": shape, "data_offsets": [start, end] });
        header.insert(name.clone(), entry);
    }
    let mut header = serde_json::to_vec(&Value::Object(header))
        .map_err(|error| Error::Internal(error.to_string()))?;
    header.resize(header.len().next_multiple_of(8), b' '); // data aligned for maps of the file
    let mut file = Vec::with_capacity(8 + header.len() + end);
    file.extend((header.len() as u64).to_le_bytes());
    file.extend(&header);
    for (name, (_, values)) in tensors {
        match element {
            Element::F32 => file.extend(values.iter().flat_map(|value| value.to_le_bytes())),
            Element::F16 => {
                let halves = values.iter().map(|&value| f16::from_f32(value));
                if !halves.clone().all(f16::is_finite) {
                    return Err(Error::BadWeight { tensor: name.clone() });
                }
                file.extend(halves.flat_map(f16::to_le_bytes));
            }
        }
    }
    Ok(file)
}
