//! `radllama eval` of given outputs: scores, reports, shards, and what it refuses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;
#[path = "common/eval.rs"]
mod fixture;

use std::fs;

use common::{ok, run};
use fixture::{Files, PAIRS, close, good, outputs, refused, subset, system};
use serde_json::{Value, json};

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
