//! ROUGE-1, -2, -L and -Lsum, equal to Google Research's `rouge_score` 0.1.2.
//!
//! C.-Y. Lin, "ROUGE: A Package for Automatic Evaluation of Summaries" (2004). What is not in the paper
//! follows `rouge_score`, as that is what figures are compared with: tokens are runs of a–z and 0–9 of
//! the lower-case text, tokens of more than three letters are stemmed, ROUGE-Lsum divides texts into
//! sentences at newlines only and counts no token twice. tests/eval_rouge.rs holds the goldens.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::stem::stem;
pub use crate::guard::text::words;

/// The four measures in the order of all tables.
pub const METRICS: [&str; 4] = ["rouge1", "rouge2", "rougeL", "rougeLsum"];

/// One measure of one text.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Score {
    /// Share of the candidate that the reference has too.
    pub precision: f64,
    /// Share of the reference that the candidate has too.
    pub recall: f64,
    /// Harmonic mean of both.
    pub f1: f64,
}

impl Score {
    fn new(hits: usize, candidate: usize, reference: usize) -> Score {
        let precision = hits as f64 / candidate.max(1) as f64;
        let recall = hits as f64 / reference.max(1) as f64;
        let sum = precision + recall;
        let f1 = if sum > 0.0 { 2.0 * precision * recall / sum } else { 0.0 };
        Score { precision, recall, f1 }
    }
}

/// All measures of one text.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Scores {
    /// Unigrams.
    pub rouge1: Score,
    /// Bigrams.
    pub rouge2: Score,
    /// Longest common subsequence.
    #[serde(rename = "rougeL")]
    pub rouge_l: Score,
    /// Union of the longest common subsequences of sentences.
    #[serde(rename = "rougeLsum")]
    pub rouge_lsum: Score,
}

impl Scores {
    /// F1 in the order of [`METRICS`].
    pub fn f1(&self) -> [f64; 4] {
        [self.rouge1.f1, self.rouge2.f1, self.rouge_l.f1, self.rouge_lsum.f1]
    }
}

/// A text's tokens as numbers that its [`Rouge`] gave them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tokens {
    /// One list for each line that is not empty; a line of punctuation has an empty list.
    lines: Vec<Vec<u32>>,
    all: Vec<u32>,
}

impl Tokens {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// All of them in order.
    pub fn ids(&self) -> &[u32] {
        &self.all
    }
}

/// Divides texts into tokens and compares them. Only [`Tokens`] of the same one belong together.
#[derive(Debug, Clone, Default)]
pub struct Rouge {
    stemmer: bool,
    ids: HashMap<String, u32>,
}

impl Rouge {
    /// With or without the stemmer.
    pub fn new(stemmer: bool) -> Rouge {
        Rouge { stemmer, ids: HashMap::new() }
    }

    /// A text's tokens.
    pub fn tokens(&mut self, text: &str) -> Tokens {
        let lines: Vec<Vec<u32>> = text
            .split('\n')
            .filter(|line| !line.is_empty())
            .map(|line| words(line).iter().map(|word| self.id(word)).collect())
            .collect();
        let all = lines.concat();
        Tokens { lines, all }
    }

    fn id(&mut self, word: &str) -> u32 {
        // The stem is looked up by the word as written: stemming is slow, words are few.
        if let Some(id) = self.ids.get(word) {
            return *id;
        }
        let id = if self.stemmer && word.len() > 3 {
            let next = self.ids.len() as u32;
            // `=` is in no word, so that a stem is not taken for a word that is not stemmed again …
            let stemmed = stem(word);
            // … unless it is too short to be stemmed, and then it is that word.
            let key = if stemmed.len() > 3 { format!("={stemmed}") } else { stemmed };
            *self.ids.entry(key).or_insert(next)
        } else {
            self.ids.len() as u32
        };
        self.ids.insert(word.to_owned(), id);
        id
    }

    /// Both texts compared.
    pub fn score_texts(&mut self, reference: &str, candidate: &str) -> Scores {
        score(&self.tokens(reference), &self.tokens(candidate))
    }
}

/// All measures of a candidate against its reference.
pub fn score(reference: &Tokens, candidate: &Tokens) -> Scores {
    let (r, c) = (&reference.all, &candidate.all);
    let pairs = |ids: &[u32]| ids.windows(2).map(|w| (w[0], w[1])).collect::<Vec<_>>();
    let hits = lcs_length(r, c);
    Scores {
        rouge1: Score::new(overlap(r.clone(), c.clone()), c.len(), r.len()),
        rouge2: Score::new(
            overlap(pairs(r), pairs(c)),
            c.len().saturating_sub(1),
            r.len().saturating_sub(1),
        ),
        rouge_l: Score::new(hits, c.len(), r.len()),
        rouge_lsum: Score::new(union_hits(reference, candidate), c.len(), r.len()),
    }
}

/// How many items two bags share.
fn overlap<T: Ord>(mut a: Vec<T>, mut b: Vec<T>) -> usize {
    a.sort_unstable();
    b.sort_unstable();
    let (mut i, mut j, mut shared) = (0, 0, 0);
    while i < a.len() && j < b.len() {
        match a[i].cmp(&b[j]) {
            std::cmp::Ordering::Less => i += 1,
            std::cmp::Ordering::Greater => j += 1,
            std::cmp::Ordering::Equal => (i, j, shared) = (i + 1, j + 1, shared + 1),
        }
    }
    shared
}

fn lcs_length(a: &[u32], b: &[u32]) -> usize {
    let mut row = vec![0usize; b.len() + 1];
    for x in a {
        let mut diagonal = 0;
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = if x == y { diagonal + 1 } else { above.max(row[j]) };
            diagonal = above;
        }
    }
    row[b.len()]
}

/// Marks in `union` the places of `reference` that one longest common subsequence uses: of several the
/// one that rouge_score's way back through the table finds.
fn mark_lcs(reference: &[u32], candidate: &[u32], union: &mut [bool]) {
    let width = candidate.len() + 1;
    let mut table = vec![0u32; (reference.len() + 1) * width];
    for (i, x) in reference.iter().enumerate() {
        for (j, y) in candidate.iter().enumerate() {
            let at = (i + 1) * width + j + 1;
            table[at] = if x == y {
                table[at - width - 1] + 1
            } else {
                table[at - width].max(table[at - 1])
            };
        }
    }
    let (mut i, mut j) = (reference.len(), candidate.len());
    while i > 0 && j > 0 {
        if reference[i - 1] == candidate[j - 1] {
            union[i - 1] = true;
            (i, j) = (i - 1, j - 1);
        } else if table[i * width + j - 1] > table[(i - 1) * width + j] {
            j -= 1;
        } else {
            i -= 1;
        }
    }
}

/// ROUGE-Lsum's hits: for each sentence of the reference the union of its subsequences shared with the
/// candidate's sentences, no token more often than both texts have it.
fn union_hits(reference: &Tokens, candidate: &Tokens) -> usize {
    let counts = |ids: &[u32]| {
        let mut counts: HashMap<u32, usize> = HashMap::new();
        for id in ids {
            *counts.entry(*id).or_default() += 1;
        }
        counts
    };
    let (mut left_r, mut left_c) = (counts(&reference.all), counts(&candidate.all));
    let mut hits = 0;
    for line in &reference.lines {
        let mut union = vec![false; line.len()];
        for other in &candidate.lines {
            mark_lcs(line, other, &mut union);
        }
        for (id, _) in line.iter().zip(&union).filter(|(_, used)| **used) {
            let (Some(r), Some(c)) = (left_r.get_mut(id), left_c.get_mut(id)) else { continue };
            if *r > 0 && *c > 0 {
                (*r, *c, hits) = (*r - 1, *c - 1, hits + 1);
            }
        }
    }
    hits
}
