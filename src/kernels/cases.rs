//! One table of cases that the tests, the start-up self-test and `radllama validate` share: each holds
//! a kernel call with random buffers, and what its CPU twin makes of them. And the comparison that
//! decides whether a device computed the same, which tests/compare.rs holds against planted faults.

mod beams;

use super::lora::{self, Factors};
use super::{
    Access, Args, Call, Epilogue, Permutation, Step, argmax, attention, embed, lora_down, matvec,
    rms_norm, rope_kv, top_k,
};
use crate::quant::{self, Format};
use crate::sampler::SplitMix64;

/// A kernel call with its buffers.
#[derive(Debug, Clone)]
pub struct Case {
    /// For messages: the sizes.
    pub name: String,
    /// What to compute.
    pub call: Call,
    /// Where the tokens stand.
    pub step: Step,
    /// The buffers in the order of the bindings, before the call. Outputs end in canaries.
    pub before: Vec<Vec<u32>>,
}

/// Which cases to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Two small odd cases a permutation: for every start on a user's device.
    Quick,
    /// Odd and real sizes: for tests and `radllama validate`.
    Full,
}

/// Words behind each output that no kernel may touch.
const CANARIES: usize = 16;
/// A NaN with a payload, so that a float written over it shows.
const CANARY: u32 = 0x7fc0_5afe;

/// The cases of one permutation.
pub fn cases(permutation: &Permutation, extent: Extent) -> Vec<Case> {
    let full = extent == Extent::Full;
    let mut random = Random::new(0x5eed ^ permutation.name().len() as u64);
    let format = permutation.format.unwrap_or(Format::F32);
    let epilogue = permutation.epilogue.unwrap_or(Epilogue::Store);
    // Rows, columns, tokens: odd ones first, then those of SmolLM2-135M and Llama-2-7B's width.
    let products: &[(u32, u32, u32)] = match (permutation.kernel, full) {
        ("matvec", false) => &[(37, 96, 1), (8, 576, 1)],
        ("matvec", true) => {
            &[(1, 32, 1), (37, 96, 1), (64, 288, 1), (960, 576, 1), (576, 1536, 1), (70, 4096, 1)]
        }
        ("matvecs", false) => &[(37, 96, 3), (8, 576, 5)],
        ("matvecs", true) => {
            &[(1, 32, 1), (37, 96, 2), (64, 288, 4), (960, 576, 4), (576, 1536, 8), (70, 4096, 5)]
        }
        (_, false) => &[(37, 96, 11), (66, 64, 33)],
        (_, true) => {
            &[(1, 32, 1), (37, 96, 11), (66, 64, 33), (192, 576, 70), (576, 1536, 9), (70, 4096, 3)]
        }
    };
    match permutation.kernel {
        "matvec" | "matmul" | "matvecs" => products
            .iter()
            .map(|&(rows, cols, tokens)| {
                let kernel = permutation.kernel;
                let case = product(kernel, format, epilogue, rows, cols, tokens, &mut random);
                match permutation.lora {
                    Some(factors) => adapted(case, factors, rows % 7 + 1, &mut random),
                    None => case,
                }
            })
            .collect(),
        "lora_down" => {
            let sizes: &[_] = if full {
                &[
                    (4, 32, 1),
                    (12, 96, 7),
                    (48, 576, 1),
                    (16, 1536, 33),
                    (192, 96, 4),
                    (17, 4096, 2),
                ]
            } else {
                &[(12, 96, 1), (9, 64, 7)]
            };
            let factors = permutation.lora.unwrap_or(Factors::F32);
            sizes.iter().map(|&(rows, cols, t)| down(factors, rows, cols, t, &mut random)).collect()
        }
        "embed" => {
            let sizes: &[_] =
                if full { &[(96, 50, 5), (576, 300, 70), (32, 7, 1)] } else { &[(96, 50, 5)] };
            sizes
                .iter()
                .map(|&(dim, vocab, t)| (dim, vocab, Step::new(3, t)))
                .chain([(64, 40, Step::beams(9, 3, 7, 4))])
                .map(|(dim, vocab, step)| gather(format, dim, vocab, step, &mut random))
                .collect()
        }
        "rms_norm" => {
            let sizes: &[_] = if full {
                &[(96, 5, 0), (576, 70, 0), (576, 70, 1), (4096, 2, 0), (32, 1, 1)]
            } else {
                &[(96, 5, 0), (288, 3, 1)]
            };
            sizes.iter().map(|&(dim, t, last)| norm(dim, t, last, &mut random)).collect()
        }
        "rope_kv" | "attention" => {
            // Position, tokens, heads, key/value heads, head dim.
            let sizes: &[_] = if full {
                &[
                    (0, 5, 9, 3, 64),
                    (60, 9, 9, 3, 64),
                    (130, 1, 6, 6, 48),
                    (7, 3, 4, 1, 128),
                    (200, 1, 9, 3, 64),
                    (700, 2, 2, 1, 64),
                    (1, 1, 2, 2, 64),
                    (0, 1, 2, 2, 4),
                ]
            } else {
                &[(60, 9, 4, 2, 64), (70, 1, 2, 2, 48)]
            };
            // Attention is compiled for one head dim: where the table lacks it, two rows take it.
            let dim = permutation.head_dim;
            let has = |size: &&AttentionSize| dim.is_none_or(|dim| size.4 == dim);
            let mut sizes: Vec<_> = sizes.iter().filter(has).copied().collect();
            if let (true, Some(dim)) = (sizes.len() < 2, dim) {
                let more = [(60, 9, 4, 2, dim), (70, 1, 2, 2, dim)];
                sizes.extend(
                    more.into_iter().filter(|size| !sizes.contains(size)).collect::<Vec<_>>(),
                );
            }
            let step = |size: &AttentionSize| Step::new(size.0, size.1);
            if permutation.kernel == "attention" {
                return sizes.into_iter().map(|size| attend(size, &mut random)).collect();
            }
            let steps = sizes.iter().map(|size| (*size, step(size)));
            let beams = ((12, 3, 4, 2, 16), Step::beams(12, 3, 10, 4));
            steps.chain([beams]).map(|(size, step)| rope(size, step, &mut random)).collect()
        }
        "beam_attention" => {
            let dim = permutation.head_dim.unwrap_or(64);
            // Prefix, tokens behind it, beams, heads, key/value heads.
            let sizes: &[_] = if full {
                &[(1, 0, 2, 4, 2), (60, 9, 4, 9, 3), (600, 20, 2, 2, 1), (3, 70, 8, 6, 6)]
            } else {
                &[(60, 9, 3, 4, 2), (5, 1, 4, 2, 2)]
            };
            sizes.iter().map(|&size| beams::attend(size, dim, &mut random)).collect()
        }
        "argmax" => {
            let sizes: &[_] = if full { &[7, 256, 32000, 49152] } else { &[7, 3000] };
            let mut cases: Vec<_> = sizes.iter().map(|&v| largest(v, false, &mut random)).collect();
            cases.push(largest(300, true, &mut random));
            cases
        }
        "top_k" => {
            let sizes: &[_] = if full { &[(7, 7), (256, 64), (49152, 64)] } else { &[(500, 8)] };
            let beams: &[_] = if full {
                &[(7, 5, 2, false), (300, 9, 4, false), (32000, 6, 3, false), (300, 4, 2, true)]
            } else {
                &[(500, 6, 3, false), (300, 4, 2, true)]
            };
            let beams = beams.iter().map(|&(vocab, k, beams, not_finite)| {
                beams::likeliest(vocab, k, beams, not_finite, &mut Random::new(u64::from(vocab)))
            });
            sizes.iter().map(|&(vocab, k)| top(vocab, k, &mut random)).chain(beams).collect()
        }
        _ => Vec::new(),
    }
}

impl Case {
    /// The buffers as the CPU twin leaves them.
    pub fn expected(&self) -> Vec<Vec<u32>> {
        let mut after = self.before.clone();
        let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
        for (buffer, binding) in after.iter_mut().zip(self.call.bindings()) {
            match binding.access {
                Access::Read => inputs.push(&**buffer),
                Access::Write => outputs.push(&mut **buffer),
            }
        }
        self.call.reference(&self.step, &mut Args { inputs, outputs });
        after
    }

    /// Holds a device's buffers against the twin's: the largest error of any output, relative to the
    /// root mean square of what the twin wrote there. Infinite for a NaN, a changed canary, a changed
    /// input, a word left unwritten, or a wrong id.
    pub fn error(&self, expected: &[Vec<u32>], actual: &[Vec<u32>]) -> f64 {
        if actual.len() != expected.len() {
            return f64::INFINITY;
        }
        let equal = |expected: &[u32], actual: &[u32]| {
            if expected == actual { 0.0 } else { f64::INFINITY }
        };
        let mut worst: f64 = 0.0;
        for ((before, expected), actual) in self.before.iter().zip(expected).zip(actual) {
            worst = worst.max(match self.call {
                Call::TopK(p) if p.log_probs == 1 => {
                    // Pairs of an id and a log-probability.
                    let part = |words: &[u32], first: usize| -> Vec<u32> {
                        words.iter().skip(first).step_by(2).copied().collect()
                    };
                    let floats = [before, expected, actual].map(|words| part(words, 1));
                    equal(&part(expected, 0), &part(actual, 0))
                        .max(float_error(&floats[0], &floats[1], &floats[2]))
                }
                Call::Argmax(_) | Call::TopK(_) => equal(expected, actual),
                _ => float_error(before, expected, actual),
            });
        }
        worst
    }

    /// The largest error that passes. f32 sums of thousands of terms in another order differ by about
    /// 1e-6; a wrong weight, row or scale is off by 1e-2 and more.
    pub fn allowed(&self) -> f64 {
        2e-4
    }
}

fn float_error(before: &[u32], expected: &[u32], actual: &[u32]) -> f64 {
    if expected.len() != actual.len() {
        return f64::INFINITY;
    }
    let (mut squares, mut written, mut worst) = (0.0, 0usize, 0.0f64);
    for ((before, expected), actual) in before.iter().zip(expected).zip(actual) {
        if before == expected {
            // Untouched by the twin: an input, a canary, a cache row of another position.
            if before != actual {
                return f64::INFINITY;
            }
            continue;
        }
        let (expected, actual) =
            (f64::from(f32::from_bits(*expected)), f64::from(f32::from_bits(*actual)));
        squares += expected * expected;
        written += 1;
        let difference = (expected - actual).abs();
        // `max` would drop a NaN.
        if difference.is_nan() {
            return f64::INFINITY;
        }
        worst = worst.max(difference);
    }
    if written == 0 { 0.0 } else { worst / (squares / written as f64).sqrt().max(1e-30) }
}

/// Test data, the same everywhere.
struct Random(SplitMix64);

impl Random {
    fn new(seed: u64) -> Self {
        Random(SplitMix64::new(seed))
    }

    fn next(&mut self) -> u64 {
        self.0.next()
    }

    /// About normal, mean 0, deviation 1.
    fn value(&mut self) -> f32 {
        let sum: f32 = (0..4).map(|_| (self.next() >> 40) as f32 / (1u64 << 24) as f32).sum();
        (sum - 2.0) * 1.732
    }

    fn floats(&mut self, len: u32) -> Vec<u32> {
        (0..len).map(|_| self.value().to_bits()).collect()
    }

    /// An adapter's.
    fn factors(&mut self, factors: Factors, len: u32) -> Vec<u32> {
        let values: Vec<f32> = (0..len).map(|_| self.value()).collect();
        factors.encode(&values)
    }

    fn weights(&mut self, format: Format, rows: u32, cols: u32) -> (Vec<u32>, Vec<u32>) {
        let (mut codes, mut scales) = (Vec::new(), Vec::new());
        for _ in 0..rows {
            let row: Vec<f32> = (0..cols).map(|_| self.value() * 0.1).collect();
            quant::quantize_row(format, &row, &mut codes, &mut scales);
        }
        scales.resize(scales.len().max(4), 0);
        (codes, scales)
    }
}

/// One matrix product over random weights, of any size: for benchmarks.
pub fn product_case(permutation: &Permutation, rows: u32, cols: u32, tokens: u32) -> Case {
    let format = permutation.format.unwrap_or(Format::F32);
    let epilogue = permutation.epilogue.unwrap_or(Epilogue::Store);
    let random = &mut Random::new(1);
    let case = product(permutation.kernel, format, epilogue, rows, cols, tokens, random);
    match permutation.lora {
        Some(factors) => adapted(case, factors, 4, random),
        None => case,
    }
}

fn canaried(mut words: Vec<u32>) -> Vec<u32> {
    words.extend([CANARY; CANARIES]);
    words
}

fn blank(words: u32) -> Vec<u32> {
    vec![CANARY; words as usize + CANARIES]
}

fn product(
    kernel: &str,
    format: Format,
    epilogue: Epilogue,
    rows: u32,
    cols: u32,
    tokens: u32,
    random: &mut Random,
) -> Case {
    let weight_rows = if epilogue == Epilogue::Swiglu { 2 * rows } else { rows };
    let (codes, scales) = random.weights(format, weight_rows, cols);
    let x = random.floats(cols * tokens);
    let out = match epilogue {
        Epilogue::Add => canaried(random.floats(rows * tokens)),
        _ => blank(rows * tokens),
    };
    let params = matvec::Params::new(rows, cols);
    let call = match kernel {
        "matvec" => Call::Matvec(format, epilogue, params),
        "matvecs" => Call::Matvecs(format, epilogue, params),
        _ => Call::Matmul(format, epilogue, params),
    };
    let name = format!("{rows}×{cols}, T {tokens}");
    Case { name, call, step: Step::new(3, tokens), before: vec![codes, scales, x, out] }
}

fn down(factors: Factors, rows: u32, cols: u32, tokens: u32, random: &mut Random) -> Case {
    let a = random.factors(factors, rows * cols);
    let before = vec![a, random.floats(cols * tokens), blank(rows * tokens)];
    let call = Call::LoraDown(factors, lora_down::Params { rows, quads: cols / 4, pad: [0; 2] });
    let name = format!("{rows}×{cols}, T {tokens}");
    Case { name, call, step: Step::new(3, tokens), before }
}

/// A product with the side path of an adapter of rank 4 `quads`, whose fused tensors meet at odd rows.
fn adapted(case: Case, factors: Factors, quads: u32, random: &mut Random) -> Case {
    let Case { name, call, step, mut before } = case;
    let (Call::Matvec(format, epilogue, p)
    | Call::Matmul(format, epilogue, p)
    | Call::Matvecs(format, epilogue, p)) = call
    else {
        return Case { name, call, step, before };
    };
    let weight_rows = if epilogue == Epilogue::Swiglu { 2 * p.rows } else { p.rows };
    // In t the third tensor's part stands before the second's, with a gap between.
    let params = lora::Params {
        rows: p.rows,
        blocks: p.blocks,
        quads,
        stride: 3 * quads + 1,
        second: weight_rows.div_ceil(3),
        third: weight_rows.div_ceil(2),
        second_at: 2 * quads + 1,
        third_at: quads,
    };
    let b = random.factors(factors, 4 * quads * weight_rows);
    let t = random.floats(4 * params.stride * step.tokens);
    let out = before.pop();
    before.extend([b, t].into_iter().chain(out));
    let call = match call {
        Call::Matvec(..) => Call::MatvecLora(format, epilogue, factors, params),
        Call::Matvecs(..) => Call::MatvecsLora(format, epilogue, factors, params),
        _ => Call::MatmulLora(format, epilogue, factors, params),
    };
    Case { name: format!("{name}, R {}", 4 * quads), call, step, before }
}

fn gather(format: Format, dim: u32, vocab: u32, step: Step, random: &mut Random) -> Case {
    let (codes, scales) = random.weights(format, vocab, dim);
    let tokens = step.tokens;
    let end = step.cache_position(tokens);
    let mut ids: Vec<u32> = (0..end).map(|_| (random.next() % u64::from(vocab)) as u32).collect();
    // One past the vocabulary: it must read the last row, not wander off.
    ids[end as usize - 1] = vocab;
    let before = vec![codes, scales, ids, blank(dim * tokens)];
    let call = Call::Embed(format, embed::Params { dim, vocab, pad: [0; 2] });
    Case { name: format!("V {vocab}, D {dim}, T {tokens}{}", behind(&step)), call, step, before }
}

fn norm(dim: u32, tokens: u32, last_only: u32, random: &mut Random) -> Case {
    let rows = if last_only == 1 { 1 } else { tokens };
    let before = vec![random.floats(dim * tokens), random.floats(dim), blank(dim * rows)];
    let call = Call::RmsNorm(rms_norm::Params { dim, eps: 1e-5, last_only, pad: 0 });
    Case {
        name: format!("D {dim}, T {tokens}, last {last_only}"),
        call,
        step: Step::new(3, tokens),
        before,
    }
}

type AttentionSize = (u32, u32, u32, u32, u32);

fn attention_name((position, tokens, heads, kv_heads, head_dim): AttentionSize) -> String {
    format!("at {position}, T {tokens}, H {heads}/{kv_heads}×{head_dim}")
}

/// How a name tells a step of beams.
fn behind(step: &Step) -> String {
    if step.prefix == 0 { String::new() } else { format!(", beams behind {}", step.prefix) }
}

fn rope(size: AttentionSize, step: Step, random: &mut Random) -> Case {
    let (_, tokens, heads, kv_heads, head_dim) = size;
    let context = step.cache_position(tokens) + 2;
    let table = rope_kv::table(context, head_dim, 10_000.0);
    let before = vec![
        bytemuck::cast_slice(&table).to_vec(),
        canaried(random.floats(tokens * (heads + 2 * kv_heads) * head_dim)),
        blank(context * kv_heads * head_dim),
        blank(context * kv_heads * head_dim),
    ];
    let call = Call::RopeKv(rope_kv::Params { heads, kv_heads, head_dim, pad: 0 });
    let name = format!("{}{}", attention_name(size), behind(&step));
    Case { name, call, step, before }
}

fn attend(size: AttentionSize, random: &mut Random) -> Case {
    let (position, tokens, heads, kv_heads, head_dim) = size;
    let cache = |random: &mut Random| {
        let mut seen = random.floats((position + tokens) * kv_heads * head_dim);
        // What lies behind the last token must not be read as a key.
        seen.extend(vec![1e30f32.to_bits(); (2 * kv_heads * head_dim) as usize]);
        seen
    };
    let before = vec![
        random.floats(tokens * (heads + 2 * kv_heads) * head_dim),
        cache(random),
        cache(random),
        blank(tokens * heads * head_dim),
    ];
    let scale = 1.0 / (head_dim as f32).sqrt();
    let call = Call::Attention(attention::Params { heads, kv_heads, head_dim, scale });
    Case { name: attention_name(size), call, step: Step::new(position, tokens), before }
}

fn largest(vocab: u32, not_finite: bool, random: &mut Random) -> Case {
    let mut logits = random.floats(vocab);
    // A tie for the largest: the lower id wins.
    let (first, second) = (vocab / 3, vocab - 1);
    logits[first as usize] = 40f32.to_bits();
    logits[second as usize] = 40f32.to_bits();
    if not_finite {
        logits[vocab as usize / 2] = f32::NAN.to_bits();
    }
    let before = vec![logits, vec![CANARY; 20]];
    let call = Call::Argmax(argmax::Params { vocab, pad: [0; 3] });
    let name = format!("V {vocab}{}", if not_finite { " with a NaN" } else { "" });
    Case { name, call, step: Step::new(5, 3), before }
}

fn top(vocab: u32, k: u32, random: &mut Random) -> Case {
    let mut logits = random.floats(vocab);
    logits[vocab as usize - 1] = logits[0]; // a tie
    let before = vec![logits, blank(2 * k)];
    let call = Call::TopK(top_k::Params { vocab, k, log_probs: 0, pad: 0 });
    Case { name: format!("V {vocab}, K {k}"), call, step: Step::new(0, 1), before }
}
