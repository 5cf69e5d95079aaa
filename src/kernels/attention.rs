//! Causal grouped-query attention over the cache, with the softmax computed online (Milakov &
//! Gimelshein 2018; Dao et al. 2022): one pass over the keys, no score matrix.

use super::{Args, Binding, Step, Variant, read, write};

/// Fixed parameters.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Params {
    /// H: query heads.
    pub heads: u32,
    /// Hkv: key/value heads.
    pub kv_heads: u32,
    /// Dh: values of a head, a multiple of 4, at most [`crate::config::MAX_HEAD_DIM`].
    pub head_dim: u32,
    /// 1 / sqrt(Dh)
    pub scale: f32,
}

/// qkv \[T\]\[(H + 2 Hkv) Dh\], k_cache and v_cache \[context\]\[Hkv Dh\] → out \[T\]\[H Dh\]
pub const BINDINGS: &[Binding] = &[read("qkv"), read("k_cache"), read("v_cache"), write("out")];

/// Threads of a workgroup of the serial variant: as many tokens of one head, or, for a single token, as
/// many shares of its keys.
pub const SERIAL_THREADS: u32 = 8;

/// Workgroups: tokens × heads.
pub fn grid(p: &Params, step: &Step, variant: Variant) -> [u32; 3] {
    match variant {
        Variant::Serial => [step.tokens.div_ceil(SERIAL_THREADS), p.heads, 1],
        _ => [step.tokens, p.heads, 1],
    }
}

/// The CPU twin: the plain two-pass softmax, so that it checks the online one.
pub fn reference(p: &Params, step: &Step, args: &mut Args<'_>) {
    let keys = |token: usize| step.position as usize + token + 1;
    attend(p, step, args, &keys, &|_, key| key);
}

/// The plain softmax of T queries, of which query t sees `keys(t)` keys, its key i in row
/// `cache_row(t, i)` of the cache.
pub(super) fn attend(
    p: &Params,
    step: &Step,
    args: &mut Args<'_>,
    keys: &dyn Fn(usize) -> usize,
    cache_row: &dyn Fn(usize, usize) -> usize,
) {
    let qkv: &[f32] = bytemuck::cast_slice(args.inputs[0]);
    let k_cache: &[f32] = bytemuck::cast_slice(args.inputs[1]);
    let v_cache: &[f32] = bytemuck::cast_slice(args.inputs[2]);
    let out: &mut [f32] = bytemuck::cast_slice_mut(args.outputs[0]);
    let (heads, head_dim) = (p.heads as usize, p.head_dim as usize);
    let kv_size = p.kv_heads as usize * head_dim;
    let row = heads * head_dim + 2 * kv_size;
    for t in 0..step.tokens as usize {
        let rows: Vec<usize> = (0..keys(t)).map(|key| cache_row(t, key)).collect();
        for head in 0..heads {
            let q = &qkv[t * row + head * head_dim..][..head_dim];
            let kv = head / (heads / p.kv_heads as usize) * head_dim;
            let mut scores: Vec<f32> = rows
                .iter()
                .map(|row| {
                    let k = &k_cache[row * kv_size + kv..][..head_dim];
                    q.iter().zip(k).map(|(q, k)| q * k).sum::<f32>() * p.scale
                })
                .collect();
            let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            for score in &mut scores {
                *score = (*score - most).exp();
            }
            let total: f32 = scores.iter().sum();
            let out = &mut out[(t * heads + head) * head_dim..][..head_dim];
            out.fill(0.0);
            for (row, score) in rows.iter().zip(&scores) {
                let v = &v_cache[row * kv_size + kv..][..head_dim];
                for (out, v) in out.iter_mut().zip(v) {
                    *out += score / total * v;
                }
            }
        }
    }
}
