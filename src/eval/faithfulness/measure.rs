//! Flags counted: on what people wrote, and on what was planted.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Case, Pair, Planted};
use crate::guard::{Flag, Guard, Kind, Severity};

/// A share with its 95 % interval (Wilson).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share {
    /// How many.
    pub count: usize,
    /// Of how many.
    pub of: usize,
}

impl Share {
    /// The share; 0 of none.
    pub fn value(self) -> f64 {
        if self.of == 0 { 0.0 } else { self.count as f64 / self.of as f64 }
    }

    /// The interval; of nothing, everything.
    pub fn interval(self) -> (f64, f64) {
        if self.of == 0 {
            return (0.0, 1.0);
        }
        let (z, n, p) = (1.959_963_985, self.of as f64, self.value());
        let middle = p + z * z / (2.0 * n);
        let wide = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
        let under = 1.0 + z * z / n;
        (((middle - wide) / under).max(0.0), ((middle + wide) / under).min(1.0))
    }

    fn json(self) -> Value {
        let (low, high) = self.interval();
        json!({ "count": self.count, "of": self.of, "share": self.value(), "low": low, "high": high })
    }

    fn text(self) -> String {
        let (low, high) = self.interval();
        let (value, low, high) = (self.value() * 100.0, low * 100.0, high * 100.0);
        format!("{}/{} = {value:.1} % ({low:.1} to {high:.1})", self.count, self.of)
    }
}

/// An error and the kinds of flags it newly raised.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Number of the case.
    pub case: usize,
    /// Whether a flag of the right kind stands where the error does.
    pub caught: bool,
    /// Kinds of flags that the control does not have.
    pub kinds: BTreeSet<Kind>,
}

/// What was measured.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// Reports.
    pub reports: usize,
    /// Reports with a flag, by kind and severity.
    pub human: BTreeMap<(Kind, Severity), usize>,
    /// Reports with a flag of a severity.
    pub severities: BTreeMap<Severity, usize>,
    /// Reports by cause of their flags: severity, kind, concept.
    pub causes: BTreeMap<(Severity, Kind, String), usize>,
    /// Rows of reports with a hard flag, with the kinds.
    pub hard: Vec<(usize, BTreeSet<Kind>)>,
    /// Every planted error.
    pub outcomes: Vec<Outcome>,
    /// By kind of error: caught, all.
    pub recall: BTreeMap<Planted, (usize, usize)>,
    /// By kind of error and kind of flag: errors that newly raised it.
    pub confusion: BTreeMap<(Planted, Kind), usize>,
    /// By kind of error: controls that have a flag of the same kind, all controls.
    pub controls: BTreeMap<Planted, (usize, usize)>,
}

/// The kinds of flags that an error of a kind calls for.
pub fn called_for(planted: Planted) -> &'static [Kind] {
    match planted {
        Planted::Side => &[Kind::Side],
        Planted::Negation => &[Kind::Negation],
        Planted::Measurement => &[Kind::Measurement],
        Planted::Insertion => &[Kind::Unsupported, Kind::Negation],
        Planted::Removal => &[Kind::Omission],
        Planted::Repetition | Planted::Echo => &[Kind::Degenerate],
    }
}

/// Checks pairs and planted errors.
pub fn measure(guard: &Guard, pairs: &[Pair], cases: &[Case]) -> Figures {
    let mut figures = Figures { reports: pairs.len(), ..Figures::default() };
    let check = |row: usize, text: &str| -> Vec<Flag> {
        pairs.get(row).map_or(Vec::new(), |pair| {
            guard.check(&pair.findings, text, pair.prior.as_deref()).flags
        })
    };
    for (row, pair) in pairs.iter().enumerate() {
        let flags = check(row, &pair.impression);
        let kinds: BTreeSet<_> = flags.iter().map(|f| (f.kind, f.severity)).collect();
        let severities: BTreeSet<_> = flags.iter().map(|f| f.severity).collect();
        let causes: BTreeSet<_> = flags
            .iter()
            .map(|f| {
                let cause = f.concept.clone().unwrap_or_else(|| f.message.clone());
                (f.severity, f.kind, cause)
            })
            .collect();
        kinds.into_iter().for_each(|kind| *figures.human.entry(kind).or_default() += 1);
        severities.into_iter().for_each(|s| *figures.severities.entry(s).or_default() += 1);
        causes.into_iter().for_each(|cause| *figures.causes.entry(cause).or_default() += 1);
        let hard: BTreeSet<Kind> =
            flags.iter().filter(|f| f.severity == Severity::Hard).map(|f| f.kind).collect();
        if !hard.is_empty() {
            figures.hard.push((row, hard));
        }
    }
    for (number, case) in cases.iter().enumerate() {
        let before = check(case.row, &case.control);
        let after = check(case.row, &case.text);
        let kinds = called_for(case.planted);
        let known: BTreeSet<(Kind, &str)> =
            before.iter().map(|f| (f.kind, f.message.as_str())).collect();
        let fresh = |f: &&Flag| !known.contains(&(f.kind, f.message.as_str()));
        let new: BTreeSet<Kind> = after.iter().filter(fresh).map(|f| f.kind).collect();
        let there = |flag: &Flag| {
            case.place
                .is_none_or(|(start, end)| flag.start < end.max(start + 1) && flag.end >= start)
        };
        let caught = after.iter().filter(fresh).any(|f| kinds.contains(&f.kind) && there(f));
        let recall = figures.recall.entry(case.planted).or_default();
        recall.0 += usize::from(caught);
        recall.1 += 1;
        let control = figures.controls.entry(case.planted).or_default();
        control.0 += usize::from(before.iter().any(|f| kinds.contains(&f.kind)));
        control.1 += 1;
        for kind in &new {
            *figures.confusion.entry((case.planted, *kind)).or_default() += 1;
        }
        figures.outcomes.push(Outcome { case: number, caught, kinds: new });
    }
    figures
}

impl Figures {
    /// Errors of a kind that were caught.
    pub fn recall(&self, planted: Planted) -> Share {
        let (count, of) = self.recall.get(&planted).copied().unwrap_or_default();
        Share { count, of }
    }

    /// Among the errors of a kind and their controls, the share of what was flagged that was an error.
    pub fn precision(&self, planted: Planted) -> Share {
        let (caught, _) = self.recall.get(&planted).copied().unwrap_or_default();
        let (wrong, _) = self.controls.get(&planted).copied().unwrap_or_default();
        Share { count: caught, of: caught + wrong }
    }

    fn human(&self, kind: Kind, severity: Severity) -> Share {
        Share { count: self.human.get(&(kind, severity)).copied().unwrap_or(0), of: self.reports }
    }

    /// Reports with a flag of this severity.
    pub fn severity(&self, severity: Severity) -> Share {
        Share { count: self.severities.get(&severity).copied().unwrap_or(0), of: self.reports }
    }

    /// The commonest causes of flags of a severity: kind, concept, reports.
    pub fn causes(&self, severity: Severity, most: usize) -> Vec<(Kind, &str, usize)> {
        let own = self.causes.iter().filter(|((s, ..), _)| *s == severity);
        let mut found: Vec<_> = own.map(|((_, kind, c), n)| (*kind, c.as_str(), *n)).collect();
        found.sort_by(|a, b| b.2.cmp(&a.2).then(a.cmp(b)));
        found.truncate(most);
        found
    }

    /// All figures, without any text of a report. `micros` is the time a report takes.
    pub fn json(&self, micros: f64) -> Value {
        let human: Vec<Value> = self
            .human
            .keys()
            .map(|(kind, severity)| {
                let mut one = self.human(*kind, *severity).json();
                one["kind"] = kind.name().into();
                one["severity"] = severity.name().into();
                one
            })
            .collect();
        let mut severities = json!({});
        let mut causes = json!({});
        for severity in Severity::ALL {
            severities[severity.name()] = self.severity(severity).json();
            let list = self.causes(severity, 10);
            let list: Vec<Value> = list
                .iter()
                .map(
                    |(kind, cause, n)| json!({ "kind": kind.name(), "cause": cause, "reports": n }),
                )
                .collect();
            causes[severity.name()] = list.into();
        }
        let mut planted = json!({});
        for kind in Planted::ALL {
            let (recall, precision) = (self.recall(kind).json(), self.precision(kind).json());
            let flagged: BTreeMap<&str, usize> = self.flagged(kind);
            planted[kind.name()] =
                json!({ "recall": recall, "precision": precision, "flagged_as": flagged });
        }
        json!({
            "reports": self.reports, "microseconds_a_report": micros, "severities": severities,
            "human": human, "causes": causes, "planted": planted,
        })
    }

    /// For the errors of a kind, how many newly raised each kind of flag.
    fn flagged(&self, planted: Planted) -> BTreeMap<&'static str, usize> {
        let own = self.confusion.iter().filter(|((of, _), _)| *of == planted);
        own.map(|((_, kind), count)| (kind.name(), *count)).collect()
    }

    /// The same for people.
    pub fn markdown(&self, micros: f64) -> String {
        let mut text = format!("{} reports, {micros:.0} µs a report\n", self.reports);
        text.push_str("\n| severity | reports flagged |\n|---|---|\n");
        for severity in Severity::ALL {
            let share = self.severity(severity).text();
            text.push_str(&format!("| {} | {share} |\n", severity.name()));
        }
        text.push_str("\n| kind | severity | reports flagged |\n|---|---|---|\n");
        for (kind, severity) in self.human.keys() {
            let share = self.human(*kind, *severity).text();
            text.push_str(&format!("| {} | {} | {share} |\n", kind.name(), severity.name()));
        }
        for severity in Severity::ALL {
            let title = severity.name();
            text.push_str(&format!(
                "\n| cause of {title} flags | kind | reports |\n|---|---|---|\n"
            ));
            for (kind, cause, n) in self.causes(severity, 10) {
                text.push_str(&format!("| {cause} | {} | {n} |\n", kind.name()));
            }
        }
        text.push_str("\n| planted | caught (recall) | precision |\n|---|---|---|\n");
        for kind in Planted::ALL {
            let (recall, precision) = (self.recall(kind).text(), self.precision(kind).text());
            text.push_str(&format!("| {} | {recall} | {precision} |\n", kind.name()));
        }
        text
    }
}
