//! `radllama export`: its contract, what it refuses, and where its files end up. Whether the formats are what they
//! claim to be is for tests/browser/export.test.js, with parsers that are not ours.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use std::fs;
use std::path::PathBuf;

use common::{Ran, radllama, run, run_with};
use radllama::export::{Format, Report, export, file_name};
use serde_json::{Value, json};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new(input: &[u8]) -> Folder {
        let folder = Folder(tempfile::tempdir().unwrap());
        fs::write(folder.path("in.jsonl"), input).unwrap();
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn export(&self, format: &str, out: &str) -> (Ran, Value) {
        let (input, out) = (self.path("in.jsonl"), self.0.path().join(out));
        let (input, out) = (input.display().to_string(), out.display().to_string());
        let ran = run(&["export", "--json", "--format", format, "--input", &input, "--out", &out]);
        let value = serde_json::from_str(&ran.stdout).unwrap_or(Value::Null);
        (ran, value)
    }

    fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[test]
fn a_file_for_each_report_and_each_bad_line_by_its_number() {
    let folder = Folder::new(
        b"\xef\xbb\xbf{\"id\": \"a\", \"findings\": \"Clear.\", \"impression\": \"Normal.\", \"timings\": {\"x\": 1}}\n\
          {\"id\": \"b\", \"findings\": \"Private\", \"impression\": 5}\n\
          \n\
          {\"id\": \"c\", \"findings\": \"Private\"}\n\
          {\"id\": \"a\", \"impression\": \"Private\"}\n\
          {\"id\": \"d\", \"impression\": \"Private\"\n\
          {\"id\": \"e\", \"impression\": \"Pr\xefvate\"}\n\
          {\"id\": \"f\", \"impression\": \"Private\", \"impression\": \"x\"}\n\
          {\"id\": \"g\", \"impression\": \"Private\", \"time\": \"yesterday\"}\n\
          {\"id\": \"h\", \"impression\": \"Pri\\u0007vate\"}\n\
          {\"id\": \"i\", \"impression\": \"Private\", \"communications\": [{\"who\": \"Private\"}]}\n\
          {\"id\": \"j\", \"impression\": \"Private\", \"provenance\": {\"model_sha256\": [\"abc\"]}}\n\
          {\"id\": \"k\", \"impression\": \"Private\", \"provenance\": {\"origin\": \"Private\"}}\n\
          [\"Private\"]\n\
          {\"id\": \"z\", \"findings\": \"Clear.\", \"impression\": \"Normal.\"}\n",
    );
    let (ran, value) = folder.export("fhir", "out/");
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert_eq!(folder.names("out"), ["a.fhir.json", "z.fhir.json"]);
    assert_eq!(value["files"].as_array().unwrap().len(), 2);
    let failed: Vec<(u64, &str)> = value["failed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|failed| {
            let message = failed["message"].as_str().unwrap();
            let line = message.rsplit("line ").next().unwrap();
            let line = line.split(|c: char| !c.is_ascii_digit()).next().unwrap();
            let first = message.split(", line ").nth(1).unwrap();
            let first = first.split(|c: char| !c.is_ascii_digit()).next().unwrap();
            let line = if failed["code"] == "duplicate_id" { line } else { first };
            (line.parse().unwrap(), failed["code"].as_str().unwrap())
        })
        .collect();
    let expected = [
        (2, "bad_data"),
        (4, "bad_data"),
        (5, "duplicate_id"),
        (6, "bad_data"),
        (7, "bad_data"),
        (8, "bad_data"),
        (9, "bad_option"),
        (10, "bad_text"),
        (11, "bad_data"),
        (12, "bad_data"),
        (13, "bad_data"),
        (14, "bad_data"),
    ];
    assert_eq!(failed, expected, "{}", ran.stdout);
    assert!(!(ran.stdout + &ran.stderr).contains("rivate"), "an error quotes a report");
}

#[test]
fn a_file_takes_one_report() {
    let folder = Folder::new(b"{\"impression\": \"One.\"}\n{\"impression\": \"Two.\"}\n");
    let (ran, value) = folder.export("text", "report.txt");
    assert_eq!(ran.code, 1);
    assert!(value["failed"][0]["message"].as_str().unwrap().contains("line 2"), "{value}");
    assert!(fs::read_to_string(folder.path("report.txt")).unwrap().contains("1. One.\n"));
    let (ran, value) = folder.export("text", "out/");
    assert_eq!((ran.code, value["failed"].as_array().unwrap().len()), (0, 0));
    assert_eq!(folder.names("out"), ["report-1.txt", "report-2.txt"]);
    assert_eq!(folder.names(""), ["in.jsonl", "out", "report.txt"], "something partial is left");
}

#[test]
fn nothing_to_export_is_an_error() {
    let folder = Folder::new(b"\n\n");
    let (ran, value) = folder.export("hl7", "out/");
    assert_eq!((ran.code, &value["error"]["code"]), (1, &json!("bad_data")));
    let ran = run(&["export", "--format", "pdf", "--out", "x"]);
    assert_ne!(ran.code, 0);
    assert!(ran.stderr.contains("markdown"), "{}", ran.stderr);
}

#[test]
fn stdin_and_times_of_the_callers() {
    let folder = Folder::new(b"");
    let out = folder.path("r.hl7").display().to_string();
    let time = ["--time", "2026-11-27T10:30:00+01:00"];
    let args = [&["export", "--format", "hl7", "--out", &out], &time[..]].concat();
    let ran = run_with(radllama(&args), b"{\"id\": 7, \"impression\": \"Normal.\"}\n");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let message = fs::read_to_string(&out).unwrap();
    assert!(message.starts_with("MSH|^~\\&|radllama||||20261127103000+0100||ORU^R01^ORU_R01|"));
    let without = &args[..5];
    let ran = run_with(radllama(without), b"{\"id\": 7, \"impression\": \"Normal.\"}\n");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let message = fs::read_to_string(&out).unwrap();
    let now = message.split('|').nth(6).unwrap();
    assert!(now.len() == 19 && now.starts_with("20") && now.ends_with("+0000"), "{now}");
}

#[test]
fn lines_of_a_batch_get_their_findings_and_their_model() {
    let folder = Folder::new(
        b"{\"id\": \"7\", \"row\": 1, \"impression\": \"Normal.\", \"lines\": [], \"flags\": [], \"acute\": [], \"stop\": \"eos\"}\n\
          {\"id\": \"8\", \"row\": 2, \"error\": {\"code\": \"prompt_too_long\", \"message\": \"x\"}}\n",
    );
    fs::write(folder.path("b.csv"), "key;text;comparison\n7;\"Clear.\nNo effusion.\";May\n8;x;\n")
        .unwrap();
    let side = json!({
        "radllama": "9.9.9", "model": "base + chest", "model_sha256": ["a1".repeat(32)],
        "adapter_sha256": ["c3".repeat(32), "b2".repeat(32)],
        "reading": { "columns": { "id": "key", "findings": "text" } },
    });
    fs::write(folder.path("in.jsonl.run.json"), side.to_string()).unwrap();
    let path = |name: &str| folder.path(name).display().to_string();
    let (input, rows, out) = (path("in.jsonl"), path("b.csv"), path("out/"));
    let args =
        ["export", "--format", "text", "--input", &input, "--findings", &rows, "--out", &out];
    assert_eq!(run(&args).code, 1, "the row with an error has no impression");
    let text = fs::read_to_string(folder.path("out/7.txt")).unwrap();
    for part in [
        "COMPARISON:\nMay\n".to_owned(),
        "FINDINGS:\nClear.\nNo effusion.\n".to_owned(),
        "Written with: radllama 9.9.9".to_owned(),
        format!("Model: base + chest, SHA-256 {}", "a1".repeat(32)),
        format!("SHA-256 {}", "b2".repeat(32)),
        "whether a person edited it is not recorded".to_owned(),
    ] {
        assert!(text.contains(&part), "{part} is not in {text}");
    }
}

#[test]
fn names_are_safe_and_their_own() {
    for id in ["CXR12", "s50414267", "a.b-c_d"] {
        assert_eq!(file_name(Some(id)), id);
    }
    let long = "x".repeat(300);
    let ids = [
        "../../etc/passwd",
        "a/b",
        "a_b/",
        "a\\b",
        "con",
        "NUL.x",
        "COM1",
        "",
        ".",
        "..",
        "é",
        "è",
        "-rf",
        "a.",
        &long,
    ];
    let names: std::collections::BTreeSet<String> =
        ids.iter().map(|id| file_name(Some(id))).collect();
    assert_eq!(names.len(), ids.len(), "{names:?}");
    for name in &names {
        let safe = name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        assert!(safe && name.len() < 100 && !name.starts_with(['.', '-']), "{name}");
    }
    let folder = Folder::new(
        b"{\"id\": \"A\", \"impression\": \"x\"}\n{\"id\": \"a\", \"impression\": \"x\"}\n{\"id\": \"../a\", \"impression\": \"x\"}\n",
    );
    let (ran, _) = folder.export("text", "out/");
    assert_eq!(ran.code, 0);
    let names: std::collections::BTreeSet<String> =
        folder.names("out").iter().map(|name| name.to_lowercase()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
}

#[test]
fn what_the_program_prints_can_be_exported() {
    let guard = json!({
        "id": "g", "impression": "1. Pneumothorax. 2. Effusion.", "comparison": "None.", "model": "m",
        "guard": {
            "lines": [{ "text": "Pneumothorax.", "start": 3, "end": 16, "support": [] }],
            "flags": [{ "kind": "side", "severity": "hard", "line": 1, "start": 0, "end": 1, "message": "other side" }],
            "acute": [{ "concept": "pneumothorax", "label": "pneumothorax", "certain": true, "section": "impression", "start": 0, "end": 1 }],
        },
    });
    let report = Report::from_json(&guard.to_string()).unwrap();
    assert_eq!(report.impression, ["Pneumothorax.", "Effusion."]);
    assert_eq!(report.checks, ["Hard, side, line 2: other side"]);
    let text = String::from_utf8(export(&report, Format::Text).unwrap()).unwrap();
    for part in [
        "pneumothorax: no communication is recorded.",
        "Model: m\n",
        "COMPARISON:\nNone.",
        "language model; whether",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    // `radllama impression --json`, where `adapter` is the GPU's.
    let written = json!({ "text": "Normal.", "model": "m", "adapter": "llvmpipe", "stop": "eos" });
    let report = Report::from_json(&written.to_string()).unwrap();
    let text = String::from_utf8(export(&report, Format::Text).unwrap()).unwrap();
    assert!(text.contains("1. Normal.\n") && !text.contains("llvmpipe"), "{text}");
}

#[test]
fn formats_say_what_they_cannot_hold() {
    let report = |fields: Value| {
        let mut all = json!({ "impression": "Normal.", "time": "2026-11-27T10:30:00Z" });
        all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        Report::from_json(&all.to_string()).unwrap()
    };
    let error = |fields: Value, format| export(&report(fields), format).unwrap_err().to_string();
    assert!(
        error(json!({ "accession": "12345678901234567" }), Format::Dicom).contains("17 characters")
    );
    assert!(
        error(json!({ "language": "zh-Hant-TW-x-longer" }), Format::Dicom)
            .contains("19 characters")
    );
    assert!(error(json!({ "patient": { "id": "a\\b" } }), Format::Dicom).contains("backslash"));
    assert!(error(json!({ "patient": { "family": "a^b" } }), Format::Dicom).contains('^'));
    assert!(error(json!({ "patient": { "family": "Doe" } }), Format::Hl7).contains("PID-3"));
    assert!(error(json!({ "findings": "x".repeat(65_537) }), Format::Hl7).contains("65536"));
    assert!(error(json!({ "time": null }), Format::Fhir).contains("time"));
    assert!(error(json!({ "study_uid": "1.02" }), Format::Text).contains("study_uid"));
    assert!(error(json!({ "language": "e n" }), Format::Text).contains("language"));
    assert!(export(&report(json!({ "time": null })), Format::Markdown).is_ok());
}

#[test]
fn the_same_report_gives_the_same_bytes() {
    let report = |impression: &str| {
        let json = json!({ "impression": impression, "findings": "Clear.", "time": "2026-11-27T10:30:00Z" });
        Report::from_json(&json.to_string()).unwrap()
    };
    for format in Format::ALL {
        let (a, b) = (export(&report("Normal."), format), export(&report("Normal."), format));
        assert_eq!(a, b);
        assert_ne!(a.unwrap(), export(&report("Normal!"), format).unwrap());
    }
}
