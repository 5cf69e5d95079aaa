//! What may be done to reports on the way to a pairs file. Everything is off by default, so that text
//! stays as its source has it; everything that is on is counted.
//!
//! In the order in which they act:
//!
//! 1. `number_prefixes`: list numbers (`1.`, `2)`) go, at the beginning of the impression, of its
//!    lines, and of its sentences where the numbers run on.
//! 2. `communication`: sentences that say who was told, when and how, go from findings and impression:
//!    no model can know them from the findings.
//! 3. `mark`: every de-identification mark (`___` in MIMIC-CXR, `XXXX` in OpenI) becomes this text.
//! 4. `join_lines`: each run of white space becomes one space.
//! 5. `max_marks`: reports with more de-identification marks are left out.
//! 6. lengths, in words between white space: reports with shorter or longer sections are left out.

use serde::Serialize;

use super::pairs::Pair;
use super::text;

/// Bounds on the length of a section, in words, both included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Words {
    /// Fewest words.
    pub min: Option<u32>,
    /// Most words.
    pub max: Option<u32>,
}

/// Which filters act; the default is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Filters {
    /// Take list numbers out of the impression.
    pub number_prefixes: bool,
    /// Take sentences about communication out.
    pub communication: bool,
    /// What every de-identification mark becomes.
    pub mark: Option<String>,
    /// Make one space of every run of white space.
    pub join_lines: bool,
    /// Most de-identification marks in findings and impression together.
    pub max_marks: Option<u32>,
    /// Length of the findings.
    pub findings_words: Words,
    /// Length of the impression.
    pub impression_words: Words,
}

/// How many reports each filter changed, and how much it took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// Reports that lost list numbers.
    pub number_prefixes: u64,
    /// Reports that lost sentences about communication.
    pub communication: u64,
    /// Sentences that went.
    pub communication_sentences: u64,
    /// Reports whose marks were replaced.
    pub mark: u64,
    /// Reports whose white space changed.
    pub join_lines: u64,
}

impl Filters {
    /// Applies the filters to a complete report. Returns why it is left out, or nothing when it stays.
    pub fn apply(&self, pair: &mut Pair, changes: &mut Changes) -> Option<&'static str> {
        if self.number_prefixes
            && let Some(without) = text::without_numbers(&pair.impression)
        {
            pair.impression = without;
            changes.number_prefixes += 1;
        }
        if self.communication {
            let mut sentences = 0;
            for section in [&mut pair.findings, &mut pair.impression] {
                if let Some((without, count)) = text::without_communication(section) {
                    *section = without;
                    sentences += count;
                }
            }
            changes.communication += u64::from(sentences > 0);
            changes.communication_sentences += sentences;
        }
        if let Some(mark) = &self.mark {
            changes.mark += u64::from(each(pair, |section| text::with_marks(section, mark)));
        }
        if self.join_lines {
            changes.join_lines += u64::from(each(pair, |section| {
                let joined = section.split_whitespace().collect::<Vec<_>>().join(" ");
                (joined != section).then_some(joined)
            }));
        }
        if !pair.is_complete() {
            return Some("empty_after_filters");
        }
        if let Some(most) = self.max_marks {
            let marks = text::marks(&pair.findings) + text::marks(&pair.impression);
            if marks > u64::from(most) {
                return Some("too_many_marks");
            }
        }
        let length = |text: &str, bounds: Words, short, long| {
            let words = text.split_whitespace().count();
            if bounds.min.is_some_and(|min| words < min as usize) {
                Some(short)
            } else if bounds.max.is_some_and(|max| words > max as usize) {
                Some(long)
            } else {
                None
            }
        };
        let of = self.findings_words;
        length(&pair.findings, of, "findings_too_short", "findings_too_long").or_else(|| {
            let of = self.impression_words;
            length(&pair.impression, of, "impression_too_short", "impression_too_long")
        })
    }
}

/// Changes both sections; tells whether either changed.
fn each(pair: &mut Pair, change: impl Fn(&str) -> Option<String>) -> bool {
    let mut changed = false;
    for section in [&mut pair.findings, &mut pair.impression] {
        if let Some(new) = change(section) {
            *section = new;
            changed = true;
        }
    }
    changed
}
