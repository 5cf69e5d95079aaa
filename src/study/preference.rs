//! Preferences: one of the impressions of a report, by each reader.

use serde::Serialize;

use super::Record;
use super::analysis::Options;
use super::table::Table;
use crate::stats::alpha::{Agreement, Level, agreement};
use crate::stats::bootstrap::{Interval, Resampled};
use crate::stats::significance::{binomial_half, friedman, holm};

/// Which impression readers would rather sign.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Preference {
    /// Judgements for each system.
    pub votes: Vec<usize>,
    /// Its share of all judgements, and the interval over reports.
    pub shares: Vec<Option<(f64, Interval)>>,
    /// Reports in which it got the most votes.
    pub won: Vec<usize>,
    /// Reports in which the most votes were shared.
    pub tied: usize,
    /// Two systems: the sign test over reports, ties left out. More: Friedman's test of the votes with a
    /// report as a block.
    pub p: Option<f64>,
    /// Friedman's chi-square, for more than two systems.
    pub chi_square: Option<f64>,
    /// Two systems: the binomial test of all judgements. It takes them for independent, which several
    /// readers' of one report are not, and is too small then.
    pub p_judgements: Option<f64>,
    /// More than two: each pair's sign test over the reports in which one got more votes than the
    /// other: (system, against, more, fewer, p after Holm).
    pub pairs: Vec<(usize, usize, usize, usize, f64)>,
    /// Krippendorff's alpha, nominal, of which one is preferred.
    pub alpha: Option<Agreement>,
    /// Judgements for place A, B, …: far from equal, and readers went by the place.
    pub places: Vec<usize>,
}

/// What readers preferred. `votes` are by system and report, `columns` those of `drawn` with the shares.
pub(super) fn preference(
    table: &Table<'_>,
    votes: &[Vec<Vec<i64>>],
    columns: &[usize],
    drawn: &Resampled,
    options: Options,
) -> Preference {
    let systems = table.systems.len();
    let totals: Vec<usize> =
        votes.iter().map(|reports| reports.concat().iter().sum::<i64>() as usize).collect();
    let judgements: usize = totals.iter().sum();
    // By report: each system's votes; reports without a judgement say nothing.
    let blocks: Vec<Vec<f64>> = (0..table.answers.len())
        .map(|report| votes.iter().map(|of| of[report].iter().sum::<i64>() as f64).collect())
        .filter(|block: &Vec<f64>| block.iter().sum::<f64>() > 0.0)
        .collect();
    let (mut won, mut tied) = (vec![0; systems], 0);
    for block in &blocks {
        let most = block.iter().copied().fold(0.0, f64::max);
        let first: Vec<usize> = (0..systems).filter(|system| block[*system] >= most).collect();
        match first.as_slice() {
            [only] => won[*only] += 1,
            _ => tied += 1,
        }
    }
    let two = systems == 2 && judgements > 0;
    let test = if systems > 2 { friedman(&blocks) } else { None };
    let mut pairs = Vec::new();
    if systems > 2 {
        for a in 0..systems {
            for b in a + 1..systems {
                let more = blocks.iter().filter(|block| block[a] > block[b]).count();
                let fewer = blocks.iter().filter(|block| block[a] < block[b]).count();
                pairs.push((a, b, more, fewer, binomial_half(more, more + fewer)));
            }
        }
        let corrected = holm(&pairs.iter().map(|pair| pair.4).collect::<Vec<f64>>());
        pairs.iter_mut().zip(corrected).for_each(|(pair, p)| pair.4 = p);
    }
    let chosen = |answer: &[&Record]| answer.iter().position(|r| r.preferred == Some(true));
    let clusters: Vec<Vec<Vec<usize>>> =
        table.by_report(chosen).into_iter().map(|unit| vec![unit]).collect();
    let numbers: Vec<f64> = (0..systems).map(|system| system as f64).collect();
    let mut places = vec![0; systems];
    let chosen_place = |answer: &[&Record]| Some(answer[chosen(answer)?].place);
    for place in table.by_report(chosen_place).concat() {
        if let Some(count) = places.get_mut(place) {
            *count += 1;
        }
    }
    let share = |(votes, column): (&usize, &usize)| {
        let share = *votes as f64 / judgements as f64;
        (judgements > 0).then(|| (share, drawn.interval(*column)))
    };
    Preference {
        shares: totals.iter().zip(columns).map(share).collect(),
        p: if two { Some(binomial_half(won[0], won[0] + won[1])) } else { test.map(|(_, p)| p) },
        chi_square: test.map(|(statistic, _)| statistic),
        p_judgements: two.then(|| binomial_half(totals[0], judgements)),
        votes: totals,
        won,
        tied,
        pairs,
        alpha: agreement(&clusters, Level::Nominal, &numbers, options.resamples, options.seed),
        places,
    }
}
