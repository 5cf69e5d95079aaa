//! Choosing the next token from its logits.

use crate::{Error, Result};

/// How to choose. [`Default`] is greedy: always the likeliest token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Divides the logits; 0 is greedy. In 0…100.
    pub temperature: f32,
    /// Keep only this many of the likeliest tokens; 0 keeps all.
    pub top_k: u32,
    /// Keep the likeliest tokens that together reach this probability (Holtzman et al. 2020); 1
    /// keeps all.
    pub top_p: f32,
    /// Drop tokens less likely than this times the likeliest one (Nguyen et al. 2024); 0 keeps all.
    pub min_p: f32,
    /// Makes recent tokens less likely (CTRL, Keskar et al. 2019); 1 changes nothing.
    pub repetition_penalty: f32,
    /// The same seed and logits give the same tokens on every platform.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            seed: 0,
        }
    }
}

impl Sampling {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`Error::BadOption`] for the first option out of its range.
    pub fn validate(&self) -> Result<()> {
        let check = |ok: bool, option, value: f32, expected| {
            if ok {
                Ok(())
            } else {
                Err(Error::BadOption { option, value: value.to_string(), expected })
            }
        };
        let (t, p, m, r) = (self.temperature, self.top_p, self.min_p, self.repetition_penalty);
        // A NaN is in no range.
        check((0.0..=100.0).contains(&t), "temperature", t, "between 0 (greedy) and 100")?;
        check(p > 0.0 && p <= 1.0, "top_p", p, "above 0 and at most 1")?;
        check((0.0..=1.0).contains(&m), "min_p", m, "between 0 and 1")?;
        check(r > 0.0 && r <= 100.0, "repetition_penalty", r, "above 0 and at most 100")
    }

    /// Whether the choice is the likeliest token without further ado, so that the device can make it
    /// and only its id need be read back.
    pub fn is_greedy(&self) -> bool {
        self.temperature == 0.0 && self.repetition_penalty == 1.0
    }
}

/// A choice with its own random numbers. One for each generated text.
#[derive(Debug, Clone)]
pub struct Sampler {
    sampling: Sampling,
    random: SplitMix64,
}

impl Sampler {
    /// A sampler at the start of its random sequence.
    ///
    /// # Errors
    /// [`Error::BadOption`] as [`Sampling::validate`].
    pub fn new(sampling: Sampling) -> Result<Self> {
        sampling.validate()?;
        Ok(Self { sampling, random: SplitMix64(sampling.seed) })
    }

    /// Chooses one of `candidates`, (id, logit) in any order. These may be the whole vocabulary or, if
    /// all ids of `recent` are among them, its likeliest part. They are reordered and cut on the way.
    /// `recent` are the ids that the repetition penalty applies to, each once.
    ///
    /// The order is Hugging Face's: penalty, temperature, top-k, top-p, min-p; equal logits count the
    /// lower id first. One random number is drawn a call, none at temperature 0.
    ///
    /// # Errors
    /// [`Error::Internal`] when there are no candidates or a logit is NaN.
    pub fn sample(&mut self, candidates: &mut Vec<(u32, f32)>, recent: &[u32]) -> Result<u32> {
        let Sampling { temperature, top_k, top_p, min_p, repetition_penalty, .. } = self.sampling;
        if candidates.iter().any(|(_, logit)| logit.is_nan()) {
            return Err(Error::Internal("a logit is not a number".to_owned()));
        }
        if repetition_penalty != 1.0 {
            let mut recent = recent.to_vec();
            recent.sort_unstable();
            for (_, logit) in
                candidates.iter_mut().filter(|(id, _)| recent.binary_search(id).is_ok())
            {
                let multiply = *logit <= 0.0;
                *logit = if multiply {
                    *logit * repetition_penalty
                } else {
                    *logit / repetition_penalty
                };
            }
        }
        let keep = if temperature == 0.0 { 1 } else { top_k as usize };
        keep_likeliest(candidates, keep);
        let &(likeliest, highest) = candidates
            .first()
            .ok_or_else(|| Error::Internal("there is no token to choose from".to_owned()))?;
        if temperature == 0.0 || !highest.is_finite() {
            return Ok(likeliest);
        }

        // Unnormalised probabilities, the likeliest one 1, in f64 so that sums do not depend on
        // how many tokens follow.
        let weight = |logit: f32| {
            exp_of_negative((f64::from(logit) - f64::from(highest)) / f64::from(temperature))
        };
        let weights: Vec<f64> = candidates.iter().map(|&(_, logit)| weight(logit)).collect();
        let mut kept = weights.len();
        if top_p < 1.0 {
            let limit = f64::from(top_p) * weights.iter().sum::<f64>();
            let mut sum = 0.0;
            // The token that crosses the limit is kept, so at least one is.
            kept = weights
                .iter()
                .take_while(|&&w| {
                    let before = sum;
                    sum += w;
                    before < limit
                })
                .count()
                .max(1);
        }
        if min_p > 0.0 {
            kept = weights[..kept].iter().take_while(|&&w| w >= f64::from(min_p)).count().max(1);
        }
        candidates.truncate(kept);

        let mut rest = self.random.unit() * weights[..kept].iter().sum::<f64>();
        for (&(id, _), weight) in candidates.iter().zip(&weights) {
            rest -= weight;
            if rest < 0.0 {
                return Ok(id);
            }
        }
        // Rounding may leave a crumb behind the last token.
        Ok(candidates[kept - 1].0)
    }
}

/// The `k` highest of `logits`, as (id, logit), the highest first and equal ones by id.
pub fn top_logits(logits: &[f32], k: usize) -> Vec<(u32, f32)> {
    if k == 0 {
        return Vec::new();
    }
    let mut candidates: Vec<(u32, f32)> = (0u32..).zip(logits.iter().copied()).collect();
    keep_likeliest(&mut candidates, k);
    candidates
}

/// Sorts by logit, highest first, then id, and keeps the first `k`; all of them if `k` is 0.
fn keep_likeliest(candidates: &mut Vec<(u32, f32)>, k: usize) {
    // Zeros of both signs are equal, unlike in `total_cmp`; NaN goes last.
    let order = |a: &(u32, f32), b: &(u32, f32)| {
        b.1.partial_cmp(&a.1).unwrap_or_else(|| a.1.is_nan().cmp(&b.1.is_nan())).then(a.0.cmp(&b.0))
    };
    if k > 0 && k < candidates.len() {
        candidates.select_nth_unstable_by(k - 1, order);
        candidates.truncate(k);
    }
    candidates.sort_unstable_by(order);
}

/// e^x for x ≤ 0, to about 1 ulp: 2^k · e^r with |r| ≤ ln 2 / 2 and e^r by its Taylor series. The
/// libraries of the platforms round `exp` differently, which would let one seed give two texts.
fn exp_of_negative(x: f64) -> f64 {
    // ln 2 in two parts, so that k · LN2_HIGH is exact (fdlibm's `e_exp.c`).
    const LN2_HIGH: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
    const LN2_LOW: f64 = f64::from_bits(0x3dea_39ef_3579_3c76);
    if x < -700.0 {
        return 0.0; // so unlikely that it is never drawn
    }
    let k = (x / std::f64::consts::LN_2).round();
    let r = (x - k * LN2_HIGH) - k * LN2_LOW;
    let series = (1..=14).rev().fold(1.0, |sum, n| 1.0 + sum * r / f64::from(n));
    series * f64::from_bits(((k as i64 + 1023) as u64) << 52)
}

/// SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators"): every
/// seed is a good one, and a few integer operations give the same sequence everywhere.
#[derive(Debug, Clone)]
pub(crate) struct SplitMix64(u64);

impl SplitMix64 {
    /// The sequence of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        SplitMix64(seed)
    }

    /// The next 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in [0, 1), all 53 bits.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first outputs of the reference implementation (prng.di.unimi.it/splitmix64.c) for seed
    /// 1234567.
    #[test]
    fn the_generator_is_splitmix64() {
        let mut random = SplitMix64::new(1_234_567);
        let first = [random.next(), random.next(), random.next()];
        assert_eq!(first, [6457827717110365317, 3203168211198807973, 9817491932198370423]);
    }

    #[test]
    fn the_exponential_is_right() {
        for i in 0..=70_000 {
            let x = -f64::from(i) / 100.0;
            let (ours, library) = (exp_of_negative(x), x.exp());
            assert!((ours / library - 1.0).abs() < 1e-15, "exp({x}): {ours:e}, {library:e}");
        }
        assert_eq!(exp_of_negative(0.0), 1.0);
        assert_eq!(exp_of_negative(f64::NEG_INFINITY), 0.0);
    }
}
