//! Text that is no impression, whatever it says: unfinished, repeated or echoed.

use std::collections::{HashMap, HashSet};

use super::text::{Kind, Text};
use crate::prompt::INSTRUCTION;

/// Longest group of words whose repetition is looked for.
const LONGEST: usize = 16;
/// A group of words is a loop when it stands at least three times in a row and covers this many words:
/// one word six times, two words three times. (Blanks for names left out, "XXXX XXXX XXXX", are none.)
const TIMES: usize = 3;
const COVERED: usize = 6;

/// The first group of words that is repeated again and again, as the words it covers.
pub fn circle<T: PartialEq>(words: &[T]) -> Option<(usize, usize)> {
    (1..=LONGEST.min(words.len() / TIMES)).find_map(|n| {
        let mut same = 0;
        (n..words.len()).find_map(|at| {
            same = if words[at] == words[at - n] { same + 1 } else { 0 };
            (same + n >= (TIMES * n).max(COVERED)).then(|| (at + 1 - same - n, at + 1))
        })
    })
}

/// Marks of the templates in [`crate::prompt`], and their instruction, in lower case.
const TEMPLATE: [&str; 9] = [
    "### instruction",
    "### input",
    "### response",
    "below is an instruction",
    "<|im_start|>",
    "<|im_end|>",
    "[inst]",
    "[/inst]",
    "<<sys>>",
];

/// Whether a text holds parts of a prompt's template or its instruction.
pub fn echoes_prompt(text: &str) -> bool {
    let lower = text.to_lowercase();
    lower.trim_start().starts_with("findings:")
        || TEMPLATE.iter().any(|mark| lower.contains(mark))
        || lower.contains(&INSTRUCTION.to_lowercase())
}

/// Words that no sentence ends with.
const OPEN: [&str; 40] = [
    "the",
    "a",
    "an",
    "of",
    "in",
    "at",
    "on",
    "and",
    "or",
    "with",
    "without",
    "no",
    "is",
    "are",
    "was",
    "were",
    "for",
    "to",
    "from",
    "by",
    "than",
    "which",
    "that",
    "may",
    "could",
    "mild",
    "small",
    "large",
    "due",
    "consistent",
    "compatible",
    "likely",
    "suggesting",
    "represent",
    "representing",
    "nor",
    "versus",
    "vs",
    "as",
    "into",
];

/// Something degenerate, and the tokens it stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) first: usize,
    pub(super) last: usize,
    pub(super) message: &'static str,
}

/// The words of a range of tokens as stems.
fn words(text: &Text, first: usize, last: usize) -> Vec<u64> {
    text.tokens[first..last]
        .iter()
        .filter(|token| !matches!(token.kind, Kind::Mark(_)))
        .map(|token| token.stem)
        .collect()
}

/// Nothing, an end in the middle of a sentence.
pub(super) fn unfinished(text: &Text) -> Option<Fault> {
    let end = text.tokens.len();
    let Some(last) = text.tokens.iter().rposition(|token| !matches!(token.kind, Kind::Mark(_)))
    else {
        return Some(Fault { first: 0, last: end, message: "the impression is empty" });
    };
    if let Some(marker) = text.dangling {
        return Some(Fault { first: marker, last: end, message: "the last item is empty" });
    }
    let mut behind = text.tokens[last + 1..].iter().filter_map(|token| match token.kind {
        Kind::Mark(mark) => Some(mark),
        _ => None,
    });
    let stopped = behind.clone().any(|mark| matches!(mark, '.' | '!' | '?'));
    let hanging = !stopped && behind.any(|mark| matches!(mark, ',' | ';' | ':' | '(' | '-' | '/'));
    let word = text.token(last).to_lowercase();
    let open = OPEN.contains(&word.as_str()) && !(stopped && matches!(word.as_str(), "no" | "to"));
    (hanging || open).then_some(Fault {
        first: last,
        last: end,
        message: "the text ends within a sentence",
    })
}

/// The end of a text that the token limit ended; a full stop may stand there by chance.
pub(super) fn cut(text: &Text) -> Option<Fault> {
    let last = text.tokens.len().checked_sub(1)?;
    Some(Fault {
        first: last,
        last: last + 1,
        message: "the text ends where no more tokens were allowed",
    })
}

/// Sentences that stand twice, and words in circles.
pub(super) fn repeated(text: &Text) -> Vec<Fault> {
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    for sentence in &text.sentences {
        let words = words(text, sentence.first, sentence.last);
        if words.len() >= 2 && !seen.insert(words) {
            let message = "this sentence stands twice";
            found.push(Fault { first: sentence.first, last: sentence.last, message });
        }
    }
    let places: Vec<usize> = (0..text.tokens.len())
        .filter(|at| {
            !matches!(text.tokens[*at].kind, Kind::Mark(_)) && !super::measure::hidden(text, *at)
        })
        .collect();
    let stems: Vec<u64> = places.iter().map(|at| text.tokens[*at].stem).collect();
    if let Some((first, last)) = circle(&stems).filter(|_| found.is_empty()) {
        let (first, last) = (places[first], places[last - 1] + 1);
        found.push(Fault { first, last, message: "words are repeated in circles" });
    }
    found
}

/// A single word is no sentence that could be copied.
const SHORT: usize = 2;
/// Words that a text must have to be called a copy.
const COPIED: usize = 12;

/// The findings word for word, or nearly, and parts of the prompt.
pub(super) fn echoed(findings: &Text, text: &Text) -> Option<Fault> {
    if echoes_prompt(text.text) {
        let message = "parts of the prompt stand in the impression";
        return Some(Fault { first: 0, last: text.tokens.len(), message });
    }
    let mut known: HashMap<Vec<u64>, usize> = HashMap::new();
    let mut all = 0;
    let mut sentences = 0;
    for sentence in &findings.sentences {
        let words = words(findings, sentence.first, sentence.last);
        all += words.len();
        sentences += 1;
        let count = words.len();
        known.insert(words, count);
    }
    let (mut copied, mut own, mut place, mut count) = (0, 0, None, 0);
    for sentence in &text.sentences {
        let words = words(text, sentence.first, sentence.last);
        own += words.len();
        // Once only: a sentence that stands twice is another fault.
        if let Some(length) = known.remove(&words).filter(|length| *length >= SHORT) {
            copied += length;
            count += 1;
            let (first, _) = place.unwrap_or((sentence.first, sentence.last));
            place = Some((first, sentence.last));
        }
    }
    let (first, last) = place?;
    // Most of the findings, or an impression made of several of their sentences and nothing else.
    let whole = copied >= COPIED && copied * 10 >= all * 8 && (sentences >= 2 || all >= 20);
    let made_of_them = count >= 3 && copied * 10 >= own * 9 && copied >= 2 * COPIED;
    (whole || made_of_them).then_some(Fault {
        first,
        last,
        message: "the findings stand in the impression word for word",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(fault: Option<Fault>) -> bool {
        fault.is_some()
    }

    #[test]
    fn ends_within_sentences() {
        for text in ["", " . ", "Clear lungs. 2.", "Small effusion in the", "Effusion,", "1. Mild"]
        {
            assert!(has(unfinished(&Text::new(text))), "{text:?}");
        }
        for text in ["No acute disease", "Clear lungs.", "1. Clear. 2. Stable."] {
            assert!(!has(unfinished(&Text::new(text))), "{text:?}");
        }
    }

    #[test]
    fn repetitions() {
        for text in ["Clear lungs. Stable. Clear lung.", "left base left base left base"] {
            assert_eq!(repeated(&Text::new(text)).len(), 1, "{text:?}");
        }
        for text in
            ["1. Stable. 2. Stable.", "XXXX XXXX XXXX XXXX XXXX XXXX", "left base, left base"]
        {
            assert_eq!(repeated(&Text::new(text)), [], "{text:?}");
        }
    }

    #[test]
    fn copies() {
        let findings =
            "The heart is of normal size. The lungs are clear of opacities. No effusion.";
        let findings = Text::new(findings);
        for text in [
            "The heart is of normal size. The lungs are clear of opacities. No effusion.",
            "Stable. The heart is of normal size. The lungs are clear of opacities.",
            "### Response: clear",
        ] {
            assert!(has(echoed(&findings, &Text::new(text))), "{text:?}");
        }
        for text in ["The lungs are clear of opacities.", "No acute disease."] {
            assert!(!has(echoed(&findings, &Text::new(text))), "{text:?}");
        }
    }
}
