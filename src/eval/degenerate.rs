//! Outputs that are no impression, whatever their score.

use std::collections::HashSet;

use serde::Serialize;

use super::rouge::words;
use crate::guard::degenerate::{circle, echoes_prompt};

/// How many outputs are of each kind; one may be of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Degenerate {
    /// Nothing, or no letter and digit.
    pub empty: usize,
    /// A sentence of at least two words twice, or words repeated again and again ([`loops`]).
    pub loops: usize,
    /// Parts of the prompt's template or its instruction.
    pub prompt_echoes: usize,
    /// The findings, word for word.
    pub copies_of_findings: usize,
}

impl Degenerate {
    /// Counts the kinds of one more output.
    pub fn add(&mut self, findings: &str, output: &str) {
        let tokens = words(output);
        self.empty += usize::from(tokens.is_empty());
        self.loops += usize::from(loops(output, &tokens));
        self.prompt_echoes += usize::from(echoes_prompt(output));
        self.copies_of_findings += usize::from(!tokens.is_empty() && tokens == words(findings));
    }

    /// Whether any output is of any kind.
    pub fn any(&self) -> bool {
        *self != Degenerate::default()
    }
}

/// Whether a text goes in circles. `tokens` are its words. (Of OpenI's 2,692 training and validation
/// impressions three do, each with a sentence that was dictated twice.)
pub fn loops(text: &str, tokens: &[String]) -> bool {
    let mut seen = HashSet::new();
    let repeated = text.split(['.', '!', '?', ';', '\n']).any(|sentence| {
        let sentence = words(sentence);
        sentence.len() >= 2 && !seen.insert(sentence)
    });
    repeated || circle(tokens).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(findings: &str, output: &str) -> [usize; 4] {
        let mut found = Degenerate::default();
        found.add(findings, output);
        [found.empty, found.loops, found.prompt_echoes, found.copies_of_findings]
    }

    #[test]
    fn each_kind_is_found_and_nothing_else() {
        assert_eq!(of("Clear lungs.", "No acute disease."), [0, 0, 0, 0]);
        assert_eq!(of("Clear lungs.", " .\n"), [1, 0, 0, 0]);
        assert_eq!(of("Clear lungs.", "clear lungs"), [0, 0, 0, 1]);
        assert_eq!(of("", "No acute disease. Stable. No acute disease."), [0, 1, 0, 0]);
        assert_eq!(of("", "1. Stable. 2. Stable. Stable."), [0, 0, 0, 0]);
        assert_eq!(of("", "mild, mild, mild, mild, mild, mild"), [0, 1, 0, 0]);
        assert_eq!(of("", "XXXX XXXX XXXX XXXX"), [0, 0, 0, 0]);
        assert_eq!(of("", "left base left base left base"), [0, 1, 0, 0]);
        assert_eq!(of("", "left base left base, right base"), [0, 0, 0, 0]);
        assert_eq!(of("", "Clear.\n\n### Instruction: more"), [0, 0, 1, 0]);
        assert_eq!(
            of("", "Derive the impression from findings in the radiology report"),
            [0, 0, 1, 0]
        );
    }
}
