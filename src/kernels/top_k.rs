//! The K largest logits in descending order, equals by ascending id: the candidates of the sampler.

use super::{Args, Binding, read, write};

/// Fixed parameters.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Params {
    /// V: number of logits.
    pub vocab: u32,
    /// K: how many to find, at most [`MAX_K`] and V.
    pub k: u32,
    /// Uniform structs are multiples of 16 bytes.
    pub pad: [u32; 2],
}

/// Most candidates one dispatch finds; whoever wants more reads all logits.
pub const MAX_K: u32 = 64;

/// logits \[V\] → top \[K\] of (id, logit's bits)
pub const BINDINGS: &[Binding] = &[read("logits"), write("top")];

/// The CPU twin. NaN sorts last.
pub fn reference(p: &Params, args: &mut Args<'_>) {
    let logits: &[f32] = bytemuck::cast_slice(args.inputs[0]);
    let mut order: Vec<u32> = (0..p.vocab).collect();
    let key = |id: u32| {
        let logit = logits[id as usize];
        if logit.is_nan() { f32::NEG_INFINITY } else { logit + 0.0 } // -0 equals 0
    };
    order.sort_by(|a, b| key(*b).total_cmp(&key(*a)).then(a.cmp(b)));
    for (top, id) in args.outputs[0].chunks_exact_mut(2).zip(order).take(p.k as usize) {
        top.copy_from_slice(&[id, logits[id as usize].to_bits()]);
    }
}

/// The pairs in `top`, as many as there are logits.
pub fn pairs(top: &[u32], vocab: usize) -> Vec<(u32, f32)> {
    top.chunks_exact(2).take(vocab).map(|pair| (pair[0], f32::from_bits(pair[1]))).collect()
}
