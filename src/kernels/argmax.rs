//! The greedy next id: the index of the largest logit, the lower one of equals. A logit that is not
//! finite gives [`NOT_FINITE`] instead: nothing computed from it could be trusted.

use super::{Args, Binding, Step, read, write};

/// Fixed parameters.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Params {
    /// V: number of logits.
    pub vocab: u32,
    /// Uniform structs are multiples of 16 bytes.
    pub pad: [u32; 3],
}

/// Written in place of an id when a logit is NaN or infinite.
pub const NOT_FINITE: u32 = u32::MAX;

/// logits \[V\] → ids \[context + 1\], at position + T
pub const BINDINGS: &[Binding] = &[read("logits"), write("ids")];

/// The CPU twin.
pub fn reference(p: &Params, step: &Step, args: &mut Args<'_>) {
    let logits: &[f32] = bytemuck::cast_slice(args.inputs[0]);
    let logits = &logits[..p.vocab as usize];
    let mut best = 0;
    for (id, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = id;
        }
    }
    let finite = logits.iter().all(|logit| logit.is_finite());
    args.outputs[0][(step.position + step.tokens) as usize] =
        if finite { best as u32 } else { NOT_FINITE };
}
