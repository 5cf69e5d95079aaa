//! What a text says: every mention of a concept, whether it is asserted, and on which side.

use super::laterality::{self, SideUse};
use super::lexicon::{ConceptKind, Lexicon, Remark};
use super::measure::{Measure, measures};
use super::scope::{ALTERNATIVE, DENIED, UNCERTAIN, Words, scopes};
use super::text::{Kind, Text};

/// A concept where a text names it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mention {
    pub(super) concept: u16,
    pub(super) kind: ConceptKind,
    /// First token.
    pub(super) first: usize,
    /// Behind the last token.
    pub(super) last: usize,
    /// Number of the sentence.
    pub(super) sentence: usize,
    pub(super) denied: bool,
    pub(super) uncertain: bool,
    pub(super) alternative: bool,
    /// With a word that says more ("large"): a denial denies no more than that.
    pub(super) restricted: bool,
    /// Long past.
    pub(super) old: bool,
    /// Sides said of it.
    pub(super) sides: u8,
    /// Sides said elsewhere in the sentence.
    pub(super) nearby: u8,
}

impl Mention {
    /// A finding or device, not denied.
    pub(super) fn asserted(&self) -> bool {
        self.is_finding() && !self.denied
    }

    /// A finding or a device.
    pub(super) fn is_finding(&self) -> bool {
        matches!(self.kind, ConceptKind::Finding | ConceptKind::Device)
    }
}

/// A text with everything the checks need.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    pub(super) text: Text<'a>,
    pub(super) mentions: Vec<Mention>,
    /// First mention of each sentence, and one more for the end.
    pub(super) of_sentence: Vec<usize>,
    pub(super) sides: Vec<SideUse>,
    pub(super) measures: Vec<Measure>,
}

/// How many words before a mention may restrict it.
const BEFORE: usize = 4;

impl<'a> Reading<'a> {
    pub(super) fn new(lexicon: &Lexicon, words: &Words, text: &'a str) -> Reading<'a> {
        let text = Text::new(text);
        let mut read = Reading {
            mentions: Vec::new(),
            of_sentence: Vec::with_capacity(text.sentences.len() + 1),
            sides: Vec::new(),
            measures: measures(&text),
            text,
        };
        for (number, sentence) in read.text.sentences.iter().copied().enumerate() {
            read.of_sentence.push(read.mentions.len());
            let flags = scopes(lexicon, words, &read.text, sentence);
            let remarks = lexicon.remarks.find(&read.text, sentence.first, sentence.last);
            let mut said = vec![None; sentence.last - sentence.first];
            for remark in &remarks {
                (remark.first..remark.last)
                    .for_each(|at| said[at - sentence.first] = Some(remark.value));
            }
            let begin = read.mentions.len();
            for found in lexicon.terms.find(&read.text, sentence.first, sentence.last) {
                let Some(concept) = lexicon.get(found.value) else { continue };
                let inside = found.first - sentence.first..found.last - sentence.first;
                let flag = |flag: u8| flags[inside.clone()].iter().any(|flags| flags & flag != 0);
                let denied = flag(DENIED);
                let from = begin_of_phrase(&read.text, sentence.first, found.first, words);
                let around = &said[from - sentence.first..inside.end];
                read.mentions.push(Mention {
                    concept: found.value,
                    kind: concept.kind,
                    first: found.first,
                    last: found.last,
                    sentence: number,
                    denied,
                    uncertain: !denied && flag(UNCERTAIN),
                    alternative: !denied && flag(ALTERNATIVE),
                    restricted: around.contains(&Some(Remark::Restrict)),
                    old: around.contains(&Some(Remark::Old)),
                    sides: 0,
                    nearby: 0,
                });
            }
            let sides = laterality::attach(
                lexicon,
                &read.text,
                sentence,
                number,
                &mut read.mentions[begin..],
            );
            read.sides.extend(sides);
        }
        read.of_sentence.push(read.mentions.len());
        read
    }

    /// The mentions of a sentence.
    pub(super) fn in_sentence(&self, sentence: usize) -> &[Mention] {
        match (self.of_sentence.get(sentence), self.of_sentence.get(sentence + 1)) {
            (Some(from), Some(to)) => &self.mentions[*from..*to],
            _ => &[],
        }
    }
}

/// Where the adjectives of the mention at `at` begin: behind the last mark, "or" or "and", not further
/// than a few words.
fn begin_of_phrase(text: &Text, first: usize, at: usize, words: &Words) -> usize {
    let mut begin = at;
    while begin > first && at - begin < BEFORE {
        let token = &text.tokens[begin - 1];
        if matches!(token.kind, Kind::Mark(mark) if mark != '-') || words.joins(token.stem) {
            break;
        }
        begin -= 1;
    }
    begin
}
