//! Report text as tokens, sentences and lines, with places in Unicode scalar values.
//!
//! Reports come dictated, typed and hard-wrapped: numbered ("1. … 2. …"), in lines, or as running
//! text; with sentences that no blank divides, decimals, abbreviations and stray full stops. Nothing here
//! looks back further than a few tokens, so that a text of any length is read in one pass.

/// What a token is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Letters, or letters and digits beginning with a letter ("T12").
    Word,
    /// Digits with at most one decimal point.
    Number,
    /// One character of anything else.
    Mark(char),
}

/// A piece of text that is not divided further.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token {
    /// First scalar value.
    pub(super) start: usize,
    /// Behind the last scalar value.
    pub(super) end: usize,
    /// The same in bytes.
    pub(super) bytes: (usize, usize),
    pub(super) kind: Kind,
    /// [`stem`] of the token.
    pub(super) stem: u64,
    /// Line breaks between the token before and this one.
    pub(super) breaks: u8,
    /// Whether a blank of any kind stands before it.
    pub(super) spaced: bool,
}

/// A sentence or an item of a list, without the item's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sentence {
    /// First token.
    pub(super) first: usize,
    /// Behind the last token.
    pub(super) last: usize,
}

/// A text that was read.
#[derive(Debug)]
pub(super) struct Text<'a> {
    pub(super) text: &'a str,
    pub(super) tokens: Vec<Token>,
    pub(super) sentences: Vec<Sentence>,
    /// A list number at the end with nothing behind it, as the place of its first token.
    pub(super) dangling: Option<usize>,
}

/// Words as google-research's rouge_score divides them: runs of ASCII letters and digits of the
/// lower-cased text.
pub fn words(text: &str) -> Vec<String> {
    text.to_lowercase()
        .split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit()))
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The letter under an accent of Latin-1, so that "œdème" typed either way is one word.
fn fold(c: char) -> char {
    match c {
        'à'..='å' => 'a',
        'ç' => 'c',
        'è'..='ë' => 'e',
        'ì'..='ï' => 'i',
        'ñ' => 'n',
        'ò'..='ö' => 'o',
        'ù'..='ü' => 'u',
        'ý' | 'ÿ' => 'y',
        '\u{2019}' => '\'',
        c => c,
    }
}

/// A number for a word without case, accents and the ending of a regular plural: two words with one
/// stem are the same word. (FNV-1a, 64 bits: two of a million words meet with a chance of 10⁻⁷.)
pub(super) fn stem(word: &str) -> u64 {
    let mut folded = [0u8; 48];
    let mut length = 0;
    for c in word.chars().flat_map(char::to_lowercase).map(fold) {
        let mut bytes = [0; 4];
        for byte in c.encode_utf8(&mut bytes).bytes() {
            if length < folded.len() {
                folded[length] = byte;
            }
            length += 1;
        }
    }
    // Longer words are none, but two different ones must not become one.
    let whole = length;
    let word = &folded[..length.min(folded.len())];
    let word = word.strip_suffix(b"'s").unwrap_or(word);
    let ends = |endings: &[&[u8]]| endings.iter().any(|ending| word.ends_with(ending));
    let (base, tail): (&[u8], &[u8]) = if word.len() > 4 && word.ends_with(b"ies") {
        (&word[..word.len() - 3], b"y")
    } else if word.len() > 4 && ends(&[b"sses", b"xes", b"ches", b"shes"]) {
        (&word[..word.len() - 2], b"")
    } else if word.len() > 3 && word.ends_with(b"s") && !ends(&[b"ss", b"us", b"is"]) {
        (&word[..word.len() - 1], b"")
    } else {
        (word, b"")
    };
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for byte in base.iter().chain(tail) {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    if whole > folded.len() { hash ^ whole as u64 } else { hash }
}

/// Words behind which a full stop ends no sentence.
const ABBREVIATIONS: [&str; 11] =
    ["dr", "mr", "mrs", "ms", "vs", "approx", "e.g", "i.e", "st", "prof", "fig"];

/// Longest text of a list number, as in "12.".
const MARKER_DIGITS: usize = 2;

impl<'a> Text<'a> {
    /// Reads a text.
    pub(super) fn new(text: &'a str) -> Text<'a> {
        let tokens = tokens(text);
        let mut read = Text { text, tokens, sentences: Vec::new(), dangling: None };
        read.divide();
        read
    }

    /// The token's text as it stands.
    pub(super) fn token(&self, at: usize) -> &'a str {
        self.tokens.get(at).map_or("", |token| &self.text[token.bytes.0..token.bytes.1])
    }

    /// Where a sentence stands, in scalar values.
    pub(super) fn place(&self, sentence: Sentence) -> (usize, usize) {
        self.span(sentence.first, sentence.last)
    }

    /// Where the tokens `first..last` stand, in scalar values.
    pub(super) fn span(&self, first: usize, last: usize) -> (usize, usize) {
        let start = self.tokens.get(first).map_or(0, |token| token.start);
        let end = last.checked_sub(1).and_then(|last| self.tokens.get(last));
        (start, end.map_or(start, |token| token.end).max(start))
    }

    /// The text of the tokens `first..last`.
    pub(super) fn slice(&self, first: usize, last: usize) -> &'a str {
        let start = self.tokens.get(first).map_or(0, |token| token.bytes.0);
        let end = last.checked_sub(1).and_then(|last| self.tokens.get(last));
        &self.text[start..end.map_or(start, |token| token.bytes.1).max(start)]
    }

    fn mark(&self, at: usize) -> Option<char> {
        match self.tokens.get(at)?.kind {
            Kind::Mark(mark) => Some(mark),
            _ => None,
        }
    }

    fn divide(&mut self) {
        let mut first = self.skip_marker(0);
        let mut at = first;
        while at < self.tokens.len() {
            if self.ends(at) {
                self.push(first, at + 1);
                let marker = at + 1;
                first = self.skip_marker(marker);
                if first > marker && first >= self.tokens.len() {
                    self.dangling = Some(marker);
                }
                at = first;
            } else {
                at += 1;
            }
        }
        self.push(first, self.tokens.len());
    }

    /// Keeps a sentence that has a word or a number in it. What has none goes to the one before.
    fn push(&mut self, first: usize, last: usize) {
        let inside = self.tokens.get(first..last).unwrap_or_default();
        if inside.iter().any(|token| !matches!(token.kind, Kind::Mark(_))) {
            self.sentences.push(Sentence { first, last });
        }
    }

    /// Behind the number or bullet of a list that stands at `at`, if one does.
    fn skip_marker(&self, at: usize) -> usize {
        let Some(token) = self.tokens.get(at) else { return at };
        let alone = |at: usize| self.tokens.get(at).is_none_or(|token| token.spaced);
        let behind = match token.kind {
            Kind::Mark('-' | '*' | '•' | '·' | '–' | '—') if alone(at + 1) => at + 1,
            Kind::Number if token.end - token.start <= MARKER_DIGITS => match self.mark(at + 1) {
                Some('.' | ')') if alone(at + 2) || self.capital(at + 2) => at + 2,
                _ => return at,
            },
            Kind::Mark('(') => match (self.tokens.get(at + 1).map(|t| t.kind), self.mark(at + 2)) {
                (Some(Kind::Number), Some(')')) => at + 3,
                _ => return at,
            },
            _ => return at,
        };
        // "1. 2. …" and "1.. …"
        let mut behind = behind;
        while matches!(self.mark(behind), Some('.')) {
            behind += 1;
        }
        behind
    }

    /// Whether the token is a word of a capital and a small letter.
    fn capital(&self, at: usize) -> bool {
        let mut chars = self.token(at).chars();
        chars.next().is_some_and(char::is_uppercase) && chars.next().is_some_and(char::is_lowercase)
    }

    /// Whether a sentence ends with the token `at`.
    fn ends(&self, at: usize) -> bool {
        let Some(next) = self.tokens.get(at + 1) else { return true };
        let wrapped = next.breaks >= 2
            || (next.breaks == 1 && (self.skip_marker(at + 1) > at + 1 || self.capital(at + 1)));
        if wrapped {
            return true;
        }
        match self.mark(at) {
            // The stops of "..." and ".)" stay together.
            Some('.' | '!' | '?')
                if !next.spaced && matches!(next.kind, Kind::Mark('.' | '!' | '?' | ')' | '"')) =>
            {
                false
            }
            Some('!' | '?') => true,
            Some('.') if next.spaced => !self.abbreviation(at),
            Some('.') => {
                let long = at.checked_sub(1).is_some_and(|before| {
                    let before = self.token(before);
                    before.chars().count() > 2 && before.chars().any(char::is_lowercase)
                });
                long && (self.capital(at + 1) || self.skip_marker(at + 1) > at + 1)
            }
            _ => false,
        }
    }

    /// Whether the full stop at `at` belongs to the word before it.
    fn abbreviation(&self, at: usize) -> bool {
        let Some(before) = at.checked_sub(1) else { return false };
        let word = self.token(before);
        if !matches!(self.tokens[before].kind, Kind::Word) {
            return false;
        }
        let lower = word.to_ascii_lowercase();
        // "a.m." and "e.g.": a letter with a full stop on either side.
        let initial = word.chars().count() == 1
            && before.checked_sub(1).is_some_and(|point| self.mark(point) == Some('.'))
            && !self.capital(at + 1);
        let number = lower == "no"
            && self.tokens.get(at + 1).is_some_and(|t| t.kind == Kind::Number)
            && self.skip_marker(at + 1) == at + 1;
        initial || number || ABBREVIATIONS.contains(&lower.as_str())
    }
}

fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut chars = text.char_indices().enumerate().peekable();
    let (mut breaks, mut spaced) = (0u8, true);
    while let Some((start, (from, c))) = chars.next() {
        if c.is_whitespace() {
            // "\r\n" is one break.
            let crlf = c == '\r' && chars.peek().is_some_and(|(_, (_, next))| *next == '\n');
            if (c == '\n' || c == '\r' || c == '\u{2028}') && !crlf {
                breaks = breaks.saturating_add(1);
            }
            spaced = true;
            continue;
        }
        let digits_follow =
            |at: usize| text[at..].chars().next().is_some_and(|c| c.is_ascii_digit());
        let mut end = (start + 1, from + c.len_utf8());
        let kind = if c.is_ascii_digit() || (c == '.' && spaced && digits_follow(end.1)) {
            let mut point = c == '.';
            while let Some((_, (at, next))) = chars.peek().copied() {
                let decimal = next == '.' && !point && digits_follow(at + 1);
                if !next.is_ascii_digit() && !decimal {
                    break;
                }
                point |= decimal;
                end = (end.0 + 1, at + next.len_utf8());
                chars.next();
            }
            Kind::Number
        } else if c.is_alphabetic() {
            while let Some((_, (at, next))) = chars.peek().copied() {
                let joined = matches!(next, '\'' | '\u{2019}')
                    && text[at + next.len_utf8()..].chars().next().is_some_and(char::is_alphabetic);
                // Marks that combine with the letter before them belong to the word.
                let combining = matches!(next, '\u{300}'..='\u{36f}');
                if !next.is_alphanumeric() && !joined && !combining {
                    break;
                }
                end = (end.0 + 1, at + next.len_utf8());
                chars.next();
            }
            Kind::Word
        } else {
            Kind::Mark(c)
        };
        let stem = stem(&text[from..end.1]);
        found.push(Token { start, end: end.0, bytes: (from, end.1), kind, stem, breaks, spaced });
        (breaks, spaced) = (0, false);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentences(text: &str) -> Vec<&str> {
        let read = Text::new(text);
        read.sentences.iter().map(|s| read.slice(s.first, s.last)).collect()
    }

    #[test]
    fn sentences_end_where_a_reader_ends_them() {
        assert_eq!(sentences("Clear lungs. No effusion"), ["Clear lungs.", "No effusion"]);
        assert_eq!(
            sentences("1. Nodule of 3.5 mm. 2. Seen by Dr. X. at 3 p.m. today.\r\n3) Clear"),
            ["Nodule of 3.5 mm.", "Seen by Dr. X. at 3 p.m. today.", "Clear"]
        );
        assert_eq!(sentences("in the apex.There is. ."), ["in the apex.", "There is."]);
        assert_eq!(
            sentences("a small\nleft effusion\nClear lungs"),
            ["a small\nleft effusion", "Clear lungs"]
        );
        assert_eq!(sentences("- one\n- two\n\nthree"), ["one", "two", "three"]);
        assert_eq!(sentences(""), [""; 0]);
        assert_eq!(sentences(". . ."), [""; 0]);
    }

    #[test]
    fn a_number_without_an_item_dangles() {
        assert!(Text::new("1. Clear lungs. 2.").dangling.is_some());
        assert!(Text::new("1. Clear lungs. 2. Stable.").dangling.is_none());
    }

    #[test]
    fn plurals_and_accents_are_one_word() {
        for (a, b) in [
            ("Opacities", "opacity"),
            ("masses", "mass"),
            ("effusions", "EFFUSION"),
            ("Œdème", "œdeme"),
            ("boxes", "box"),
        ] {
            assert_eq!(stem(a), stem(b), "{a} {b}");
        }
        for (a, b) in [("mass", "mas"), ("atelectasis", "atelectasi"), ("left", "right")] {
            assert_ne!(stem(a), stem(b), "{a} {b}");
        }
    }
}
