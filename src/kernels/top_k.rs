//! The K largest logits of each row in descending order, equals by ascending id: the candidates of the
//! sampler, and, as log-probabilities, those of a beam search.

use super::argmax::NOT_FINITE;
use super::{Args, Binding, Step, read, write};

/// Fixed parameters.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Params {
    /// V: number of logits of a row.
    pub vocab: u32,
    /// K: how many to find where the step asks for no fewer, at most [`MAX_K`] and V.
    pub k: u32,
    /// 1: give log-probabilities (the logit less the logarithm of the sum of all exponentials), and
    /// [`NOT_FINITE`] for the ids of a row in which any logit is NaN or infinite. 0: give logits.
    pub log_probs: u32,
    /// Uniform structs are multiples of 16 bytes.
    pub pad: u32,
}

impl Params {
    /// K of a step.
    fn candidates(&self, step: &Step) -> u32 {
        if step.candidates == 0 { self.k } else { self.k.min(step.candidates) }
    }
}

/// Most candidates one dispatch finds; whoever wants more reads all logits.
pub const MAX_K: u32 = 64;

/// logits \[T\]\[V\] → top \[T\]\[K\] of (id, bits of the logit or log-probability)
pub const BINDINGS: &[Binding] = &[read("logits"), write("top")];

/// The CPU twin. NaN sorts last.
pub fn reference(p: &Params, step: &Step, args: &mut Args<'_>) {
    let logits: &[f32] = bytemuck::cast_slice(args.inputs[0]);
    let k = p.candidates(step) as usize;
    let rows = logits.chunks_exact(p.vocab as usize).take(step.tokens as usize);
    for (logits, top) in rows.zip(args.outputs[0].chunks_exact_mut(2 * k)) {
        row(p, logits, top);
    }
}

fn row(p: &Params, logits: &[f32], top: &mut [u32]) {
    let mut order: Vec<u32> = (0..p.vocab).collect();
    let key = |id: u32| {
        let logit = logits[id as usize];
        if logit.is_nan() { f32::NEG_INFINITY } else { logit + 0.0 } // -0 equals 0
    };
    let largest = |a: &u32, b: &u32| key(*b).total_cmp(&key(*a)).then(a.cmp(b));
    let k = top.len() / 2;
    if k < order.len() {
        order.select_nth_unstable_by(k, largest);
        order.truncate(k);
    }
    order.sort_by(largest);
    let finite = logits.iter().all(|logit| logit.is_finite());
    let most = order.first().map_or(0.0, |id| f64::from(logits[*id as usize]));
    let total = || logits.iter().map(|logit| (f64::from(*logit) - most).exp()).sum::<f64>();
    let sum_log = if p.log_probs == 1 && finite { most + total().ln() } else { 0.0 };
    for (top, id) in top.chunks_exact_mut(2).zip(order) {
        let logit = logits[id as usize];
        let found = match p.log_probs {
            1 if !finite => [NOT_FINITE, 0],
            1 => [id, ((f64::from(logit) - sum_log) as f32).to_bits()],
            _ => [id, logit.to_bits()],
        };
        top.copy_from_slice(&found);
    }
}

/// The pairs in `top`, as many as there are logits.
pub fn pairs(top: &[u32], vocab: usize) -> Vec<(u32, f32)> {
    top.chunks_exact(2).take(vocab).map(|pair| (pair[0], f32::from_bits(pair[1]))).collect()
}
