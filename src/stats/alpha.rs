//! Krippendorff's alpha: how far observers agree beyond chance, with any number of them and with
//! missing values.
//!
//! K. Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011): the values that a unit got are
//! paired with each other in a matrix of coincidences o, each unit with m values weighing m; with n_c
//! the margins and n their sum, alpha = 1 - (n - 1) Σ o_ck δ²_ck / Σ n_c n_k δ²_ck. Units with fewer than
//! two values say nothing of agreement and are left out.

use serde::Serialize;

use super::bootstrap::{Draws, Interval, percentiles};

/// What a difference of two values weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Equal or not.
    Nominal,
    /// By the values between the two in the order, as often as those occur.
    Ordinal,
    /// The squared difference of the numbers.
    Interval,
    /// The squared difference by the squared sum.
    Ratio,
}

/// Agreement with its 95 % bootstrap interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Agreement {
    /// 1: perfect, 0: as by chance, below: worse than that.
    pub alpha: f64,
    /// The interval; of clusters drawn with replacement.
    pub interval: Interval,
    /// Units with at least two values.
    pub units: usize,
}

/// Values that pair with each other, over values numbered 0 … size - 1.
#[derive(Debug, Clone, PartialEq)]
struct Coincidences {
    size: usize,
    /// Row by row, size × size, symmetric.
    pairs: Vec<f64>,
}

impl Coincidences {
    fn new(size: usize) -> Coincidences {
        Coincidences { size, pairs: vec![0.0; size * size] }
    }

    /// Adds one unit's values.
    fn add(&mut self, values: &[usize]) {
        let weight = 1.0 / values.len().saturating_sub(1).max(1) as f64;
        for (at, a) in values.iter().enumerate() {
            for (_, b) in values.iter().enumerate().filter(|(other, _)| *other != at) {
                self.pairs[a * self.size + b] += weight;
            }
        }
    }

    /// Alpha; nothing where there is no variation to agree on. `scale[c]` is the number that c stands for.
    fn alpha(&self, level: Level, scale: &[f64]) -> Option<f64> {
        let size = self.size;
        let margins: Vec<f64> =
            self.pairs.chunks(size.max(1)).map(|row| row.iter().sum()).collect();
        let total: f64 = margins.iter().sum();
        let delta = |c: usize, k: usize| match level {
            Level::Nominal => f64::from(u8::from(c != k)),
            Level::Ordinal => {
                let between: f64 = margins[c.min(k)..=c.max(k)].iter().sum();
                (between - f64::midpoint(margins[c], margins[k])).powi(2)
            }
            Level::Interval => (scale[c] - scale[k]).powi(2),
            Level::Ratio if scale[c] + scale[k] == 0.0 => 0.0,
            Level::Ratio => ((scale[c] - scale[k]) / (scale[c] + scale[k])).powi(2),
        };
        let (mut observed, mut expected) = (0.0, 0.0);
        for c in 0..size {
            for k in 0..size {
                let delta = delta(c, k);
                observed += self.pairs[c * size + k] * delta;
                expected += margins[c] * margins[k] * delta;
            }
        }
        (expected > 0.0).then(|| 1.0 - (total - 1.0) * observed / expected)
    }
}

/// Alpha of units; each is the values of those observers who gave one, as positions in `scale`, which
/// rises. Nothing where no two values differ.
pub fn alpha(units: &[Vec<usize>], level: Level, scale: &[f64]) -> Option<f64> {
    coincidences(units, scale.len()).alpha(level, scale)
}

fn coincidences(units: &[Vec<usize>], size: usize) -> Coincidences {
    let mut all = Coincidences::new(size);
    units.iter().filter(|unit| unit.len() > 1).for_each(|unit| all.add(unit));
    all
}

/// Alpha with its interval. Units come in clusters, such as the impressions of one report; clusters are
/// drawn with replacement. (Zapf, Castell, Morawietz and Karch, "Measuring inter-rater reliability for
/// nominal data – which coefficients and confidence intervals are appropriate?", 2016, recommend the
/// bootstrap over units; here units that are no independent draws stay together.) Resamples without any
/// variation have no alpha and are passed over.
pub fn agreement(
    clusters: &[Vec<Vec<usize>>],
    level: Level,
    scale: &[f64],
    resamples: usize,
    seed: u64,
) -> Option<Agreement> {
    let tables: Vec<Coincidences> =
        clusters.iter().map(|units| coincidences(units, scale.len())).collect();
    let sum = |rows: &mut dyn Iterator<Item = usize>| {
        let mut all = Coincidences::new(scale.len());
        for row in rows {
            all.pairs.iter_mut().zip(&tables[row].pairs).for_each(|(sum, more)| *sum += more);
        }
        all
    };
    let alpha = sum(&mut (0..tables.len())).alpha(level, scale)?;
    let mut draws = Draws::new(tables.len(), seed);
    let resampled =
        (0..resamples).filter_map(|_| sum(&mut draws.resample()).alpha(level, scale)).collect();
    let units = clusters.iter().flatten().filter(|unit| unit.len() > 1).count();
    Some(Agreement { alpha, interval: percentiles(resampled), units })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of observers into units; a dot is a missing value.
    fn units(rows: &[&str], zero: char) -> Vec<Vec<usize>> {
        (0..rows[0].chars().count())
            .map(|unit| {
                let values = rows.iter().filter_map(|row| row.chars().nth(unit));
                values.filter(|c| *c != '.').map(|c| c as usize - zero as usize).collect()
            })
            .collect()
    }

    fn close(found: Option<f64>, expected: f64) {
        let found = found.unwrap();
        assert!((found - expected).abs() < 1e-12, "{found}, not {expected}");
    }

    /// The worked example of Krippendorff 2011, section E: .743, .815, .849 and .797 there; the further
    /// digits are those of the Python package krippendorff 0.9.0.
    #[test]
    fn four_observers_with_missing_values() {
        let units = units(&["123321412...", "1233224125.3", ".3332342251.", "12332441251."], '1');
        let scale = [1.0, 2.0, 3.0, 4.0, 5.0];
        for (level, expected) in [
            (Level::Nominal, 0.743_421_052_631_579),
            (Level::Ordinal, 0.815_387_503_754_881_4),
            (Level::Interval, 0.849_107_142_857_142_8),
            (Level::Ratio, 0.797_402_774_711_612_1),
        ] {
            close(alpha(&units, level, &scale), expected);
        }
    }

    /// Sections A and B of the same: .095 and .692.
    #[test]
    fn two_observers() {
        let binary = units(&["0100000010", "1110010000"], '0');
        close(alpha(&binary, Level::Nominal, &[0.0, 1.0]), 0.095_238_095_238_095_34);
        let letters = units(&["aabbdcccedda", "babbbccceddd"], 'a');
        let scale = [1.0, 2.0, 3.0, 4.0, 5.0];
        close(alpha(&letters, Level::Nominal, &scale), 0.691_964_285_714_285_8);
        close(alpha(&letters, Level::Ordinal, &scale), 0.598_061_660_561_660_5);
    }

    #[test]
    fn agreement_about_nothing_is_none_and_perfect_agreement_one() {
        let scale = [1.0, 2.0];
        assert_eq!(alpha(&[vec![1, 1], vec![1, 1]], Level::Ordinal, &scale), None);
        assert_eq!(alpha(&[vec![1], vec![0]], Level::Ordinal, &scale), None);
        assert_eq!(alpha(&[], Level::Nominal, &scale), None);
        let perfect = [vec![vec![0, 0], vec![1, 1]], vec![vec![0, 0], vec![0, 0]]];
        let found = agreement(&perfect, Level::Ordinal, &scale, 200, 3).unwrap();
        assert_eq!((found.alpha, found.units), (1.0, 4));
        assert_eq!(found.interval, Interval { low: 1.0, high: 1.0 });
    }

    #[test]
    fn intervals_depend_on_the_seed_alone_and_hold_alpha() {
        let units = units(&["123321412...", "1233224125.3", ".3332342251.", "12332441251."], '1');
        let clusters: Vec<_> = units.into_iter().map(|unit| vec![unit]).collect();
        let scale = [1.0, 2.0, 3.0, 4.0, 5.0];
        let of = |seed| agreement(&clusters, Level::Interval, &scale, 2000, seed).unwrap();
        assert_eq!(of(1), of(1));
        assert_ne!(of(1).interval, of(2).interval);
        let Interval { low, high } = of(1).interval;
        assert!(0.3 < low && low < 0.85 && 0.85 < high && high <= 1.0, "{low} {high}");
    }
}
