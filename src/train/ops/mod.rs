//! The forward and backward of a Llama block's parts as operations of candle's graph: candle records
//! what was applied to what and walks it backwards, these compute. Each is fused and parallel; made of
//! candle's own operations a step takes several times as long, most of it in passes over memory and in
//! gradients of frozen weights that nobody needs.
//!
//! Sequences lie one behind the other, without padding, as rows of one matrix \[T\]\[…\].

mod attention;
mod linear;
mod loss;
mod pointwise;

use candle_core::{CpuStorage, Layout, Result, Storage, Tensor};

pub(super) use attention::{Attention, Rope};
pub(super) use linear::{Block, Dropout, FrozenLinear, LoraLinear};
pub(super) use loss::CrossEntropy;
pub(super) use pointwise::{RmsNorm, Swiglu};

/// The values of an operand, which must be contiguous f32.
fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => candle_core::bail!("an operand is not contiguous"),
    }
}

/// Lends the values of a tensor.
fn with<R>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> Result<R>) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => f(values(storage, layout)?),
        _ => candle_core::bail!("training runs on the CPU"),
    }
}

/// A tensor of values.
fn tensor(values: Vec<f32>, shape: impl Into<candle_core::Shape>) -> Result<Tensor> {
    Tensor::from_vec(values, shape, &candle_core::Device::Cpu)
}

/// e^x for x up to 88, to about 2 ulp, without a branch: a compiler makes vectors of it. 2^n · 2^f
/// with a polynomial for 2^f on ±½ (its Taylor series).
fn exp(x: f32) -> f32 {
    const ROUNDER: f32 = (3u32 << 22) as f32; // leaves the nearest integer in the low bits
    const LN2: (f32, f32) = (0.693_359_4, -2.121_944_4e-4); // high and low part
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUNDER;
    let n = shifted - ROUNDER;
    let f = x - n * LN2.0 - n * LN2.1;
    let terms = [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0f32];
    let series = terms.iter().fold(0.0, |sum, term| sum * f + term);
    let power = (shifted.to_bits() << 23).wrapping_add(127 << 23);
    series * f32::from_bits(power)
}
