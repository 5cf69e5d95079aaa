//! Random adapters for models made up on the spot, and what a merge with them must give.
#![allow(dead_code, reason = "every test binary uses its own part")]
#![allow(unreachable_pub)] // the module is copied into each test binary

use std::collections::BTreeMap;

use radllama::LlamaConfig;
use radllama::gguf::{TensorType, read_header};
use radllama::lora::{Adapter, LoraConfig, Pair, Target};

use super::tiny::Random;

/// An adapter of these targets with a rank for each (layer, target); 0 leaves the matrix as it is. Its
/// updates are about a third of `Tiny`'s weights, so that none of them goes unnoticed.
pub fn adapter(config: &LlamaConfig, seed: u64, rank: impl Fn(u32, Target) -> u32) -> Adapter {
    let mut random = Random(seed);
    let mut pairs = BTreeMap::new();
    for layer in 0..config.num_hidden_layers {
        for target in Target::ALL {
            let (rows, cols) = target.shape(config);
            let rank = rank(layer, target);
            if rank == 0 {
                continue;
            }
            let mut values =
                |count: u32, size: f32| (0..count).map(|_| random.value() * size).collect();
            let a = values(rank * cols, 0.25);
            let b = values(rows * rank, 0.1 / (rank as f32).sqrt());
            pairs.insert((layer, target), Pair { rank, scale: 2.0, a, b });
        }
    }
    let config = LoraConfig {
        r: 8,
        lora_alpha: 16.0,
        lora_dropout: 0.0,
        use_rslora: false,
        target_modules: Target::ALL.to_vec(),
        base_model: "tiny".into(),
    };
    Adapter { config, base_sha256: None, pairs }
}

/// The adapter with values that are f16, subnormal ones among them, as one from an F16 file has.
pub fn halved(adapter: &Adapter) -> Adapter {
    let mut halved = adapter.clone();
    for pair in halved.pairs.values_mut() {
        for values in [&mut pair.a, &mut pair.b] {
            values.iter_mut().for_each(|value| *value = half::f16::from_f32(*value).to_f32());
            values[1] = f32::exp2(-20.0);
        }
    }
    halved
}

/// A rank for each matrix: odd ones, different ones in a fused matrix and from layer to layer.
pub fn odd_ranks(layer: u32, target: Target) -> u32 {
    let by_target = match target {
        Target::Q => 8,
        Target::K => 3,
        Target::V => 5,
        Target::O => 1,
        Target::Gate => 4,
        Target::Up => 17,
        Target::Down => 6,
    };
    by_target + 2 * layer
}

/// The f32 model file with W + s B A in place of W. `permute`: whether the rows of q and k are brought
/// into GGUF's order, as they must be; it is done as llama.cpp's converter does it, by swapping the axes
/// of (head, half, Dh / 2).
pub fn merged(file: &[u8], config: &LlamaConfig, adapter: &Adapter, permute: bool) -> Vec<u8> {
    let header = read_header("tiny", file).unwrap();
    let mut out = file.to_vec();
    for ((layer, target), pair) in &adapter.pairs {
        let name = format!("blk.{layer}.{}.weight", target.gguf_name());
        let tensor = header.tensors.iter().find(|tensor| tensor.name == name).unwrap();
        assert_eq!(tensor.ty, TensorType::F32);
        let data = (header.data_offset + tensor.offset) as usize;
        let (rows, cols) = target.shape(config);
        let (rows, cols, rank) = (rows as usize, cols as usize, pair.rank as usize);
        let half = config.head_dim as usize / 2;
        let heads = target.permuted_heads(config).filter(|_| permute);
        for row in 0..rows {
            // This row of the file is Hugging Face's row `from`.
            let from = match heads {
                Some(_) => {
                    let (head, i, side) = (row / (2 * half), row / 2 % half, row % 2);
                    (head * 2 + side) * half + i
                }
                None => row,
            };
            for col in 0..cols {
                let delta: f64 = (0..rank)
                    .map(|r| f64::from(pair.b[from * rank + r]) * f64::from(pair.a[r * cols + col]))
                    .sum();
                let at = data + 4 * (row * cols + col);
                let old = f32::from_le_bytes(out[at..at + 4].try_into().unwrap());
                let new = (f64::from(old) + f64::from(pair.scale) * delta) as f32;
                out[at..at + 4].copy_from_slice(&new.to_le_bytes());
            }
        }
    }
    out
}
