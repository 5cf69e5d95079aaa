//! What a system has to be better than: always the same impression, the findings themselves, and what
//! the reports with the most similar findings say.

use std::collections::{BTreeMap, HashMap};

use super::Report;
use super::neighbours::Index;
use super::rouge::{Rouge, score};

/// The most frequent impression of the OpenI training reports: the constant where no training pairs
/// are given.
pub const CONSTANT: &str = "No acute cardiopulmonary abnormality.";

/// How many similar reports are asked for their consensus; more where several are as near as the last.
pub const NEIGHBOURS: usize = 12;

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
/// nearest findings ([`Index`]): of their impressions the one most like all of theirs, each as heavy as
/// its findings' cosine. Likeness is the mean F1 of ROUGE-1, -2 and -L; the alphabet decides between
/// equals, so that the order of the training file does not matter. Findings that have no word of any
/// training report get the most frequent impression. (A minimum-Bayes-risk choice: Kumar
/// and Byrne, "Minimum Bayes-risk decoding for statistical machine translation", 2004.)
///
/// `progress` hears of each that is done.
pub fn retrieval<'t>(
    train: &[Report],
    findings: impl IntoIterator<Item = &'t str>,
    rouge: &mut Rouge,
    progress: &mut dyn FnMut(),
) -> Vec<String> {
    let index = Index::new(train.iter().map(|pair| pair.findings.as_str()));
    let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let impressions: Vec<String> = train.iter().map(|pair| plain(&pair.impression)).collect();
    // Each text once, in the alphabet's order, and for each report which it has.
    let mut texts: Vec<&str> = impressions.iter().map(String::as_str).collect();
    texts.sort_unstable();
    texts.dedup();
    let text_of: Vec<usize> =
        impressions.iter().map(|text| texts.partition_point(|other| *other < &**text)).collect();
    let tokens: Vec<_> = texts.iter().map(|text| rouge.tokens(text)).collect();
    let usual = most_frequent(train).unwrap_or_default();
    let mut known: HashMap<(usize, usize), f64> = HashMap::new();
    let mut consensus = |findings: &str| {
        let mut weights: BTreeMap<usize, f64> = BTreeMap::new();
        for (report, cosine) in index.nearest(findings, NEIGHBOURS) {
            *weights.entry(text_of[report]).or_default() += cosine;
        }
        let mut best = (f64::NEG_INFINITY, "");
        for candidate in weights.keys() {
            let mut sum = 0.0;
            for (other, weight) in &weights {
                let key = (*candidate.min(other), *candidate.max(other));
                let likeness = known.entry(key).or_insert_with(|| {
                    let [rouge1, rouge2, rouge_l, _] = score(&tokens[key.0], &tokens[key.1]).f1();
                    (rouge1 + rouge2 + rouge_l) / 3.0
                });
                sum += *likeness * weight;
            }
            // Not by the last bits of a sum.
            if sum > best.0 + 1e-9 {
                best = (sum, texts[*candidate]);
            }
        }
        progress();
        if weights.is_empty() { usual.to_owned() } else { best.1.to_owned() }
    };
    findings.into_iter().map(&mut consensus).collect()
}
