//! Which findings sentences support a line of the impression.

use std::collections::HashMap;

use super::evidence::Findings;
use super::findings::{Mention, Reading};
use super::lexicon::{ConceptKind, Lexicon};
use super::measure::Measure;
use super::text::Kind;

/// Most sentences that support one line.
const MOST: usize = 16;
/// Sentences by words, where no concept says more.
const BY_WORDS: usize = 3;
/// A word that stands in more sentences than this says nothing.
const COMMON: usize = 24;

/// Findings sentences by their words.
#[derive(Debug)]
pub(super) struct Index {
    by_word: HashMap<u64, Vec<usize>>,
}

impl Index {
    pub(super) fn new(read: &Reading) -> Index {
        let mut by_word: HashMap<u64, Vec<usize>> = HashMap::new();
        for (number, sentence) in read.text.sentences.iter().enumerate() {
            for token in &read.text.tokens[sentence.first..sentence.last] {
                if token.kind == Kind::Mark('.') || token.end - token.start < 4 {
                    continue;
                }
                let list = by_word.entry(token.stem).or_default();
                if list.last() != Some(&number) && list.len() <= COMMON {
                    list.push(number);
                }
            }
        }
        Index { by_word }
    }

    /// Sentences that share the most words with the tokens `first..last`, rare words counting more.
    fn nearest(&self, read: &Reading, first: usize, last: usize) -> Vec<usize> {
        let mut scores: HashMap<usize, (f64, usize)> = HashMap::new();
        let mut words = 0usize;
        for token in &read.text.tokens[first..last.min(first + 60)] {
            if token.end - token.start < 4 || matches!(token.kind, Kind::Mark(_)) {
                continue;
            }
            words += 1;
            let list = self.by_word.get(&token.stem).filter(|list| list.len() <= COMMON);
            for sentence in list.into_iter().flatten() {
                let score = scores.entry(*sentence).or_default();
                score.0 += 1.0 / list.map_or(1, Vec::len) as f64;
                score.1 += 1;
            }
        }
        let enough = |count: usize| count >= 2 || (count == 1 && words <= 2);
        let mut found: Vec<(usize, f64)> = scores
            .into_iter()
            .filter(|(_, (_, count))| enough(*count))
            .map(|(sentence, (score, _))| (sentence, score))
            .collect();
        found.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        found.truncate(BY_WORDS);
        found.into_iter().map(|(sentence, _)| sentence).collect()
    }
}

/// Numbers of the findings sentences that support the sentence `line` of the impression, in order.
pub(super) fn support(
    lexicon: &Lexicon,
    findings: &Findings,
    index: &Index,
    read: &Reading,
    line: usize,
    measures: &[(Measure, usize)],
) -> Vec<usize> {
    let mut found = Vec::new();
    let mut normal = false;
    for mention in read.in_sentence(line) {
        match mention.kind {
            ConceptKind::Finding | ConceptKind::Device => {
                found.extend(of_finding(lexicon, findings, mention));
            }
            ConceptKind::Normal | ConceptKind::General => {
                let specific = mention.kind == ConceptKind::Normal;
                let own = findings.of(mention.concept).map_or(&[][..], |one| &one.against_it);
                let denies = lexicon.get(mention.concept).map_or(&[][..], |c| &c.denies);
                let denied = denies.iter().filter_map(|c| findings.of(*c));
                let before = found.len();
                if specific {
                    found.extend(own);
                    found.extend(denied.flat_map(|one| &one.against_it));
                }
                normal |= found.len() == before;
            }
            ConceptKind::Anatomy => {}
        }
    }
    found.extend(measures.iter().map(|(_, sentence)| *sentence));
    if found.is_empty() && normal {
        found.extend(&findings.normal);
    }
    if found.is_empty() {
        let sentence = read.text.sentences.get(line);
        found = sentence.map_or(Vec::new(), |s| index.nearest(read, s.first, s.last));
    }
    found.sort_unstable();
    found.dedup();
    found.truncate(MOST);
    found
}

/// Sentences for a finding: those that name it, on its side, before those it may be seen as.
fn of_finding(lexicon: &Lexicon, findings: &Findings, mention: &Mention) -> Vec<usize> {
    let Some(concept) = lexicon.get(mention.concept) else { return Vec::new() };
    if mention.denied {
        let against = |concepts: &[u16]| {
            let lists = concepts.iter().filter_map(|concept| findings.of(*concept));
            lists.flat_map(|one| one.against_it.iter().copied()).collect::<Vec<_>>()
        };
        let own = against(&concept.denied_by);
        return if own.is_empty() { against(&concept.supported_by) } else { own };
    }
    for concepts in [&concept.kinds, &concept.supported_by] {
        let lists = concepts.iter().filter_map(|concept| findings.of(*concept));
        let all: Vec<(usize, u8)> = lists.flat_map(|one| one.for_it.iter().copied()).collect();
        let fitting = |(sentence, sides): &(usize, u8)| {
            (mention.sides == 0 || *sides == 0 || sides & mention.sides != 0).then_some(*sentence)
        };
        let fit: Vec<usize> = all.iter().filter_map(fitting).collect();
        if !fit.is_empty() {
            return fit;
        }
    }
    Vec::new()
}
