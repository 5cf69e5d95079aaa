//! ROUGE and the stemmer against rouge_score 0.1.2 and NLTK (tests/goldens/rouge_goldens.py).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use radllama::eval::rouge::{Rouge, Score};
use radllama::eval::stem::stem;
use serde_json::Value;

fn goldens() -> Value {
    serde_json::from_str(include_str!("goldens/rouge.json")).unwrap()
}

/// Both are f64 arithmetic on the same counts.
const TOLERANCE: f64 = 1e-9;

#[test]
fn scores_are_those_of_rouge_score() {
    let goldens = goldens();
    let cases = goldens["cases"].as_array().unwrap();
    assert!(cases.len() >= 100, "{}", cases.len());
    for (stemmer, name) in [(true, "stemmed"), (false, "plain")] {
        // One for all texts, and a fresh one for each: what was read before must not matter.
        let mut shared = Rouge::new(stemmer);
        for (number, case) in cases.iter().enumerate() {
            let texts = ["reference", "candidate"].map(|side| case[side].as_str().unwrap());
            for rouge in [&mut shared, &mut Rouge::new(stemmer)] {
                let found = rouge.score_texts(texts[0], texts[1]);
                let found = [found.rouge1, found.rouge2, found.rouge_l, found.rouge_lsum];
                for (metric, Score { precision, recall, f1 }) in found.into_iter().enumerate() {
                    for (part, value) in [precision, recall, f1].into_iter().enumerate() {
                        let expected = case[name][metric][part].as_f64().unwrap();
                        assert!(
                            (value - expected).abs() <= TOLERANCE,
                            "{name} case {number}, metric {metric}, part {part}: {value}, not {expected}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn stems_are_nltks() {
    let goldens = goldens();
    let stems = goldens["stems"].as_array().unwrap();
    assert!(stems.len() >= 2500, "{}", stems.len());
    let mut wrong = Vec::new();
    for entry in stems {
        let entry = entry.as_str().unwrap();
        // A stem that is a beginning of its word is told by its length, behind a slash.
        let (word, expected) = match entry.split_once('/') {
            Some((word, length)) => (word, &word[..length.parse().unwrap()]),
            None => entry.split_once(' ').unwrap(),
        };
        if stem(word) != expected {
            wrong.push(format!("{word}: {}, not {expected}", stem(word)));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ: {wrong:?}", wrong.len(), stems.len());
}
