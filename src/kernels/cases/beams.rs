//! The cases of what only beams need.

use super::{Case, Random, blank};
use crate::kernels::{Call, Step, attention, top_k};

/// Sizes: prefix, tokens behind it, beams, heads, key/value heads.
pub(super) fn attend(
    (prefix, generated, beams, heads, kv_heads): (u32, u32, u32, u32, u32),
    head_dim: u32,
    random: &mut Random,
) -> Case {
    let rows = prefix + (generated + 1) * beams;
    let cache = |random: &mut Random| {
        let mut seen = random.floats(rows * kv_heads * head_dim);
        // What lies behind the last token must not be read as a key.
        seen.extend(vec![1e30f32.to_bits(); (2 * kv_heads * head_dim) as usize]);
        seen
    };
    // Ancestors at random, the step's own tokens last.
    let mut slots = Vec::new();
    for step in 0..=generated {
        for beam in 0..beams {
            let other = (random.next() % u64::from(beams)) as u32;
            let of = if step == generated { beam } else { other };
            slots.push(prefix + step * beams + of);
        }
    }
    let before = vec![
        random.floats(beams * (heads + 2 * kv_heads) * head_dim),
        cache(random),
        cache(random),
        slots,
        blank(beams * heads * head_dim),
    ];
    let scale = 1.0 / (head_dim as f32).sqrt();
    let params = attention::Params { heads, kv_heads, head_dim, scale };
    Case {
        name: format!(
            "behind {prefix}+{generated}, {beams} beams, H {heads}/{kv_heads}×{head_dim}"
        ),
        call: Call::BeamAttention(params),
        step: Step::beams(prefix + generated, beams, prefix, 0),
        before,
    }
}

/// Candidates of beams: fewer than the parameters would have.
pub(super) fn likeliest(
    vocab: u32,
    k: u32,
    beams: u32,
    not_finite: bool,
    random: &mut Random,
) -> Case {
    let mut logits = random.floats(vocab * beams);
    logits[vocab as usize - 1] = logits[0]; // a tie
    logits[vocab as usize + 1] = 9f32.to_bits(); // a row that is all but certain
    if not_finite {
        logits[vocab as usize / 2] = f32::NEG_INFINITY.to_bits(); // the other rows are right
    }
    let before = vec![logits, blank(2 * k * beams)];
    let call = Call::TopK(top_k::Params { vocab, k: k + 1, log_probs: 1, pad: 0 });
    let fault = if not_finite { ", one not finite" } else { "" };
    let name = format!("V {vocab}, K {k}, {beams} beams{fault}");
    Case { name, call, step: Step::beams(9, beams, 5, k), before }
}
