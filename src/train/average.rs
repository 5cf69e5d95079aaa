//! The average of several adapters of one base, as one adapter of any rank: model soups (Wortsman et
//! al. 2022) for LoRA. Averaged are the updates s·B·A, not the factors, which mean nothing apart; the
//! best approximation of a given rank is the truncated singular value decomposition (Eckart & Young
//! 1936).

use std::collections::{BTreeMap, BTreeSet};

use nalgebra::DMatrix;
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::lora::{Adapter, LoraConfig, Pair, Target};

/// What an average of a lower rank keeps of the exact one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Kept {
    /// Of all matrices together: squared Frobenius norm kept over squared norm.
    pub total: f64,
    /// Of the matrix that loses most.
    pub least: f64,
}

/// The weighted sum of the adapters' updates, cut to rank `rank`. Weights of 1 / n average. What an
/// adapter does not adapt counts as zero. The result's scale is 1.
///
/// # Errors
/// [`Error::BadOption`] for no adapter, a rank that is 0 or above that of the exact sum, or a weight that
/// is not finite; [`Error::OtherBase`] for adapters of different bases; [`Error::WrongShape`] for
/// adapters of different models; [`Error::BadWeight`] for values that are not finite.
pub fn average(adapters: &[(Adapter, f32)], rank: u32) -> Result<(Adapter, Kept)> {
    let Some((first, _)) = adapters.first() else {
        return Err(bad("adapter", "none", "given at least once"));
    };
    let base_sha256 = adapters.iter().find_map(|(adapter, _)| adapter.base_sha256.clone());
    for (adapter, weight) in adapters {
        if let Some(base) = &base_sha256 {
            adapter.check_base(base)?;
        }
        if !weight.is_finite() {
            return Err(bad("weight", weight, "a finite number"));
        }
    }
    let places: BTreeSet<(u32, Target)> =
        adapters.iter().flat_map(|(adapter, _)| adapter.pairs.keys().copied()).collect();
    let sums: Vec<(Pair, f64, f64)> = places
        .par_iter()
        .map(|place| {
            let terms = adapters
                .iter()
                .filter_map(|(adapter, weight)| Some((adapter.pairs.get(place)?, *weight)));
            sum(*place, &terms.collect::<Vec<_>>(), rank)
        })
        .collect::<Result<_>>()?;
    let all: f64 = sums.iter().map(|(_, _, all)| all).sum();
    let kept: f64 = sums.iter().map(|(_, kept, _)| kept).sum();
    let share = |kept: f64, all: f64| if all > 0.0 { kept / all } else { 1.0 };
    let least = sums.iter().map(|(_, kept, all)| share(*kept, *all)).fold(1.0, f64::min);
    let mut target_modules: Vec<Target> = places.iter().map(|(_, target)| *target).collect();
    target_modules.sort();
    target_modules.dedup();
    let config = LoraConfig {
        r: rank,
        lora_alpha: rank as f32,
        use_rslora: false,
        target_modules,
        ..first.config.clone()
    };
    let pairs: BTreeMap<_, _> = places.into_iter().zip(sums.into_iter().map(|sum| sum.0)).collect();
    Ok((Adapter { config, base_sha256, pairs }, Kept { total: share(kept, all), least }))
}

/// The sum of one matrix' updates; the squared norm that is kept of it, and all of it.
fn sum(
    (layer, target): (u32, Target),
    terms: &[(&Pair, f32)],
    rank: u32,
) -> Result<(Pair, f64, f64)> {
    let name = || format!("layer {layer}, {}", target.name());
    let total: usize = terms.iter().map(|(pair, _)| pair.rank as usize).sum();
    if rank == 0 || rank as usize > total {
        let value = format!("{rank} (where the sum at {} has {total})", name());
        return Err(bad("rank", value, "1 to the ranks of all adapters together"));
    }
    let shape = |pair: &Pair| {
        let rank = (pair.rank as usize).max(1);
        [pair.b.len() / rank, pair.a.len() / rank]
    };
    let expected = shape(terms[0].0);
    let [rows, cols] = expected;
    // Side by side: B [out][ΣR] with weight and scale in it, and the transpose of A [ΣR][in].
    let (mut b, mut a) = (Vec::new(), Vec::new());
    for (pair, weight) in terms {
        let (found, rank) = (shape(pair), pair.rank as usize);
        if found != expected {
            let wide = |shape: [usize; 2]| shape.map(|n| n as u64).to_vec();
            let (expected, found) = (wide(expected), wide(found));
            return Err(Error::WrongShape { tensor: name(), expected, found });
        }
        if !pair.a.iter().chain(&pair.b).all(|value| value.is_finite()) {
            return Err(Error::BadWeight { tensor: name() });
        }
        let factor = f64::from(*weight) * f64::from(pair.scale);
        for column in 0..rank {
            b.extend(pair.b.iter().skip(column).step_by(rank).map(|&v| factor * f64::from(v)));
        }
        a.extend(pair.a.iter().map(|&value| f64::from(value)));
    }
    // B A = Q_b (R_b R_aᵀ) Q_aᵀ, and the core in the middle is small.
    let b = DMatrix::from_vec(rows, total, b).qr();
    let a = DMatrix::from_vec(cols, total, a).qr();
    let core = (b.r() * a.r().transpose()).svd(true, true);
    let (Some(u), Some(v)) = (core.u, core.v_t) else {
        return Err(Error::Internal("no singular vectors".into()));
    };
    let values = core.singular_values;
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&i, &j| values[j].total_cmp(&values[i]));
    let (left, right) = (b.q() * u, v * a.q().transpose());
    let rank = rank as usize;
    let (mut out_a, mut out_b) = (vec![0.0; rank * cols], vec![0.0; rows * rank]);
    // As few as there are rows or columns may be less than the rank: zeros fill up.
    for (k, &i) in order.iter().take(rank).enumerate() {
        // Half of a singular value on either side keeps both in F16's range.
        let root = values[i].sqrt();
        for (out, value) in out_a[k * cols..][..cols].iter_mut().zip(right.row(i).iter()) {
            *out = (root * value) as f32;
        }
        for (out, value) in out_b.iter_mut().skip(k).step_by(rank).zip(left.column(i).iter()) {
            *out = (root * value) as f32;
        }
    }
    let norm = |indices: &[usize]| indices.iter().map(|&i| values[i] * values[i]).sum::<f64>();
    let pair = Pair { rank: rank as u32, scale: 1.0, a: out_a, b: out_b };
    Ok((pair, norm(&order[..rank.min(order.len())]), norm(&order)))
}

fn bad(option: &'static str, value: impl ToString, expected: &'static str) -> Error {
    Error::BadOption { option, value: value.to_string(), expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(rank: u32, rows: usize, cols: usize, seed: usize) -> Pair {
        let value = |i: usize| (((i + 1) * (2 * seed + 37) % 101) as f32 - 50.0) / 50.0;
        let many = |count: usize| (0..count).map(value).collect();
        Pair { rank, scale: 0.5, a: many(rank as usize * cols), b: many(rows * rank as usize) }
    }

    fn adapter(pairs: &[((u32, Target), Pair)]) -> Adapter {
        let config = LoraConfig {
            r: 3,
            lora_alpha: 1.5,
            lora_dropout: 0.0,
            use_rslora: false,
            target_modules: vec![Target::Q],
            base_model: "tiny".into(),
        };
        Adapter { config, base_sha256: None, pairs: pairs.iter().cloned().collect() }
    }

    /// s·B·A, \[rows\]\[cols\].
    fn update(pair: &Pair) -> Vec<f64> {
        let rank = pair.rank as usize;
        let cols = pair.a.len() / rank;
        let cell = |row: usize, col: usize| -> f64 {
            let term = |k: usize| f64::from(pair.b[row * rank + k] * pair.a[k * cols + col]);
            (0..rank).map(term).sum::<f64>() * f64::from(pair.scale)
        };
        let rows = pair.b.len() / rank;
        (0..rows).flat_map(|row| (0..cols).map(move |col| cell(row, col))).collect()
    }

    fn norm(values: &[f64]) -> f64 {
        values.iter().map(|value| value * value).sum()
    }

    const PLACE: (u32, Target) = (0, Target::Q);

    #[test]
    fn the_average_of_all_ranks_is_exact_and_a_lower_one_loses_what_it_says() {
        let (one, other) = (pair(3, 12, 20, 1), pair(2, 12, 20, 8));
        let both =
            [(adapter(&[(PLACE, one.clone())]), 0.5), (adapter(&[(PLACE, other.clone())]), 0.25)];
        let sum = update(&one).into_iter().zip(update(&other));
        let expected: Vec<f64> = sum.map(|(a, b)| 0.5 * a + 0.25 * b).collect();
        let difference = |adapter: &Adapter| {
            let found = update(&adapter.pairs[&PLACE]);
            norm(&found.iter().zip(&expected).map(|(a, b)| a - b).collect::<Vec<_>>())
        };
        let (exact, kept) = average(&both, 5).unwrap();
        assert_eq!((exact.config.r, exact.config.scale()), (5, 1.0));
        assert!(difference(&exact) < 1e-10 * norm(&expected));
        assert!((kept.total - 1.0).abs() < 1e-12);
        let (cut, kept) = average(&both, 2).unwrap();
        let lost = difference(&cut) / norm(&expected);
        assert!(lost > 0.01 && (1.0 - kept.total - lost).abs() < 1e-5, "{lost} {kept:?}");
        assert_eq!(kept.total, kept.least);
    }

    #[test]
    fn what_one_does_not_adapt_counts_as_zero() {
        let place = (1, Target::Down);
        let (one, other) = (pair(2, 8, 6, 1), pair(2, 5, 9, 2));
        let both = [(adapter(&[(PLACE, one.clone())]), 1.0), (adapter(&[(place, other)]), 1.0)];
        let (sum, _) = average(&both, 2).unwrap();
        assert_eq!(sum.config.target_modules, [Target::Q, Target::Down]);
        let found = update(&sum.pairs[&PLACE]);
        let off = found.iter().zip(update(&one)).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(off < 1e-5, "{off}");
    }

    #[test]
    fn what_cannot_be_averaged_is_refused() {
        let one = || adapter(&[(PLACE, pair(2, 8, 6, 1))]);
        let code = |adapters: &[(Adapter, f32)], rank| average(adapters, rank).unwrap_err().code();
        assert_eq!(code(&[], 1), "bad_option");
        assert_eq!(code(&[(one(), 1.0)], 0), "bad_option");
        assert_eq!(code(&[(one(), 1.0)], 3), "bad_option");
        assert_eq!(code(&[(one(), f32::NAN)], 1), "bad_option");
        let other = adapter(&[(PLACE, pair(2, 8, 7, 1))]);
        assert_eq!(code(&[(one(), 0.5), (other, 0.5)], 2), "wrong_shape");
        let mut poisoned = one();
        poisoned.pairs.get_mut(&PLACE).unwrap().a[3] = f32::INFINITY;
        assert_eq!(code(&[(poisoned, 1.0)], 1), "bad_weight");
        let of = |base: &str| Adapter { base_sha256: Some(base.repeat(64)), ..one() };
        assert_eq!(code(&[(of("a"), 0.5), (of("b"), 0.5)], 2), "other_base");
    }
}
