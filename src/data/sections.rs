//! Sections of a free-text radiology report, by their headers: capitals at the beginning of a line
//! with a colon behind, as MIMIC-CXR's reports have them.
//!
//! The rules follow the idea of the data set's published `section_parser.py` (Johnson et al., MIT-LCP/
//! mimic-cxr), written anew: known synonyms, headers that name a projection ("CHEST, TWO VIEWS:") as
//! findings, and, here by one rule instead of a list, headers that are one typing error away from a
//! known word. The published lists of single studies with sections set by hand are left out: those
//! reports have no two sections to make a pair of.

/// What a section is about, as far as a pair needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Section {
    /// What was seen.
    Findings,
    /// What was concluded. A joint "FINDINGS AND IMPRESSION" counts as this.
    Impression,
    /// Why the examination was asked for.
    Indication,
    /// The patient's history.
    History,
    /// What was compared with.
    Comparison,
    /// Something added later.
    Addendum,
    /// Everything else: technique, recommendations, notification, …
    Other,
}

/// The sections of a report in their order, with their text trimmed; what stands before the first
/// header is none.
///
/// As in the published parser, the line straight behind a header that stands alone on its line is
/// text, whatever it looks like: there "AP VIEW: …" is a sentence of the findings.
pub fn sections(text: &str) -> Vec<(Section, &str)> {
    let mut found: Vec<(Section, usize)> = Vec::new();
    // Where each section ends: at the header behind it.
    let mut ends = Vec::new();
    let mut alone = false;
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let at = start;
        start += line.len();
        if std::mem::take(&mut alone) {
            continue;
        }
        if let Some((name, length)) = header(line) {
            if !found.is_empty() {
                ends.push(at);
            }
            found.push((section(&name), at + length));
            alone = matches!(&line[length..], "" | "\n" | "\r\n");
        }
    }
    ends.push(text.len());
    found
        .into_iter()
        .zip(ends)
        .map(|((section, begin), end)| (section, text.get(begin..end).unwrap_or_default().trim()))
        .collect()
}

/// The last section of a kind that has text.
pub fn last<'a>(sections: &[(Section, &'a str)], wanted: Section) -> Option<&'a str> {
    let mut matching =
        sections.iter().rev().filter(|(section, text)| *section == wanted && !text.is_empty());
    matching.next().map(|(_, text)| *text)
}

/// The header at the beginning of a line, and its length with the colon: capitals, spaces and `()/,-`
/// up to a colon with white space or nothing behind.
fn header(line: &str) -> Option<(String, usize)> {
    let colon = line.find(':')?;
    let name = &line[..colon];
    let allowed = |c: char| c.is_ascii_uppercase() || " \t()/,-".contains(c);
    let spaced = line[colon + 1..].chars().next().is_none_or(char::is_whitespace);
    let named = name.chars().all(allowed) && name.contains(|c: char| c.is_ascii_uppercase());
    (spaced && named).then(|| (name.split_whitespace().collect::<Vec<_>>().join(" "), colon + 1))
}

/// Words that name a section, wherever they stand in a header; the first that fits.
const NAMED: &[(&str, Section)] = &[
    ("IMPRESSION", Section::Impression),
    ("CONCLUSION", Section::Impression),
    ("FINDING", Section::Findings),
    ("HISTORY", Section::History),
    ("CLINICAL INFORMATION", Section::History),
    ("COMPARISON", Section::Comparison),
    ("REFERENCE EXAM", Section::Comparison),
    ("ADDENDUM", Section::Addendum),
    ("INDICATION", Section::Indication),
    ("REASON FOR", Section::Indication),
];

/// Words that a header may have misspelt by one letter.
const SPELT: &[(&str, Section)] = &[
    ("IMPRESSION", Section::Impression),
    ("FINDINGS", Section::Findings),
    ("COMPARISON", Section::Comparison),
    ("COMPARISONS", Section::Comparison),
    ("INDICATION", Section::Indication),
];

/// Words of headers that describe the image: what follows was seen on it.
const IMAGE: &[&str] = &["CHEST", "PORTABLE", "VIEW", "FRONTAL", "RIBS", "BONE WINDOW"];

fn section(name: &str) -> Section {
    if name == "PFI" {
        return Section::History; // as the published parser has it
    }
    if let Some((_, section)) = NAMED.iter().find(|(word, _)| name.contains(word)) {
        return *section;
    }
    if let Some((_, section)) = SPELT.iter().find(|(word, _)| one_edit_apart(name, word)) {
        return *section;
    }
    let has = |word: &str| name.split([' ', ',', '/', '-', '(', ')']).any(|part| part == word);
    let projections = (has("LATERAL") || has("LAT")) && (has("PA") || has("AP"));
    if projections || IMAGE.iter().any(|word| name.contains(word)) {
        return Section::Findings;
    }
    Section::Other
}

/// Whether one letter inserted, left out, replaced or exchanged with its neighbour makes `b` of `a`.
/// Both are ASCII.
fn one_edit_apart(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let same = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let (a, b) = (&a[same..], &b[same..]);
    match (a, b) {
        ([], []) => true,
        ([_, rest @ ..], _) if rest == b => true,
        (_, [_, rest @ ..]) if rest == a => true,
        ([_, rest_a @ ..], [_, rest_b @ ..]) if rest_a == rest_b => true,
        ([a0, a1, rest_a @ ..], [b0, b1, rest_b @ ..]) => a0 == b1 && a1 == b0 && rest_a == rest_b,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_normalised() {
        // Frequent headers and all misspellings that the published parser lists, but for "NDICATION",
        // which it takes for an impression.
        for (section_of, names) in [
            (
                Section::Impression,
                "IMPRESSION|CONCLUSION|FINDINGS AND IMPRESSION|FINDINGS/IMPRESSION|IMPRESSON|\
                 IMPRRESSION|IMORESSION|IMPRESSOIN|IMPRSSION|IMPRESION|IMPERSSION|MPRESSION|\
                 IMPESSION|FINDINGS/ IMPRESSION",
            ),
            (
                Section::Findings,
                "FINDINGS|FINDING|FINDINS|FINDINDGS|FINDGINGS|FINDNGS|FINDNINGS|FINIDNGS|\
                 REFERENCE FINDINGS|CHEST, TWO VIEWS|PORTABLE AP CHEST RADIOGRAPH|PA AND LATERAL|\
                 AP AND LATERAL VIEWS|BONE WINDOWS|FRONTAL UPRIGHT|ONE VIEW|PA AND LAT",
            ),
            (
                Section::Comparison,
                "COMPARISON|COMPARISONS|COMPARISION|COMPARSION|COMPARRISON|COMPARISIONS|\
                 COMPARISON FILM|REFERENCE EXAM|COMPARISON EXAM",
            ),
            (
                Section::Indication,
                "INDICATION|CLINICAL INDICATION|REASON FOR EXAM|REASON FOR EXAMINATION|IDICATION",
            ),
            (Section::History, "HISTORY|CLINICAL HISTORY|PATIENT HISTORY|CLINICAL INFORMATION|PFI"),
            (Section::Addendum, "ADDENDUM"),
            (
                Section::Other,
                "EXAMINATION|TYPE OF EXAMINATION|EXAM|TECHNIQUE|RECOMMENDATION(S)|NOTIFICATION|\
                 WET READ|DATE|COMMENT",
            ),
        ] {
            for name in names.split('|') {
                assert_eq!(section(name), section_of, "{name}");
            }
        }
    }

    #[test]
    fn what_looks_like_a_header_and_is_none() {
        for line in ["at 10:30 the", " Note: clear", "RATIO:3 to 1", " : x", "DR. X: told", "12: x"]
        {
            assert_eq!(header(line), None, "{line}");
        }
        assert_eq!(header("   CHEST (PA):  clear"), Some(("CHEST (PA)".into(), 14)));
        assert_eq!(header("FINDINGS:"), Some(("FINDINGS".into(), 9)));
    }
}
