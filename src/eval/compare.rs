//! Systems beside each other on all subsets.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Report;
use super::bootstrap::{RESAMPLES, Resampled};
use super::degenerate::Degenerate;
use super::rouge::{METRICS, Rouge, Scores, score};
use super::subsets::Subset;
use crate::{Error, Result};

/// A system's outputs.
#[derive(Debug, Clone, PartialEq)]
pub struct System {
    /// What tables call it.
    pub name: String,
    /// What it is, in a sentence; may be empty.
    pub about: String,
    /// One output for each report.
    pub outputs: Vec<String>,
}

/// How to evaluate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Compare stems instead of words.
    pub stemmer: bool,
    /// Bootstrap draws.
    pub resamples: usize,
    /// Of the bootstrap.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options { stemmer: true, resamples: RESAMPLES, seed: 0 }
    }
}

/// A mean with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Mean {
    /// Mean F1 over the reports.
    pub f1: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// How much better the first system is than another.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Gain {
    /// Difference of the mean F1.
    pub difference: f64,
    /// Lower end of its 95 % interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Share of resamples in which it is below zero.
    pub below_zero: f64,
}

/// A system's results.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// As in [`System`].
    pub name: String,
    /// As in [`System`].
    pub about: String,
    /// For each subset the means in the order of [`METRICS`].
    pub means: Vec<[Mean; 4]>,
    /// Words of all outputs by words of all references.
    pub length_ratio: f64,
    /// Outputs that are no impression.
    pub degenerate: Degenerate,
    /// Every report's scores.
    pub scores: Vec<Scores>,
    /// Every output's words.
    pub lengths: Vec<usize>,
}

/// The first system against another on one subset.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The first system's name.
    pub system: String,
    /// The other's.
    pub against: String,
    /// The subset's name.
    pub subset: &'static str,
    /// In the order of [`METRICS`].
    pub gains: [Gain; 4],
}

/// Everything that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// How.
    pub options: Options,
    /// On which parts.
    pub subsets: Vec<Subset>,
    /// The results, in the order given.
    pub systems: Vec<Scored>,
    /// The first system against all others, subset by subset.
    pub differences: Vec<Difference>,
    /// What could not be shown, and why.
    pub notes: Vec<String>,
    /// Words of every reference and of all findings.
    pub reference_lengths: Vec<usize>,
    /// Words of every report's findings.
    pub findings_lengths: Vec<usize>,
}

/// Scores `systems`, the first being the one that the others are compared with.
///
/// # Errors
/// [`Error::Internal`] when a system has not one output for each report; [`Error::BadOption`] without
/// resamples.
pub fn evaluate(
    reports: &[Report],
    systems: &[System],
    subsets: Vec<Subset>,
    notes: Vec<String>,
    options: Options,
) -> Result<Evaluation> {
    if options.resamples == 0 {
        return Err(Error::BadOption {
            option: "resamples",
            value: "0".into(),
            expected: "at least 1",
        });
    }
    let mut rouge = Rouge::new(options.stemmer);
    let references: Vec<_> =
        reports.iter().map(|report| rouge.tokens(&report.impression)).collect();
    let reference_lengths: Vec<usize> = references.iter().map(|tokens| tokens.len()).collect();
    let findings_lengths =
        reports.iter().map(|report| super::rouge::words(&report.findings).len()).collect();
    let mut results = Vec::new();
    for system in systems {
        if system.outputs.len() != reports.len() {
            return Err(Error::Internal(format!("{} has too few outputs", system.name)));
        }
        let tokens: Vec<_> = system.outputs.iter().map(|output| rouge.tokens(output)).collect();
        let mut degenerate = Degenerate::default();
        for (report, output) in reports.iter().zip(&system.outputs) {
            degenerate.add(&report.findings, output);
        }
        let lengths: Vec<usize> = tokens.iter().map(|tokens| tokens.len()).collect();
        let words = |lengths: &[usize]| lengths.iter().sum::<usize>() as f64;
        results.push(Scored {
            name: system.name.clone(),
            about: system.about.clone(),
            means: Vec::new(),
            length_ratio: words(&lengths) / words(&reference_lengths).max(1.0),
            degenerate,
            scores: references.iter().zip(&tokens).map(|(r, c)| score(r, c)).collect(),
            lengths,
        });
    }
    let mut differences = Vec::new();
    for subset in &subsets {
        compare(subset, &mut results, &mut differences, options);
    }
    Ok(Evaluation {
        options,
        subsets,
        systems: results,
        differences,
        notes,
        reference_lengths,
        findings_lengths,
    })
}

/// Adds the means and differences of one subset.
fn compare(
    subset: &Subset,
    results: &mut [Scored],
    differences: &mut Vec<Difference>,
    options: Options,
) {
    let columns: Vec<Vec<f64>> = results
        .iter()
        .flat_map(|result| {
            (0..4).map(|metric| {
                subset.rows.iter().map(|row| result.scores[*row].f1()[metric]).collect()
            })
        })
        .collect();
    let means: Vec<f64> = columns
        .iter()
        .map(|column| column.iter().sum::<f64>() / column.len().max(1) as f64)
        .collect();
    let resampled = Resampled::new(&columns, options.resamples, options.seed);
    for (system, result) in results.iter_mut().enumerate() {
        result.means.push(std::array::from_fn(|metric| {
            let column = system * 4 + metric;
            let interval = resampled.interval(column);
            Mean { f1: means[column], low: interval.low, high: interval.high }
        }));
    }
    let Some((first, others)) = results.split_first() else { return };
    for (other, against) in (1..).zip(others) {
        let gains = std::array::from_fn(|metric| {
            let (a, b) = (metric, other * 4 + metric);
            let (interval, below_zero) = resampled.difference(a, b);
            Gain {
                difference: means[a] - means[b],
                low: interval.low,
                high: interval.high,
                below_zero,
            }
        });
        differences.push(Difference {
            system: first.name.clone(),
            against: against.name.clone(),
            subset: subset.name,
            gains,
        });
    }
}

impl Evaluation {
    /// As JSON: no text of any report is in it.
    pub fn json(&self) -> Value {
        let by_metric = |values: [Value; 4]| {
            METRICS.iter().map(|m| (*m).to_owned()).zip(values).collect::<Map<_, _>>()
        };
        let systems: Vec<Value> = self
            .systems
            .iter()
            .map(|system| {
                let subsets: Vec<Value> = self
                    .subsets
                    .iter()
                    .zip(&system.means)
                    .map(|(subset, means)| {
                        let mut object = by_metric(means.map(|mean| json!(mean)));
                        object.insert("name".into(), subset.name.into());
                        object.insert("about".into(), subset.about.clone().into());
                        object.insert("count".into(), subset.rows.len().into());
                        Value::Object(object)
                    })
                    .collect();
                json!({
                    "name": system.name,
                    "about": system.about,
                    "subsets": subsets,
                    "length_ratio": system.length_ratio,
                    "degenerate": system.degenerate,
                })
            })
            .collect();
        let differences: Vec<Value> = self
            .differences
            .iter()
            .map(|difference| {
                let mut object = by_metric(difference.gains.map(|gain| json!(gain)));
                object.insert("system".into(), difference.system.clone().into());
                object.insert("against".into(), difference.against.clone().into());
                object.insert("subset".into(), difference.subset.into());
                Value::Object(object)
            })
            .collect();
        json!({
            "systems": systems,
            "differences": differences,
            "notes": self.notes,
            "stemmer": self.options.stemmer,
            "resamples": self.options.resamples,
            "seed": self.options.seed,
        })
    }
}
