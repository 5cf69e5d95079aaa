//! What a data set looks like, counted while it streams by: lengths, labels, what was left out and
//! why, and which findings stand more than once.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::pairs::Pair;
use super::split::Part;
use super::text;

/// Ids kept a reason for leaving reports out.
const IDS_KEPT: usize = 20;

/// Counts of a whole number by value: as much memory as there are different values.
#[derive(Debug, Clone, Default)]
pub struct Histogram {
    counts: BTreeMap<usize, u64>,
    total: u64,
    sum: u64,
}

impl Histogram {
    /// Counts a value.
    pub fn add(&mut self, value: usize) {
        *self.counts.entry(value).or_default() += 1;
        self.total += 1;
        self.sum += value as u64;
    }

    /// The smallest value that at least `share` of all values do not exceed.
    pub fn quantile(&self, share: f64) -> usize {
        let wanted = (share * self.total as f64).ceil().max(1.0) as u64;
        let mut below = 0;
        for (value, count) in &self.counts {
            below += count;
            if below >= wanted {
                return *value;
            }
        }
        0
    }

    fn json(&self) -> Value {
        let mean = if self.total == 0 { 0.0 } else { self.sum as f64 / self.total as f64 };
        json!({
            "min": self.quantile(0.0),
            "mean": (mean * 100.0).round() / 100.0,
            "median": self.quantile(0.5),
            "p95": self.quantile(0.95),
            "max": self.quantile(1.0),
        })
    }
}

/// What one part holds.
#[derive(Debug, Clone, Default)]
pub struct PartStatistics {
    reports: u64,
    abnormal: u64,
    normal: u64,
    /// With at least one de-identification mark.
    marked: u64,
    /// Words and characters of findings, then of impressions.
    lengths: [Histogram; 4],
}

impl PartStatistics {
    fn add(&mut self, pair: &Pair) {
        self.reports += 1;
        match pair.abnormal {
            Some(true) => self.abnormal += 1,
            Some(false) => self.normal += 1,
            None => {}
        }
        self.marked += u64::from(text::marks(&pair.findings) + text::marks(&pair.impression) > 0);
        let [findings_words, findings, impression_words, impression] = &mut self.lengths;
        findings_words.add(pair.findings.split_whitespace().count());
        findings.add(pair.findings.chars().count());
        impression_words.add(pair.impression.split_whitespace().count());
        impression.add(pair.impression.chars().count());
    }

    /// As statistics.json has it.
    pub fn json(&self) -> Value {
        let [findings_words, findings, impression_words, impression] = &self.lengths;
        json!({
            "reports": self.reports,
            "abnormal": self.abnormal,
            "normal": self.normal,
            "unlabelled": self.reports - self.abnormal - self.normal,
            "with_marks": self.marked,
            "findings": { "words": findings_words.json(), "characters": findings.json() },
            "impression": { "words": impression_words.json(), "characters": impression.json() },
        })
    }
}

/// Reports left out for one reason.
#[derive(Debug, Clone, Default, Serialize)]
pub struct LeftOut {
    /// How many.
    pub reports: u64,
    /// The first of them, by id, or by place where no id is known.
    pub first: Vec<String>,
}

/// Findings by hash: enough to find those that stand more than once.
#[derive(Debug, Default)]
pub struct Findings {
    /// Hash, part and number of each report kept.
    seen: Vec<(u128, Part, u32)>,
}

/// Reports with the same findings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Hash of the findings: the first 16 bytes of their SHA-256.
    pub hash: u128,
    /// Part and number of each report, by part, then as they came.
    pub reports: Vec<(Part, u32)>,
}

impl Findings {
    /// Takes the findings of report `number`.
    pub fn add(&mut self, findings: &str, part: Part, number: u32) {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&Sha256::digest(findings.trim().as_bytes())[..16]);
        self.seen.push((u128::from_be_bytes(bytes), part, number));
    }

    /// The groups of two and more reports, in the order of their hashes.
    pub fn groups(&mut self) -> impl Iterator<Item = Group> {
        self.seen.sort_unstable();
        self.seen.chunk_by(|a, b| a.0 == b.0).filter(|group| group.len() > 1).map(|group| Group {
            hash: group[0].0,
            reports: group.iter().map(|(_, part, number)| (*part, *number)).collect(),
        })
    }
}

/// How many duplicates there are within each part and across two.
#[derive(Debug, Default)]
pub struct Duplicates {
    within: BTreeMap<Part, [u64; 2]>,
    /// Of two parts: reports of the first whose findings the second has, and the other way round.
    across: BTreeMap<(Part, Part), [u64; 2]>,
}

impl Duplicates {
    /// Counts a group.
    pub fn add(&mut self, group: &Group) {
        let mut counts: BTreeMap<Part, u64> = BTreeMap::new();
        for (part, _) in &group.reports {
            *counts.entry(*part).or_default() += 1;
        }
        for (part, count) in &counts {
            if *count > 1 {
                let [groups, copies] = self.within.entry(*part).or_default();
                *groups += 1;
                *copies += count - 1;
            }
            for (other, others) in counts.range(*part..).skip(1) {
                let [of_first, of_second] = self.across.entry((*part, *other)).or_default();
                *of_first += count;
                *of_second += others;
            }
        }
    }

    /// As statistics.json has it.
    pub fn json(&self) -> Value {
        let within: BTreeMap<_, _> = self
            .within
            .iter()
            .map(|(part, [groups, copies])| {
                (part.name(), json!({ "groups": groups, "copies": copies }))
            })
            .collect();
        let across = self.across.iter().map(|((first, second), [of_first, of_second])| {
            json!({
                "parts": [first.name(), second.name()],
                "reports": { first.name(): of_first, second.name(): of_second },
            })
        });
        json!({ "within": within, "across": across.collect::<Vec<_>>() })
    }
}

/// All counts of one run.
#[derive(Debug, Default)]
pub struct Statistics {
    /// Reports that came.
    pub reports: u64,
    parts: BTreeMap<Part, PartStatistics>,
    left_out: BTreeMap<&'static str, LeftOut>,
}

impl Statistics {
    /// Counts a report that is kept.
    pub fn keep(&mut self, part: Part, pair: &Pair) {
        self.parts.entry(part).or_default().add(pair);
    }

    /// Counts a report that is left out.
    pub fn leave_out(&mut self, reason: &'static str, id: &str) {
        let left = self.left_out.entry(reason).or_default();
        left.reports += 1;
        if left.first.len() < IDS_KEPT {
            left.first.push(id.to_owned());
        }
    }

    /// Reports kept.
    pub fn kept(&self) -> u64 {
        self.parts.values().map(|part| part.reports).sum()
    }

    /// The parts with reports.
    pub fn parts(&self) -> impl Iterator<Item = (Part, &PartStatistics)> {
        self.parts.iter().map(|(part, statistics)| (*part, statistics))
    }

    /// Why reports were left out, and how many.
    pub fn left_out(&self) -> &BTreeMap<&'static str, LeftOut> {
        &self.left_out
    }
}
