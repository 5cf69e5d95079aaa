//! Figures of a study.
//!
//! **What is drawn, and what is not.** Ratings of one report are alike, whoever gives them, so intervals
//! draw reports with replacement, each with all its readers' ratings ([`Resampled::clustered`]). Readers
//! are not drawn: the figures speak of other reports read by these readers. p-values
//! treat a report as one observation for the same reason.

use serde::Serialize;

use super::preference::{Preference, preference};
use super::table::Table;
use super::{CRITERIA, MOST, Record};
use crate::stats::alpha::{Agreement, Level, agreement};
use crate::stats::bootstrap::{Interval, RESAMPLES, Resampled};
use crate::stats::significance::{holm, sign_flip};
use crate::{Error, Result};

/// The criteria, and behind them the mean of all.
pub const MEASURES: usize = CRITERIA.len() + 1;

/// How to analyse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Options {
    /// Bootstrap draws.
    pub resamples: usize,
    /// Of the bootstrap.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options { resamples: RESAMPLES, seed: 0 }
    }
}

/// Marks of one system on one criterion.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Mean {
    /// Of all readers' marks.
    pub mean: f64,
    /// Their standard deviation (n - 1).
    pub sd: f64,
    /// The 95 % interval of the mean.
    pub interval: Interval,
    /// How many marks.
    pub count: usize,
}

/// One system against another on one criterion.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Gain {
    /// Mean difference of the marks that the same reader gave both for the same report.
    pub difference: f64,
    /// Its 95 % interval.
    pub interval: Interval,
    /// How many such pairs.
    pub count: usize,
    /// Exact two-sided randomization test over reports ([`sign_flip`]).
    pub p: f64,
    /// The same after Holm, over all criteria and pairs of systems; the mean of the criteria, which is
    /// one summary, is not corrected.
    pub p_holm: f64,
}

/// One system against another.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Position in [`Analysis::systems`].
    pub system: usize,
    /// Position of the other.
    pub against: usize,
    /// By criterion, the mean of all last.
    pub gains: Vec<Option<Gain>>,
}

/// How far readers agree on one criterion, over every impression that at least two of them marked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Alpha {
    /// Krippendorff's, of marks as an order.
    pub ordinal: Option<Agreement>,
    /// Of marks as numbers.
    pub interval: Option<Agreement>,
}

/// What a reader did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reader {
    /// The code.
    pub code: String,
    /// Reports with any mark or preference.
    pub reports: usize,
    /// Marks that are missing in those.
    pub missing: usize,
    /// The median of seconds a report.
    pub median_seconds: Option<f64>,
    /// The mean of all marks.
    pub mean: Option<f64>,
}

/// All figures of a study. No text of any report is in it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Analysis {
    /// The study's hash.
    pub study: String,
    /// How.
    pub options: Options,
    /// The readers, by code.
    pub readers: Vec<Reader>,
    /// The systems, by name.
    pub systems: Vec<String>,
    /// Reports with any answer.
    pub reports: usize,
    /// For each system by criterion, the mean of all last.
    pub means: Vec<Vec<Option<Mean>>>,
    /// For each system and criterion how often each mark was given, 1 first.
    pub marks: Vec<Vec<[usize; MOST as usize]>>,
    /// Each pair of systems.
    pub differences: Vec<Difference>,
    /// By criterion.
    pub agreement: Vec<Alpha>,
    /// Preferences.
    pub preference: Preference,
}

/// A record's mark, or the sum of all where none is missing.
fn value(record: &Record, measure: usize) -> Option<i64> {
    match record.marks.get(measure) {
        Some(mark) => mark.map(i64::from),
        None => record.marks.iter().map(|mark| mark.map(i64::from)).sum(),
    }
}

/// What [`value`]s are divided by.
fn scale(measure: usize) -> f64 {
    if measure < CRITERIA.len() { 1.0 } else { CRITERIA.len() as f64 }
}

/// Columns of sums and counts a report, for one bootstrap over all of them.
#[derive(Default)]
struct Columns {
    sums: Vec<Vec<f64>>,
    counts: Vec<Vec<f64>>,
}

impl Columns {
    /// Adds a column and gives its number.
    fn push(&mut self, values: &[Vec<i64>], scale: f64) -> usize {
        self.sums.push(values.iter().map(|row| row.iter().sum::<i64>() as f64 / scale).collect());
        self.counts.push(values.iter().map(|row| row.len() as f64).collect());
        self.sums.len() - 1
    }
}

fn flat(values: &[Vec<i64>], scale: f64) -> Vec<f64> {
    values.iter().flatten().map(|value| *value as f64 / scale).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Analyses the records of one study, as [`super::ratings::merge`] gives them.
///
/// # Errors
/// [`Error::BadData`] without any answer; [`Error::BadOption`] without resamples.
pub fn analyse(records: &[Record], options: Options) -> Result<Analysis> {
    if options.resamples == 0 {
        let (option, expected) = ("resamples", "at least 1");
        return Err(Error::BadOption { option, value: "0".into(), expected });
    }
    let table = Table::new(records);
    if table.answers.is_empty() {
        let (place, what) = ("the readers' files".to_owned(), "no report was rated".to_owned());
        return Err(Error::BadData { place, what });
    }
    let systems = table.systems.len();
    let measures: Vec<(usize, usize)> =
        (0..systems).flat_map(|system| (0..MEASURES).map(move |m| (system, m))).collect();
    let pairs: Vec<(usize, usize)> =
        (0..systems).flat_map(|a| (a + 1..systems).map(move |b| (a, b))).collect();

    let mut columns = Columns::default();
    let marks: Vec<Vec<Vec<i64>>> = measures
        .iter()
        .map(|(system, measure)| table.by_report(|answer| value(answer[*system], *measure)))
        .collect();
    let mark_columns: Vec<usize> = measures
        .iter()
        .zip(&marks)
        .map(|((_, measure), values)| columns.push(values, scale(*measure)))
        .collect();
    let paired: Vec<(usize, usize, usize, Vec<Vec<i64>>)> = pairs
        .iter()
        .flat_map(|pair| (0..MEASURES).map(move |measure| (pair.0, pair.1, measure)))
        .map(|(a, b, measure)| {
            let difference = |r: &[&Record]| Some(value(r[a], measure)? - value(r[b], measure)?);
            (a, b, measure, table.by_report(difference))
        })
        .collect();
    let pair_columns: Vec<usize> = paired
        .iter()
        .map(|(_, _, measure, values)| columns.push(values, scale(*measure)))
        .collect();
    let votes: Vec<Vec<Vec<i64>>> = (0..systems)
        .map(|system| table.by_report(|answer| answer[system].preferred.map(i64::from)))
        .collect();
    let vote_columns: Vec<usize> = votes.iter().map(|values| columns.push(values, 1.0)).collect();
    let drawn =
        Resampled::clustered(&columns.sums, &columns.counts, options.resamples, options.seed);

    let means = measures
        .iter()
        .zip(&marks)
        .zip(&mark_columns)
        .map(|(((_, measure), values), column)| {
            let values = flat(values, scale(*measure));
            let mean = mean(&values);
            let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
            let sd = (squares / values.len().saturating_sub(1).max(1) as f64).sqrt();
            let interval = drawn.interval(*column);
            (!values.is_empty()).then_some(Mean { mean, sd, interval, count: values.len() })
        })
        .collect::<Vec<_>>();
    let differences = differences(&paired, &pair_columns, &drawn);
    Ok(Analysis {
        study: records.first().map(|record| record.study.clone()).unwrap_or_default(),
        options,
        readers: table
            .readers
            .iter()
            .enumerate()
            .map(|(at, code)| reader(&table, at, code))
            .collect(),
        systems: table.systems.iter().map(|system| (*system).to_owned()).collect(),
        reports: table.answers.len(),
        means: means.chunks(MEASURES).map(<[_]>::to_vec).collect(),
        marks: (0..systems)
            .map(|system| {
                (0..CRITERIA.len()).map(|c| count(&marks[system * MEASURES + c])).collect()
            })
            .collect(),
        differences,
        agreement: (0..CRITERIA.len()).map(|criterion| alpha(&table, criterion, options)).collect(),
        preference: preference(&table, &votes, &vote_columns, &drawn, options),
    })
}

fn count(values: &[Vec<i64>]) -> [usize; MOST as usize] {
    let mut counts = [0; MOST as usize];
    for mark in values.iter().flatten() {
        if let Some(count) = counts.get_mut((mark - 1).max(0) as usize) {
            *count += 1;
        }
    }
    counts
}

fn differences(
    paired: &[(usize, usize, usize, Vec<Vec<i64>>)],
    columns: &[usize],
    drawn: &Resampled,
) -> Vec<Difference> {
    let p: Vec<f64> = paired
        .iter()
        .map(|(_, _, _, values)| {
            sign_flip(&values.iter().map(|report| report.iter().sum()).collect::<Vec<i64>>())
        })
        .collect();
    let single = |at: &usize| paired[*at].2 < CRITERIA.len() && !paired[*at].3.concat().is_empty();
    let family: Vec<usize> = (0..paired.len()).filter(single).collect();
    let corrected = holm(&family.iter().map(|at| p[*at]).collect::<Vec<f64>>());
    let mut found: Vec<Difference> = Vec::new();
    for (at, (system, against, measure, values)) in paired.iter().enumerate() {
        if *measure == 0 {
            found.push(Difference { system: *system, against: *against, gains: Vec::new() });
        }
        let values = flat(values, scale(*measure));
        let in_family = family.iter().position(|other| *other == at);
        let gain = (!values.is_empty()).then(|| Gain {
            difference: mean(&values),
            interval: drawn.interval(columns[at]),
            count: values.len(),
            p: p[at],
            p_holm: in_family.map_or(p[at], |place| corrected[place]),
        });
        if let Some(last) = found.last_mut() {
            last.gains.push(gain);
        }
    }
    found
}

fn alpha(table: &Table<'_>, criterion: usize, options: Options) -> Alpha {
    // A cluster is a report, its units are the impressions.
    let clusters: Vec<Vec<Vec<usize>>> = table
        .answers
        .iter()
        .map(|answers| {
            let mark = |record: &Record| Some(usize::from(record.marks[criterion]?) - 1);
            let unit = |system: usize| {
                answers.iter().flatten().filter_map(|answer| mark(answer[system])).collect()
            };
            (0..table.systems.len()).map(unit).collect()
        })
        .collect();
    let numbers: Vec<f64> = (1..=MOST).map(f64::from).collect();
    let of = |level| agreement(&clusters, level, &numbers, options.resamples, options.seed);
    Alpha { ordinal: of(Level::Ordinal), interval: of(Level::Interval) }
}

fn reader(table: &Table<'_>, at: usize, code: &str) -> Reader {
    let answers: Vec<&Vec<&Record>> =
        table.answers.iter().filter_map(|report| report[at].as_ref()).collect();
    let marks: Vec<Option<u8>> =
        answers.iter().flat_map(|answer| answer.iter().flat_map(|record| record.marks)).collect();
    let given: Vec<f64> = marks.iter().flatten().map(|mark| f64::from(*mark)).collect();
    let mut seconds: Vec<f64> =
        answers.iter().filter_map(|answer| answer.first()?.seconds).collect();
    seconds.sort_by(f64::total_cmp);
    let middle = seconds.len() / 2;
    let median = match seconds.len() {
        0 => None,
        n if n % 2 == 1 => Some(seconds[middle]),
        _ => Some(f64::midpoint(seconds[middle - 1], seconds[middle])),
    };
    Reader {
        code: code.to_owned(),
        reports: answers.len(),
        missing: marks.len() - given.len(),
        median_seconds: median,
        mean: (!given.is_empty()).then(|| mean(&given)),
    }
}
