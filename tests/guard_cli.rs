//! `radllama guard`: its contract, what it refuses, and its own measurement.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use std::fs;
use std::path::PathBuf;

use common::{Ran, ok, run};
use serde_json::{Value, json};

struct Files(tempfile::TempDir);

impl Files {
    fn new(pairs: &[u8]) -> Files {
        let files = Files(tempfile::tempdir().unwrap());
        fs::write(files.path("pairs.jsonl"), pairs).unwrap();
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn args(&self, more: &[&str]) -> Vec<String> {
        let mut args = vec!["guard".to_owned(), "--pairs".to_owned()];
        args.push(self.path("pairs.jsonl").display().to_string());
        args.extend(more.iter().map(|arg| (*arg).to_owned()));
        args
    }

    fn run(&self, more: &[&str]) -> Ran {
        let args = self.args(more);
        run(&args.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn good(&self, more: &[&str]) -> Ran {
        let args = self.args(more);
        ok(&args.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

const PAIRS: &str = r#"{"id": "a", "findings": "Small left pleural effusion. Heart size is normal.", "impression": "1. Right pleural effusion. 2. No acute disease."}
{"id": "b", "findings": "Cardiomegaly.", "impression": "Stable cardiomegaly.", "prior": "Chest radiograph of May"}
{"id": "c", "findings": "Cardiomegaly.", "impression": "Stable cardiomegaly."}
"#;

#[test]
fn a_json_line_for_each_pair() {
    let ran = Files::new(PAIRS.as_bytes()).good(&["--json"]);
    let lines: Vec<Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["id"], "a");
    assert_eq!(
        lines[0]["lines"][0],
        json!({ "text": "Right pleural effusion.", "support": [[0, 28]] })
    );
    assert_eq!(lines[0]["flags"].as_array().unwrap().len(), 1);
    let flag = &lines[0]["flags"][0];
    for (name, value) in [
        ("kind", json!("side")),
        ("severity", json!("hard")),
        ("line", json!(0)),
        ("start", json!(3)),
        ("end", json!(8)),
    ] {
        assert_eq!(flag[name], value, "{name}");
    }
    assert!(flag["message"].as_str().unwrap().contains("other side"));
    assert_eq!(lines[1]["flags"], json!([]));
    assert_eq!(lines[2]["flags"][0]["kind"], "comparison");
}

#[test]
fn the_token_limit_is_told() {
    let pair = r#"{"id": "a", "findings": "Cardiomegaly.", "impression": "Cardiomegaly.", "stop": "STOP"}"#;
    for (stop, kinds) in [("length", vec!["degenerate"]), ("eos", vec![])] {
        let ran = Files::new(pair.replace("STOP", stop).as_bytes()).good(&["--json"]);
        let line: Value = serde_json::from_str(&ran.stdout).unwrap();
        let flags = line["flags"].as_array().unwrap();
        assert_eq!(flags.iter().map(|flag| &flag["kind"]).collect::<Vec<_>>(), kinds, "{stop}");
    }
}

#[test]
fn text_for_people() {
    let ran = Files::new(PAIRS.as_bytes()).good(&[]);
    assert!(ran.stdout.contains("hard side: "), "{}", ran.stdout);
    assert!(ran.stdout.contains("Right pleural effusion."), "{}", ran.stdout);
}

#[test]
fn bad_rows_are_named() {
    let good = PAIRS.lines().next().unwrap();
    let twice = format!("{good}\n{good}\n");
    for (pairs, code, words) in [
        (twice.as_bytes().to_vec(), "duplicate_id", &["line 1", "line 2"][..]),
        (format!("{good}\nsecret\n").into_bytes(), "bad_data", &["line 2", "JSON"]),
        (br#"{"id": "a", "findings": "secret"}"#.to_vec(), "bad_data", &["line 1", "impression"]),
        ([good.as_bytes(), b"\n{\"id\": \"\xff\"}"].concat(), "bad_data", &["line 2", "UTF-8"]),
        (
            br#"{"id": "a", "findings": "x", "impression": "y", "prior": 3}"#.to_vec(),
            "bad_data",
            &["line 1", "prior"],
        ),
    ] {
        let ran = Files::new(&pairs).run(&["--json"]);
        assert_eq!(ran.code, 1, "{ran:?}");
        let error: Value = serde_json::from_str(ran.stdout.lines().last().unwrap()).unwrap();
        assert_eq!(error["error"]["code"], code, "{ran:?}");
        let message = error["error"]["message"].as_str().unwrap();
        words.iter().for_each(|word| assert!(message.contains(word), "{message}"));
        assert!(!message.contains("secret"), "{message}");
    }
}

#[test]
fn a_lexicon_file_extends() {
    let files = Files::new(br#"{"id": "a", "findings": "Clear lungs.", "impression": "Quokka."}"#);
    let lexicon = files.path("own.json");
    let name = lexicon.display().to_string();
    let own =
        r#"{"version": 1, "concepts": [{"id": "q", "label": "quokka", "terms": ["quokka"]}]}"#;
    fs::write(&lexicon, own).unwrap();
    let ran = files.good(&["--json", "--lexicon", &name]);
    assert!(ran.stdout.contains("the findings do not mention quokka"), "{}", ran.stdout);
    fs::write(&lexicon, own.replace("[\"quokka\"]", "[\"\"]")).unwrap();
    let ran = files.run(&["--json", "--lexicon", &name]);
    assert!(ran.code == 1 && ran.stdout.contains("concept 1"), "{ran:?}");
}

#[test]
fn the_guard_is_measured() {
    let mut pairs = String::new();
    for row in 0..12 {
        let side = if row % 2 == 0 { "left" } else { "right" };
        let pair = json!({
            "id": format!("p{row}"),
            "findings": format!("There is a small {side} pleural effusion. No pneumothorax. A nodule of 7 mm."),
            "impression": format!("Small {side} pleural effusion. No pneumothorax."),
        });
        pairs.push_str(&format!("{pair}\n"));
    }
    let files = Files::new(pairs.as_bytes());
    let (page, text) = (files.path("page"), files.path("text.jsonl"));
    let more = [
        "--json",
        "--eval",
        "--seed",
        "4",
        "--report",
        page.to_str().unwrap(),
        "--with-text",
        text.to_str().unwrap(),
    ];
    let figures: Value = files.good(&more).json();
    assert_eq!(figures["reports"], 12);
    assert_eq!(figures["severities"]["hard"]["count"], 0);
    for kind in ["side", "negation", "measurement", "repetition", "echo"] {
        let recall = &figures["planted"][kind]["recall"];
        assert!(recall["of"].as_u64().unwrap() >= 12, "{kind}: {recall}");
        assert_eq!(recall["count"], recall["of"], "{kind}");
        assert!(recall["low"].as_f64().unwrap() > 0.7, "{kind}: {recall}");
    }
    // The same seed, the same errors; and no report's text among the figures.
    let again: Value = files.good(&more).json();
    assert_eq!(again["planted"], figures["planted"]);
    for name in ["figures.json", "report.md", "confusion.jsonl"] {
        let written = fs::read_to_string(page.join(name)).unwrap();
        assert!(!written.is_empty() && !written.contains("Small"), "{name}");
    }
    assert!(text.exists());
}
