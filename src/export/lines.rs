//! Texts as lines, and lines as text that every format can carry.

use crate::error::{Error, Result};

/// Longest text that is exported, in bytes of UTF-8: FHIR's limit for a string.
pub const MAX_TEXT_BYTES: usize = 1 << 20;

/// `text` with `\n` for every way to end a line, a space for tabs and other spaces, and no blank at the end of a line or
/// around the whole. All formats can carry what is left as it is.
///
/// # Errors
/// [`Error::BadText`] for control characters, by number and place, and for more than [`MAX_TEXT_BYTES`]:
/// FHIR, HL7 and DICOM forbid them all (but ESC, which DICOM reads as a change of character set), and
/// an export that drops a character in silence is not the report any more.
pub(super) fn clean(name: &str, text: &str) -> Result<String> {
    if text.len() > MAX_TEXT_BYTES {
        let what = format!("({name}) has {} bytes, more than {MAX_TEXT_BYTES}", text.len());
        return Err(Error::BadText { what });
    }
    let mut clean = String::with_capacity(text.len());
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut chars = text.chars().enumerate().peekable();
    while let Some((position, c)) = chars.next() {
        match c {
            '\r' if chars.peek().is_some_and(|&(_, next)| next == '\n') => {}
            // What Unicode calls mandatory breaks (UAX 14), among them the page breaks of text from PDF.
            '\r' | '\n' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
                clean.truncate(clean.trim_end_matches(' ').len());
                clean.push('\n');
            }
            // FHIR's schema has `[ \r\n\t\S]+` for a string, and \S leaves out Unicode's other spaces where
            // ECMAScript reads it; a no-break space pasted with a report would make it invalid.
            c if c == '\t' || (c != ' ' && c.is_whitespace()) => clean.push(' '),
            '\u{feff}' => clean.push('\u{2060}'), // what Unicode has had for it since 3.2
            // Noncharacters: XML has no way to write these two.
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {
                let what = format!(
                    "({name}) has the control character U+{:04X} at character {}",
                    u32::from(c),
                    position + 1
                );
                return Err(Error::BadText { what });
            }
            c => clean.push(c),
        }
    }
    Ok(clean.trim().to_owned())
}

/// A text for a field that is one line: breaks become spaces.
///
/// # Errors
/// As [`clean`].
pub(super) fn clean_line(name: &str, text: &str) -> Result<String> {
    Ok(clean(name, text)?.replace('\n', " "))
}

/// The lines of an impression that was given as one text: its own lines, else its sentences; numbers
/// and dashes before them go, as every format numbers in its own way. So does the page
/// (www/app/text.js). `text` is clean.
pub(super) fn lines_of(text: &str) -> Vec<String> {
    text.split('\n')
        .flat_map(|row| numbered(row.trim()))
        .flat_map(sentences)
        .map(str::to_owned)
        .collect()
}

/// Behind the number or dash of a list at the begin of `row`.
fn unmarked(row: &str) -> Option<&str> {
    let behind = if let Some(rest) = row.strip_prefix(['-', '–', '•', '*']) {
        rest
    } else {
        let rest = row.strip_prefix('(').unwrap_or(row);
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if !(1..=2).contains(&digits) {
            return None;
        }
        rest[digits..].strip_prefix(['.', ')'])?
    };
    behind.starts_with(' ').then(|| behind.trim_start())
}

/// `1. One. 2. Two.` as two rows, without their numbers.
fn numbered(row: &str) -> Vec<&str> {
    let Some(mut rest) = unmarked(row) else { return vec![row] };
    let mut rows = Vec::new();
    let mut from = 0;
    while let Some(found) = rest[from..].find(['.', '!', '?']) {
        let end = from + found + 1;
        from = end;
        let next = rest[end..].trim_start();
        let apart = next.len() < rest.len() - end && next.starts_with(|c: char| c.is_ascii_digit());
        if let (true, Some(behind)) = (apart, unmarked(next)) {
            rows.push(&rest[..end]);
            rest = behind;
            from = 0;
        }
    }
    rows.push(rest);
    rows
}

/// Words behind which a full stop ends no sentence.
const ABBREVIATIONS: [&str; 11] =
    ["dr", "vs", "approx", "no", "fig", "cf", "e.g", "i.e", "st", "resp", "mr"];

/// Sentences, whole: a number such as 4.5, an abbreviation or a single letter does not end one.
fn sentences(row: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut from = 0;
    let mut chars = row.char_indices().peekable();
    while let Some((_, c)) = chars.next() {
        let wide = matches!(c, '。' | '！' | '？');
        if !wide && !matches!(c, '.' | '!' | '?' | '؟') {
            continue;
        }
        while chars
            .next_if(|&(_, c)| matches!(c, '.' | '!' | '?' | '"' | '\'' | ')' | ']'))
            .is_some()
        {}
        let end = chars.peek().map_or(row.len(), |&(at, _)| at);
        if !wide && !row[end..].starts_with(' ') && end < row.len() {
            continue;
        }
        let piece = row[from..end].trim();
        let word = piece.strip_suffix('.').and_then(|piece| piece.rsplit([' ', '(']).next());
        let short = word.is_some_and(|word| {
            let letter = word.len() == 1 && word.starts_with(|c: char| c.is_ascii_alphabetic());
            letter || ABBREVIATIONS.iter().any(|known| word.eq_ignore_ascii_case(known))
        });
        if !piece.is_empty() && !short {
            found.push(piece);
            from = end;
        }
    }
    let rest = row[from..].trim();
    found.extend((!rest.is_empty()).then_some(rest));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_break_is_one_and_control_characters_are_refused() {
        let text = " a \r\nb\rc\u{2028}d\u{b}\u{c}e\t\u{85}f\u{a0}\u{3000}g\u{200f}🫁 \n";
        assert_eq!(clean("findings", text).unwrap(), "a\nb\nc\nd\n\ne\nf  g\u{200f}🫁");
        for c in ['\0', '\u{1}', '\u{8}', '\u{1b}', '\u{7f}', '\u{9b}', '\u{fffe}'] {
            let error = clean("findings", &format!("secret{c}")).unwrap_err();
            assert_eq!(error.code(), "bad_text");
            assert!(error.to_string().contains("character 7"), "{error}");
            assert!(!error.to_string().contains("secret"));
        }
        assert!(clean("findings", &"a".repeat(MAX_TEXT_BYTES + 1)).is_err());
        assert_eq!(clean_line("id", "a\r\nb").unwrap(), "a b");
    }

    #[test]
    fn an_impression_becomes_its_lines() {
        for (text, lines) in [
            ("1. Normal heart. 2. No effusion.", &["Normal heart.", "No effusion."][..]),
            ("1) One\n2) Two, 4.5 cm.", &["One", "Two, 4.5 cm."]),
            ("- a\n• b\n\n* c", &["a", "b", "c"]),
            ("Seen by Dr. Who vs. none. Stable.", &["Seen by Dr. Who vs. none.", "Stable."]),
            ("No change!? (See above.) Next", &["No change!?", "(See above.)", "Next"]),
            ("肺炎。無気胸。", &["肺炎。", "無気胸。"]),
            ("2.5 cm nodule", &["2.5 cm nodule"]),
            ("|^~\\&", &["|^~\\&"]),
            ("...", &["..."]),
            ("", &[]),
        ] {
            assert_eq!(lines_of(text), lines, "{text}");
        }
    }

    #[test]
    fn nothing_but_marks_and_blanks_is_lost() {
        let text = "a.b c. D? \"E.\" f. 🫁 g. 3. h! ؟ i\nj . k";
        let kept = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
        assert_eq!(kept(&lines_of(text).concat()), kept(text));
    }
}
