//! `radllama batch`: killed and taken up again, in shards, and what is not mixed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;
#[path = "common/batch.rs"]
mod fixture;

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::{BuildHasher, Hasher};
use std::io::Write as _;
use std::time::Duration;

use common::{Tiny, radllama, run};
use fixture::{FINDINGS, Files, refused, untimed, values};
use radllama::gguf::TensorType;
use serde_json::{Value, json};

fn random(below: u64) -> u64 {
    RandomState::new().build_hasher().finish() % below
}

/// So many that none of the runs below is over before it is ended: a row takes a millisecond or more.
const ROWS: usize = 300;

#[test]
fn killed_five_times_it_ends_with_every_row_once() {
    let files = Files::new(ROWS);
    let whole = files.ended("in.csv", &["--out", "whole.jsonl"], 0);
    assert_eq!(
        (&whole["written"], &whole["resumed"], &whole["left"]),
        (&json!(ROWS), &json!(0), &json!(0))
    );
    let args = files.args("in.csv", &["--out", "o.jsonl"]);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let lines = || {
        fs::read(files.path("o.jsonl"))
            .map_or(0, |bytes| bytes.iter().filter(|b| **b == b'\n').count())
    };
    for round in 0..5 {
        let before = lines();
        let mut child = radllama(&args).spawn().unwrap();
        while lines() < before + 3 && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_micros(random(10_000)));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.code(), None, "round {round} ended before it was killed");
        assert!(lines() < ROWS, "round {round} had nothing left to kill");
    }
    let kept = files.read("o.jsonl");
    // What a kill within a write leaves.
    let mut file = fs::File::options().append(true).open(files.path("o.jsonl")).unwrap();
    file.write_all(b"{\"id\":\"s3").unwrap();
    drop(file);
    let end = files.ended("in.csv", &["--out", "o.jsonl"], 0);
    assert_eq!(end["rows"], ROWS);
    assert_eq!(end["resumed"], kept.lines().count());
    let text = files.read("o.jsonl");
    let whole_lines = kept.rfind('\n').map_or(0, |at| at + 1);
    assert_eq!(text[..whole_lines], kept[..whole_lines], "a row was done again");
    assert_eq!(untimed(&text), untimed(&files.read("whole.jsonl")));
    let rows: Vec<u64> = values(&text).iter().map(|line| line["row"].as_u64().unwrap()).collect();
    assert_eq!(rows, (1..=ROWS as u64).collect::<Vec<_>>());
    assert!(
        !fs::read_dir(files.0.path()).unwrap().any(|entry| entry
            .unwrap()
            .file_name()
            .to_string_lossy()
            .contains("partial"))
    );
}

#[cfg(unix)]
#[test]
fn asked_to_stop_it_pauses_behind_a_whole_line() {
    let files = Files::new(ROWS);
    let args = files.args("in.csv", &["--out", "o.jsonl"]);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let child = radllama(&args).spawn().unwrap();
    while fs::read(files.path("o.jsonl")).map_or(0, |bytes| bytes.len()) == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let asked =
        std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    assert!(asked.unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["paused"], true);
    let text = files.read("o.jsonl");
    assert_eq!(said["left"], ROWS - text.lines().count());
    assert!(text.ends_with('\n'));
    assert_eq!(files.ended("in.csv", &["--out", "o.jsonl"], 0)["left"], 0);
}

#[test]
fn shards_joined_are_the_whole() {
    let files = Files::new(7);
    files.ended("in.csv", &["--out", "whole.jsonl"], 0);
    for index in 0..3 {
        let (shard, out) = (format!("{index}/3"), format!("s{index}.jsonl"));
        files.ended("in.csv", &["--out", &out, "--shard", &shard], 0);
    }
    let rows = |name: &str| -> Vec<u64> {
        values(&files.read(name)).iter().map(|line| line["row"].as_u64().unwrap()).collect()
    };
    assert_eq!((rows("s0.jsonl"), rows("s2.jsonl")), (vec![1, 4, 7], vec![3, 6]));
    let ran = files.run(&["merge", "j.jsonl", "s2.jsonl", "s0.jsonl", "s1.jsonl"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(untimed(&files.read("j.jsonl")), untimed(&files.read("whole.jsonl")));
    assert_eq!(files.read("j.jsonl.run.json"), files.read("whole.jsonl.run.json"));
    // As the whole run's, it has nothing left to do.
    assert_eq!(files.ended("in.csv", &["--out", "j.jsonl"], 0)["resumed"], 7);

    // Not without all of them, …
    let ran = files.run(&["merge", "k.jsonl", "s2.jsonl", "s0.jsonl"]);
    refused(&ran, "bad_data", &["2 of 7 rows are missing: 2, 5", "1/3"]);
    let text = files.read("s1.jsonl");
    files.write("s1.jsonl", text.lines().next().unwrap().as_bytes());
    let ran = files.run(&["merge", "k.jsonl", "s0.jsonl", "s1.jsonl", "s2.jsonl"]);
    refused(&ran, "bad_data", &["rows are missing: 2, 5"]);
    // … nor with one twice, …
    let ran = files.run(&["merge", "k.jsonl", "s0.jsonl", "s2.jsonl", "s0.jsonl"]);
    refused(&ran, "bad_data", &["s0.jsonl, line 1", "has row 1, which another line has"]);
    // … of another input, or of which nothing is known.
    let other = files.read("in.csv").replace("the lines", "no lines");
    files.write("other.csv", other.as_bytes());
    files.ended("other.csv", &["--out", "x.jsonl", "--shard", "1/3"], 0);
    let ran = files.run(&["merge", "k.jsonl", "s0.jsonl", "x.jsonl", "s2.jsonl"]);
    refused(&ran, "bad_data", &["x.jsonl", "input_sha256"]);
    fs::remove_file(files.path("s0.jsonl.run.json")).unwrap();
    refused(&files.run(&["merge", "k.jsonl", "s0.jsonl"]), "bad_data", &["run.json is missing"]);
    assert!(!files.path("k.jsonl").exists());
}

#[test]
fn another_run_is_not_mixed_in() {
    let files = Files::new(3);
    files.ended("in.csv", &["--out", "o.jsonl"], 0);
    let before = files.read("o.jsonl");
    Tiny::new(TensorType::Q8_0).save(files.0.path(), "n");
    let other = files.read("in.csv").replace("there", "here");
    files.write("other.csv", other.as_bytes());
    files.refused(
        "other.csv",
        &["--out", "o.jsonl"],
        "bad_data",
        &["o.jsonl", "input_sha256", "--out"],
    );
    files.refused(
        "in.csv",
        &["--out", "o.jsonl", "--instruction", "Sum up"],
        "bad_data",
        &["instruction"],
    );
    files.refused(
        "in.csv",
        &["--out", "o.jsonl", "--temperature", "0.5"],
        "bad_data",
        &["options"],
    );
    files.refused("in.csv", &["--out", "o.jsonl", "--shard", "0/2"], "bad_data", &["shard"]);
    files.refused(
        "in.csv",
        &["--out", "o.jsonl", "--reference-column", ""],
        "bad_data",
        &["reading"],
    );
    files.refused("in.csv", &["--out", "in.csv"], "bad_option", &["the input itself"]);
    let ran = files.run(&[
        "in.csv",
        "--model",
        "n.gguf",
        "--backend",
        "cpu",
        "--max-new-tokens",
        "4",
        "--out",
        "o.jsonl",
    ]);
    refused(&ran, "bad_data", &["model_sha256"]);
    assert_eq!(files.read("o.jsonl"), before);
    files.write("o.jsonl", format!("{before}{{\"id\": \"x\"}}\n").as_bytes());
    files.refused("in.csv", &["--out", "o.jsonl"], "bad_data", &["o.jsonl, line 4"]);
}

#[test]
fn a_line_has_what_the_guard_and_the_clock_say() {
    let files = Files::new(2);
    files.ended("in.csv", &["--out", "o.jsonl"], 0);
    let lines = values(&files.read("o.jsonl"));
    let line = &lines[0];
    assert_eq!((&line["id"], &line["row"], &line["tokens"]), (&json!("s1"), &json!(1), &json!(4)));
    assert_eq!(line["stop"], "length");
    assert_eq!(line["rouge"]["rougeL"], 0.0, "what an untrained model writes is no impression");
    assert!(line["timings"]["decode_ms"].as_f64().unwrap() > 0.0);
    // As `radllama guard` has it of the same texts.
    let pairs: String = lines
        .iter()
        .map(|line| {
            let row = line["row"].as_u64().unwrap() as usize;
            json!({ "id": line["id"], "findings": FINDINGS[row % 4], "impression": line["impression"] }).to_string() + "\n"
        })
        .collect();
    files.write("pairs.jsonl", pairs.as_bytes());
    let ran = run(&["--json", "guard", "--pairs", &files.str("pairs.jsonl")]);
    for (line, checked) in lines.iter().zip(values(&ran.stdout)) {
        assert_eq!((&line["lines"], &line["flags"]), (&checked["lines"], &checked["flags"]));
    }
    assert_eq!(lines[0]["flags"][0]["kind"], "degenerate", "an unfinished text has a flag");
}

#[test]
fn references_are_scored_as_eval_scores() {
    let files = Files::new(4);
    let said = files.ended("in.csv", &["--out", "o.jsonl", "--report", "r.page"], 0);
    for name in ["report.md", "report.html"] {
        assert!(fs::metadata(files.path("r.page").join(name)).unwrap().len() > 500);
    }
    let pairs: String = (1..=4)
        .map(|row| {
            let (f, i) = (FINDINGS[row % 4], format!("no acute disease {row}"));
            json!({ "id": format!("s{row}"), "findings": f, "impression": i }).to_string() + "\n"
        })
        .collect();
    files.write("pairs.jsonl", pairs.as_bytes());
    let args = [
        "--json",
        "eval",
        "--pairs",
        &files.str("pairs.jsonl"),
        "--outputs",
        &files.str("o.jsonl"),
        "--name",
        "m.gguf",
    ];
    assert_eq!(said["evaluation"], run(&args).json());
    // Without any there is nothing to score; the lines are written all the same.
    files.write("in.csv", b"findings\nthe heart.\n");
    files.refused(
        "in.csv",
        &["--out", "p.jsonl", "--report", "q.page"],
        "bad_data",
        &["--reference-column"],
    );
    assert_eq!(files.read("p.jsonl").lines().count(), 1);
}
