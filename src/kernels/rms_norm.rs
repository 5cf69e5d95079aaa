//! Root-mean-square normalization (Zhang & Sennrich 2019): out = x / sqrt(mean(x²) + eps) × weight.

use super::{Args, Binding, Step, read, write};

/// Fixed parameters.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Params {
    /// D: values of a row.
    pub dim: u32,
    /// Added to the mean square.
    pub eps: f32,
    /// 1: only the step's last token is normalized, into row 0 of `out`, for lm_head.
    pub last_only: u32,
    /// Uniform structs are multiples of 16 bytes.
    pub pad: u32,
}

/// x \[T\]\[D\], weight \[D\] → out \[T\]\[D\]
pub const BINDINGS: &[Binding] = &[read("x"), read("weight"), write("out")];

/// Workgroups: one a token.
pub fn grid(p: &Params, step: &Step) -> [u32; 3] {
    [if p.last_only == 1 { 1 } else { step.tokens }, 1, 1]
}

/// The CPU twin.
pub fn reference(p: &Params, step: &Step, args: &mut Args<'_>) {
    let x: &[f32] = bytemuck::cast_slice(args.inputs[0]);
    let weight: &[f32] = bytemuck::cast_slice(args.inputs[1]);
    let out: &mut [f32] = bytemuck::cast_slice_mut(args.outputs[0]);
    let dim = p.dim as usize;
    let first = if p.last_only == 1 { step.tokens as usize - 1 } else { 0 };
    for (row, token) in (first..step.tokens as usize).enumerate() {
        let x = &x[token * dim..][..dim];
        let mean = x.iter().map(|v| v * v).sum::<f32>() / dim as f32;
        let scale = 1.0 / (mean + p.eps).sqrt();
        for ((out, x), weight) in out[row * dim..][..dim].iter_mut().zip(x).zip(weight) {
            *out = x * scale * weight;
        }
    }
}
