//! `radllama batch`: killed and taken up again, in shards, over bad rows, and what it refuses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use std::collections::hash_map::RandomState;
use std::fmt::Write as _;
use std::fs;
use std::hash::{BuildHasher, Hasher};
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use common::{Ran, Tiny, radllama, run};
use radllama::gguf::TensorType;
use serde_json::{Value, json};
use tempfile::TempDir;

struct Files(TempDir);

const FINDINGS: [&str; 4] = [
    "the heart is at its size.",
    "there is an opacity in the right base.",
    "on the left a small effusion is seen.",
    "the lines are in place, and there is no air.",
];

impl Files {
    /// A model and `in.csv` with so many rows, each with an impression.
    fn new(rows: usize) -> Files {
        let files = Files(tempfile::tempdir().unwrap());
        Tiny::new(TensorType::Q4_1).save(files.0.path(), "m");
        let mut table = "id,findings,impression\n".to_owned();
        for row in 1..=rows {
            let text = FINDINGS[row % FINDINGS.len()];
            writeln!(table, "s{row},\"{text}\",no acute disease {row}").unwrap();
        }
        files.write("in.csv", table.as_bytes());
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn str(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Arguments with the folder before what is a file in it.
    fn args(&self, words: &[&str]) -> Vec<String> {
        let own = |word: &&str| {
            let name = word.rsplit_once('.').map_or("", |(_, end)| end);
            if ["csv", "jsonl", "gguf", "page", "tsv"].contains(&name) {
                self.str(word)
            } else {
                (*word).to_owned()
            }
        };
        ["--json", "batch"].iter().chain(words).map(own).collect()
    }

    fn run(&self, words: &[&str]) -> Ran {
        let args = self.args(words);
        run(&args.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// A run over `input` with the tiny model.
    fn batch(&self, input: &str, words: &[&str]) -> Ran {
        self.run(
            &[&[input, "--model", "m.gguf", "--backend", "cpu", "--max-new-tokens", "4"], words]
                .concat(),
        )
    }

    fn ended(&self, input: &str, words: &[&str], code: i32) -> Value {
        let ran = self.batch(input, words);
        assert_eq!(ran.code, code, "{ran:?}");
        ran.json()
    }

    fn refused(&self, input: &str, words: &[&str], code: &str, expected: &[&str]) {
        refused(&self.batch(input, words), code, expected);
    }
}

fn refused(ran: &Ran, code: &str, expected: &[&str]) {
    assert_eq!(ran.code, 1, "{ran:?}");
    let error = &ran.json()["error"];
    assert_eq!(error["code"], code, "{ran:?}");
    for word in expected {
        assert!(error["message"].as_str().unwrap().contains(word), "{word:?}: {ran:?}");
    }
    assert!(!ran.stderr.contains("secret") && !ran.stdout.contains("secret"), "{ran:?}");
}

fn values(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The text without what differs from run to run: how long it took.
fn untimed(text: &str) -> String {
    assert!(text.ends_with('\n') || text.is_empty());
    text.lines().map(|line| line.split(",\"timings\":").next().unwrap().to_owned() + "\n").collect()
}

fn random(below: u64) -> u64 {
    RandomState::new().build_hasher().finish() % below
}

#[test]
fn killed_five_times_it_ends_with_every_row_once() {
    let files = Files::new(40);
    let whole = files.ended("in.csv", &["--out", "whole.jsonl"], 0);
    assert_eq!(
        (&whole["written"], &whole["resumed"], &whole["left"]),
        (&json!(40), &json!(0), &json!(0))
    );
    let args = files.args(&[
        "in.csv",
        "--model",
        "m.gguf",
        "--backend",
        "cpu",
        "--max-new-tokens",
        "4",
        "--out",
        "o.jsonl",
    ]);
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
        std::thread::sleep(Duration::from_micros(random(30_000)));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.code(), None, "round {round} ended before it was killed");
        assert!(lines() < 40, "round {round} had nothing left to kill");
    }
    let kept = files.read("o.jsonl");
    // What a kill within a write leaves.
    let mut file = fs::File::options().append(true).open(files.path("o.jsonl")).unwrap();
    file.write_all(b"{\"id\":\"s3").unwrap();
    drop(file);
    let end = files.ended("in.csv", &["--out", "o.jsonl"], 0);
    assert_eq!(end["rows"], 40);
    assert_eq!(end["resumed"], kept.lines().count());
    let text = files.read("o.jsonl");
    let whole_lines = kept.rfind('\n').map_or(0, |at| at + 1);
    assert_eq!(text[..whole_lines], kept[..whole_lines], "a row was done again");
    assert_eq!(untimed(&text), untimed(&files.read("whole.jsonl")));
    let rows: Vec<u64> = values(&text).iter().map(|line| line["row"].as_u64().unwrap()).collect();
    assert_eq!(rows, (1..=40).collect::<Vec<_>>());
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
    let files = Files::new(40);
    let args = files.args(&[
        "in.csv",
        "--model",
        "m.gguf",
        "--backend",
        "cpu",
        "--max-new-tokens",
        "4",
        "--out",
        "o.jsonl",
    ]);
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
    assert_eq!(said["left"], 40 - text.lines().count());
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

const LONG: usize = 1100;

#[test]
fn bad_rows_are_told_and_stop_nothing() {
    let files = Files::new(0);
    let mut table =
        b"id,findings,impression\na,the heart is enlarged.,x\nb,\"secret\nc,the heart,x\nd,e\n"
            .to_vec();
    table.extend(b"a,secret again,x\ne,,x\nf,caf\xe9 secret,x\n");
    table.extend(
        format!("g,{},x\nh,secret\u{1}secret,x\ni,the last.,x\n", "secret ".repeat(LONG))
            .as_bytes(),
    );
    files.write("bad.csv", &table);
    let checked = files.run(&["bad.csv", "--check"]);
    assert_eq!(checked.code, 3, "{checked:?}");
    let rows: Vec<u64> = checked.json()["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["row"].as_u64().unwrap())
        .collect();
    assert_eq!(rows, [2, 4, 5, 6, 7]);
    let said = files.ended("bad.csv", &["--out", "o.jsonl"], 3);
    assert_eq!((&said["written"], &said["failed"]), (&json!(3), &json!(7)));
    let lines = values(&files.read("o.jsonl"));
    let codes: Vec<_> =
        lines.iter().map(|line| line["error"]["code"].as_str().unwrap_or("-")).collect();
    assert_eq!(
        codes,
        [
            "-",
            "bad_data",
            "-",
            "bad_data",
            "duplicate_id",
            "empty_findings",
            "bad_data",
            "prompt_too_long",
            "bad_text",
            "-"
        ]
    );
    for (at, row) in
        [(1, "row 2, line 3"), (3, "row 4, line 5"), (4, "row 5, line 6"), (6, "row 7, line 8")]
    {
        let message = lines[at]["error"]["message"].as_str().unwrap();
        assert!(message.contains("bad.csv") && message.contains(row), "{message}");
    }
    let ids: Vec<_> = lines.iter().map(|line| line["id"].as_str().unwrap_or("?")).collect();
    assert_eq!(ids, ["a", "?", "c", "?", "a", "e", "?", "g", "h", "i"]);
    assert!(!files.read("o.jsonl").contains("secret"));

    // Again: they stay. With the option they are tried again, and stand in their places at the end.
    let text = files.read("o.jsonl");
    assert_eq!(files.ended("bad.csv", &["--out", "o.jsonl"], 3)["resumed"], 10);
    assert_eq!(files.read("o.jsonl"), text);
    let said = files.ended("bad.csv", &["--out", "o.jsonl", "--retry-errors"], 3);
    assert_eq!(said["resumed"], 3);
    assert_eq!(files.read("o.jsonl"), text);
}

#[test]
fn encodings() {
    let files = Files::new(0);
    let text = "id,findings\na,the caf\u{e9} is at rest.\nb,the \u{20ac}.\n";
    let latin: Vec<u8> =
        text.chars().map(|c| if c == '\u{20ac}' { 0x80 } else { c as u8 }).collect();
    let utf16 = |little: bool| -> Vec<u8> {
        let unit = |unit: u16| if little { unit.to_le_bytes() } else { unit.to_be_bytes() };
        text.encode_utf16().flat_map(unit).collect()
    };
    let with = |mark: &[u8], bytes: Vec<u8>| [mark, &bytes].concat();
    let cases: Vec<(&str, Vec<u8>, &[&str])> = vec![
        ("utf8", text.as_bytes().to_vec(), &[]),
        ("bom", with(b"\xef\xbb\xbf", text.as_bytes().to_vec()), &[]),
        ("le", with(b"\xff\xfe", utf16(true)), &[]),
        ("be", with(b"\xfe\xff", utf16(false)), &[]),
        ("bare", utf16(true), &["--encoding", "utf-16le"]),
        ("latin", latin.clone(), &["--encoding", "windows-1252"]),
    ];
    for (name, bytes, args) in cases {
        files.write("in.csv", &bytes);
        let out = format!("{name}.jsonl");
        files.ended("in.csv", &[&["--out", &out], args].concat(), 0);
        assert_eq!(untimed(&files.read(&out)), untimed(&files.read("utf8.jsonl")), "{name}");
    }
    // Not named, its rows are errors with their numbers, and those in ASCII are done.
    files.write("in.csv", &[&latin, &b"c,the end.\n"[..]].concat());
    files.ended("in.csv", &["--out", "mixed.jsonl"], 3);
    let lines = values(&files.read("mixed.jsonl"));
    let message = lines[0]["error"]["message"].as_str().unwrap();
    assert!(message.contains("row 1, line 2: is not UTF-8 at byte 10"), "{message}");
    assert!(lines[2]["impression"].is_string());
    // Half a pair of UTF-16 in one row.
    let mut bytes = with(b"\xff\xfe", utf16(true));
    let at = 2 + 2 * text.find('\u{e9}').unwrap();
    bytes[at..at + 2].copy_from_slice(&[0x00, 0xd8]);
    files.write("in.csv", &bytes);
    let said = files.ended("in.csv", &["--out", "half.jsonl"], 3);
    assert_eq!((&said["written"], &said["failed"]), (&json!(1), &json!(1)));
    files.refused(
        "in.csv",
        &["--out", "x.jsonl", "--encoding", "klingon"],
        "bad_option",
        &["klingon"],
    );
    files.write("in.csv", &utf16(true));
    files.refused("in.csv", &["--out", "x.jsonl"], "bad_data", &["utf-16le"]);
}

#[test]
fn unusable_files_and_options_are_refused_at_once() {
    let files = Files::new(1);
    files.write("empty.csv", b"");
    files.write("none.csv", b"id,text\na,secret\n");
    files.write("none.jsonl", b"{\"text\": \"secret\"}\n");
    files.refused("empty.csv", &["--out", "o.jsonl"], "bad_data", &["empty.csv: holds no rows"]);
    files.refused(
        "none.csv",
        &["--out", "o.jsonl"],
        "bad_data",
        &["no column \"findings\"", "--findings-column"],
    );
    files.refused("none.jsonl", &["--out", "o.jsonl"], "bad_data", &["no column \"findings\""]);
    files.refused(
        "in.csv",
        &["--out", "o.jsonl", "--id-column", "x"],
        "bad_data",
        &["no column \"x\" for the id"],
    );
    files.refused("missing.csv", &["--out", "o.jsonl"], "io", &["missing.csv"]);
    files.refused("in.csv", &["--out", "o.jsonl", "--beams", "99"], "bad_option", &["beams"]);
    assert!(!files.path("o.jsonl").exists());
    for words in
        [&["in.csv"][..], &["in.csv", "--out", "o.jsonl", "--shard", "2/2"], &["merge", "o.jsonl"]]
    {
        assert_eq!(files.run(words).code, 2, "{words:?}");
    }
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

#[test]
fn fifty_megabytes_stream_by() {
    let files = Files::new(0);
    let mut file = std::io::BufWriter::new(fs::File::create(files.path("in.csv")).unwrap());
    writeln!(file, "id,findings").unwrap();
    let text = "the heart is at its size. ".repeat(38);
    for row in 1..=54_000 {
        match row {
            30_000 => writeln!(file, "s{row},\"{text}").unwrap(), // a quote that the next row closes
            _ => writeln!(file, "s{row},\"{text}\"").unwrap(),
        }
    }
    file.flush().unwrap();
    drop(file);
    assert!(fs::metadata(files.path("in.csv")).unwrap().len() > 50 << 20);
    let args = files.args(&["in.csv", "--check"]);
    let mut command = radllama(&args.iter().map(String::as_str).collect::<Vec<_>>());
    #[cfg(target_os = "linux")]
    {
        // Far less memory than the file is long: the program itself takes most of it.
        let mut limited = std::process::Command::new("prlimit");
        limited.arg("--data=40000000").arg(command.get_program()).args(command.get_args());
        limited
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        command = limited;
    }
    let ran = common::run_with(command, b"");
    assert_eq!(ran.code, 3, "{ran:?}");
    let said = ran.json();
    assert_eq!((&said["rows"], &said["bad"]), (&json!(54_000), &json!(1)));
    assert_eq!(said["problems"][0]["row"], 30_000);
    assert!(!ran.stdout.contains("heart"));
}
