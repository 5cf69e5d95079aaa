//! The comparison that every GPU test and the self-test on a user's device rest on, held against
//! planted faults: a comparer that cannot fail proves nothing. Here the "device" is the twin itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::BTreeMap;
use std::sync::OnceLock;

use radllama::kernels::cases::{Case, Extent, cases};
use radllama::kernels::lora::Factors;
use radllama::kernels::{Access, Call, Epilogue, HEAD_DIMS, Variant, permutations};
use radllama::quant::Format;

/// A case, what its twin makes of it, and its permutation's name.
struct Right {
    name: String,
    case: Case,
    expected: Vec<Vec<u32>>,
}

/// Every case of every base permutation.
fn all() -> &'static [Right] {
    static ALL: OnceLock<Vec<Right>> = OnceLock::new();
    ALL.get_or_init(|| {
        let base = permutations(&HEAD_DIMS).into_iter().filter(|p| p.variant == Variant::Base);
        base.flat_map(|permutation| {
            cases(&permutation, Extent::Full).into_iter().map(move |case| {
                let name = format!("{}, {}", permutation.name(), case.name);
                let expected = case.expected();
                Right { name, case, expected }
            })
        })
        .collect()
    })
}

impl Right {
    fn caught(&self, actual: &[Vec<u32>]) -> bool {
        let error = self.case.error(&self.expected, actual);
        assert!(!error.is_nan(), "{}: a NaN is in no order to what is allowed", self.name);
        error > self.case.allowed()
    }

    fn outputs(&self) -> Vec<usize> {
        let bindings = self.case.call.bindings().iter().enumerate();
        bindings.filter(|(_, b)| b.access == Access::Write).map(|(i, _)| i).collect()
    }

    /// Places of an output that the twin changed.
    fn written(&self, output: usize) -> Vec<usize> {
        let (before, after) = (&self.case.before[output], &self.expected[output]);
        (0..before.len()).filter(|i| before[*i] != after[*i]).collect()
    }

    /// Words of a row of an output; of what a workgroup computes, where there is a single row.
    fn row_words(&self, output: usize) -> usize {
        let words = match &self.case.call {
            Call::Matvec(..) | Call::MatvecLora(..) => 1,
            Call::Matmul(_, _, p) | Call::Matvecs(_, _, p) => p.rows as usize,
            Call::MatmulLora(.., p) | Call::MatvecsLora(.., p) => p.rows as usize,
            Call::Embed(_, p) => p.dim as usize,
            Call::RmsNorm(p) => p.dim as usize,
            Call::LoraDown(_, p) => p.rows as usize,
            Call::RopeKv(p) => {
                let heads = if output == 1 { p.heads + 2 * p.kv_heads } else { p.kv_heads };
                (heads * p.head_dim) as usize
            }
            Call::Attention(p) | Call::BeamAttention(p) => p.head_dim as usize,
            Call::Argmax(_) => 1,
            Call::TopK(_) => 2,
        };
        // One token: its values are the rows.
        if self.written(output).len() < 2 * words { 1 } else { words }
    }

    /// The written rows of an output, by their first words.
    fn rows(&self, output: usize) -> Vec<usize> {
        let words = self.row_words(output);
        let mut rows: Vec<usize> =
            self.written(output).iter().map(|at| at / words * words).collect();
        rows.dedup();
        rows
    }

    /// Root mean square of what the twin wrote to a float output.
    fn rms(&self, output: usize) -> f64 {
        let written = self.written(output);
        let squares: f64 = written.iter().map(|&i| f64::from(self.float(output, i)).powi(2)).sum();
        (squares / written.len() as f64).sqrt()
    }

    fn float(&self, output: usize, at: usize) -> f32 {
        f32::from_bits(self.expected[output][at])
    }

    fn is_exact(&self) -> bool {
        matches!(self.case.call, Call::Argmax(_) | Call::TopK(_))
    }

    /// What a device would leave that ran the case on other buffers than it was given.
    fn run_on(&self, change: impl Fn(&mut Vec<Vec<u32>>)) -> Vec<Vec<u32>> {
        let mut wrong = self.case.clone();
        change(&mut wrong.before);
        let mut actual = wrong.expected();
        for (i, binding) in self.case.call.bindings().iter().enumerate() {
            if binding.access == Access::Read {
                actual[i].clone_from(&self.case.before[i]);
            }
        }
        actual
    }

    fn with(&self, output: usize, change: impl Fn(&mut Vec<u32>)) -> Vec<Vec<u32>> {
        let mut actual = self.expected.clone();
        change(&mut actual[output]);
        actual
    }
}

/// Holds every case against `plant`, which gives wrong results (none where the fault has no place in a
/// case), and wants at least `least` of them, each caught. Returns how many there were by kernel.
fn plant(
    fault: &str,
    least: usize,
    plant: impl Fn(&Right) -> Vec<Vec<Vec<u32>>>,
) -> BTreeMap<&'static str, usize> {
    let mut planted = BTreeMap::new();
    for right in all() {
        for actual in plant(right) {
            assert!(right.caught(&actual), "{}: {fault} was not noticed", right.name);
            *planted.entry(right.case.call.kernel()).or_insert(0) += 1;
        }
    }
    let total: usize = planted.values().sum();
    assert!(total >= least, "{fault} was planted only {total} times: {planted:?}");
    planted
}

#[test]
fn the_twins_own_results_pass() {
    let all = all();
    for right in all {
        assert_eq!(right.case.error(&right.expected, &right.expected), 0.0, "{}", right.name);
        assert!(right.outputs().iter().any(|o| !right.written(*o).is_empty()), "{}", right.name);
    }
    assert!(all.len() > 150, "only {} cases", all.len());
}

#[test]
fn swapped_and_shifted_rows_are_noticed() {
    let kernels = plant("a swap of two rows", 150, |right| {
        let swap = |output: usize| {
            let (rows, words) = (right.rows(output), right.row_words(output));
            let row = |at: usize| &right.expected[output][at..at + words];
            // Two rows may hold the same, such as those of a token that comes twice.
            let (a, b) = (*rows.first()?, *rows.iter().find(|at| row(**at) != row(rows[0]))?);
            Some(right.with(output, |buffer| {
                for i in 0..words {
                    buffer.swap(a + i, b + i);
                }
            }))
        };
        right.outputs().into_iter().filter_map(swap).collect()
    });
    assert_eq!(kernels.len(), 10, "all kernels but argmax, which writes one word: {kernels:?}");

    plant("a shift by one row", 150, |right| {
        let shift = |output: usize| {
            let (rows, words) = (right.rows(output), right.row_words(output));
            let (first, end) = (*rows.first()?, rows.last()? + words);
            let actual = right.with(output, |buffer| buffer[first..end].rotate_right(words));
            (actual != right.expected).then_some(actual)
        };
        right.outputs().into_iter().filter_map(shift).collect()
    });
}

#[test]
fn values_that_are_not_finite_are_noticed() {
    for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let kernels = plant("a value that is not finite", 180, |right| {
            let spoil = |output: usize| {
                let written = right.written(output);
                let at = *written.get(written.len() / 2)?;
                Some(right.with(output, |buffer| buffer[at] = wrong.to_bits()))
            };
            right.outputs().into_iter().filter_map(spoil).collect()
        });
        assert_eq!(kernels.len(), 11, "{kernels:?}");
    }
}

#[test]
fn writes_outside_the_output_are_noticed() {
    let kernels = plant("a word behind the output", 300, |right| {
        let spoil = |output: usize| {
            let written = right.written(output);
            let len = right.expected[output].len();
            let mut untouched = (0..len).filter(move |at| written.binary_search(at).is_err());
            // The first and the last, by one bit: a canary is a NaN whose payload counts.
            let ends = [untouched.next(), untouched.next_back()];
            ends.into_iter().flatten().map(move |at| right.with(output, |buffer| buffer[at] ^= 1))
        };
        right.outputs().into_iter().flat_map(spoil).collect()
    });
    assert_eq!(kernels.len(), 11, "every kernel's output has canaries: {kernels:?}");
    plant("a longer output", 150, |right| {
        right.outputs().into_iter().map(|o| right.with(o, |buffer| buffer.push(0))).collect()
    });
    plant("a missing buffer", 150, |right| vec![right.expected[1..].to_vec()]);
}

#[test]
fn a_word_left_unwritten_is_noticed() {
    let kernels = plant("a word left unwritten", 500, |right| {
        let leave = |output: usize| {
            let written = right.written(output);
            let accumulates = matches!(
                right.case.call,
                Call::Matvec(_, Epilogue::Add, _)
                    | Call::Matmul(_, Epilogue::Add, _)
                    | Call::Matvecs(_, Epilogue::Add, _)
                    | Call::MatvecLora(_, Epilogue::Add, ..)
                    | Call::MatmulLora(_, Epilogue::Add, ..)
                    | Call::MatvecsLora(_, Epilogue::Add, ..)
                    | Call::RopeKv(_)
            );
            let mut places: Vec<usize> = [0, written.len() / 2, written.len().saturating_sub(1)]
                .into_iter()
                .filter_map(|i| written.get(i).copied())
                .collect();
            if accumulates {
                // What was there before is a float too; it differs by what should have been added.
                let difference = |at: &usize| {
                    f64::from(f32::from_bits(right.case.before[output][*at]))
                        - f64::from(right.float(output, *at))
                };
                let visible = 2.0 * right.case.allowed() * right.rms(output);
                // An unwritten word of the caches is a canary: its difference is a NaN.
                places.retain(|at| difference(at).is_nan() || difference(at).abs() > visible);
            }
            let before = &right.case.before[output];
            places.into_iter().map(move |at| right.with(output, |buffer| buffer[at] = before[at]))
        };
        right.outputs().into_iter().flat_map(leave).collect()
    });
    assert_eq!(kernels.len(), 11, "{kernels:?}");
}

#[test]
fn a_changed_input_is_noticed() {
    let kernels = plant("a changed input", 500, |right| {
        let bindings = right.case.call.bindings().iter().enumerate();
        let inputs = bindings.filter(|(_, binding)| binding.access == Access::Read);
        // The lowest bit of the last word.
        let change = |buffer: &mut Vec<u32>| *buffer.last_mut().unwrap() ^= 1;
        inputs.map(|(input, _)| right.with(input, change)).collect()
    });
    assert_eq!(kernels.len(), 11, "{kernels:?}");
}

#[test]
fn the_smallest_error_that_is_noticed_is_a_five_thousandth_of_the_rms() {
    let mut held = 0;
    for right in all().iter().filter(|right| !right.is_exact()) {
        for output in right.outputs() {
            let (written, rms) = (right.written(output), right.rms(output));
            // The smallest value takes the planted difference with the least rounding.
            let Some(at) = written.iter().copied().min_by(|a, b| {
                right.float(output, *a).abs().total_cmp(&right.float(output, *b).abs())
            }) else {
                continue;
            };
            let off = |share: f64| {
                let value = f64::from(right.float(output, at)) + share * rms;
                right.with(output, |buffer| buffer[at] = (value as f32).to_bits())
            };
            for share in [1e-2, -1e-2, 2.2e-4, -2.2e-4] {
                assert!(right.caught(&off(share)), "{}: {share} of the rms passed", right.name);
                let error = right.case.error(&right.expected, &off(share));
                assert!((error / share.abs() - 1.0).abs() < 1e-2, "{}: {error}", right.name);
            }
            assert!(!right.caught(&off(1.8e-4)), "{}: stricter than it says", right.name);
            held += 1;
        }
    }
    assert!(held > 150, "{held}");
}

#[test]
fn wrong_buffers_are_noticed() {
    let weights = |right: &Right| match right.case.call {
        Call::Matvec(format, epilogue, p)
        | Call::Matmul(format, epilogue, p)
        | Call::Matvecs(format, epilogue, p) => Some((format, Some(epilogue), p.blocks as usize)),
        Call::Embed(format, p) => Some((format, None, p.dim as usize / 32)),
        _ => None,
    };
    plant("the scales of the next row", 50, |right| match weights(right) {
        Some((format, _, blocks)) if format.has_scales() => {
            vec![right.run_on(|before| before[1].rotate_left(blocks))]
        }
        _ => Vec::new(),
    });
    plant("the scales of the next block", 50, |right| match weights(right) {
        Some((format, _, _)) if format.has_scales() => {
            vec![right.run_on(|before| before[1].rotate_left(1))]
        }
        _ => Vec::new(),
    });
    plant("the codes of the next row", 100, |right| match weights(right) {
        Some((format, _, blocks))
            if right.case.before[0].len() > format.code_words(32) as usize * blocks =>
        {
            let words = format.code_words(32) as usize * blocks;
            vec![right.run_on(|before| before[0].rotate_left(words))]
        }
        _ => Vec::new(),
    });
    plant("the highest bit of a column's codes", 50, |right| match weights(right) {
        // Of a whole column: a single weight may stand before an activation of almost nothing, or in a
        // gate that is shut.
        Some((format @ (Format::Q4 | Format::Q8), _, blocks)) => {
            let words = blocks * format.code_words(32) as usize;
            let bit = if format == Format::Q4 { 3 } else { 7 };
            vec![
                right.run_on(|before| {
                    before[0].iter_mut().step_by(words).for_each(|w| *w ^= 1 << bit)
                }),
            ]
        }
        _ => Vec::new(),
    });
    plant("gate and up rows swapped", 20, |right| match weights(right) {
        Some((_, Some(Epilogue::Swiglu), _)) => vec![right.run_on(|before| {
            let (codes, scales) = (before[0].len() / 2, before[1].len() / 2);
            before[0].rotate_left(codes);
            before[1].rotate_left(scales);
        })],
        _ => Vec::new(),
    });
    plant("another token's activations", 30, |right| match right.case.call {
        Call::Matmul(_, _, p) | Call::Matvecs(_, _, p) if right.case.step.tokens > 1 => {
            vec![right.run_on(|before| before[2].rotate_left(32 * p.blocks as usize))]
        }
        _ => Vec::new(),
    });
    plant("the next token's ids", 8, |right| match right.case.call {
        // One token alone may well be the next one again.
        Call::Embed(..) if right.case.step.tokens > 1 => {
            vec![right.run_on(|before| before[2].rotate_left(1))]
        }
        _ => Vec::new(),
    });
    plant("keys and values swapped", 5, |right| match right.case.call {
        Call::Attention(_) | Call::BeamAttention(_)
            if right.case.step.position + right.case.step.tokens > 1 =>
        {
            vec![right.run_on(|before| before.swap(1, 2))]
        }
        _ => Vec::new(),
    });
    plant("one key too few", 4, |right| match right.case.call {
        Call::Attention(_) if right.case.step.position > 0 => {
            let mut wrong = right.case.clone();
            wrong.step.position -= 1;
            vec![wrong.expected()]
        }
        _ => Vec::new(),
    });
    plant("another beam's ancestors", 8, |right| match right.case.call {
        // The first of the prefix's followers alone are the beams' own.
        Call::BeamAttention(_) if right.case.step.position > right.case.step.prefix => {
            vec![right.run_on(|before| before[3].rotate_left(1))]
        }
        _ => Vec::new(),
    });
    plant("the prefix taken for one of a token less", 8, |right| match right.case.call {
        Call::BeamAttention(_) if right.case.step.prefix > 1 => {
            let mut wrong = right.case.clone();
            wrong.step.prefix -= 1;
            wrong.before[3].extend([0; 8]);
            let mut actual = wrong.expected();
            actual[3].clone_from(&right.case.before[3]);
            vec![actual]
        }
        _ => Vec::new(),
    });
    plant("another row's sum of exponentials", 2, |right| match right.case.call {
        Call::TopK(p) if p.log_probs == 1 => {
            let words = right.row_words(1);
            assert_eq!(words, 2);
            vec![right.with(1, |top| {
                for pair in top.chunks_exact_mut(2).take(2) {
                    pair[1] = (f32::from_bits(pair[1]) - 0.01).to_bits();
                }
            })]
        }
        _ => Vec::new(),
    });
    plant("a turn by the next position", 6, |right| match right.case.call {
        Call::RopeKv(p) => vec![right.run_on(|before| before[0].rotate_left(p.head_dim as usize))],
        _ => Vec::new(),
    });
    plant("another norm weight", 5, |right| match right.case.call {
        Call::RmsNorm(_) => vec![right.run_on(|before| before[1].rotate_left(1))],
        _ => Vec::new(),
    });
}

#[test]
fn a_wrong_side_path_is_noticed() {
    let side = |right: &Right| match right.case.call {
        Call::MatvecLora(.., p) | Call::MatmulLora(.., p) | Call::MatvecsLora(.., p) => Some(p),
        _ => None,
    };
    let factors = |right: &Right| right.case.call.permutation(Variant::Base).lora;
    // Words of a row of A or B.
    let row = |right: &Right, quads: u32| match factors(right) {
        Some(Factors::F16) => 2 * quads as usize,
        _ => 4 * quads as usize,
    };
    plant("no side path", 120, |right| match side(right) {
        Some(_) => vec![right.run_on(|before| before[3].fill(0))],
        None => Vec::new(),
    });
    plant("the next row of B", 100, |right| match side(right) {
        Some(p) if p.rows > 1 => {
            vec![right.run_on(|before| before[3].rotate_left(row(right, p.quads)))]
        }
        _ => Vec::new(),
    });
    plant("another tensor's part of t", 120, |right| match side(right) {
        Some(p) => vec![right.run_on(|before| before[4].rotate_left(4 * p.quads as usize))],
        None => Vec::new(),
    });
    plant("another token's t", 40, |right| match side(right) {
        Some(p) if right.case.step.tokens > 1 => {
            vec![right.run_on(|before| before[4].rotate_left(4 * p.stride as usize))]
        }
        _ => Vec::new(),
    });
    plant("the next row of A", 10, |right| match right.case.call {
        Call::LoraDown(_, p) => {
            vec![right.run_on(|before| before[0].rotate_left(row(right, p.quads)))]
        }
        _ => Vec::new(),
    });
    let halves = |right: &Right, change: fn(&mut u32)| match (factors(right), right.case.call) {
        (Some(Factors::F16), Call::LoraDown(..)) => {
            vec![right.run_on(|before| before[0].iter_mut().for_each(change))]
        }
        (Some(Factors::F16), _) => {
            vec![right.run_on(|before| before[3].iter_mut().for_each(change))]
        }
        _ => Vec::new(),
    };
    let kernels = plant("the halves of a word swapped", 60, |right| {
        halves(right, |word| *word = word.rotate_left(16))
    });
    assert_eq!(kernels.len(), 4, "lora_down and the three products: {kernels:?}");
    // One binade: the exponent of each half less one.
    plant("halves of half the scale", 60, |right| halves(right, |word| *word -= 0x0400_0400));
    // Where the tensors meet: one row that takes its neighbour's part.
    plant("a boundary off by one row", 40, |right| match side(right) {
        Some(p) if p.second > 1 && p.rows > 8 => {
            let mut wrong = right.case.clone();
            if let Call::MatvecLora(.., p) | Call::MatmulLora(.., p) | Call::MatvecsLora(.., p) =
                &mut wrong.call
            {
                p.second -= 1;
            }
            vec![wrong.expected()]
        }
        _ => Vec::new(),
    });
}

#[test]
fn an_id_outside_the_vocabulary_is_among_the_cases() {
    let outside = all().iter().any(|right| match &right.case.call {
        Call::Embed(_, p) => right.case.before[2][right.case.step.position as usize..]
            .iter()
            .any(|id| *id >= p.vocab),
        _ => false,
    });
    assert!(outside, "no embed case reads past the vocabulary");
}
