//! Embedding gather: out\[t\] = row ids\[place of t\] of the embedding, dequantized.

use super::{Args, Binding, Step, read, write};
use crate::quant::{self, Format};

/// Fixed parameters.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Params {
    /// D: values of a row.
    pub dim: u32,
    /// V: rows.
    pub vocab: u32,
    /// Uniform structs are multiples of 16 bytes.
    pub pad: [u32; 2],
}

/// codes and scales \[V\]\[D\], ids \[context + 1\] → out \[T\]\[D\]
pub const BINDINGS: &[Binding] = &[read("codes"), read("scales"), read("ids"), write("out")];

/// Threads of a workgroup: each writes one block of 32 values.
pub const WORKGROUP: u32 = 32;

/// Workgroups: blocks of a row × tokens.
pub fn grid(p: &Params, step: &Step) -> [u32; 3] {
    [(p.dim / quant::BLOCK).div_ceil(WORKGROUP), step.tokens, 1]
}

/// The CPU twin. An id outside the vocabulary reads the last row, as on the GPU.
pub fn reference(format: Format, p: &Params, step: &Step, args: &mut Args<'_>) {
    let (codes, scales, ids) = (args.inputs[0], args.inputs[1], args.inputs[2]);
    let out: &mut [f32] = bytemuck::cast_slice_mut(args.outputs[0]);
    let blocks = (p.dim / quant::BLOCK) as usize;
    for t in 0..step.tokens as usize {
        let row = ids[step.cache_position(t as u32) as usize].min(p.vocab - 1) as usize;
        for block in 0..blocks {
            let mut values = [0.0; quant::BLOCK as usize];
            quant::dequantize_block(format, codes, scales, row * blocks + block, &mut values);
            let at = t * p.dim as usize + block * values.len();
            out[at..at + values.len()].copy_from_slice(&values);
        }
    }
}
