//! What a text denies and what it leaves open: scopes of negation and uncertainty over the tokens of a
//! sentence.
//!
//! In the manner of NegEx (W. Chapman et al. 2001) and NegBio (Y. Peng et al. 2018), with rules of our
//! own in place of a parser: a cue reaches to the end of its clause, and what ends a clause is a mark, a
//! word ("but", "with"), a new clause with a verb of its own, or an adjective that asserts.

use super::lexicon::{Cue, Lexicon};
use super::phrase::Match;
use super::text::{Kind, Sentence, Text, stem};

/// The token is denied.
pub(super) const DENIED: u8 = 1;
/// The token is uncertain.
pub(super) const UNCERTAIN: u8 = 2;
/// The token is one of alternatives.
pub(super) const ALTERNATIVE: u8 = 4;

/// Most tokens a scope reaches: no clause is longer, and a text without marks costs no more than others.
const REACH: usize = 80;

/// Stems of small closed classes of words, made once.
#[derive(Debug, Clone)]
pub(super) struct Words {
    verbs: Vec<u64>,
    seen: Vec<u64>,
    asserting: Vec<u64>,
    with: u64,
    before_with: Vec<u64>,
    or: Vec<u64>,
    and: u64,
}

fn stems(words: &[&str]) -> Vec<u64> {
    words.iter().map(|word| stem(word)).collect()
}

impl Words {
    pub(super) fn new() -> Words {
        Words {
            verbs: stems(&[
                "is",
                "are",
                "was",
                "were",
                "has",
                "have",
                "had",
                "remain",
                "remains",
                "appear",
                "appears",
                "show",
                "shows",
                "demonstrate",
                "demonstrates",
                "may",
                "could",
            ]),
            seen: stems(&[
                "seen",
                "identified",
                "noted",
                "present",
                "evident",
                "demonstrated",
                "visualized",
                "appreciated",
                "detected",
                "found",
                "visible",
                "suspected",
                "apparent",
            ]),
            asserting: stems(&[
                "stable",
                "unchanged",
                "mild",
                "moderate",
                "minimal",
                "small",
                "left",
                "right",
                "probable",
                "chronic",
                "old",
                "mildly",
                "low",
                "persistent",
                "improved",
                "bibasilar",
                "calcified",
                "severe",
                "borderline",
                "healed",
                "prior",
                "possible",
                "tortuous",
                "cardiomegaly",
                "hyperinflated",
                "emphysema",
                "normal",
                "clear",
                "intact",
                "trace",
                "slight",
                "minimally",
                "slightly",
                "streaky",
                "patchy",
                "degenerative",
                "scattered",
                "sternotomy",
                "bilateral",
                "hyperexpanded",
                "multiple",
                "increased",
                "decreased",
                "increasing",
                "new",
                "likely",
            ]),
            with: stem("with"),
            before_with: stems(&[
                "consistent",
                "compatible",
                "associated",
                "keeping",
                "comparison",
                "compared",
                "along",
            ]),
            or: stems(&["or", "nor"]),
            and: stem("and"),
        }
    }

    /// "and", "or" and their kin.
    pub(super) fn joins(&self, stem: u64) -> bool {
        stem == self.and || self.or.contains(&stem)
    }
}

/// The flags of every token of the sentence.
pub(super) fn scopes(lexicon: &Lexicon, words: &Words, text: &Text, sentence: Sentence) -> Vec<u8> {
    let cues = lexicon.cues.find(text, sentence.first, sentence.last);
    let mut scope = Scope {
        words,
        text,
        sentence,
        flags: vec![0; sentence.last - sentence.first],
        ends: Vec::new(),
    };
    scope.ends = vec![false; scope.flags.len()];
    for cue in cues.iter().filter(|cue| cue.value == Cue::End) {
        scope.ends[cue.first - sentence.first] = true;
    }
    for cue in &cues {
        scope.apply(cue);
    }
    scope.flags
}

struct Scope<'a> {
    words: &'a Words,
    text: &'a Text<'a>,
    sentence: Sentence,
    flags: Vec<u8>,
    /// Where a word ends a scope.
    ends: Vec<bool>,
}

impl Scope<'_> {
    fn apply(&mut self, cue: &Match<Cue>) {
        let (from, behind) = (cue.first, cue.last);
        match cue.value {
            Cue::Negation => {
                let end = self.forward(behind, true);
                self.set(behind, end, DENIED);
            }
            Cue::NegationAfter => {
                let start = self.backward(from);
                self.set(start, from, DENIED);
            }
            Cue::Uncertain => {
                let end = self.forward(behind, false);
                self.set(behind, end, UNCERTAIN);
            }
            Cue::UncertainAfter => {
                let start = self.backward(from);
                self.set(start, from, UNCERTAIN);
            }
            Cue::Alternative => {
                // From the clause's begin to its end; a denied clause stays denied.
                let (start, end) = (self.backward(from), self.forward(behind, true));
                self.set(start, end, ALTERNATIVE);
            }
            Cue::Pseudo | Cue::End => {}
        }
    }

    fn set(&mut self, from: usize, to: usize, flag: u8) {
        let first = self.sentence.first;
        if let Some(flags) = self.flags.get_mut(from - first..to.max(from) - first) {
            flags.iter_mut().for_each(|flags| *flags |= flag);
        }
    }

    fn stem(&self, at: usize) -> u64 {
        self.text.tokens[at].stem
    }

    fn is_mark(&self, at: usize, marks: &[char]) -> bool {
        matches!(self.text.tokens[at].kind, Kind::Mark(mark) if marks.contains(&mark))
    }

    /// Whether a scope ends before the token, whatever it is of.
    fn strong(&self, at: usize) -> bool {
        let dash = self.is_mark(at, &['-', '–', '—'])
            && self.text.tokens[at].spaced
            && self.text.tokens.get(at + 1).is_some_and(|token| token.spaced);
        dash || self.is_mark(at, &['.', ';', ':', '(', ')', '!', '?'])
            || self.ends[at - self.sentence.first]
    }

    /// The end of a scope that begins at `from`. A strict one, of a negation, also ends where a list
    /// gives way to a new clause.
    fn forward(&self, from: usize, strict: bool) -> usize {
        let last = self.sentence.last.min(from + REACH);
        let end = (from..last).find(|at| self.strong(*at)).unwrap_or(last);
        if !strict {
            return end;
        }
        let list = (from..end).rev().find(|at| self.words.or.contains(&self.stem(*at)));
        let mut at = from;
        while at < end {
            let stem = self.stem(at);
            let comma = self.is_mark(at, &[',']);
            if stem == self.words.with
                && at > from
                && !self.words.before_with.contains(&self.stem(at - 1))
            {
                return at;
            }
            if (comma || stem == self.words.and)
                && at > from
                && self.begins_clause(at + 1, end, list)
            {
                return at;
            }
            at += 1;
        }
        end
    }

    /// Whether what follows a comma or an "and" is a new clause. `list` is where the last "or" of the
    /// list stands.
    fn begins_clause(&self, mut from: usize, end: usize, list: Option<usize>) -> bool {
        while from < end && (self.stem(from) == self.words.and || self.is_mark(from, &[','])) {
            from += 1;
        }
        if from >= end || self.words.or.contains(&self.stem(from)) {
            return false;
        }
        let stop = (from..end)
            .find(|at| self.is_mark(*at, &[',']) || self.stem(*at) == self.words.and)
            .unwrap_or(end);
        let verb = (from..stop).find(|at| self.words.verbs.contains(&self.stem(*at)));
        if let Some(verb) = verb {
            // "No effusion and no pneumothorax are seen" goes on.
            let seen =
                (verb..stop.min(verb + 4)).any(|at| self.words.seen.contains(&self.stem(at)));
            let or_before = list.is_some_and(|or| (from..verb).contains(&or));
            return !seen && !or_before;
        }
        if list.is_some_and(|or| or > from) {
            return false;
        }
        self.words.asserting.contains(&self.stem(from))
    }

    /// The begin of the clause that ends before `to`.
    fn backward(&self, to: usize) -> usize {
        let first = self.sentence.first.max(to.saturating_sub(REACH));
        let start = (first..to).rev().find(|at| self.strong(*at)).map_or(first, |at| at + 1);
        // A comma behind a clause with a verb of its own.
        let mut begin = start;
        let mut verb = false;
        for at in start..to {
            if self.words.verbs.contains(&self.stem(at)) {
                verb = true;
            } else if verb && self.is_mark(at, &[',']) {
                (begin, verb) = (at + 1, false);
            }
        }
        begin
    }
}
