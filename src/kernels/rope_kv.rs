//! Rotary position embedding (Su et al. 2021) of queries, in place, and keys, into the cache; values
//! are copied into the cache. Pairs are neighbours (2i, 2i+1), the order of GGUF's llama weights.

use super::{Args, Binding, Step, read, write};

/// Fixed parameters.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Params {
    /// H: query heads.
    pub heads: u32,
    /// Hkv: key/value heads.
    pub kv_heads: u32,
    /// Dh: values of a head.
    pub head_dim: u32,
    /// Uniform structs are multiples of 16 bytes.
    pub pad: u32,
}

impl Params {
    /// Pairs of one token's queries, keys and values.
    fn pairs(&self) -> u32 {
        (self.heads + 2 * self.kv_heads) * self.head_dim / 2
    }
}

/// table \[context\]\[Dh/2\] of (cos, sin) → qkv \[T\]\[(H + 2 Hkv) Dh\], k_cache and v_cache
/// \[context\]\[Hkv Dh\]
pub const BINDINGS: &[Binding] = &[read("table"), write("qkv"), write("k_cache"), write("v_cache")];

/// Threads of a workgroup, a pair each.
pub const WORKGROUP: u32 = 64;

/// Workgroups: pairs × tokens.
pub fn grid(p: &Params, step: &Step) -> [u32; 3] {
    [p.pairs().div_ceil(WORKGROUP), step.tokens, 1]
}

/// The table of (cos, sin) for `context` positions, in f64 until the end: WGSL's own `cos` promises
/// nothing beyond π.
pub fn table(context: u32, head_dim: u32, theta: f32) -> Vec<f32> {
    let mut table = Vec::with_capacity((context * head_dim) as usize);
    for position in 0..context {
        for i in 0..head_dim / 2 {
            let frequency = f64::from(theta).powf(-2.0 * f64::from(i) / f64::from(head_dim));
            let (sin, cos) = (f64::from(position) * frequency).sin_cos();
            table.extend([cos as f32, sin as f32]);
        }
    }
    table
}

/// The CPU twin.
pub fn reference(p: &Params, step: &Step, args: &mut Args<'_>) {
    let table: &[f32] = bytemuck::cast_slice(args.inputs[0]);
    let [qkv, k_cache, v_cache] = &mut args.outputs[..] else { return };
    let qkv: &mut [f32] = bytemuck::cast_slice_mut(qkv);
    let k_cache: &mut [f32] = bytemuck::cast_slice_mut(k_cache);
    let v_cache: &mut [f32] = bytemuck::cast_slice_mut(v_cache);
    let (q_size, kv_size) = ((p.heads * p.head_dim) as usize, (p.kv_heads * p.head_dim) as usize);
    let half = (p.head_dim / 2) as usize;
    for t in 0..step.tokens as usize {
        let row = t as u32;
        let (position, place) =
            (step.text_position(row) as usize, step.cache_position(row) as usize);
        let row = &mut qkv[t * (q_size + 2 * kv_size)..][..q_size + 2 * kv_size];
        let turn = |pair: usize, a: f32, b: f32| {
            let at = 2 * (position * half + pair % half);
            let (cos, sin) = (table[at], table[at + 1]);
            [a * cos - b * sin, a * sin + b * cos]
        };
        for pair in 0..q_size / 2 {
            let turned = turn(pair, row[2 * pair], row[2 * pair + 1]);
            row[2 * pair..2 * pair + 2].copy_from_slice(&turned);
        }
        for pair in 0..kv_size / 2 {
            let turned = turn(pair, row[q_size + 2 * pair], row[q_size + 2 * pair + 1]);
            k_cache[place * kv_size + 2 * pair..][..2].copy_from_slice(&turned);
        }
        v_cache[place * kv_size..][..kv_size].copy_from_slice(&row[q_size + kv_size..]);
    }
}
