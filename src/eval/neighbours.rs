//! The training reports whose findings are nearest to given findings: TF-IDF over words and pairs of
//! words, compared by cosine.
//!
//! As scikit-learn's `TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)`: words of at least two
//! letters, digits or underscores in lower case; (1 + ln count) times idf = ln((1 + n) / (1 + df)) + 1;
//! vectors of length 1 over the terms of the training texts.

use std::collections::HashMap;

/// Training findings ready to be searched.
#[derive(Debug, Clone, Default)]
pub struct Index {
    terms: HashMap<String, u32>,
    idf: Vec<f64>,
    /// For each term the texts that have it, and its weight there.
    postings: Vec<Vec<(u32, f64)>>,
    texts: usize,
}

impl Index {
    /// Reads all texts.
    pub fn new<'t>(texts: impl IntoIterator<Item = &'t str>) -> Index {
        let mut index = Index::default();
        let mut texts_with: Vec<u32> = Vec::new();
        let counted: Vec<Vec<(u32, f64)>> = texts
            .into_iter()
            .map(|text| {
                let ids = terms(text).into_iter().map(|term| {
                    let next = index.terms.len() as u32;
                    *index.terms.entry(term).or_insert(next)
                });
                let counts = count(ids.collect());
                texts_with.resize(index.terms.len(), 0);
                counts.iter().for_each(|(term, _)| texts_with[*term as usize] += 1);
                counts
            })
            .collect();
        index.texts = counted.len();
        let smoothed = |df: &u32| (1.0 + counted.len() as f64) / (1.0 + f64::from(*df));
        index.idf = texts_with.iter().map(|df| smoothed(df).ln() + 1.0).collect();
        index.postings = vec![Vec::new(); index.idf.len()];
        for (text, counts) in (0..).zip(counted) {
            for (term, weight) in index.weigh(counts) {
                index.postings[term as usize].push((text, weight));
            }
        }
        index
    }

    /// Counts as a vector of length 1.
    fn weigh(&self, mut counts: Vec<(u32, f64)>) -> Vec<(u32, f64)> {
        for (term, weight) in &mut counts {
            *weight = (1.0 + weight.ln()) * self.idf[*term as usize];
        }
        let length = counts.iter().map(|(_, weight)| weight * weight).sum::<f64>().sqrt();
        counts.iter_mut().for_each(|(_, weight)| *weight /= length);
        counts
    }

    /// The `count` nearest texts as (position, cosine), the nearest first, and all that are as near as
    /// the last of them: standard texts stand many times in a training set, and which of these come first
    /// in its file must not matter. A text without a common term is not near.
    pub fn nearest(&self, text: &str, count: usize) -> Vec<(usize, f64)> {
        let ids = terms(text).iter().filter_map(|term| self.terms.get(term).copied()).collect();
        let mut cosines = vec![0.0; self.texts];
        for (term, weight) in self.weigh(self::count(ids)) {
            for (text, other) in &self.postings[term as usize] {
                cosines[*text as usize] += weight * other;
            }
        }
        // Rounded: the same words in another order have sums with other last bits.
        let rounded = |cosine: f64| (cosine * 1e10).round();
        let mut nearest: Vec<(usize, f64)> =
            cosines.into_iter().enumerate().filter(|(_, cosine)| *cosine > 0.0).collect();
        if (1..nearest.len()).contains(&count) {
            let order = |a: &(usize, f64), b: &(usize, f64)| b.1.total_cmp(&a.1);
            let last = rounded(nearest.select_nth_unstable_by(count - 1, order).1.1);
            nearest.retain(|(_, cosine)| rounded(*cosine) >= last);
        }
        nearest.sort_by(|a, b| rounded(b.1).total_cmp(&rounded(a.1)).then(a.0.cmp(&b.0)));
        nearest
    }
}

/// Words and pairs of words.
fn terms(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    let words: Vec<&str> = lower
        .split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|word| word.chars().nth(1).is_some())
        .collect();
    let pairs = words.windows(2).map(|pair| pair.join(" "));
    words.iter().map(|word| (*word).to_owned()).chain(pairs).collect()
}

/// How often each id is there.
fn count(mut ids: Vec<u32>) -> Vec<(u32, f64)> {
    ids.sort_unstable();
    ids.chunk_by(|a, b| a == b).map(|same| (same[0], same.len() as f64)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True) of scikit-learn 1.9.1 on these texts.
    #[test]
    fn cosines_are_scikit_learns() {
        let index = Index::new(["a clear lung, clear heart", "the heart is big", "clear lung"]);
        let near = index.nearest("Clear lung and CLEAR heart", 3);
        let positions: Vec<usize> = near.iter().map(|(at, _)| *at).collect();
        assert_eq!(positions, [0, 2, 1]);
        for ((_, cosine), expected) in near.iter().zip(EXPECTED) {
            assert!((cosine - expected).abs() < 1e-9, "{cosine}, not {expected}");
        }
        assert!(index.nearest("nothing common here", 3).is_empty());
    }

    const EXPECTED: [f64; 3] = [0.9025439435074979, 0.7736656853298126, 0.10758981568735283];

    #[test]
    fn those_as_near_as_the_last_come_too() {
        let index = Index::new(["x1 y1", "y1 z1", "x1 y1", "x1 y1 w1"]);
        let near: Vec<usize> = index.nearest("x1 y1", 1).iter().map(|(at, _)| *at).collect();
        assert_eq!(near, [0, 2]);
        assert_eq!(index.nearest("x1 y1", 3).len(), 3);
    }
}
