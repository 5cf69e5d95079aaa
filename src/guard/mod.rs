//! The guard: whether an impression says what its findings say.
//!
//! [`Guard::check`] divides an impression into lines (sentences and list items), links each to the
//! findings sentences that support it, and flags what the findings do not bear out. It is a set of
//! plain functions over two texts: no model, no file, no clock; a report takes well below a
//! millisecond, so that it can run while an impression is being written ([`Guard::check_part`]).
//!
//! What is known of words is data ([`Lexicon`]); the rules are in files of their own: scopes of
//! negation, sides, measures, findings, degenerate text. docs/guard.md says what they are worth, measured on
//! impressions that people wrote and on errors planted in them.
//!
//! All places are counted in Unicode scalar values; [`Report::in_utf16`] counts them anew for JavaScript.
//! Messages name concepts of the lexicon, sides and numbers, and quote no text.

mod checks;
pub mod degenerate;
mod evidence;
mod findings;
mod laterality;
pub mod lexicon;
mod link;
mod measure;
mod phrase;
mod scope;
pub mod text;
mod utf16;

use serde::Serialize;

use crate::error::Result;
use evidence::Findings;
use findings::Reading;
pub use lexicon::Lexicon;
use scope::Words;

/// What a flag is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// A side that the findings do not name, or the other side than they name.
    Side,
    /// A number with a unit that the findings do not have.
    Measurement,
    /// Something asserted that the findings deny, or the other way round.
    Negation,
    /// A finding that the findings do not have.
    Unsupported,
    /// Words of comparison where nothing is compared with.
    Comparison,
    /// An acute finding that the impression leaves out.
    Omission,
    /// Unfinished, repeated or echoed text.
    Degenerate,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 7] = [
        Kind::Side,
        Kind::Measurement,
        Kind::Negation,
        Kind::Unsupported,
        Kind::Comparison,
        Kind::Omission,
        Kind::Degenerate,
    ];

    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Side => "side",
            Kind::Measurement => "measurement",
            Kind::Negation => "negation",
            Kind::Unsupported => "unsupported",
            Kind::Comparison => "comparison",
            Kind::Omission => "omission",
            Kind::Degenerate => "degenerate",
        }
    }
}

/// How much a flag weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// An error in all likelihood.
    Hard,
    /// To be looked at; people write such things, too.
    Soft,
    /// A reminder.
    Advisory,
}

impl Severity {
    /// All severities, the heaviest first.
    pub const ALL: [Severity; 3] = [Severity::Hard, Severity::Soft, Severity::Advisory];

    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Hard => "hard",
            Severity::Soft => "soft",
            Severity::Advisory => "advisory",
        }
    }
}

/// Something in an impression that the findings do not bear out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Flag {
    /// What it is about.
    pub kind: Kind,
    /// How much it weighs.
    pub severity: Severity,
    /// Number of the line, from 0. What is left out has the last line's.
    pub line: usize,
    /// First scalar value of the impression. What is left out stands at its end.
    pub start: usize,
    /// Behind the last scalar value.
    pub end: usize,
    /// For people; without any of the report's text.
    pub message: String,
    /// The lexicon's concept, where the flag is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concept: Option<String>,
    /// Where the findings say otherwise, or say what is left out, in scalar values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub findings: Option<[usize; 2]>,
}

/// A sentence or list item of an impression, without its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The text as it stands.
    pub text: String,
    /// First scalar value of the impression.
    pub start: usize,
    /// Behind the last scalar value.
    pub end: usize,
    /// Findings sentences that support it, as `[start, end]` in scalar values, in order.
    pub support: Vec<[usize; 2]>,
}

/// Where an acute finding is asserted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Section {
    /// In the findings.
    Findings,
    /// In the impression.
    Impression,
}

/// A finding that calls for telling somebody at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Acute {
    /// The lexicon's concept.
    pub concept: String,
    /// What to call it.
    pub label: String,
    /// Whether it is said for certain.
    pub certain: bool,
    /// Where it stands; in the findings, unless it is in the impression only.
    pub section: Section,
    /// First scalar value there.
    pub start: usize,
    /// Behind the last scalar value.
    pub end: usize,
}

/// What the guard has to say of an impression.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Report {
    /// The impression's lines, in order.
    pub lines: Vec<Line>,
    /// By line, then place.
    pub flags: Vec<Flag>,
    /// Acute findings of findings and impression, each concept once.
    pub acute: Vec<Acute>,
}

impl Report {
    /// Whether any flag is hard.
    pub fn is_hard(&self) -> bool {
        self.flags.iter().any(|flag| flag.severity == Severity::Hard)
    }
}

/// How much of an impression a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// All of it.
    Whole,
    /// The first part of one that goes on.
    Part,
    /// The first part of one that does not.
    Cut,
}

/// The checks over a lexicon. Make it once and keep it: compiling the lexicon takes a few milliseconds.
#[derive(Debug, Clone)]
pub struct Guard {
    lexicon: Lexicon,
    words: Words,
}

impl Guard {
    /// The checks over a lexicon.
    pub fn new(lexicon: Lexicon) -> Guard {
        Guard { lexicon, words: Words::new() }
    }

    /// The checks over the built-in lexicon.
    ///
    /// # Errors
    /// None that a test would not have shown.
    pub fn built_in() -> Result<Guard> {
        Ok(Guard::new(Lexicon::built_in()?))
    }

    /// Checks an impression against its findings. `prior` is what is known of an earlier examination
    /// (the comparison section); nothing, or "None", where there is none.
    pub fn check(&self, findings: &str, impression: &str, prior: Option<&str>) -> Report {
        self.run(findings, impression, prior, Extent::Whole)
    }

    /// Checks an impression that ended because no more tokens were allowed: it is unfinished, whatever
    /// its last word.
    pub fn check_cut(&self, findings: &str, impression: &str, prior: Option<&str>) -> Report {
        self.run(findings, impression, prior, Extent::Cut)
    }

    /// Checks the first part of an impression that is still being written: that it is unfinished, or
    /// leaves something out, is not said yet.
    pub fn check_part(&self, findings: &str, impression: &str, prior: Option<&str>) -> Report {
        self.run(findings, impression, prior, Extent::Part)
    }

    /// The acute findings that a text asserts (tension pneumothorax, free air, a misplaced tube, …), for
    /// asking who was told, when and how.
    pub fn acute(&self, findings: &str, impression: &str) -> Vec<Acute> {
        let findings = Reading::new(&self.lexicon, &self.words, findings);
        let impression = Reading::new(&self.lexicon, &self.words, impression);
        checks::acute(&self.lexicon, &findings, &impression)
    }

    fn run(&self, findings: &str, impression: &str, prior: Option<&str>, extent: Extent) -> Report {
        let lexicon = &self.lexicon;
        let read = Reading::new(lexicon, &self.words, impression);
        let findings = Findings::new(lexicon, Reading::new(lexicon, &self.words, findings));
        let index = link::Index::new(&findings.read);
        let measured = checks::Measured::new(&findings.read);
        let lines = (0..read.text.sentences.len())
            .map(|line| {
                let sentence = read.text.sentences[line];
                let measures = measured.agreeing(&read, line);
                let support = link::support(lexicon, &findings, &index, &read, line, &measures);
                let (start, end) = read.text.place(sentence);
                let place = |number: &usize| {
                    let (start, end) =
                        findings.read.text.place(findings.read.text.sentences[*number]);
                    [start, end]
                };
                Line {
                    text: read.text.slice(sentence.first, sentence.last).to_owned(),
                    start,
                    end,
                    support: support.iter().map(place).collect(),
                }
            })
            .collect();
        let mut checks = checks::Checks::new(lexicon, &findings, &read, &measured);
        checks.run(prior, extent);
        let flags = checks.finish();
        let acute = checks::acute(lexicon, &findings.read, &read);
        Report { lines, flags, acute }
    }
}
