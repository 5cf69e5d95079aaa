//! The training reports whose findings are nearest to given findings: TF-IDF over words and pairs of
//! words, compared by cosine.
//!
//! As scikit-learn's `TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)`: words of at least two
//! letters, digits or underscores in lower case; (1 + ln count) times idf = ln((1 + n) / (1 + df)) + 1;
//! vectors of length 1 over the terms of the training texts.

use std::collections::{BTreeMap, HashMap};

/// Training findings ready to be searched.
#[derive(Debug, Clone, Default)]
pub struct Index {
    terms: HashMap<String, usize>,
    idf: Vec<f64>,
    /// For each term the texts that have it, and its weight there.
    postings: Vec<Vec<(u32, f64)>>,
    texts: usize,
}

impl Index {
    /// Reads all texts.
    pub fn new<'t>(texts: impl IntoIterator<Item = &'t str>) -> Index {
        let counted: Vec<BTreeMap<String, u32>> = texts.into_iter().map(counts).collect();
        let mut texts_with: BTreeMap<&str, u32> = BTreeMap::new();
        for term in counted.iter().flat_map(BTreeMap::keys) {
            *texts_with.entry(term).or_default() += 1;
        }
        let mut index = Index { texts: counted.len(), ..Index::default() };
        for (term, df) in texts_with {
            index.terms.insert(term.to_owned(), index.idf.len());
            index.idf.push(((1.0 + counted.len() as f64) / (1.0 + f64::from(df))).ln() + 1.0);
        }
        index.postings = vec![Vec::new(); index.idf.len()];
        for (text, counts) in (0..).zip(&counted) {
            for (term, weight) in index.vector(counts) {
                index.postings[term].push((text, weight));
            }
        }
        index
    }

    fn vector(&self, counts: &BTreeMap<String, u32>) -> Vec<(usize, f64)> {
        let mut vector: Vec<(usize, f64)> = counts
            .iter()
            .filter_map(|(term, count)| Some((*self.terms.get(term)?, f64::from(*count))))
            .map(|(term, count)| (term, (1.0 + count.ln()) * self.idf[term]))
            .collect();
        let length = vector.iter().map(|(_, weight)| weight * weight).sum::<f64>().sqrt();
        if length > 0.0 {
            vector.iter_mut().for_each(|(_, weight)| *weight /= length);
        }
        vector
    }

    /// The `count` nearest texts as (position, cosine), the nearest first, and all that are as near as
    /// the last of them: standard texts stand many times in a training set, and which of these come first
    /// in its file must not matter.
    pub fn nearest(&self, text: &str, count: usize) -> Vec<(usize, f64)> {
        let mut cosines = vec![0.0; self.texts];
        for (term, weight) in self.vector(&counts(text)) {
            for (text, other) in &self.postings[term] {
                cosines[*text as usize] += weight * other;
            }
        }
        let mut nearest: Vec<(usize, f64)> = cosines.into_iter().enumerate().collect();
        // Rounded: the same words in another order have sums with other last bits.
        let rounded = |cosine: f64| (cosine * 1e10).round();
        nearest.sort_by(|a, b| rounded(b.1).total_cmp(&rounded(a.1)).then(a.0.cmp(&b.0)));
        if let Some(last) = count.checked_sub(1).and_then(|last| nearest.get(last)) {
            let last = rounded(last.1);
            nearest.retain(|(_, cosine)| rounded(*cosine) >= last);
        }
        nearest
    }
}

/// Words and pairs of words, counted.
fn counts(text: &str) -> BTreeMap<String, u32> {
    let lower = text.to_lowercase();
    let words: Vec<&str> = lower
        .split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|word| word.chars().nth(1).is_some())
        .collect();
    let mut counts = BTreeMap::new();
    for word in &words {
        *counts.entry((*word).to_owned()).or_default() += 1;
    }
    for pair in words.windows(2) {
        *counts.entry(pair.join(" ")).or_default() += 1;
    }
    counts
}
