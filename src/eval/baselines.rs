//! What a system has to be better than: always the same impression, the findings themselves, and what
//! the reports with the most similar findings say.

use std::collections::HashMap;

use super::Report;
use super::neighbours::Index;
use super::rouge::{Rouge, score};

/// The most frequent impression of the OpenI training reports: the constant where no training pairs
/// are given.
pub const CONSTANT: &str = "No acute cardiopulmonary abnormality.";

/// How many similar reports are asked for their consensus.
pub const NEIGHBOURS: usize = 12;

/// How much more the nearer of them weigh. Of the powers 1 to 8 this is among the best on OpenI's
/// validation reports (0.631 ROUGE-1; 0.628 without weights), so the baseline is not made easy to beat.
pub const SHARPNESS: i32 = 4;

/// The most frequent impression of `train`, the first of equally frequent ones.
pub fn most_frequent(train: &[Report]) -> Option<&str> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for pair in train {
        *counts.entry(&pair.impression).or_default() += 1;
    }
    // `max_by_key` takes the last of equals, so from behind.
    train.iter().rev().max_by_key(|pair| counts[pair.impression.as_str()]).map(|p| &*p.impression)
}

/// For each of `findings` the consensus impression of the [`NEIGHBOURS`] training reports with the
/// nearest findings ([`Index`]): the one whose ROUGE-L F1 with the others, each weighted by its findings'
/// cosine to the power of [`SHARPNESS`], is highest in sum; the nearest of equals. (A minimum-Bayes-risk
/// choice: Kumar and Byrne 2004.)
///
/// `progress` hears of each that is done.
pub fn retrieval<'t>(
    train: &[Report],
    findings: impl IntoIterator<Item = &'t str>,
    rouge: &mut Rouge,
    progress: &mut dyn FnMut(),
) -> Vec<String> {
    let index = Index::new(train.iter().map(|pair| pair.findings.as_str()));
    let tokens: Vec<_> = train.iter().map(|pair| rouge.tokens(&pair.impression)).collect();
    let mut known: HashMap<(usize, usize), f64> = HashMap::new();
    let mut consensus = |findings: &str| {
        let near = index.nearest(findings, NEIGHBOURS);
        let mut best = (f64::NEG_INFINITY, None);
        for (candidate, _) in &near {
            let mut sum = 0.0;
            for (other, cosine) in near.iter().filter(|(other, _)| other != candidate) {
                let key = (*candidate.min(other), *candidate.max(other));
                let likeness = *known
                    .entry(key)
                    .or_insert_with(|| score(&tokens[key.0], &tokens[key.1]).rouge_l.f1);
                sum += likeness * cosine.powi(SHARPNESS);
            }
            if sum > best.0 {
                best = (sum, Some(*candidate));
            }
        }
        progress();
        best.1.map_or_else(String::new, |at| train[at].impression.clone())
    };
    findings.into_iter().map(|findings| consensus(findings)).collect()
}
