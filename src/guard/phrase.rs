//! Phrases of the lexicon and where they stand in a text.
//!
//! A phrase is words, with `(a|b c)` for a choice, `[a]` for what may be left out and `~` for up to
//! [`GAP`] words in between: `(heart|cardiac silhouette) [size] ~ enlarged`. A gap ends at marks and at
//! words that begin something new ("and", "with", "normal"), so that "heart is normal and aorta enlarged"
//! is no enlarged heart. Case, accents and regular plurals do not matter ([`super::text::stem`]).

use std::collections::HashMap;

use super::text::{Kind, Text, stem};

/// Most words a `~` stands for.
const GAP: usize = 5;
/// Most phrases that one pattern may stand for.
const MOST: usize = 4096;

/// A word of a phrase, or a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Word(u64),
    Gap,
}

/// Where a phrase stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Match<T> {
    /// What the phrase means.
    pub(super) value: T,
    /// First token.
    pub(super) first: usize,
    /// Behind the last token.
    pub(super) last: usize,
    /// Words of the phrase without its gaps.
    pub(super) words: usize,
}

/// Phrases with what they mean, to be looked for all at once.
#[derive(Debug, Clone)]
pub(super) struct Phrases<T> {
    /// By the stem of their first word.
    by_first: HashMap<u64, Vec<(Vec<Part>, T)>>,
    /// Words that no gap reaches over.
    blocks: Vec<u64>,
}

impl<T: Copy + PartialEq> Phrases<T> {
    /// None yet; `blocks` are the words that no gap reaches over.
    pub(super) fn new(blocks: &[&str]) -> Phrases<T> {
        Phrases { by_first: HashMap::new(), blocks: blocks.iter().map(|word| stem(word)).collect() }
    }

    /// Adds a pattern. Says what is wrong with one that is none.
    pub(super) fn add(&mut self, pattern: &str, value: T) -> Result<(), String> {
        for phrase in expand(pattern)? {
            let parts = parts(&phrase)?;
            let Some(Part::Word(first)) = parts.first().copied() else {
                return Err("begins with a gap".to_owned());
            };
            if parts.last() == Some(&Part::Gap) {
                return Err("ends with a gap".to_owned());
            }
            let known = self.by_first.entry(first).or_default();
            if !known.iter().any(|(known, meaning)| *known == parts && *meaning == value) {
                known.push((parts, value));
            }
        }
        Ok(())
    }

    /// All matches in the tokens `first..last`, a word in one of them only: of two that share a word
    /// the one with more words, then the shorter, then the earlier stands.
    pub(super) fn find(&self, text: &Text, first: usize, last: usize) -> Vec<Match<T>> {
        let mut found = Vec::new();
        let mut places = Vec::new();
        for at in first..last.min(text.tokens.len()) {
            let Some(phrases) = self.by_first.get(&text.tokens[at].stem) else { continue };
            for (parts, value) in phrases {
                places.clear();
                if self.reaches(text, at, last, parts, &mut places) {
                    let end = places.last().map_or(at, |at| at + 1);
                    let found_now =
                        Match { value: *value, first: at, last: end, words: places.len() };
                    found.push((found_now, places.clone()));
                }
            }
        }
        found.sort_by_key(|(m, _)| (std::cmp::Reverse(m.words), m.last - m.first, m.first));
        let mut taken = vec![false; last.saturating_sub(first)];
        let mut kept: Vec<Match<T>> = Vec::new();
        for (m, places) in found {
            if places.iter().all(|at| !taken[at - first]) {
                places.iter().for_each(|at| taken[at - first] = true);
                kept.push(m);
            }
        }
        kept.sort_by_key(|m| (m.first, m.last));
        kept
    }

    /// Whether the phrase begins at `at`; `places` gets the tokens of its words.
    fn reaches(
        &self,
        text: &Text,
        at: usize,
        last: usize,
        parts: &[Part],
        places: &mut Vec<usize>,
    ) -> bool {
        let mut next = at;
        let mut gap = false;
        for part in parts {
            let Part::Word(word) = part else {
                gap = true;
                continue;
            };
            if gap {
                let Some(place) = self.behind_gap(text, next, last, *word) else { return false };
                next = place;
            } else {
                // "air-space" is "air space".
                let joined = !places.is_empty()
                    && text
                        .tokens
                        .get(next)
                        .is_some_and(|t| t.kind == Kind::Mark('-') && !t.spaced);
                next += usize::from(joined);
            }
            if next >= last || text.tokens[next].stem != *word {
                return false;
            }
            places.push(next);
            next += 1;
            gap = false;
        }
        true
    }

    /// The first place of `word` that a gap from `from` reaches.
    fn behind_gap(&self, text: &Text, from: usize, last: usize, word: u64) -> Option<usize> {
        let mut words = 0;
        for at in from..last {
            let token = &text.tokens[at];
            if token.stem == word {
                return Some(at);
            }
            match token.kind {
                Kind::Mark('-' | '/') => {}
                Kind::Mark(_) => return None,
                _ if self.blocks.contains(&token.stem) => return None,
                _ => words += 1,
            }
            if words > GAP {
                return None;
            }
        }
        None
    }
}

/// The parts of a phrase without choices.
fn parts(phrase: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    for piece in phrase.split(|c: char| c.is_whitespace() || c == '-').filter(|p| !p.is_empty()) {
        if piece == "~" {
            if parts.last() != Some(&Part::Gap) {
                parts.push(Part::Gap);
            }
            continue;
        }
        let read = Text::new(piece);
        match (read.tokens.as_slice(), read.tokens.first().map(|token| token.kind)) {
            ([token], Some(Kind::Word | Kind::Number)) => parts.push(Part::Word(token.stem)),
            _ => {
                let what = "may hold words, blanks, -, ~, (a|b) and [a] only";
                return Err(what.to_owned());
            }
        }
    }
    if parts.is_empty() { Err("is empty".to_owned()) } else { Ok(parts) }
}

/// The phrases that a pattern stands for.
fn expand(pattern: &str) -> Result<Vec<String>, String> {
    let mut done = vec![String::new()];
    let mut rest = pattern;
    while let Some(at) = rest.find(['(', '[', ')', ']', '|']) {
        let (before, from) = rest.split_at(at);
        let close = match from.as_bytes()[0] {
            b'(' => ')',
            b'[' => ']',
            _ => return Err("has a bracket or | without its opening bracket".to_owned()),
        };
        let inside = &from[1..];
        let Some(end) = inside.find(close) else {
            return Err("has a bracket that is not closed".to_owned());
        };
        let choices = &inside[..end];
        if choices.contains(['(', '[', ')', ']']) {
            return Err("has a bracket within another".to_owned());
        }
        let mut choices: Vec<&str> = choices.split('|').collect();
        if choices.iter().any(|choice| choice.trim().is_empty()) {
            return Err("has an empty choice".to_owned());
        }
        if close == ']' {
            choices.push("");
        }
        if done.len() * choices.len() > MOST {
            return Err(format!("stands for more than {MOST} phrases"));
        }
        // A bracket may end a word: "hydro(pneumo|)thorax" is no pattern, but "x[-ray]" is.
        done = done
            .iter()
            .flat_map(|start| choices.iter().map(move |choice| format!("{start}{before}{choice}")))
            .collect();
        rest = &inside[end + 1..];
    }
    done.iter_mut().for_each(|phrase| phrase.push_str(rest));
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(patterns: &[&str], text: &str) -> Vec<(usize, String)> {
        let mut phrases = Phrases::new(&["and", "normal"]);
        for (value, pattern) in patterns.iter().enumerate() {
            phrases.add(pattern, value).unwrap();
        }
        let text = Text::new(text);
        let found = phrases.find(&text, 0, text.tokens.len());
        found.iter().map(|m| (m.value, text.slice(m.first, m.last).to_owned())).collect()
    }

    #[test]
    fn the_longest_phrase_stands() {
        assert_eq!(
            found(&["hernia", "hiatal hernia"], "A hiatal hernia, no inguinal hernias."),
            [(1, "hiatal hernia".to_owned()), (0, "hernias".to_owned())]
        );
    }

    #[test]
    fn choices_options_and_gaps() {
        let pattern = "(heart|cardiac silhouette) [size] ~ enlarged";
        for text in
            ["heart enlarged", "Heart size is mildly enlarged", "cardiac-silhouette enlarged"]
        {
            assert_eq!(found(&[pattern], text).len(), 1, "{text}");
        }
        for text in
            ["heart and aorta enlarged", "heart. Enlarged", "heart size a b c d e f enlarged"]
        {
            assert_eq!(found(&[pattern], text), [], "{text}");
        }
    }

    #[test]
    fn bad_patterns_say_why() {
        for (pattern, why) in [
            ("", "empty"),
            ("~ a", "begins"),
            ("a ~", "ends"),
            ("(a", "not closed"),
            ("a)", "opening"),
            ("(a|)", "empty choice"),
            ("(a[b])", "within"),
            ("a, b", "only"),
        ] {
            let error = Phrases::new(&[]).add(pattern, 0).unwrap_err();
            assert!(error.contains(why), "{pattern}: {error}");
        }
    }
}
