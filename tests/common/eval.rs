//! Pairs and outputs written for the tests of `radllama eval`, in a folder of their own.
#![allow(dead_code, reason = "every test binary uses its own part")]
#![allow(unreachable_pub, reason = "the module is copied into each test binary")]

use std::fs;
use std::path::PathBuf;

use crate::common::{Ran, run};
use serde_json::{Value, json};
use tempfile::TempDir;

pub const TRAIN: &[[&str; 2]] = &[
    ["The heart is normal in size. The lungs are clear.", "No acute disease."],
    ["Heart size normal. Lungs clear.", "No acute disease."],
    ["The heart is enlarged. Vascular congestion.", "Cardiomegaly with congestion."],
    ["The heart is enlarged. There is congestion.", "Cardiomegaly and vascular congestion."],
    ["Right basilar opacity and small effusion.", "Right basilar pneumonia."],
];

/// Findings, impression, output, whether abnormal.
pub const PAIRS: &[(&str, &str, &str, bool)] = &[
    (
        "The heart is normal in size. The lungs are clear.",
        "No acute disease.",
        "No acute disease.",
        false,
    ),
    (
        "The heart is enlarged. There is some congestion.",
        "Cardiomegaly, congestion.",
        "Cardiomegaly.",
        true,
    ),
    ("Small right effusion. Right basilar opacity.", "Right pneumonia suspected.", "", true),
    (
        "Zweihundertelf wirre Worte, never seen.",
        "Stable exam.",
        "Stable exam. Same old. Same old. Stable exam.",
        false,
    ),
    (
        "The lungs are clear and the heart size is normal today.",
        "No acute disease.",
        "### Response: no",
        false,
    ),
    ("There is a tube.", "Tube in place.", "There is a tube.", true),
];

pub struct Files {
    pub dir: TempDir,
}

impl Files {
    pub fn new() -> Files {
        let files = Files { dir: tempfile::tempdir().unwrap() };
        let train = TRAIN
            .iter()
            .enumerate()
            .map(|(n, [f, i])| json!({ "id": format!("t{n}"), "findings": f, "impression": i }));
        files.lines("train.jsonl", train);
        let pairs = PAIRS.iter().enumerate().map(|(n, (f, i, _, a))| {
            json!({ "id": format!("p{n}"), "findings": f, "impression": i, "abnormal": a })
        });
        files.lines("pairs.jsonl", pairs);
        files.lines("outputs.jsonl", outputs(0..PAIRS.len()));
        files
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn str(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    pub fn lines(&self, name: &str, values: impl IntoIterator<Item = Value>) {
        let lines: Vec<String> = values.into_iter().map(|value| format!("{value}\n")).collect();
        fs::write(self.path(name), lines.concat()).unwrap();
    }

    /// `radllama eval --pairs pairs.jsonl --json` with few resamples; words that are files here are
    /// given with their folder.
    pub fn eval(&self, args: &[&str]) -> Ran {
        let pairs = self.str("pairs.jsonl");
        let args: Vec<String> = args
            .iter()
            .map(|arg| {
                if arg.contains(".json") || *arg == "page" {
                    self.str(arg)
                } else {
                    (*arg).to_owned()
                }
            })
            .collect();
        let mut all = vec!["eval", "--json"];
        if !args.iter().any(|arg| arg == "--resamples") {
            all.extend(["--resamples", "200"]);
        }
        if !args.iter().any(|arg| arg == "--pairs") {
            all.extend(["--pairs", &pairs]);
        }
        all.extend(args.iter().map(String::as_str));
        run(&all)
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }
}

pub fn outputs(rows: impl IntoIterator<Item = usize>) -> Vec<Value> {
    rows.into_iter()
        .map(|n| json!({ "id": format!("p{n}"), "impression": PAIRS[n].2, "tokens": [1, 2] }))
        .collect()
}

pub fn good(ran: Ran) -> Value {
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.json()
}

pub fn system<'v>(json: &'v Value, name: &str) -> &'v Value {
    json["systems"].as_array().unwrap().iter().find(|system| system["name"] == name).unwrap()
}

pub fn subset<'v>(system: &'v Value, name: &str) -> &'v Value {
    system["subsets"].as_array().unwrap().iter().find(|subset| subset["name"] == name).unwrap()
}

pub fn close(value: &Value, expected: f64) {
    assert!((value.as_f64().unwrap() - expected).abs() < 1e-9, "{value}, not {expected}");
}

/// Checks that a run failed with this error, without report text in it.
pub fn refused(ran: &Ran, code: &str, words: &[&str]) {
    assert_eq!(ran.code, 1, "{ran:?}");
    let error = &ran.json()["error"];
    assert_eq!(error["code"], code, "{ran:?}");
    let message = error["message"].as_str().unwrap();
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
    for word in ["enlarged", "Cardiomegaly", "secret", "panicked"] {
        assert!(!ran.stderr.contains(word) && !ran.stdout.contains(word), "{ran:?}");
    }
}
