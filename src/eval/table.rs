//! Several systems in one table: ROUGE, length, what the guard flags, speed.

use serde::Serialize;

use super::Report;
use super::compare::{Gain, Mean, Options};
use super::degenerate::Degenerate;
use super::outputs::Output;
use super::rouge::{Rouge, score, words};
use crate::guard::{Guard, Kind, Severity};
use crate::stats::bootstrap::Resampled;
use crate::{Error, Result};

/// What a system wrote for one report, and what that took.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Written {
    /// The impression; may be empty.
    pub text: String,
    /// Whether it ended because no more tokens were allowed.
    pub cut: bool,
    /// Tokens written, where that is known.
    pub tokens: Option<u64>,
    /// Milliseconds for reading the findings and for writing, where they were measured.
    pub millis: Option<(f64, f64)>,
}

impl Written {
    /// A text of which nothing else is known.
    pub fn text(text: impl Into<String>) -> Written {
        Written { text: text.into(), ..Written::default() }
    }
}

impl From<Output> for Written {
    /// `tokens`, `stop` and `timings` as `radllama eval`, `batch` and `compare` write them.
    fn from(output: Output) -> Written {
        let line = &output.line;
        let millis = |name| line.get("timings").and_then(|timings| timings.get(name)?.as_f64());
        Written {
            cut: line.get("stop").and_then(|stop| stop.as_str()) == Some("length"),
            tokens: line.get("tokens").and_then(|tokens| tokens.as_u64()),
            millis: millis("prefill_ms").zip(millis("decode_ms")),
            text: output.impression,
        }
    }
}

/// A system to be put into the table.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What the table calls it.
    pub name: String,
    /// What it is, in a sentence.
    pub about: String,
    /// One for each report.
    pub written: Vec<Written>,
}

/// A share of the reports with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Share {
    /// From 0 to 1.
    pub share: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// How fast a system wrote.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Speed {
    /// Reports whose time is known.
    pub reports: usize,
    /// Mean seconds a report, from findings to the last word.
    pub seconds: f64,
    /// Tokens written by the seconds of writing.
    pub tokens_per_s: Option<f64>,
}

/// A system's figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// As in [`Entry`].
    pub name: String,
    /// As in [`Entry`].
    pub about: String,
    /// F1 of ROUGE-1, -2, -L and -Lsum.
    pub rouge: [Mean; 4],
    /// The same less the first system's, over paired resamples; nothing for the first.
    pub gains: Option<[Gain; 4]>,
    /// Words of an impression: the mean.
    pub words: f64,
    /// And the median.
    pub median_words: f64,
    /// Words of all outputs by words of all references.
    pub length_ratio: f64,
    /// Reports with a flag of each severity, [`Severity::ALL`].
    pub flagged: [Share; 3],
    /// Flags of each kind a hundred reports, [`Kind::ALL`].
    pub flags_per_100: [f64; Kind::ALL.len()],
    /// Outputs that are no impression.
    pub degenerate: Degenerate,
    /// Where it was measured.
    pub speed: Option<Speed>,
}

/// The figures of all systems.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// How.
    pub options: Options,
    /// How many reports.
    pub reports: usize,
    /// Mean words of the references.
    pub reference_words: f64,
    /// The systems, in the order given.
    pub rows: Vec<Row>,
    /// What should be known of the figures.
    pub notes: Vec<String>,
}

/// Fills the table. `priors`: what is known of an earlier examination, for each report.
///
/// # Errors
/// [`Error::Internal`] when a system has not one output for each report; [`Error::BadOption`] without
/// resamples.
pub fn tabulate(
    reports: &[Report],
    priors: &[Option<String>],
    entries: &[Entry],
    guard: &Guard,
    notes: Vec<String>,
    options: Options,
) -> Result<Table> {
    if options.resamples == 0 {
        let (option, expected) = ("resamples", "at least 1");
        return Err(Error::BadOption { option, value: "0".into(), expected });
    }
    let mut rouge = Rouge::new(options.stemmer);
    let references: Vec<_> =
        reports.iter().map(|report| rouge.tokens(&report.impression)).collect();
    let reference_words: usize = references.iter().map(|tokens| tokens.len()).sum();
    // A system's columns: four of ROUGE, three of flags.
    const WIDTH: usize = 4 + 3;
    let mut columns: Vec<Vec<f64>> = Vec::new();
    let mut rows = Vec::new();
    for entry in entries {
        if entry.written.len() != reports.len() {
            return Err(Error::Internal(format!("{} has too few outputs", entry.name)));
        }
        let mut own: Vec<Vec<f64>> = vec![Vec::new(); WIDTH];
        let mut degenerate = Degenerate::default();
        let mut by_kind = [0usize; Kind::ALL.len()];
        let mut lengths = Vec::with_capacity(reports.len());
        for (row, (report, written)) in reports.iter().zip(&entry.written).enumerate() {
            degenerate.add(&report.findings, &written.text);
            lengths.push(words(&written.text).len() as f64);
            let scores = score(&references[row], &rouge.tokens(&written.text)).f1();
            own.iter_mut().zip(scores).for_each(|(column, score)| column.push(score));
            let prior = priors.get(row).and_then(Option::as_deref);
            let checked = match written.cut {
                true => guard.check_cut(&report.findings, &written.text, prior),
                false => guard.check(&report.findings, &written.text, prior),
            };
            for (at, kind) in Kind::ALL.iter().enumerate() {
                by_kind[at] += checked.flags.iter().filter(|flag| flag.kind == *kind).count();
            }
            for (column, severity) in own[4..].iter_mut().zip(Severity::ALL) {
                let flagged = checked.flags.iter().any(|flag| flag.severity == severity);
                column.push(f64::from(u8::from(flagged)));
            }
        }
        columns.extend(own);
        let count = reports.len().max(1) as f64;
        let total: f64 = lengths.iter().sum();
        lengths.sort_by(f64::total_cmp);
        rows.push(Row {
            name: entry.name.clone(),
            about: entry.about.clone(),
            rouge: [Mean { f1: 0.0, low: 0.0, high: 0.0 }; 4],
            gains: None,
            words: total / count,
            median_words: median(&lengths),
            length_ratio: total / (reference_words as f64).max(1.0),
            flagged: [Share { share: 0.0, low: 0.0, high: 0.0 }; 3],
            flags_per_100: by_kind.map(|flags| flags as f64 * 100.0 / count),
            degenerate,
            speed: speed(&entry.written),
        });
    }
    let means: Vec<f64> = columns
        .iter()
        .map(|column| column.iter().sum::<f64>() / column.len().max(1) as f64)
        .collect();
    let drawn = Resampled::new(&columns, options.resamples, options.seed);
    for (system, row) in rows.iter_mut().enumerate() {
        let first = system * WIDTH;
        row.rouge = std::array::from_fn(|metric| {
            let interval = drawn.interval(first + metric);
            Mean { f1: means[first + metric], low: interval.low, high: interval.high }
        });
        row.flagged = std::array::from_fn(|severity| {
            let interval = drawn.interval(first + 4 + severity);
            Share { share: means[first + 4 + severity], low: interval.low, high: interval.high }
        });
        row.gains = (system > 0).then(|| {
            std::array::from_fn(|metric| {
                let (interval, below_zero) = drawn.difference(first + metric, metric);
                let difference = means[first + metric] - means[metric];
                Gain { difference, low: interval.low, high: interval.high, below_zero }
            })
        });
    }
    let reference_words = reference_words as f64 / reports.len().max(1) as f64;
    Ok(Table { options, reports: reports.len(), reference_words, rows, notes })
}

fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        n if n % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

fn speed(written: &[Written]) -> Option<Speed> {
    let timed: Vec<(&Written, f64, f64)> =
        written.iter().filter_map(|w| w.millis.map(|(read, wrote)| (w, read, wrote))).collect();
    let seconds: f64 = timed.iter().map(|(_, read, wrote)| (read + wrote) / 1e3).sum();
    let tokens: Option<u64> = timed.iter().map(|(w, _, _)| w.tokens).sum();
    let writing: f64 = timed.iter().map(|(_, _, wrote)| wrote / 1e3).sum();
    (!timed.is_empty()).then(|| Speed {
        reports: timed.len(),
        seconds: seconds / timed.len() as f64,
        tokens_per_s: tokens.filter(|_| writing > 0.0).map(|tokens| tokens as f64 / writing),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(findings: &str, impression: &str) -> Report {
        let (findings, impression) = (findings.into(), impression.into());
        Report { findings, impression, ..Report::default() }
    }

    #[test]
    fn figures_are_those_of_the_texts() {
        let reports = [
            report("Small left pleural effusion.", "Small left pleural effusion."),
            report("Clear lungs. No pneumothorax.", "No acute disease."),
        ];
        let timed = |text: &str, tokens, read, wrote| Written {
            text: text.into(),
            cut: false,
            tokens: Some(tokens),
            millis: Some((read, wrote)),
        };
        let entries = [
            Entry {
                name: "wrong".into(),
                about: String::new(),
                written: vec![
                    timed("Small right pleural effusion.", 10, 500.0, 1000.0),
                    timed("Pneumothorax.", 2, 500.0, 200.0),
                ],
            },
            Entry {
                name: "right".into(),
                about: String::new(),
                written: reports.iter().map(|r| Written::text(&r.impression)).collect(),
            },
        ];
        let guard = Guard::built_in().unwrap();
        let options = Options { resamples: 100, ..Options::default() };
        let table = tabulate(&reports, &[], &entries, &guard, Vec::new(), options).unwrap();
        let [wrong, right] = &table.rows[..] else { panic!("{table:?}") };
        assert_eq!((right.rouge[0].f1, right.flagged[0].share), (1.0, 0.0));
        // Three of four words of the first, none of the second.
        assert!((wrong.rouge[0].f1 - 0.375).abs() < 1e-12, "{wrong:?}");
        let gain = right.gains.unwrap()[0];
        assert!((gain.difference - 0.625).abs() < 1e-12 && wrong.gains.is_none());
        assert_eq!((wrong.flagged[0].share, wrong.flags_per_100[0]), (1.0, 50.0), "{wrong:?}");
        assert_eq!((wrong.words, wrong.median_words, table.reference_words), (2.5, 2.5, 3.5));
        let speed = wrong.speed.unwrap();
        assert_eq!((speed.reports, speed.seconds, speed.tokens_per_s), (2, 1.1, Some(10.0)));
        assert_eq!(right.speed, None);
        let fewer = [Entry { written: Vec::new(), ..entries[0].clone() }];
        assert!(tabulate(&reports, &[], &fewer, &guard, Vec::new(), options).is_err());
    }
}
