//! Safetensors files taken apart and put together, so that tests can damage them.
#![allow(unreachable_pub)] // the module is copied into each test binary

use std::collections::BTreeMap;

use serde_json::{Value, json};

#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    pub dtype: String,
    pub shape: Vec<usize>,
    pub data: Vec<u8>,
}

impl Tensor {
    pub fn f32(shape: &[usize], values: &[f32]) -> Tensor {
        let data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Tensor { dtype: "F32".to_owned(), shape: shape.to_vec(), data }
    }

    /// The weights of an F32 or F16 tensor.
    pub fn values(&self) -> Vec<f32> {
        match self.dtype.as_str() {
            "F32" => {
                self.data.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
            }
            "F16" => self
                .data
                .chunks(2)
                .map(|b| half::f16::from_le_bytes(b.try_into().unwrap()).to_f32())
                .collect(),
            other => panic!("{other}"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Archive {
    pub metadata: BTreeMap<String, String>,
    pub tensors: BTreeMap<String, Tensor>,
}

impl Archive {
    pub fn parse(file: &[u8]) -> Archive {
        let n = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
        let header: BTreeMap<String, Value> = serde_json::from_slice(&file[8..8 + n]).unwrap();
        let mut archive = Archive::default();
        for (name, entry) in header {
            if name == "__metadata__" {
                archive.metadata = serde_json::from_value(entry).unwrap();
                continue;
            }
            let [start, end]: [usize; 2] =
                serde_json::from_value(entry["data_offsets"].clone()).unwrap();
            let tensor = Tensor {
                dtype: entry["dtype"].as_str().unwrap().to_owned(),
                shape: serde_json::from_value(entry["shape"].clone()).unwrap(),
                data: file[8 + n + start..8 + n + end].to_vec(),
            };
            archive.tensors.insert(name, tensor);
        }
        archive
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut header = serde_json::Map::new();
        header.insert("__metadata__".to_owned(), json!(self.metadata));
        let mut end = 0;
        for (name, tensor) in &self.tensors {
            let start = end;
            end += tensor.data.len();
            let entry = json!({ "dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [start, end] });
            header.insert(name.clone(), entry);
        }
        let header = serde_json::to_vec(&header).unwrap();
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend(header);
        self.tensors.values().for_each(|tensor| file.extend(&tensor.data));
        file
    }
}
