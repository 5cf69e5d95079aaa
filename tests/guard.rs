//! The guard: every kind of flag where it belongs and where it does not, places, lexicons, long texts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::time::Instant;

use proptest::prelude::*;
use radllama::Error;
use radllama::guard::{Flag, Guard, Kind, Lexicon, Section, Severity};

fn flags(findings: &str, impression: &str) -> Vec<Flag> {
    Guard::built_in().unwrap().check(findings, impression, None).flags
}

fn kinds(findings: &str, impression: &str) -> Vec<(Kind, Severity)> {
    flags(findings, impression).iter().map(|flag| (flag.kind, flag.severity)).collect()
}

#[track_caller]
fn flagged(kind: Kind, severity: Severity, findings: &str, impression: &str) {
    let found = kinds(findings, impression);
    assert!(found.contains(&(kind, severity)), "{findings} | {impression}: {found:?}");
}

#[track_caller]
fn clean(findings: &str, impression: &str) {
    assert_eq!(kinds(findings, impression), [], "{findings} | {impression}");
}

#[test]
fn sides() {
    let hard = |findings, impression| flagged(Kind::Side, Severity::Hard, findings, impression);
    hard("Small left pleural effusion.", "Small right pleural effusion.");
    hard("There is a small pleural effusion.", "Small right pleural effusion.");
    hard("Left effusion. Right base atelectasis.", "Right pleural effusion.");
    hard("Left effusion and right base atelectasis.", "Left base atelectasis.");
    hard("Opacity in the lingula.", "Right lung opacity.");
    hard("Middle lobe opacity.", "Left middle lobe opacity.");
    hard("Small left pleural effusion.", "Bilateral pleural effusions.");
    hard("Elevation of the right hemidiaphragm.", "Left hemidiaphragm is high.");
    clean("Small left pleural effusion.", "Left-sided pleural effusion.");
    clean("Opacities in both lung bases.", "Bibasilar opacities.");
    clean("Bilateral pleural effusions.", "Right pleural effusion.");
    clean("Diffuse opacities.", "Bilateral opacities.");
    clean("Left and right basilar opacities.", "Bilateral basilar opacities.");
    clean("Opacity in the lingula.", "Left lung opacity.");
    clean("Pacemaker lead in the right ventricle. Left effusion.", "Left pleural effusion.");
}

#[test]
fn measurements() {
    let hard =
        |findings, impression| flagged(Kind::Measurement, Severity::Hard, findings, impression);
    hard("A nodule of 12 mm.", "A 13 mm nodule.");
    hard("A nodule of 12 mm.", "A 12 cm nodule.");
    hard("A nodule.", "A nodule of 5 mm.");
    hard("A 1.2 x 0.8 cm nodule.", "A nodule of 1.2 x 0.9 cm.");
    clean("A nodule of 12 mm.", "A 1.2 cm nodule.");
    clean("A 1.2 x 0.8 cm nodule.", "An 8 mm nodule.");
    clean("A nodule of 19 mm.", "A 2 cm nodule.");
    clean("A nodule.", "Nodule; CT in 6 months.");
}

#[test]
fn negations() {
    let hard = |findings, impression| flagged(Kind::Negation, Severity::Hard, findings, impression);
    hard("No pneumothorax or pleural effusion.", "Pneumothorax.");
    hard("No pneumothorax or pleural effusion.", "Pleural effusion or pneumothorax.");
    hard("There is no pneumothorax, effusion, or consolidation.", "Consolidation.");
    hard("The heart is not enlarged.", "Cardiomegaly.");
    hard("Heart size is normal.", "Mild cardiomegaly.");
    hard("A pneumothorax is not seen.", "Small pneumothorax.");
    hard("Clear lungs.", "Acute cardiopulmonary abnormality.");
    flagged(Kind::Negation, Severity::Soft, "Small pleural effusion.", "No pleural effusion.");
    flagged(Kind::Negation, Severity::Soft, "No pneumothorax.", "Possible pneumothorax.");
    clean("No pneumothorax or pleural effusion.", "No pneumothorax.");
    clean("Clear lungs.", "No acute cardiopulmonary abnormality.");
    clean("No effusion, but there is a small pneumothorax.", "Small pneumothorax.");
    clean("No pneumothorax and the heart is enlarged.", "Cardiomegaly.");
    clean("No change in the pleural effusion.", "Pleural effusion.");
    clean("There is an opacity that was not present on the prior study.", "New lung opacity.");
    clean("Small nodule, not seen on the previous examination.", "New nodule.");
    hard("A nodule is not seen on this examination.", "Nodule.");
}

#[test]
fn unsupported_findings() {
    let soft =
        |findings, impression| flagged(Kind::Unsupported, Severity::Soft, findings, impression);
    soft("Clear lungs.", "Hiatal hernia.");
    soft("No large pleural effusion.", "Pleural effusion.");
    soft("Cardiomegaly.", "Rib fracture.");
    clean("Right base opacity.", "Right base pneumonia.");
    clean("Patchy infiltrate.", "Findings of pneumonia.");
    clean("The cardiac silhouette is mildly enlarged.", "Cardiomegaly.");
    clean("Flattened diaphragms.", "Emphysema.");
    clean("Calcified granuloma.", "Old granulomatous disease.");
}

#[test]
fn comparisons() {
    let guard = Guard::built_in().unwrap();
    let check = |prior| guard.check("Cardiomegaly.", "Stable cardiomegaly.", prior).flags;
    for prior in [None, Some("None."), Some(""), Some("None available")] {
        assert_eq!(check(prior)[0].kind, Kind::Comparison, "{prior:?}");
    }
    assert_eq!(check(Some("Chest radiograph of 3 May")), []);
    clean("Cardiomegaly is unchanged.", "Stable cardiomegaly.");
}

#[test]
fn omissions_and_acute_findings() {
    let findings = "There is a left pneumothorax. Old rib fracture.";
    flagged(Kind::Omission, Severity::Advisory, findings, "Old rib fracture.");
    clean(findings, "Left pneumothorax.");
    clean("Possible pneumothorax.", "Clear lungs.");
    let guard = Guard::built_in().unwrap();
    let acute = guard.acute(findings, "Possible free air.");
    let short: Vec<_> = acute.iter().map(|a| (a.concept.as_str(), a.certain, a.section)).collect();
    assert_eq!(
        short,
        [("pneumothorax", true, Section::Findings), ("free_air", false, Section::Impression)]
    );
    for (text, label) in [
        ("Tension pneumothorax.", "Tension pneumothorax"),
        ("Large right pleural effusion.", "Large pleural effusion"),
        ("The endotracheal tube is malpositioned.", "Misplaced tube or line"),
        ("Free air under the diaphragm.", "Free air under the diaphragm"),
    ] {
        assert!(guard.acute(text, "").iter().any(|acute| acute.label == label), "{text}");
    }
    assert_eq!(guard.acute("No pneumothorax.", "No free air."), []);
}

#[test]
fn degenerate_texts() {
    let findings =
        "The heart is of normal size. The lungs are clear. There is no pleural effusion.";
    let hard = |impression| flagged(Kind::Degenerate, Severity::Hard, findings, impression);
    hard("");
    hard("No acute disease. 2.");
    hard("No acute disease in the");
    hard("Clear lungs. Normal heart. Clear lungs.");
    hard(findings);
    hard("### Response: No acute disease.");
    clean(findings, "1. Clear lungs. 2. Normal heart size.");
    clean(findings, "No acute disease");
    let guard = Guard::built_in().unwrap();
    assert_eq!(guard.check_part(findings, "No acute disease in the", None).flags, []);
    // Ended by the token limit: unfinished with any last word, and said once.
    for impression in ["Clear lungs and normal hea", "No acute disease in the", "Clear lungs.", ""]
    {
        let flags = guard.check_cut(findings, impression, None).flags;
        let [flag] = flags.as_slice() else { panic!("{impression:?}: {flags:?}") };
        assert_eq!(
            (flag.kind, flag.severity),
            (Kind::Degenerate, Severity::Hard),
            "{impression:?}"
        );
    }
}

#[test]
fn lines_and_support() {
    let findings = "The heart is enlarged.\r\nSmall left pleural effusion. No pneumothorax.";
    let impression = "1. Cardiomegaly.\r\n2. Left effusion. No pneumothorax.";
    let report = Guard::built_in().unwrap().check(findings, impression, None);
    let texts: Vec<&str> = report.lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(texts, ["Cardiomegaly.", "Left effusion.", "No pneumothorax."]);
    let support: Vec<Vec<String>> = report
        .lines
        .iter()
        .map(|line| line.support.iter().map(|[a, b]| slice(findings, *a, *b)).collect())
        .collect();
    assert_eq!(
        support,
        [["The heart is enlarged."], ["Small left pleural effusion."], ["No pneumothorax."]]
    );
    assert_eq!(report.flags, []);
}

fn slice(text: &str, start: usize, end: usize) -> String {
    text.chars().skip(start).take(end - start).collect()
}

#[test]
fn places_count_scalar_values() {
    let impression = "Œdème 😀 and a small right pleural effusion.";
    let found = flags("Œdème. 😀 Left pleural effusion.", impression);
    let side = found.iter().find(|flag| flag.kind == Kind::Side).unwrap();
    assert_eq!(slice(impression, side.start, side.end), "right");
    let [start, end] = side.findings.unwrap();
    assert_eq!(slice("Œdème. 😀 Left pleural effusion.", start, end), "😀 Left pleural effusion.");
}

#[test]
fn a_lexicon_of_ones_own() {
    let json = r#"{"version": 1, "concepts": [
        {"id": "quokka", "label": "quokka sign", "acute": "Quokka", "terms": ["quokka [sign]"]},
        {"id": "pneumonia", "terms": ["lung fever"], "seen_as": ["quokka"]}
    ], "cues": {"negation": ["nary a"]}}"#;
    let guard = Guard::new(Lexicon::extended("own.json", json).unwrap());
    let check = |findings, impression| guard.check(findings, impression, None).flags;
    assert_eq!(check("Clear lungs.", "Quokka sign.")[0].kind, Kind::Unsupported);
    assert_eq!(check("Quokka sign.", "Quokka. Lung fever."), []);
    assert_eq!(check("Nary a quokka.", "Quokka.")[0].kind, Kind::Negation);
    assert_eq!(guard.acute("Quokka.", "")[0].label, "Quokka");
}

#[test]
fn errors_in_a_lexicon_say_where() {
    for (json, words) in [
        ("{", &["own.json, line 1"][..]),
        (r#"{"version": 2}"#, &["version", "must be 1"]),
        (r#"{"version": 1, "words": []}"#, &["line 1", "words"]),
        (r#"{"version": 1, "concepts": [{"id": "a b"}]}"#, &["concept 1", "ASCII"]),
        (r#"{"version": 1, "concepts": [{"id": "a"}]}"#, &["concept 1 (\"a\")", "label"]),
        (r#"{"version": 1, "concepts": [{"id": "a", "label": "a"}]}"#, &["concept 1", "terms"]),
        (
            r#"{"version": 1, "concepts": [{"id": "edema", "terms": ["wet", "(lung"]}]}"#,
            &["concept 1 (\"edema\")", "term 2", "not closed"],
        ),
        (
            r#"{"version": 1, "concepts": [{"id": "edema", "seen_as": ["x"]}]}"#,
            &["concept 1", "seen_as", "\"x\"", "no concept"],
        ),
        (r#"{"version": 1, "sides": {"up": ["up"]}}"#, &["sides", "up"]),
        (r#"{"version": 1, "cues": {"maybe": ["perhaps"]}}"#, &["cues", "maybe"]),
        (r#"{"version": 1, "cues": {"negation": ["no", ""]}}"#, &["entry 2", "empty"]),
    ] {
        let error = Lexicon::extended("own.json", json).unwrap_err();
        assert!(matches!(error, Error::BadData { .. }), "{error:?}");
        let text = error.to_string();
        words.iter().for_each(|word| assert!(text.contains(word), "{json}: {text}"));
    }
}

/// 200 KB of every shape: what grows with the square would take minutes.
#[test]
fn long_texts_take_no_long_time() {
    let guard = Guard::built_in().unwrap();
    for piece in [
        "Small left pleural effusion, right 12 mm nodule. ",
        "no left opacity or right effusion, and ",
        "left ",
        "heart ",
        "1. ",
        "no or and with ",
        "12 x ",
        "5 mm ",
        "(((",
        "é😀",
        "x",
        "No acute cardiopulmonary abnormality.\n",
    ] {
        let long = piece.repeat(200_000 / piece.len());
        let begin = Instant::now();
        guard.check(&long, &long, Some(&long));
        let taken = begin.elapsed();
        assert!(taken.as_secs() < 10, "{piece:?}: {taken:?}");
    }
}

/// The text between two places that count UTF-16 code units.
fn slice_utf16(text: &str, [start, end]: [usize; 2]) -> String {
    let units: Vec<u16> = text.encode_utf16().collect();
    String::from_utf16(&units[start..end]).unwrap()
}

#[test]
fn places_in_utf16_slice_as_javascript_does() {
    let findings = "😀 Évidence. 😀😀 Right tension pneumothorax. Heart size is normal.";
    let impression = "😀 Left pneumothorax, é 😀.";
    let report = Guard::built_in().unwrap().check(findings, impression, None);
    let report = report.in_utf16(findings, impression);
    let line = &report.lines[0];
    assert_eq!(slice_utf16(impression, [line.start, line.end]), line.text);
    let [sentence] = line.support[..] else { panic!("{line:?}") };
    assert!(slice_utf16(findings, sentence).contains("Right tension pneumothorax"), "{sentence:?}");
    let side = report.flags.iter().find(|flag| flag.kind == Kind::Side).unwrap();
    assert!(slice_utf16(impression, [side.start, side.end]).contains("Left"), "{side:?}");
    let acute = &report.acute[0];
    assert!(slice_utf16(findings, [acute.start, acute.end]).contains("pneumothorax"), "{acute:?}");
    let last = report.flags.iter().filter_map(|flag| flag.findings);
    for place in last {
        slice_utf16(findings, place); // cuts no pair in two
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Places slice to what they stand for, whatever the texts are.
    #[test]
    fn places_are_places(
        findings in "([ a-zé0-9.,;:\r\n()-]|left|right|no |effusion|opacity|12 mm|😀|Nodule|1\\. ){0,30}",
        impression in "([ a-zé0-9.,;:\r\n()-]|left|right|no |effusion|opacity|13 mm|😀|Mass|1\\. ){0,30}",
    ) {
        let report = Guard::built_in().unwrap().check(&findings, &impression, None);
        let (there, own) = (findings.chars().count(), impression.chars().count());
        let mut before = 0;
        for line in &report.lines {
            prop_assert!(before <= line.start && line.start < line.end && line.end <= own);
            prop_assert_eq!(slice(&impression, line.start, line.end), line.text.clone());
            before = line.end;
            for [start, end] in &line.support {
                prop_assert!(start < end && *end <= there);
            }
        }
        for flag in &report.flags {
            prop_assert!(flag.start <= flag.end && flag.end <= own, "{:?}", flag);
            prop_assert!(flag.line < report.lines.len().max(1), "{:?}", flag);
        }
        let there: Vec<_> = report.lines.iter().flat_map(|line| &line.support).copied().collect();
        let turned = report.in_utf16(&findings, &impression);
        for line in &turned.lines {
            prop_assert_eq!(slice_utf16(&impression, [line.start, line.end]), line.text.clone());
        }
        for (before, now) in there.iter().zip(turned.lines.iter().flat_map(|line| &line.support)) {
            prop_assert_eq!(slice(&findings, before[0], before[1]), slice_utf16(&findings, *now));
        }
    }
}
