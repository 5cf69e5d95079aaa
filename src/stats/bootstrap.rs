//! Bootstrap intervals of means over reports, and of differences between two systems.
//!
//! B. Efron, "Bootstrap methods: another look at the jackknife" (1979): reports are drawn with
//! replacement, as many as there are, and the percentiles of the means are the interval. All systems are
//! averaged over the same draws, so that differences are paired (P. Koehn, "Statistical significance
//! tests for machine translation evaluation", 2004).

use crate::sampler::SplitMix64;

/// Draws of a run that has no reason to take another number.
pub const RESAMPLES: usize = 10_000;

/// The means of every column in every resample.
#[derive(Debug, Clone)]
pub struct Resampled {
    /// Column by column, one mean a resample.
    means: Vec<Vec<f64>>,
}

/// A share of the resampled means in the middle.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Interval {
    /// 2.5 % are below.
    pub low: f64,
    /// 2.5 % are above.
    pub high: f64,
}

/// Draws rows with replacement, as many as there are: the same seed draws the same rows.
#[derive(Debug)]
pub(crate) struct Draws {
    random: SplitMix64,
    rows: usize,
}

impl Draws {
    /// Of a table with so many rows.
    pub(crate) fn new(rows: usize, seed: u64) -> Draws {
        Draws { random: SplitMix64::new(seed), rows }
    }

    /// The rows of one more resample.
    pub(crate) fn resample(&mut self) -> impl Iterator<Item = usize> + '_ {
        let rows = self.rows;
        // Lemire's multiply-shift; its bias at n rows is n in 2^64.
        (0..rows).map(move |_| ((u128::from(self.random.next()) * rows as u128) >> 64) as usize)
    }
}

impl Resampled {
    /// Resamples the rows of `columns`, which all have the same length. The same seed draws the same
    /// rows. Without rows every mean is 0.
    pub fn new(columns: &[Vec<f64>], resamples: usize, seed: u64) -> Resampled {
        let rows = columns.iter().map(Vec::len).min().unwrap_or(0);
        Resampled::of(columns, resamples, seed, |sums, _| {
            sums.iter().map(|sum| if rows == 0 { 0.0 } else { sum / rows as f64 }).collect()
        })
    }

    /// Resamples rows that hold several values each, such as all readers' ratings of one report: `sums`
    /// and `counts` are columns with a row's sum and how many values that is of. A mean is that of all
    /// values in the drawn rows, so that values of one row stay together (the bootstrap over clusters:
    /// Field and Welsh, "Bootstrapping clustered data", 2007). NaN where a resample has no value.
    pub fn clustered(
        sums: &[Vec<f64>],
        counts: &[Vec<f64>],
        resamples: usize,
        seed: u64,
    ) -> Resampled {
        let columns = [sums, counts].concat();
        Resampled::of(&columns, resamples, seed, |totals, width| {
            let (sums, counts) = totals.split_at(width / 2);
            sums.iter().zip(counts).map(|(sum, count)| sum / count).collect()
        })
    }

    /// Sums all columns over each resample's rows and keeps what `means` makes of the sums.
    fn of(
        columns: &[Vec<f64>],
        resamples: usize,
        seed: u64,
        means: impl Fn(&[f64], usize) -> Vec<f64>,
    ) -> Resampled {
        let rows = columns.iter().map(Vec::len).min().unwrap_or(0);
        // Row by row, so that a drawn row is read in one go.
        let table: Vec<f64> =
            (0..rows).flat_map(|row| columns.iter().map(move |column| column[row])).collect();
        let width = columns.len();
        let mut draws = Draws::new(rows, seed);
        let mut sums = vec![0.0; width];
        let mut found: Vec<Vec<f64>> = Vec::new();
        for _ in 0..resamples {
            sums.fill(0.0);
            for row in draws.resample() {
                for (sum, value) in sums.iter_mut().zip(&table[row * width..(row + 1) * width]) {
                    *sum += value;
                }
            }
            let means = means(&sums, width);
            found.resize_with(means.len(), || Vec::with_capacity(resamples));
            found.iter_mut().zip(means).for_each(|(column, mean)| column.push(mean));
        }
        if found.is_empty() {
            found.resize_with(means(&sums, width).len(), Vec::new);
        }
        Resampled { means: found }
    }

    /// The 95 % interval of a column's mean.
    pub fn interval(&self, column: usize) -> Interval {
        percentiles(self.means[column].clone())
    }

    /// The 95 % interval of the difference of two columns' means, and the share of resamples in which
    /// it is below zero.
    pub fn difference(&self, a: usize, b: usize) -> (Interval, f64) {
        let differences: Vec<f64> =
            self.means[a].iter().zip(&self.means[b]).map(|(a, b)| a - b).collect();
        let below = differences.iter().filter(|d| **d < 0.0).count();
        let share = below as f64 / differences.len().max(1) as f64;
        (percentiles(differences), share)
    }
}

/// 2.5 and 97.5 %, linearly between the nearest values, as NumPy does it.
pub(crate) fn percentiles(mut values: Vec<f64>) -> Interval {
    // A resample without any value of a column says nothing of it.
    values.retain(|value| !value.is_nan());
    values.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| {
        let place = share * values.len().saturating_sub(1) as f64;
        let (below, part) = (place.floor() as usize, place.fract());
        let low = values.get(below).copied().unwrap_or(0.0);
        let high = values.get(below + 1).copied().unwrap_or(low);
        low + (high - low) * part
    };
    Interval { low: at(0.025), high: at(0.975) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_numpys() {
        // numpy.percentile([3, 1, 2, 10], [2.5, 97.5])
        let Interval { low, high } = percentiles(vec![3.0, 1.0, 2.0, 10.0]);
        assert!((low - 1.075).abs() < 1e-12 && (high - 9.475).abs() < 1e-12, "{low} {high}");
    }
    /// Half of the rows are 1: the standard error of their mean is 0.05, so the interval is about
    /// 0.5 ± 0.098.
    #[test]
    fn intervals_are_as_wide_as_they_should_be() {
        let half: Vec<f64> = (0..100).map(|row| f64::from(row % 2)).collect();
        let better: Vec<f64> = half.iter().map(|value| value + 0.01).collect();
        let constant = vec![0.7; 100];
        let resampled = Resampled::new(&[half, better, constant], 4000, 5);
        let Interval { low, high } = resampled.interval(0);
        assert!((low - 0.402).abs() < 0.015 && (high - 0.598).abs() < 0.015, "{low} {high}");
        let Interval { low, high } = resampled.interval(2);
        assert!((low - 0.7).abs() < 1e-12 && (high - 0.7).abs() < 1e-12, "{low} {high}");
        // Paired: whatever rows are drawn, the better is better by 0.01.
        let (Interval { low, high }, below) = resampled.difference(1, 0);
        assert!((low - 0.01).abs() < 1e-9 && (high - 0.01).abs() < 1e-9, "{low} {high}");
        assert_eq!((below, resampled.difference(0, 1).1), (0.0, 1.0));
        let again = Resampled::new(&[vec![0.0, 1.0]], 10, 5);
        assert_eq!(again.means, Resampled::new(&[vec![0.0, 1.0]], 10, 5).means);
        assert_ne!(again.means, Resampled::new(&[vec![0.0, 1.0]], 10, 6).means);
    }

    /// Two values in one row, one in the other, one nowhere: means of values, not of rows' means.
    #[test]
    fn values_of_a_row_stay_together() {
        let sums = [vec![2.0, 5.0, 0.0]];
        let counts = [vec![2.0, 1.0, 0.0]];
        let resampled = Resampled::clustered(&sums, &counts, 3000, 1);
        let possible = [1.0, 5.0, 7.0 / 3.0, 3.0, 9.0 / 5.0, 11.0 / 3.0, 12.0 / 4.0];
        for mean in &resampled.means[0] {
            let near = |other: &f64| (mean - other).abs() < 1e-12;
            assert!(mean.is_nan() || possible.iter().any(near), "{mean}");
        }
        // All three draws of the row without a value: once in 27.
        let none = resampled.means[0].iter().filter(|mean| mean.is_nan()).count();
        assert!((60..170).contains(&none), "{none}");
        assert_eq!(resampled.interval(0), Interval { low: 1.0, high: 5.0 });
    }
}
