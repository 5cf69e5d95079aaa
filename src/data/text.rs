//! What the filters look for in a report's text: list numbers, sentences about communication,
//! de-identification marks.

/// Words of which one says that something was told …
const TELLING: &[&str] = &[
    "called",
    "communicated",
    "conveyed",
    "discussed",
    "emailed",
    "e-mailed",
    "informed",
    "made aware",
    "notified",
    "paged",
    "relayed",
    "reported",
    "reviewed with",
    "telephoned",
];
/// … and of which one says to whom or how.
const TO_WHOM: &[&str] = &[
    "attending",
    "by me",
    "by phone",
    "caring for",
    "clinician",
    "dr.",
    "dr ",
    "doctor",
    "department",
    "emergency",
    "house staff",
    "nurse",
    "ordering",
    "pager",
    "physician",
    "provider",
    "referring",
    "resident",
    "surgeon",
    "team",
    "telephone",
    "the phone",
    "to ___",
    "via phone",
    "with ___",
];
/// Phrases that say it alone.
const TELLING_ALONE: &[&str] =
    &["critical results", "time of discovery", "was telephoned", "wet read"];
/// Words whose full stop ends no sentence.
const ABBREVIATIONS: &[&str] = &["dr", "mr", "mrs", "ms", "vs", "st", "no", "approx", "e.g", "i.e"];

/// The text without sentences about communication, and how many those were; nothing when there are
/// none. A sentence goes when it has a word of telling and one of whom or how ("Findings were
/// discussed with Dr. ___ by telephone."), or a phrase that says it alone ("… at the time of
/// discovery.").
pub(super) fn without_communication(text: &str) -> Option<(String, u64)> {
    let mut kept = String::with_capacity(text.len());
    let mut gone = 0;
    for sentence in sentences(text) {
        if is_communication(sentence) {
            gone += 1;
        } else {
            kept.push_str(sentence);
        }
    }
    (gone > 0).then(|| (kept.trim().to_owned(), gone))
}

fn is_communication(sentence: &str) -> bool {
    let lower = sentence.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    has(TELLING_ALONE) || (has(TELLING) && has(TO_WHOM))
}

/// The sentences of a text with the white space behind each; together they are the text. A list
/// number belongs to the sentence behind it, an empty line ends a sentence.
fn sentences(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut start = 0;
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let next = at + 1;
        let blank = next == bytes.len() || bytes[next].is_ascii_whitespace();
        let ends = match bytes[at] {
            b'.' if blank => ends_sentence(&text[start..at], &text[next..]),
            b'!' | b'?' => blank,
            b'\n' => text[next..].trim_start_matches([' ', '\t']).starts_with('\n'),
            _ => false,
        };
        at = next;
        if ends {
            while at < bytes.len() && bytes[at].is_ascii_whitespace() {
                at += 1;
            }
            found.push(&text[start..at]);
            start = at;
        }
    }
    if start < text.len() {
        found.push(&text[start..]);
    }
    found
}

/// Whether the full stop between `before` (the sentence so far) and `after` ends a sentence.
fn ends_sentence(before: &str, after: &str) -> bool {
    let word = before.rsplit(char::is_whitespace).next().unwrap_or(before);
    let word = word.trim_start_matches('(').to_lowercase();
    let list_number = before.trim().len() == word.len()
        && (1..=2).contains(&word.len())
        && word.bytes().all(|byte| byte.is_ascii_digit());
    let initial = word.len() == 1 && word.bytes().all(|byte| byte.is_ascii_alphabetic());
    if list_number || initial || ABBREVIATIONS.contains(&word.as_str()) {
        return false;
    }
    // "at 10 a.m. by telephone" goes on; "at 10 a.m. The heart …" does not.
    !(word == "a.m" || word == "p.m") || after.trim_start().starts_with(char::is_uppercase)
}

/// The text without its list numbers, or nothing when it has none. A number of one or two digits with
/// `.` or `)` and white space or a capital behind it is a list number at the beginning of the text or
/// of a line; behind a sentence it is one only where it is 1 or one more than the list number before,
/// so that "Nodule. 4. rib" keeps its 4.
pub(super) fn without_numbers(text: &str) -> Option<String> {
    let mut kept = String::with_capacity(text.len());
    let mut last: Option<u32> = None;
    let mut line_start = true;
    let mut sentence_start = false;
    let mut rest = text;
    let mut changed = false;
    while let Some(character) = rest.chars().next() {
        if (line_start || sentence_start)
            && let Some((number, length)) = list_number(rest)
            && (line_start || number == 1 || last.is_some_and(|last| number == last + 1))
        {
            last = Some(number);
            rest = &rest[length..];
            changed = true;
            // What follows is no beginning of a line any more, nor may a second number go.
            (line_start, sentence_start) = (false, false);
            continue;
        }
        let ended = kept.ends_with(['.', ';', ':', '!', '?', '_']);
        match character {
            '\n' => (line_start, sentence_start) = (true, false),
            c if c.is_whitespace() => sentence_start = sentence_start || ended,
            _ => (line_start, sentence_start) = (false, false),
        }
        kept.push(character);
        rest = &rest[character.len_utf8()..];
    }
    changed.then(|| kept.trim().to_owned())
}

/// The list number at the beginning of `text`, and its length in bytes with the white space behind.
fn list_number(text: &str) -> Option<(u32, usize)> {
    let open = text.strip_prefix('(').unwrap_or(text);
    let digits = open.bytes().take_while(u8::is_ascii_digit).count();
    if !(1..=2).contains(&digits) {
        return None;
    }
    let number = open[..digits].parse().ok()?;
    let behind = open[digits..].strip_prefix(['.', ')'])?;
    let trimmed = behind.trim_start_matches([' ', '\t']);
    // "2.5 cm" is no list number, "2.Clear" is one.
    let list = trimmed.len() < behind.len() || trimmed.starts_with(char::is_uppercase);
    list.then(|| (number, text.len() - trimmed.len()))
}

/// How many de-identification marks there are: runs of three or more `_`, of four or more `X`.
pub(super) fn marks(text: &str) -> u64 {
    let mut count = 0;
    replace_marks(text, |_| count += 1);
    count
}

/// The text with every mark replaced, or nothing when that changes nothing.
pub(super) fn with_marks(text: &str, mark: &str) -> Option<String> {
    let mut new = String::with_capacity(text.len());
    let mut end = 0;
    replace_marks(text, |range| {
        new.push_str(&text[end..range.start]);
        new.push_str(mark);
        end = range.end;
    });
    new.push_str(&text[end..]);
    (new != text).then_some(new)
}

fn replace_marks(text: &str, mut found: impl FnMut(std::ops::Range<usize>)) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let least = match bytes[at] {
            b'_' => 3,
            b'X' => 4,
            _ => {
                at += 1;
                continue;
            }
        };
        let run = bytes[at..].iter().take_while(|byte| **byte == bytes[at]).count();
        if run >= least {
            found(at..at + run);
        }
        at += run;
    }
}
