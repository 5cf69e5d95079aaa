use radllama::data::filter::{Changes, Filters, Words};
use radllama::data::pairs::Pair;
use serde_json::json;

use crate::common::save;
use crate::fixtures::{ids, lines, prepared};

fn filtered(filters: &Filters, findings: &str, impression: &str) -> (Pair, Option<&'static str>) {
    let mut pair = Pair::new("1", findings, impression);
    let reason = filters.apply(&mut pair, &mut Changes::default());
    (pair, reason)
}

#[test]
fn nothing_changes_by_default() {
    let text = " 1. XXXX  told Dr. ___ by telephone.\n\n2. Clear. ";
    let (pair, reason) = filtered(&Filters::default(), text, text);
    assert_eq!((pair, reason), (Pair::new("1", text, text), None));
}

#[test]
fn list_numbers_go_where_they_are_list_numbers() {
    let filters = Filters { number_prefixes: true, ..Filters::default() };
    for (text, expected) in [
        ("1. Clear. 2. Stable nodule.", "Clear. Stable nodule."),
        ("1) Clear.\n2) Stable.\n 3) New.", "Clear.\nStable.\n New."),
        ("(1) Clear. (2) Stable.", "Clear. Stable."),
        ("1.  Disc at level 3. 2. Effusion.", "Disc at level 3. Effusion."),
        ("Seen at level 3. 2 nodules remain.", "Seen at level 3. 2 nodules remain."),
        ("Nodule. 4. is no list", "Nodule. 4. is no list"),
        ("2.5 cm nodule.", "2.5 cm nodule."),
        ("1.5 cm nodule. 2. Effusion.", "1.5 cm nodule. 2. Effusion."),
        ("12 ribs. 2023. Old.", "12 ribs. 2023. Old."),
        ("1. As compared to ___ 2. Wider.", "As compared to ___ Wider."),
        ("1. 2. Clear.", "2. Clear."),
        ("Chest. 1. Clear. 2. Hazy. Knee. 1. Normal.", "Chest. Clear. Hazy. Knee. Normal."),
        ("1.Severe. 2.Clear.", "Severe. Clear."),
        ("1.a is kept", "1.a is kept"),
        ("", ""),
    ] {
        let (pair, _) = filtered(&filters, "1. stays", text);
        assert_eq!((pair.impression.as_str(), pair.findings.as_str()), (expected, "1. stays"));
    }
}

#[test]
fn sentences_about_communication_go() {
    let filters = Filters { communication: true, ..Filters::default() };
    for (text, expected) in [
        (
            "Pneumothorax. Findings were discussed with Dr. ___ by telephone at 3:40 p.m. on ___. \
             Tube is unchanged.",
            "Pneumothorax. Tube is unchanged.",
        ),
        (
            "Clear. Dr. J. Doe was notified by phone at 10 a.m. The heart is large.",
            "Clear. The heart is large.",
        ),
        (
            "1. Effusion.\n2. Results were communicated to the referring\n physician.\n3. Clear.",
            "1. Effusion.\n3. Clear.",
        ),
        ("Effusion, telephoned at the time of discovery", ""),
        // Anatomy communicates too, and reports report.
        ("The fluid communicates with the pleura.", "The fluid communicates with the pleura."),
        ("Nodule, as previously reported.", "Nodule, as previously reported."),
        ("Discussed vs. the prior, 3.5 cm. Stable.", "Discussed vs. the prior, 3.5 cm. Stable."),
    ] {
        let (pair, reason) = filtered(&filters, "Seen.", text);
        assert_eq!(pair.impression, expected);
        assert_eq!(reason, expected.is_empty().then_some("empty_after_filters"));
    }
    let mut changes = Changes::default();
    let told = "Told. Paged to Dr. ___. Relayed to the nurse.";
    filters.apply(&mut Pair::new("1", told, told), &mut changes);
    assert_eq!((changes.communication, changes.communication_sentences), (1, 4));
}

#[test]
fn marks_are_found_and_replaced() {
    let filters = Filters { mark: Some("[X]".into()), ..Filters::default() };
    let text = "___ and XXXX-XXXXXXX, __ XXX ____ é___";
    assert_eq!(filtered(&filters, text, "a").0.findings, "[X] and [X]-[X], __ XXX [X] é[X]");
    let most = |max| Filters { max_marks: Some(max), ..Filters::default() };
    assert_eq!(filtered(&most(5), text, "a").1, None);
    assert_eq!(filtered(&most(5), text, "XXXX").1, Some("too_many_marks"));
}

#[test]
fn lengths_are_bounds_that_may_be_reached() {
    let words = |min, max| Words { min: Some(min), max: Some(max) };
    let filters = Filters {
        findings_words: words(2, 3),
        impression_words: words(1, 2),
        ..Filters::default()
    };
    for (findings, impression, expected) in [
        ("a b", "a", None),
        ("a b\nc", "a b", None),
        ("a", "a", Some("findings_too_short")),
        ("a b c d", "a", Some("findings_too_long")),
        ("a b", "a b c", Some("impression_too_long")),
    ] {
        assert_eq!(filtered(&filters, findings, impression).1, expected);
    }
}

#[test]
fn the_command_counts_what_filters_do() {
    let dir = tempfile::tempdir().unwrap();
    let rows = "id,findings,impression\n\
                a,one two three,1. Clear. 2. Told Dr. ___. Discussed with Dr. ___.\n\
                b,one two three,Called to the team.\n\
                c,one,Clear.\n\
                d,\"one  two\n three\",XXXX Clear.\n";
    let input = save(dir.path(), "in.csv", rows.as_bytes());
    let output = dir.path().join("out");
    let statistics = prepared(&[
        "pairs",
        input.to_str().unwrap(),
        "--output",
        output.to_str().unwrap(),
        "--strip-numbers",
        "--strip-communication",
        "--join-lines",
        "--mark",
        "[X]",
        "--min-findings-words",
        "3",
        "--max-impression-words",
        "5",
    ]);
    assert_eq!(ids(&output.join("pairs.jsonl")), ["a", "d"]);
    assert_eq!(
        statistics["changed"],
        json!({ "number_prefixes": 1, "communication": 2, "communication_sentences": 2,
                "mark": 2, "join_lines": 1 })
    );
    assert_eq!(
        statistics["left_out"],
        json!({
            "empty_after_filters": { "reports": 1, "first": ["b"] },
            "findings_too_short": { "reports": 1, "first": ["c"] },
        })
    );
    assert_eq!(statistics["filters"]["findings_words"]["min"], 3);
    let pairs = lines(&output.join("pairs.jsonl"));
    assert_eq!(pairs[0]["impression"], "Clear. Told Dr. [X].");
    assert_eq!(pairs[1]["findings"], "one two three");
}
