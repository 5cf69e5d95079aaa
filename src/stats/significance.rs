//! Tests that small studies need: exact where that is possible, and corrected for how many there are.

/// Two-sided p of `k` of `n` where either outcome is as likely: the sign test. Without any n it is 1.
pub fn binomial_half(k: usize, n: usize) -> f64 {
    let tail = k.min(n - k.min(n));
    // Logarithms: 0.5^n is no number of f64's beyond n = 1074.
    let mut log = -(n as f64) * std::f64::consts::LN_2;
    let mut sum = 0.0;
    for i in 0..=tail {
        sum += log.exp();
        log += ((n - i) as f64 / (i + 1) as f64).ln();
    }
    (2.0 * sum).min(1.0)
}

/// Two-sided p of the sum of `differences` if each could as well have had the other sign: Fisher's
/// randomization test of paired differences, exact for any number of them because they are whole
/// numbers, whose sums can be counted. Each is one independent pair's, such as a report's sum over
/// its readers.
pub fn sign_flip(differences: &[i64]) -> f64 {
    let sizes: Vec<usize> = differences.iter().map(|d| d.unsigned_abs() as usize).collect();
    let reach: usize = sizes.iter().sum();
    let observed = differences.iter().sum::<i64>().unsigned_abs() as usize;
    // chances[s]: of the sum of what is flipped, which makes the whole sum reach - 2 s.
    let mut chances = vec![0.0; reach + 1];
    chances[0] = 1.0;
    let mut so_far = 0;
    for size in sizes.into_iter().filter(|size| *size > 0) {
        so_far += size;
        for sum in (0..=so_far).rev() {
            let flipped = if sum >= size { chances[sum - size] } else { 0.0 };
            chances[sum] = f64::midpoint(chances[sum], flipped);
        }
    }
    let extreme = |sum: usize| reach.abs_diff(2 * sum) >= observed;
    let p: f64 = (0..=reach).filter(|sum| extreme(*sum)).map(|sum| chances[sum]).sum();
    p.min(1.0)
}

/// p-values corrected for their number by Holm's step-down method (1979), in the order given.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    let mut corrected = vec![0.0; p.len()];
    let mut least: f64 = 0.0;
    for (rank, at) in order.into_iter().enumerate() {
        least = least.max((p[at] * (p.len() - rank) as f64).min(1.0));
        corrected[at] = least;
    }
    corrected
}

/// Friedman's test over blocks (1937): whether the treatments of a block differ by more than chance.
/// Gives chi-square, corrected for ties, and its p with `treatments - 1` degrees of freedom, which is an
/// approximation that wants about ten blocks. Nothing where all treatments tie in all blocks.
pub fn friedman(blocks: &[Vec<f64>]) -> Option<(f64, f64)> {
    let treatments = blocks.first()?.len();
    let mut sums = vec![0.0; treatments];
    let mut ties = 0.0;
    for block in blocks {
        for (at, value) in block.iter().enumerate() {
            let below = block.iter().filter(|other| *other < value).count() as f64;
            let equal = block.iter().filter(|other| *other == value).count() as f64;
            sums[at] += below + f64::midpoint(equal, 1.0);
            // Σ (t³ - t) over groups of t equals is Σ (t² - 1) over their members.
            ties += equal * equal - 1.0;
        }
    }
    let (n, k) = (blocks.len() as f64, treatments as f64);
    let correction = 1.0 - ties / (n * k * (k * k - 1.0));
    if treatments < 2 || correction <= 1e-12 {
        return None;
    }
    let squares: f64 = sums.iter().map(|sum| sum * sum).sum();
    let statistic = (12.0 / (n * k * (k + 1.0)) * squares - 3.0 * n * (k + 1.0)) / correction;
    Some((statistic, chi_square_above(statistic, treatments - 1)))
}

/// The share of the chi-square distribution above `x`: the regularized upper incomplete gamma function
/// Q(df/2, x/2), by its series or its continued fraction (Abramowitz and Stegun 6.5.29 and 6.5.31).
pub fn chi_square_above(x: f64, df: usize) -> f64 {
    if x <= 0.0 || df == 0 {
        return 1.0;
    }
    let (a, x) = (df as f64 / 2.0, x / 2.0);
    // ln Γ(a) from Γ(1) or Γ(1/2) upwards.
    let (mut at, mut log_gamma) =
        if df.is_multiple_of(2) { (1.0, 0.0) } else { (0.5, std::f64::consts::PI.ln() / 2.0) };
    while at < a {
        log_gamma += f64::ln(at);
        at += 1.0;
    }
    let front = (a * x.ln() - x - log_gamma).exp();
    if x < a + 1.0 {
        let (mut term, mut sum) = (1.0 / a, 1.0 / a);
        for n in 1..500 {
            term *= x / (a + f64::from(n));
            sum += term;
        }
        return 1.0 - front * sum;
    }
    // The fraction from its far end back.
    let fraction = (1..500).rev().fold(0.0, |below, n| {
        let n = f64::from(n);
        n * (n - a) / (x + 2.0 * n + 1.0 - a - below)
    });
    front / (x + 1.0 - a - fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) {
        let error = (found - expected).abs();
        assert!(error <= 1e-10 * expected.abs().max(1e-6), "{found:e}, not {expected:e}");
    }

    /// scipy.stats.binomtest(k, n).pvalue of SciPy 1.17.1.
    #[test]
    fn the_sign_test_is_scipys() {
        close(binomial_half(3, 10), 0.343_75);
        close(binomial_half(7, 10), 0.343_75);
        close(binomial_half(5, 10), 1.0);
        close(binomial_half(0, 1), 1.0);
        close(binomial_half(0, 0), 1.0);
        close(binomial_half(20, 30), 0.098_737_146_705_388_9);
        close(binomial_half(700, 1300), 0.006_015_793_861_044_94);
        assert_eq!(binomial_half(0, 2000), 0.0);
    }

    /// scipy.stats.permutation_test((x,), sum, permutation_type='samples', n_resamples=inf).pvalue, and
    /// all signs tried one by one.
    #[test]
    fn the_randomization_test_is_exact() {
        close(sign_flip(&[3, -1, 2, 0, 4, -2, 5, 1, 1, -1]), 0.175_781_25);
        assert_eq!((sign_flip(&[]), sign_flip(&[0, 0])), (1.0, 1.0));
        for differences in [&[1i64, 2, 3, -4, 9][..], &[5, 5, 5, 5, 5, 5, 5], &[-7], &[2, -2, 1]] {
            let observed = differences.iter().sum::<i64>().abs();
            let all = 1u32 << differences.len();
            let extreme = (0..all).filter(|signs| {
                let flipped = differences.iter().enumerate();
                let sum: i64 =
                    flipped.map(|(i, d)| if signs >> i & 1 == 1 { -d } else { *d }).sum();
                sum.abs() >= observed
            });
            close(sign_flip(differences), extreme.count() as f64 / f64::from(all));
        }
        // 400 reports: no enumeration would end.
        close(sign_flip(&[1; 400]), 2.0 * 0.5f64.powi(400));
    }

    #[test]
    fn holm_steps_down() {
        // By hand: 0.01·4, 0.02·3, max(0.06, 0.03·2), 0.04·1 lifted to 0.06.
        let corrected = holm(&[0.04, 0.01, 0.03, 0.02]);
        corrected.iter().zip([0.06, 0.04, 0.06, 0.06]).for_each(|(a, b)| close(*a, b));
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
        assert!(holm(&[]).is_empty());
    }

    /// scipy.stats.chi2.sf and friedmanchisquare of SciPy 1.17.1.
    #[test]
    fn chi_square_and_friedman_are_scipys() {
        for (x, df, expected) in [
            (0.5, 1, 0.479_500_122_186_953_37),
            (3.84, 1, 0.050_043_521_248_705_19),
            (2.5, 2, 0.286_504_796_860_190_1),
            (20.0, 2, 4.539_992_976_248_486e-5),
            (0.1, 3, 0.991_837_423_731_876_4),
            (7.8, 3, 0.050_331_097_859_853_326),
            (40.0, 3, 1.065_509_033_425_585e-8),
        ] {
            let found = chi_square_above(x, df);
            assert!((found / expected - 1.0).abs() < 1e-9, "chi2({x}, {df}): {found:e}");
        }
        let votes = ["300", "210", "111", "030", "201", "210", "012", "300"];
        let blocks: Vec<Vec<f64>> = votes
            .iter()
            .map(|row| row.chars().map(|c| f64::from(c as u32 - '0' as u32)).collect())
            .collect();
        let (statistic, p) = friedman(&blocks).unwrap();
        close(statistic, 3.12);
        close(p, 0.210_136_071_200_764_72);
        assert_eq!(friedman(&[vec![1.0, 1.0, 1.0]]), None);
        assert_eq!(friedman(&[]), None);
    }
}
