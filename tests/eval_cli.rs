//! `radllama eval` on pairs written for this test: scores, reports, runs in shards, and what it refuses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{Ran, Tiny, ok, run};
use radllama::gguf::TensorType;
use serde_json::{Value, json};
use tempfile::TempDir;

const TRAIN: &[[&str; 2]] = &[
    ["The heart is normal in size. The lungs are clear.", "No acute disease."],
    ["Heart size normal. Lungs clear.", "No acute disease."],
    ["The heart is enlarged. Vascular congestion.", "Cardiomegaly with congestion."],
    ["The heart is enlarged. There is congestion.", "Cardiomegaly and vascular congestion."],
    ["Right basilar opacity and small effusion.", "Right basilar pneumonia."],
];

/// Findings, impression, output, whether abnormal.
const PAIRS: &[(&str, &str, &str, bool)] = &[
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

struct Files {
    dir: TempDir,
}

impl Files {
    fn new() -> Files {
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

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn str(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn lines(&self, name: &str, values: impl IntoIterator<Item = Value>) {
        let lines: Vec<String> = values.into_iter().map(|value| format!("{value}\n")).collect();
        fs::write(self.path(name), lines.concat()).unwrap();
    }

    /// `radllama eval --pairs pairs.jsonl --json` with few resamples; words that are files here are
    /// given with their folder.
    fn eval(&self, args: &[&str]) -> Ran {
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

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }
}

fn outputs(rows: impl IntoIterator<Item = usize>) -> Vec<Value> {
    rows.into_iter()
        .map(|n| json!({ "id": format!("p{n}"), "impression": PAIRS[n].2, "tokens": [1, 2] }))
        .collect()
}

fn good(ran: Ran) -> Value {
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.json()
}

fn system<'v>(json: &'v Value, name: &str) -> &'v Value {
    json["systems"].as_array().unwrap().iter().find(|system| system["name"] == name).unwrap()
}

fn subset<'v>(system: &'v Value, name: &str) -> &'v Value {
    system["subsets"].as_array().unwrap().iter().find(|subset| subset["name"] == name).unwrap()
}

fn close(value: &Value, expected: f64) {
    assert!((value.as_f64().unwrap() - expected).abs() < 1e-9, "{value}, not {expected}");
}

#[test]
fn given_outputs_stand_beside_the_baselines() {
    let files = Files::new();
    let json = good(files.eval(&[
        "--outputs",
        "outputs.jsonl",
        "--train",
        "train.jsonl",
        "--per-item",
        "items.jsonl",
        "--report",
        "page",
    ]));
    let names: Vec<&str> =
        json["systems"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["outputs", "constant", "copy", "retrieval"]);
    let own = system(&json, "outputs");
    let all = subset(own, "all");
    // By hand: 1, 2/3, 0, 2·(2/8)/(2/8 + 1), 2·(1/2·1/3)/(5/6), 2·(1/4·1/3)/(7/12).
    close(&all["rouge1"]["f1"], (1.0 + 2.0 / 3.0 + 0.0 + 0.4 + 0.4 + 2.0 / 7.0) / 6.0);
    assert_eq!(all["count"], 6);
    let (low, high) =
        (all["rouge1"]["low"].as_f64().unwrap(), all["rouge1"]["high"].as_f64().unwrap());
    assert!(low < 0.45 && 0.47 < high && high <= 1.0, "{low} {high}");
    for (name, count) in [("unseen", 5), ("seen", 1), ("abnormal", 3), ("normal", 3)] {
        assert_eq!(subset(own, name)["count"], count, "{name}");
    }
    let expected = json!({ "empty": 1, "loops": 1, "prompt_echoes": 1, "copies_of_findings": 1 });
    assert_eq!(own["degenerate"], expected);
    // 3 + 1 + 0 + 8 + 2 + 4 words against 3 + 2 + 3 + 2 + 3 + 3.
    close(&own["length_ratio"], 18.0 / 16.0);
    // The constant is the most frequent impression; two references are just that.
    let constant = subset(system(&json, "constant"), "normal");
    close(&constant["rouge1"]["f1"], 2.0 / 3.0);
    let retrieval = subset(system(&json, "retrieval"), "abnormal");
    assert!(retrieval["rouge1"]["f1"].as_f64().unwrap() > 0.4, "{retrieval}");
    let differences = json["differences"].as_array().unwrap();
    let against: Vec<&Value> = differences.iter().filter(|d| d["subset"] == "all").collect();
    assert_eq!(against.len(), 3);
    let share = against[0]["rouge1"]["below_zero"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&share), "{share}");

    let items: Vec<Value> =
        files.read("items.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((items.len(), &items[1]["id"]), (6, &json!("p1")));
    close(&items[1]["rouge1"]["precision"], 1.0);
    close(&items[1]["rougeLsum"]["recall"], 0.5);

    for page in ["page/report.html", "page/report.md"] {
        let text = files.read(page);
        for word in ["outputs", "retrieval", "unseen", "ROUGE-L"] {
            assert!(text.contains(word), "{word} is not in {page}");
        }
        for word in ["enlarged", "Cardiomegaly", "wirre", "Same old"] {
            assert!(!text.contains(word), "{page} tells report text");
        }
    }
    let args = ["--outputs", "outputs.jsonl", "--report", "page", "--with-text"];
    good(files.eval(&args));
    let page = files.read("page/report.html");
    assert!(page.contains("wirre") && page.contains("### Response: no"));
    assert!(
        !page.contains("http://")
            || page.matches("http://").count() == page.matches("www.w3.org").count()
    );
}

#[test]
fn what_cannot_be_told_is_said() {
    let files = Files::new();
    let pairs = (0..2).map(|n| json!({ "id": n, "findings": "a", "impression": PAIRS[n].1 }));
    files.lines("bare.jsonl", pairs);
    let outputs = (0..2).map(|n| json!({ "id": n, "impression": PAIRS[n].1 }));
    files.lines("o.jsonl", outputs);
    let json = good(files.eval(&["--pairs", "bare.jsonl", "--outputs", "o.jsonl", "--no-stemmer"]));
    let notes = json["notes"].to_string();
    assert!(notes.contains("--train") && notes.contains("abnormal"), "{notes}");
    let subsets = system(&json, "o")["subsets"].as_array().unwrap();
    assert_eq!(subsets.len(), 1);
    close(&subsets[0]["rouge2"]["f1"], 1.0);
    // People get tables.
    let (pairs, own) = (files.str("bare.jsonl"), files.str("o.jsonl"));
    let ran = ok(&["eval", "--pairs", &pairs, "--outputs", &own, "--resamples", "10"]);
    assert!(ran.stdout.contains("| o ") && ran.stdout.contains("1.000 [1.000, 1.000]"), "{ran:?}");
}

#[test]
fn systems_are_compared_pair_by_pair() {
    let files = Files::new();
    let same = ["--outputs", "outputs.jsonl", "--compare", "b=FILE"]
        .map(|arg| arg.replace("FILE", &files.str("outputs.jsonl")));
    let mut args: Vec<&str> = same.iter().map(String::as_str).collect();
    args[3] = &same[3];
    let pairs = files.str("pairs.jsonl");
    let mut all = vec!["eval", "--json", "--pairs", &pairs, "--resamples", "50"];
    let own = files.str("outputs.jsonl");
    all.extend(["--outputs", own.as_str(), "--compare", args[3]]);
    let json = good(run(&all));
    let difference = json["differences"].as_array().unwrap().iter().find(|d| d["against"] == "b");
    let gain = &difference.unwrap()["rougeL"];
    let zero = json!({ "difference": 0.0, "low": 0.0, "high": 0.0, "below_zero": 0.0 });
    assert_eq!(gain, &zero);
}

#[test]
fn shards_are_joined_and_nothing_may_be_missing() {
    let files = Files::new();
    files.lines("a.jsonl", outputs([1, 3, 5]));
    files.lines("b.jsonl", outputs([4, 2, 0]));
    let whole = good(files.eval(&["--outputs", "outputs.jsonl", "--name", "x"]));
    let args =
        ["--outputs", "b.jsonl", "--outputs", "a.jsonl", "--name", "x", "--save", "all.jsonl"];
    assert_eq!(good(files.eval(&args)), whole);
    assert_eq!(files.read("all.jsonl"), files.read("outputs.jsonl"));

    refused(&files.eval(&["--outputs", "a.jsonl"]), "bad_data", &["3 of 6", "--partial"]);
    let partial = good(files.eval(&["--outputs", "a.jsonl", "--partial"]));
    assert_eq!(subset(system(&partial, "a"), "all")["count"], 3);
    assert!(partial["notes"].to_string().contains("Only 3 of 6"));
    let twice = files.eval(&["--outputs", "a.jsonl", "--outputs", "a.jsonl"]);
    refused(&twice, "duplicate_id", &["p1", "line 1"]);
}

/// Checks that a run failed with this error, without report text in it.
fn refused(ran: &Ran, code: &str, words: &[&str]) {
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

#[test]
fn bad_input_is_refused() {
    let files = Files::new();
    let own = ["--outputs", "outputs.jsonl"];
    let pairs = |name: &str, text: &str| {
        fs::write(files.path(name), text).unwrap();
        files.eval(&[&["--pairs", name][..], &own].concat())
    };
    refused(&files.eval(&[&["--pairs", "none.jsonl"][..], &own].concat()), "io", &["none.jsonl"]);
    refused(&files.eval(&["--outputs", "none.jsonl"]), "io", &["none.jsonl"]);
    refused(&pairs("e.jsonl", "\n"), "bad_data", &["e.jsonl", "no pairs"]);
    let good = r#"{"id":"p0","findings":"secret","impression":"secret"}"#;
    let empty = r#"{"id":"p1","findings":"secret","impression":" . "}"#;
    refused(&pairs("i.jsonl", &format!("{good}\n{empty}\n")), "bad_data", &["line 2", "empty"]);
    refused(
        &pairs("d.jsonl", &format!("{good}\n\n{good}\n")),
        "duplicate_id",
        &["p0", "line 1", "line 3"],
    );
    refused(&pairs("j.jsonl", &format!("{good}\nsecret")), "bad_data", &["line 2", "JSON"]);
    refused(
        &pairs("m.jsonl", r#"{"id":"p0","impression":"secret"}"#),
        "bad_data",
        &["line 1", "findings"],
    );

    let outputs = |text: &[u8]| {
        fs::write(files.path("o.jsonl"), text).unwrap();
        files.eval(&["--outputs", "o.jsonl", "--partial"])
    };
    refused(&outputs(b""), "bad_data", &["o.jsonl", "no outputs"]);
    refused(
        &outputs(b"\n{\"id\": \"p0\", \"impression\": \"secret"),
        "bad_data",
        &["line 2", "JSON"],
    );
    refused(&outputs(b"[\"secret\"]"), "bad_data", &["line 1", "object"]);
    refused(&outputs(br#"{"id":"p0","impression":7}"#), "bad_data", &["line 1", "impression"]);
    refused(&outputs(br#"{"impression":"secret"}"#), "bad_data", &["line 1", "id"]);
    refused(
        &outputs(br#"{"id":"zz","impression":"secret"}"#),
        "bad_data",
        &["line 1", "zz", "not in the pairs"],
    );
    refused(&outputs(b"{\"id\":\"p0\",\"impression\":\"\xff\"}"), "bad_text", &["UTF-8"]);
    let long = format!("{{\"id\":\"{}secret\",\"impression\":\"\"}}", "x".repeat(60));
    refused(&outputs(long.as_bytes()), "bad_data", &["line 1", "xxx…"]);
    fs::write(files.path("t.jsonl"), "{}").unwrap();
    let train = files.eval(&[&own[..], &["--train", "t.jsonl"]].concat());
    refused(&train, "bad_data", &["t.jsonl", "line 1"]);
    refused(&files.eval(&[&own[..], &["--resamples", "0"]].concat()), "bad_option", &["resamples"]);
    let model = files.eval(&[&own[..], &["--model", "m.json"]].concat());
    refused(&model, "bad_option", &["model", "outputs"]);
    for shard in ["4/4", "1", "a/b", "0/0", "0/-2"] {
        let ran = files.eval(&["--shard", shard]);
        assert!(ran.code == 2 && ran.stderr.contains("I/N"), "{ran:?}");
    }
}

fn model(files: &Files, name: &str, ty: TensorType) -> String {
    Tiny::new(ty).save(files.dir.path(), name).display().to_string()
}

fn generate(files: &Files, model: &str, args: &[&str]) -> Ran {
    let own = ["--model", model, "--backend", "cpu", "--max-new-tokens", "3"];
    files.eval(&[&own[..], args].concat())
}

fn ids(text: &str) -> Vec<String> {
    text.lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn generation_in_shards_gives_the_same_and_goes_on_where_it_stopped() {
    let files = Files::new();
    let model = &model(&files, "m", TensorType::Q4_1);
    let whole = good(generate(&files, model, &["--save", "whole.jsonl", "--name", "x"]));
    let text = files.read("whole.jsonl");
    assert_eq!(ids(&text), ["p0", "p1", "p2", "p3", "p4", "p5"]);
    for (index, expected) in [(0, ["p0", "p2", "p4"]), (1, ["p1", "p3", "p5"])] {
        let (shard, save) = (format!("{index}/2"), format!("s{index}.jsonl"));
        let said = good(generate(&files, model, &["--shard", &shard, "--save", &save]));
        assert_eq!((&said["shard"], &said["count"]), (&json!(shard), &json!(3)));
        assert_eq!(ids(&files.read(&save)), expected);
    }
    let args =
        ["--outputs", "s0.jsonl", "--outputs", "s1.jsonl", "--save", "j.jsonl", "--name", "x"];
    assert_eq!(good(files.eval(&args))["systems"], whole["systems"]);
    assert_eq!(files.read("j.jsonl"), text);
    assert!(files.path("j.jsonl.run.json").exists());

    // Killed within the third line: two are kept, as they are, and the third is written again.
    let cut: usize = text.lines().take(2).map(|line| line.len() + 1).sum();
    fs::write(files.path("whole.jsonl"), &text.as_bytes()[..cut + 9]).unwrap();
    let again = good(generate(&files, model, &["--save", "whole.jsonl", "--name", "x"]));
    assert_eq!(files.read("whole.jsonl"), text);
    assert_eq!(again, whole);
    // Whole already: what is there is scored, nothing is added. (It would show if it were.)
    let marked = text.replacen("\"impression\":\"", "\"impression\":\"marked ", 1);
    fs::write(files.path("whole.jsonl"), &marked).unwrap();
    good(generate(&files, model, &["--save", "whole.jsonl"]));
    assert_eq!(files.read("whole.jsonl"), marked);
}

#[test]
fn another_run_is_not_mixed_in() {
    let files = Files::new();
    let (one, other) = (model(&files, "m", TensorType::Q4_1), model(&files, "n", TensorType::Q8_0));
    good(generate(&files, &one, &["--shard", "0/2", "--save", "o.jsonl"]));
    let refuse = |model: &str, args: &[&str], words: &[&str]| {
        let before = files.read("o.jsonl");
        let ran = generate(&files, model, &[args, &["--save", "o.jsonl"]].concat());
        refused(&ran, "bad_data", &[&["o.jsonl", "--save"], words].concat());
        assert_eq!(files.read("o.jsonl"), before);
    };
    refuse(&other, &["--shard", "0/2"], &["model_sha256"]);
    refuse(&one, &["--shard", "0/2", "--temperature", "0.5"], &["options"]);
    refuse(&one, &["--shard", "0/2", "--instruction", "Sum up"], &["instruction"]);
    refuse(&one, &["--shard", "1/2"], &["shard"]);
    fs::rename(files.path("o.jsonl.run.json"), files.path("kept")).unwrap();
    refuse(&one, &["--shard", "0/2"], &["run.json"]);
    fs::rename(files.path("kept"), files.path("o.jsonl.run.json")).unwrap();
    // Nor are shards of two models joined.
    good(generate(&files, &other, &["--shard", "1/2", "--save", "q.jsonl"]));
    let joined = files.eval(&["--outputs", "o.jsonl", "--outputs", "q.jsonl"]);
    refused(&joined, "bad_data", &["q.jsonl", "model_sha256"]);
}

#[test]
fn a_report_that_cannot_be_asked_counts_as_empty_and_the_base_stands_beside() {
    let files = Files::new();
    let model = &model(&files, "m", TensorType::Q4_1);
    let long = "word ".repeat(1200);
    let pairs = [("a", "Clear lungs."), ("b", long.as_str())];
    let pairs = pairs.map(|(id, f)| json!({ "id": id, "findings": f, "impression": "Normal." }));
    files.lines("long.jsonl", pairs);
    let json = good(generate(&files, model, &["--pairs", "long.jsonl", "--base", model]));
    assert_eq!(system(&json, "base")["degenerate"]["empty"].as_u64().map(|n| n >= 1), Some(true));
    let made = fs::read_dir(files.dir.path()).unwrap().map(|entry| entry.unwrap().path());
    let made: Vec<PathBuf> = made
        .filter(|path| {
            path.extension().is_some_and(|e| e == "jsonl")
                && name(path).starts_with("long.outputs-")
        })
        .collect();
    // The base is the same model here, so both runs are one.
    assert_eq!(made.len(), 1, "{made:?}");
    assert!(fs::read_to_string(&made[0]).unwrap().contains("prompt_too_long"));
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}
