//! `radllama compare`: systems of every kind in one table, runs taken up again, and what it refuses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;
#[path = "common/eval.rs"]
mod fixture;

use std::fs;

use common::{Ran, Tiny, run};
use fixture::{Files, PAIRS, close, good, outputs, refused};
use radllama::gguf::TensorType;
use serde_json::{Value, json};

/// Runs `compare` into the folder `out`; `@` is the folder of the files.
fn compare(files: &Files, args: &[&str]) -> Ran {
    let (pairs, out) = (files.str("pairs.jsonl"), files.str("out"));
    let mut all = vec!["compare", "--json", "--resamples", "200", "--out", &out];
    if !args.contains(&"--pairs") {
        all.extend(["--pairs", pairs.as_str()]);
    }
    let args: Vec<String> = args.iter().map(|arg| arg.replace('@', &files.str(""))).collect();
    all.extend(args.iter().map(String::as_str));
    run(&all)
}

fn row<'j>(json: &'j Value, name: &str) -> &'j Value {
    let rows = json["systems"].as_array().unwrap();
    rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("no {name} in {json}"))
}

#[test]
fn given_outputs_and_baselines_stand_in_one_table() {
    let files = Files::new();
    let json = good(compare(
        &files,
        &[
            "--system",
            "mine=outputs:@outputs.jsonl",
            "--system",
            "constant=constant",
            "--system",
            "fixed=constant:No acute, disease.",
            "--system",
            "retrieval=retrieval",
            "--system",
            "copy=copy",
            "--system",
            "people=reference",
            "--train",
            "@train.jsonl",
            "--title",
            "Six systems",
        ],
    ));
    assert_eq!((&json["reports"], &json["resamples"]), (&json!(6), &json!(200)));
    let mine = row(&json, "mine");
    // By hand, as in tests/eval_cli.rs.
    close(&mine["rouge"][0]["f1"], (1.0 + 2.0 / 3.0 + 0.0 + 0.4 + 0.4 + 2.0 / 7.0) / 6.0);
    close(&mine["length_ratio"], 18.0 / 16.0);
    close(&mine["words"], 3.0);
    assert_eq!((&mine["gains"], &mine["speed"]), (&Value::Null, &Value::Null));
    assert_eq!(mine["degenerate"]["empty"], 1);
    let people = row(&json, "people");
    close(&people["rouge"][0]["f1"], 1.0);
    let gain = &people["gains"][0];
    close(&gain["difference"], 1.0 - mine["rouge"][0]["f1"].as_f64().unwrap());
    assert!(gain["low"].as_f64() < gain["difference"].as_f64());
    assert_eq!(row(&json, "constant")["rouge"][0], row(&json, "fixed")["rouge"][0]);
    // The outputs go in circles, echo the prompt and copy the findings: the guard says so.
    let (hard, people_hard) = (&mine["flagged"][0]["share"], &people["flagged"][0]["share"]);
    assert!(hard.as_f64().unwrap() >= 3.0 / 6.0, "{mine}");
    assert!(people_hard.as_f64().unwrap() < hard.as_f64().unwrap());
    let degenerate = json["kinds"].as_array().unwrap().iter().position(|kind| kind == "degenerate");
    assert!(mine["flags_per_100"][degenerate.unwrap()].as_f64().unwrap() > 40.0, "{mine}");

    for name in ["table.md", "table.html", "table.csv", "table.json"] {
        let text = files.read(&format!("out/{name}"));
        for word in ["mine", "retrieval", "people"] {
            assert!(text.contains(word), "{word} is not in {name}");
        }
        for word in ["enlarged", "Cardiomegaly", "wirre", "Same old"] {
            assert!(!text.contains(word), "{name} tells report text");
        }
    }
    assert!(files.read("out/table.html").contains("<title>Six systems</title>"));
    let csv = files.read("out/table.csv");
    let lines: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(lines.len(), 7);
    assert!(lines.iter().all(|line| line.len() == lines[0].len()), "{csv}");
    assert_eq!(serde_json::from_str::<Value>(&files.read("out/table.json")).unwrap(), json);
}

#[test]
fn shards_timings_and_missing_outputs() {
    let files = Files::new();
    let timed = |rows: &[usize]| {
        let lines = rows.iter().map(|n| {
            json!({
                "id": format!("p{n}"), "impression": PAIRS[*n].1, "tokens": 6, "stop": "eos",
                "timings": { "prefill_ms": 500.0, "decode_ms": 1500.0, "prefill_tokens_per_s": 1.0 },
            })
        });
        lines.collect::<Vec<_>>()
    };
    files.lines("a.jsonl", timed(&[0, 2]));
    files.lines("b.jsonl", timed(&[1, 5]));
    let own = ["--system", "x=outputs:@a.jsonl", "--system", "x=outputs:@b.jsonl"];
    refused(&compare(&files, &own), "bad_data", &["2 of 6", "--partial"]);
    let more = ["--system", "y=outputs:@outputs.jsonl", "--partial"];
    let json = good(compare(&files, &[&own[..], &more].concat()));
    assert_eq!(json["reports"], 4);
    assert!(json["notes"][0].as_str().unwrap().contains("Only 4 of 6"));
    let speed = &row(&json, "x")["speed"];
    assert_eq!(speed, &json!({ "reports": 4, "seconds": 2.0, "tokens_per_s": 4.0 }));
    assert!(files.read("out/table.html").contains("Seconds a report"));
}

#[test]
fn models_and_decodings_are_run_and_taken_up_again() {
    let files = Files::new();
    let tiny = Tiny::new(TensorType::Q4_1).save(files.dir.path(), "m").display().to_string();
    let spec =
        |name: &str, more: &str| format!("{name}=model:{tiny},backend=cpu,max_new_tokens=3{more}");
    let (greedy, beams) = (spec("greedy, short", ""), spec("beams", ",beams=2"));
    let args = ["--system", greedy.as_str(), "--system", beams.as_str(), "--system", "c=constant"];
    let first = good(compare(&files, &args));
    let speed = &row(&first, "beams")["speed"];
    assert_eq!(speed["reports"], 6);
    assert!(speed["seconds"].as_f64().unwrap() > 0.0 && speed["tokens_per_s"].as_f64().is_some());
    let text = files.read("out/greedy--short.jsonl");
    assert_eq!(text.lines().count(), 6);
    assert!(files.path("out/beams.jsonl.run.json").exists());

    // Killed within the fourth line: three are kept as they are, to the last digit of their times.
    let cut: usize = text.lines().take(3).map(|line| line.len() + 1).sum();
    fs::write(files.path("out/greedy--short.jsonl"), &text.as_bytes()[..cut + 9]).unwrap();
    let again = good(compare(&files, &args));
    let resumed = files.read("out/greedy--short.jsonl");
    assert_eq!((&resumed[..cut], resumed.lines().count()), (&text[..cut], 6));
    for name in ["greedy, short", "beams"] {
        assert_eq!(row(&first, name)["rouge"], row(&again, name)["rouge"]);
    }
    // Another decoding into the same file would pass for the first one's.
    let other = spec("beams", ",beams=3");
    refused(&compare(&files, &["--system", &other]), "bad_data", &["other settings", "options"]);
}

#[test]
fn bad_input_is_refused() {
    let files = Files::new();
    for (specs, words) in [
        (&["x"][..], &["NAME=SPEC"][..]),
        (&["=copy"], &["NAME=SPEC"]),
        (&["x=magic"], &["x=magic", "retrieval"]),
        (&["x=copy:y"], &["retrieval"]),
        (&["x=outputs"], &["outputs:FILE"]),
        (&["x=copy", "x=constant"], &["no other system"]),
        (&["x=model:m.gguf,wings=4"], &["x: ", "--wings"]),
        (&["x=model,beams=many"], &["x: ", "beams"]),
        (&["x=retrieval"], &["--train"]),
    ] {
        let args: Vec<&str> = specs.iter().flat_map(|spec| ["--system", spec]).collect();
        refused(&compare(&files, &args), "bad_option", words);
    }
    let own = ["--system", "x=outputs:@o.jsonl"];
    let with = |text: &[u8]| {
        fs::write(files.path("o.jsonl"), text).unwrap();
        compare(&files, &own)
    };
    refused(&compare(&files, &own), "io", &["o.jsonl"]);
    refused(&with(b"{\"id\": \"p0\", \"impression\": \"secret"), "bad_data", &["line 1", "JSON"]);
    refused(&with(b"{\"id\":\"zz\",\"impression\":\"secret\"}"), "bad_data", &["line 1", "zz"]);
    let twice = "{\"id\":\"p0\",\"impression\":\"secret\"}\n".repeat(2);
    refused(&with(twice.as_bytes()), "duplicate_id", &["p0", "line 2"]);
    files.lines("o.jsonl", outputs(0..PAIRS.len()));
    fs::write(files.path("bad.jsonl"), "{\"id\":\"p0\",\"findings\":\"secret\"}").unwrap();
    let pairs = [&["--pairs", "@bad.jsonl"][..], &own].concat();
    refused(&compare(&files, &pairs), "bad_data", &["line 1", "impression"]);
    fs::write(files.path("l.json"), "{\"secret\": 1}").unwrap();
    let lexicon = [&own[..], &["--lexicon", "@l.json"]].concat();
    let ran = compare(&files, &lexicon);
    assert!(ran.code == 1 && !ran.stdout.contains("panicked"), "{ran:?}");
    assert!(!files.path("out/table.md").exists());
}
