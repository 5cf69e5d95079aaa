//! Sampling: the order of its steps, their edges, and the statistics of fixed seeds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::BTreeMap;

use proptest::prelude::*;
use radllama::sampler::{Sampler, Sampling, top_logits};

/// Logits of these probabilities.
fn logits(probabilities: &[f32]) -> Vec<(u32, f32)> {
    (0u32..).zip(probabilities.iter().map(|p| p.ln())).collect()
}

const WARM: Sampling = Sampling {
    temperature: 1.0,
    top_k: 0,
    top_p: 1.0,
    min_p: 0.0,
    repetition_penalty: 1.0,
    seed: 42,
};

/// How often each id comes in `n` draws.
fn draw(
    sampling: Sampling,
    candidates: &[(u32, f32)],
    recent: &[u32],
    n: usize,
) -> BTreeMap<u32, usize> {
    let mut sampler = Sampler::new(sampling).unwrap();
    let mut counts = BTreeMap::new();
    for _ in 0..n {
        let id = sampler.sample(&mut candidates.to_vec(), recent).unwrap();
        *counts.entry(id).or_default() += 1;
    }
    counts
}

fn ids(sampling: Sampling, candidates: &[(u32, f32)]) -> Vec<u32> {
    draw(sampling, candidates, &[], 2000).into_keys().collect()
}

#[test]
fn greedy_takes_the_highest_and_of_equals_the_lowest_id() {
    let greedy = Sampling::default();
    assert!(greedy.is_greedy());
    assert_eq!(ids(greedy, &[(5, 1.0), (9, 2.0), (3, 2.0), (7, -1.0)]), [3]);
    assert_eq!(ids(greedy, &[(5, 0.0), (3, -0.0)]), [3]);
    assert_eq!(ids(greedy, &[(5, f32::NEG_INFINITY), (3, -1e30)]), [3]);
    let penalised = Sampling { repetition_penalty: 1.5, ..greedy };
    assert!(!penalised.is_greedy() && !WARM.is_greedy());
    assert_eq!(draw(penalised, &[(1, 1.2), (2, 1.0)], &[1], 10), BTreeMap::from([(2, 10)]));
}

#[test]
fn frequencies_are_the_probabilities() {
    let p = [0.5, 0.25, 0.15, 0.1];
    let n = 100_000;
    let counts = draw(WARM, &logits(&p), &[], n);
    // Chi-squared with 3 degrees of freedom: 16.27 is exceeded once in a thousand seeds.
    let chi: f64 = (0u32..)
        .zip(p)
        .map(|(id, p)| {
            (counts[&id] as f64 - f64::from(p) * n as f64).powi(2) / (f64::from(p) * n as f64)
        })
        .sum();
    assert!(chi < 16.27, "{chi}: {counts:?}");

    // At temperature 2 the probabilities are their square roots, normalised.
    let counts = draw(Sampling { temperature: 2.0, ..WARM }, &logits(&[0.64, 0.36]), &[], n);
    let share = counts[&0] as f64 / n as f64;
    assert!((share - 0.8 / 1.4).abs() < 0.006, "{share}");
}

#[test]
fn top_k_keeps_k() {
    let p = logits(&[0.4, 0.3, 0.2, 0.1]);
    assert_eq!(ids(Sampling { top_k: 1, ..WARM }, &p), [0]);
    assert_eq!(ids(Sampling { top_k: 3, ..WARM }, &p), [0, 1, 2]);
    assert_eq!(ids(Sampling { top_k: 100, ..WARM }, &p), [0, 1, 2, 3]);
    // Of equal logits the lower ids stay.
    assert_eq!(ids(Sampling { top_k: 2, ..WARM }, &[(9, 1.0), (4, 1.0), (6, 1.0)]), [4, 6]);
}

#[test]
fn top_p_keeps_the_token_that_crosses() {
    let p = logits(&[0.4, 0.3, 0.2, 0.1]);
    assert_eq!(ids(Sampling { top_p: 1e-6, ..WARM }, &p), [0]);
    assert_eq!(ids(Sampling { top_p: 0.39, ..WARM }, &p), [0]);
    assert_eq!(ids(Sampling { top_p: 0.41, ..WARM }, &p), [0, 1]);
    assert_eq!(ids(Sampling { top_p: 0.71, ..WARM }, &p), [0, 1, 2]);
    assert_eq!(ids(Sampling { top_p: 0.91, ..WARM }, &p), [0, 1, 2, 3]);
    // After top-k the remaining ones are the whole: 0.4 of 0.7 is 0.57.
    assert_eq!(ids(Sampling { top_k: 2, top_p: 0.56, ..WARM }, &p), [0]);
    // The temperature comes before: at 100 all are nearly equal.
    assert_eq!(ids(Sampling { temperature: 100.0, top_p: 0.55, ..WARM }, &p), [0, 1, 2]);
}

#[test]
fn min_p_is_relative_to_the_likeliest() {
    let p = logits(&[0.4, 0.3, 0.2, 0.1]);
    assert_eq!(ids(Sampling { min_p: 0.76, ..WARM }, &p), [0]);
    assert_eq!(ids(Sampling { min_p: 0.74, ..WARM }, &p), [0, 1]);
    assert_eq!(ids(Sampling { min_p: 0.24, ..WARM }, &p), [0, 1, 2, 3]);
    assert_eq!(ids(Sampling { min_p: 1.0, ..WARM }, &p), [0]);
}

#[test]
fn the_penalty_divides_positive_and_multiplies_negative_logits() {
    let penalised = Sampling { temperature: 0.0, repetition_penalty: 2.0, ..WARM };
    let choose = |candidates: &[(u32, f32)], recent: &[u32]| {
        Sampler::new(penalised).unwrap().sample(&mut candidates.to_vec(), recent).unwrap()
    };
    assert_eq!(choose(&[(1, 2.0), (2, 1.1)], &[1]), 2); // 2 / 2 < 1.1
    assert_eq!(choose(&[(1, 2.0), (2, 0.9)], &[1]), 1);
    assert_eq!(choose(&[(1, -1.0), (2, -1.9)], &[1]), 2); // -1 · 2 < -1.9
    assert_eq!(choose(&[(1, -1.0), (2, -2.1)], &[1]), 1);
    // However often it was seen, once.
    assert_eq!(choose(&[(1, 2.0), (2, 0.9)], &[7, 1, 1, 1]), 1);
}

#[test]
fn one_seed_gives_one_sequence() {
    let p = logits(&[0.3, 0.25, 0.2, 0.15, 0.1]);
    let sequence = |seed| {
        let mut sampler = Sampler::new(Sampling { seed, ..WARM }).unwrap();
        (0..16).map(|_| sampler.sample(&mut p.clone(), &[]).unwrap()).collect::<Vec<_>>()
    };
    // Pinned, from a Python version of the generator: the same on every platform and in every
    // release.
    assert_eq!(sequence(42), [2, 0, 0, 1, 0, 3, 0, 3, 1, 2, 0, 1, 1, 1, 2, 0]);
    assert_ne!(sequence(42), sequence(43));
    let mut reversed = p.clone();
    reversed.reverse();
    let mut sampler = Sampler::new(WARM).unwrap();
    let found: Vec<u32> =
        (0..16).map(|_| sampler.sample(&mut reversed.clone(), &[]).unwrap()).collect();
    assert_eq!(found, sequence(42));
}

#[test]
fn options_out_of_range_are_named() {
    let cases = [
        (Sampling { temperature: -0.1, ..WARM }, "temperature"),
        (Sampling { temperature: f32::NAN, ..WARM }, "temperature"),
        (Sampling { temperature: f32::INFINITY, ..WARM }, "temperature"),
        (Sampling { top_p: 0.0, ..WARM }, "top_p"),
        (Sampling { top_p: 1.1, ..WARM }, "top_p"),
        (Sampling { min_p: -0.1, ..WARM }, "min_p"),
        (Sampling { min_p: f32::NAN, ..WARM }, "min_p"),
        (Sampling { repetition_penalty: 0.0, ..WARM }, "repetition_penalty"),
    ];
    for (sampling, option) in cases {
        let error = Sampler::new(sampling).unwrap_err();
        assert_eq!(error.code(), "bad_option");
        assert!(error.to_string().starts_with(option), "{error}");
    }
    assert!(WARM.validate().is_ok() && Sampling::default().validate().is_ok());
}

#[test]
fn nothing_to_choose_from_is_an_error() {
    for sampling in [WARM, Sampling::default()] {
        let mut sampler = Sampler::new(sampling).unwrap();
        assert_eq!(sampler.sample(&mut Vec::new(), &[]).unwrap_err().code(), "internal");
        assert_eq!(sampler.sample(&mut vec![(1, f32::NAN)], &[]).unwrap_err().code(), "internal");
        assert_eq!(sampler.sample(&mut vec![(1, f32::NEG_INFINITY)], &[]).unwrap(), 1);
        assert_eq!(sampler.sample(&mut vec![(1, f32::INFINITY), (2, 0.0)], &[]).unwrap(), 1);
        assert_eq!(sampler.sample(&mut vec![(1, -3e38), (2, 3e38)], &[]).unwrap(), 2);
    }
}

#[test]
fn top_logits_are_sorted_by_logit_then_id() {
    let values = [1.0, 3.0, -2.0, 3.0, f32::NAN, 0.0];
    assert_eq!(top_logits(&values, 3), [(1, 3.0), (3, 3.0), (0, 1.0)]);
    let all = top_logits(&values, 10);
    let order: Vec<u32> = all.iter().map(|c| c.0).collect();
    assert_eq!(order, [1, 3, 0, 5, 2, 4]);
    assert!(top_logits(&values, 0).is_empty() && top_logits(&[], 3).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    /// Whatever the options, the choice is a candidate and at least as likely as allowed.
    #[test]
    fn the_choice_is_among_the_likeliest(
        logits in prop::collection::vec(-50f32..50.0, 1..40),
        temperature in 0f32..3.0,
        top_k in 0u32..10,
        top_p in 0.01f32..1.0,
        min_p in 0f32..1.0,
        seed: u64,
    ) {
        let sampling = Sampling { temperature, top_k, top_p, min_p, repetition_penalty: 1.0, seed };
        let candidates: Vec<(u32, f32)> = (0u32..).zip(logits.iter().copied()).collect();
        let id = Sampler::new(sampling).unwrap().sample(&mut candidates.clone(), &[]).unwrap();
        let rank = top_logits(&logits, logits.len()).iter().position(|c| c.0 == id).unwrap();
        prop_assert!(top_k == 0 || rank < top_k as usize);
        let highest = top_logits(&logits, 1)[0].1;
        let relative = f64::from((logits[id as usize] - highest) / temperature.max(1e-9)).exp();
        prop_assert!(rank == 0 || relative >= f64::from(min_p) * 0.999);
    }
}
