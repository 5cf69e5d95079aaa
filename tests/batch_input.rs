//! `radllama batch` over bad rows, in any encoding, and over files of which nothing can be made.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;
#[path = "common/batch.rs"]
mod fixture;

use std::fs;
use std::io::Write as _;

use common::radllama;
use fixture::{Files, untimed, values};
use serde_json::json;

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
    let args = files.placed(&["in.csv", "--check"]);
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
