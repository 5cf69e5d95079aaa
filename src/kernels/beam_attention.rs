//! Attention of beams: T continuations of one text, a query each, all at the same position. Their keys
//! are the prefix that they share, then those of the beam's own ancestors, which `slots` names. A beam
//! that changes its parent changes its column of `slots`; no key or value is ever copied.

use super::attention::{self, Params};
use super::{Args, Binding, Step, read, write};

/// qkv \[T\]\[(H + 2 Hkv) Dh\], k_cache and v_cache \[context\]\[Hkv Dh\], slots
/// \[position - prefix + 1\]\[T\] (the cache row of the beam's token at each position behind the
/// prefix, its own included) → out \[T\]\[H Dh\]
pub const BINDINGS: &[Binding] =
    &[read("qkv"), read("k_cache"), read("v_cache"), read("slots"), write("out")];

/// Workgroups: beams × heads, in all variants.
pub fn grid(p: &Params, step: &Step) -> [u32; 3] {
    [step.tokens, p.heads, 1]
}

/// The CPU twin: attention's, over other rows.
pub fn reference(p: &Params, step: &Step, args: &mut Args<'_>) {
    let slots = args.inputs[3];
    let (prefix, beams) = (step.prefix as usize, step.tokens as usize);
    let cache_row = |beam: usize, key: usize| match key.checked_sub(prefix) {
        Some(behind) => slots[behind * beams + beam] as usize,
        None => key,
    };
    attention::attend(p, step, args, &|_| step.position as usize + 1, &cache_row);
}
