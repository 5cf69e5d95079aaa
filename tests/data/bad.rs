//! What is refused, and what a run that ends badly leaves behind.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use radllama::data::openi::parse;
use serde_json::json;

use crate::common::{radllama, run, run_with, save};
use crate::fixtures::{
    SECRET, assert_nothing_written, fails, gzip, ids, plain_xml, prepared, study, tar, xml,
};

fn str(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// An archive of `count` reports.
fn reports(count: u32) -> Vec<u8> {
    let documents: Vec<_> = (1..=count)
        .map(|uid| (format!("x/{uid}.xml"), plain_xml(uid, &format!("{SECRET} {uid}"), SECRET)))
        .collect();
    let members: Vec<_> =
        documents.iter().map(|(name, text)| (name.as_str(), text.as_bytes())).collect();
    tar(&members)
}

#[test]
fn a_document_that_is_no_report_is_refused() {
    let good = plain_xml(1, SECRET, SECRET);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", Vec::new(), "not an OpenI report"),
        ("no XML", SECRET.into(), "not an OpenI report"),
        ("another root", format!("<html>{SECRET}</html>").into(), "not an OpenI report"),
        ("an empty root", "<eCitation/>".into(), "not an OpenI report"),
        ("two roots", format!("{good}{good}").replace("?>", "-->").into(), ""),
        ("cut short", good.as_bytes()[..good.len() - 20].into(), "ends too soon"),
        ("cut in a tag", good.as_bytes()[..good.len() - 3].into(), "well-formed"),
        ("an unknown entity", good.replace(SECRET, "&zyzzyva;").into(), "well-formed"),
        ("a stray <", good.replace(SECRET, "size <zyzzyva 5 cm").into(), "well-formed"),
        ("tags that cross", good.replace("</Abstract>", "</Zyzzyva>").into(), "well-formed"),
        ("no id", good.replace("<uId id=\"CXR1\"/>", "").into(), "no uId"),
        ("no label", good.replace(" Label=\"FINDINGS\"", "").into(), "no Label"),
        ("a label like a field", good.replace("FINDINGS", "Mesh").into(), "another field's name"),
        (
            "Latin-1",
            good.replace(SECRET, "zyzzyva \u{1}")
                .bytes()
                .map(|b| if b == 1 { 0xe9 } else { b })
                .collect(),
            "not UTF-8 at byte",
        ),
    ];
    for (name, bytes, expected) in cases {
        let error = parse("here", &bytes).expect_err(name);
        assert_eq!(error.code(), "bad_data", "{name}");
        let message = error.to_string();
        assert!(message.starts_with("here: ") && message.contains(expected), "{name}: {message}");
        assert!(!message.to_lowercase().contains(SECRET), "{name}: {message}");
    }
}

#[test]
fn a_damaged_archive_is_never_taken_for_whole() {
    let dir = tempfile::tempdir().unwrap();
    let plain = reports(40);
    let zipped = gzip(&plain);
    let mut header = plain.clone();
    // Where the third member's size stands.
    let third = plain.windows(8).position(|w| w.starts_with(b"x/3.xml")).unwrap();
    header[third + 124] = b'z';
    let mut checksum = zipped.clone();
    let at = checksum.len() - 8;
    checksum[at] ^= 1;
    // An archive's end is 1024 zeros at least; before them a member may just have ended.
    let end = plain.iter().rposition(|byte| *byte != 0).unwrap();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("a cut at the beginning", zipped[..5].into()),
        ("a cut in the middle", zipped[..zipped.len() / 2].into()),
        ("a cut in gzip's end", zipped[..zipped.len() - 4].into()),
        ("another checksum", checksum),
        ("a cut member", plain[..third + 600].into()),
        ("a cut header", plain[..third + 100].into()),
        ("a cut between members", plain[..third].into()),
        ("a cut after the last", gzip(&plain[..end / 512 * 512 + 512])),
        ("a broken header", gzip(&header)),
        ("no archive", format!("{SECRET} ").repeat(200).into()),
        ("a zip", b"PK\x03\x04zyzzyva".into()),
        ("nothing", Vec::new()),
    ];
    for (name, bytes) in cases {
        let archive = save(dir.path(), "a.tgz", &bytes);
        let output = dir.path().join("out");
        let (code, message) = fails(&["openi", str(&archive), "--output", str(&output)]);
        assert_eq!(code, "io", "{name}: {message}");
        assert!(message.contains("a.tgz"), "{name}: {message}");
        assert_nothing_written(&output);
    }
    let whole = save(dir.path(), "a.tgz", &zipped);
    assert_eq!(prepared(&["openi", str(&whole), "--output", str(dir.path())])["kept"], 40);
}

#[test]
fn a_report_that_cannot_be_read_stops_or_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let good = plain_xml(1, SECRET, SECRET);
    let archive = tar(&[("1.xml", good.as_bytes()), ("2.xml", b"<html/>")]);
    let archive = save(dir.path(), "a.tar", &archive);
    let output = dir.path().join("out");
    let args = ["openi", str(&archive), "--output", str(&output)];
    let (code, message) = fails(&args);
    assert_eq!(code, "bad_data");
    assert!(message.contains("a.tar: 2.xml"), "{message}");
    assert_nothing_written(&output);
    let statistics = prepared(&[&args[..], &["--on-unreadable", "count"]].concat());
    assert_eq!(statistics["kept"], 1);
    assert_eq!(statistics["left_out"]["unreadable"]["reports"], 1);

    let tree = dir.path().join("tree");
    study(&tree, 10_000_001, 50_000_001, b" FINDINGS: a\n IMPRESSION: b\n");
    study(&tree, 10_000_001, 50_000_002, b" FINDINGS: zyzzyva\xff\n IMPRESSION: b\n");
    let output = dir.path().join("out2");
    let args = ["mimic-cxr", str(&tree), "--output", str(&output)];
    let (code, message) = fails(&args);
    assert_eq!(code, "bad_data");
    assert!(message.contains("s50000002.txt: is not UTF-8 at byte 19"), "{message}");
    let statistics = prepared(&[&args[..], &["--on-unreadable", "count"]].concat());
    assert_eq!(statistics["kept"], 1);
    assert!(
        statistics["left_out"]["unreadable"]["first"][0].as_str().unwrap().contains("s50000002")
    );
}

#[test]
fn a_second_report_of_one_id_is_refused_or_counted() {
    let dir = tempfile::tempdir().unwrap();
    let first = plain_xml(1, "first", SECRET);
    let second = plain_xml(1, SECRET, SECRET);
    let archive = tar(&[("a.xml", first.as_bytes()), ("b.xml", second.as_bytes())]);
    let archive = save(dir.path(), "a.tar", &archive);
    let output = dir.path().join("out");
    let args = ["openi", str(&archive), "--output", str(&output)];
    let (code, message) = fails(&args);
    assert_eq!(code, "duplicate_id");
    for place in ["CXR1", "a.xml", "b.xml", "--on-duplicate"] {
        assert!(message.contains(place), "{message}");
    }
    let statistics = prepared(&[&args[..], &["--on-duplicate", "first"]].concat());
    assert_eq!(
        statistics["left_out"],
        json!({ "duplicate_id": { "reports": 1, "first": ["CXR1"] } })
    );
    assert!(fs::read_to_string(output.join("pairs.jsonl")).unwrap().contains("first"));
    // The same study below two patients.
    let tree = dir.path().join("tree");
    for subject in [10_000_001, 10_000_002] {
        study(&tree, subject, 50_000_001, b" FINDINGS: a\n IMPRESSION: b\n");
    }
    let (code, message) = fails(&["mimic-cxr", str(&tree), "--output", str(&output)]);
    assert_eq!(code, "duplicate_id");
    assert!(message.contains("p10000001") && message.contains("p10000002"), "{message}");
}

#[test]
fn a_split_that_contradicts_itself_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let archive = save(dir.path(), "a.tgz", &gzip(&reports(3)));
    let output = dir.path().join("out");
    for (text, expected) in [
        (r#"{"train": [1, 2], "valid": [2]}"#, "CXR2 into"),
        (r#"{"train": [1], "test": ["CXR1"]}"#, "CXR1 into"),
        (r#"{"train": 1}"#, "must be a list"),
        (r#"{"train": [1.5]}"#, "texts or numbers"),
        (r#"{"train": [1]"#, "not a JSON object"),
        (r#"{"training": [1]}"#, "names no report"),
        (r#"{"train": [1, 99, 98]}"#, "2 of its ids have no report in the input (CXR98, CXR99)"),
        ("", "columns split and study_id"),
        ("study_id,part\n1,train\n", "columns split and study_id"),
        ("dicom_id,split\n1,train\n", "columns split and study_id"),
        ("id,split\n1,train\n2,validate\n1,test\n", "line 4 puts CXR1 into test"),
        ("id,split\n1,holdout\n", "line 2 has a split that is not"),
        ("id,split\n,train\n", "line 2 has no id"),
        ("id,split\n1,train,9\n", "record 1 (line: 2"),
        ("id,split\n", "names no report"),
        ("id,split\n\u{1},train\n", "UTF-8"),
    ] {
        let bytes: Vec<u8> = text.bytes().map(|b| if b == 1 { 0xff } else { b }).collect();
        let split = save(dir.path(), "split", &bytes);
        let args = ["openi", str(&archive), "--output", str(&output), "--split", str(&split)];
        let (code, message) = fails(&args);
        assert_eq!(code, "bad_split", "{text}: {message}");
        assert!(message.contains(expected), "{text}: {message}");
        assert_nothing_written(&output);
    }
    let split = save(dir.path(), "split", br#"{"train": [1, 99], "val": ["CXR3"]}"#);
    let args = ["openi", str(&archive), "--output", str(&output), "--split", str(&split)];
    let statistics = prepared(&[&args[..], &["--on-missing", "count"]].concat());
    assert_eq!(statistics["split"]["missing"], json!({ "ids": 1, "first": ["CXR99"] }));
    assert_eq!(ids(&output.join("train.jsonl")), ["CXR1"]);
    // A cut gzip among the splits.
    let split = save(dir.path(), "split.csv.gz", &gzip(b"id,split\n1,train\n2,train\n")[..20]);
    let args = ["openi", str(&archive), "--output", str(&output), "--split", str(&split)];
    let (code, message) = fails(&args);
    assert!(code == "bad_split" || code == "io", "{message}");
}

#[test]
fn nothing_left_and_nothing_found_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let empty = xml(1, &[("FINDINGS", "zyzzyva"), ("IMPRESSION", "")], &[]);
    let archive = save(dir.path(), "a.tar", &tar(&[("1.xml", empty.as_bytes())]));
    let output = dir.path().join("out");
    let (code, message) = fails(&["openi", str(&archive), "--output", str(&output)]);
    assert_eq!(code, "bad_data");
    assert!(message.contains("none of the 1 reports") && message.contains("empty_impression: 1"));
    assert_nothing_written(&output);
    let archive = save(dir.path(), "a.tar", &tar(&[("readme", b"x")]));
    let (_, message) = fails(&["openi", str(&archive), "--output", str(&output)]);
    assert!(message.contains("no report was found"), "{message}");
    let (code, message) = fails(&["openi", "/nowhere/a.tgz", "--output", str(&output)]);
    assert_eq!((code.as_str(), message.contains("/nowhere/a.tgz")), ("io", true));
}

#[test]
fn files_of_another_run_are_not_left_beside() {
    let dir = tempfile::tempdir().unwrap();
    let archive = save(dir.path(), "a.tgz", &gzip(&reports(2)));
    let output = dir.path().join("out");
    fs::create_dir(&output).unwrap();
    save(&output, "test.jsonl", b"{}\n");
    let (code, message) = fails(&["openi", str(&archive), "--output", str(&output)]);
    assert_eq!(code, "io");
    assert!(message.contains("test.jsonl") && message.contains("another run"), "{message}");
    assert_eq!(fs::read_dir(&output).unwrap().count(), 1);
}

/// A file size limit stands for a full disk: the write fails in the middle.
#[test]
#[cfg(unix)]
fn a_full_disk_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let line = json!({ "id": "x", "findings": SECRET.repeat(4000), "impression": "fine" });
    let mut input = String::new();
    for number in 0..100 {
        input += &line.to_string().replace("\"x\"", &format!("\"{number}\""));
        input.push('\n');
    }
    let input = save(dir.path(), "in.jsonl", input.as_bytes());
    let output = dir.path().join("out");
    let mut shell = std::process::Command::new("sh");
    // 512 or 1024 bytes a block: far below the 2.8 MB that are to be written.
    shell
        .args(["-c", "trap '' XFSZ; ulimit -f 1000; exec \"$@\"", "sh"])
        .args([env!("CARGO_BIN_EXE_radllama"), "data", "pairs", str(&input), "--output"])
        .args([str(&output), "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let ran = run_with(shell, b"");
    assert_eq!(ran.code, 1, "{ran:?}");
    let error = &ran.json()["error"];
    assert_eq!(error["code"], "io", "{ran:?}");
    assert!(error["message"].as_str().unwrap().contains("pairs.jsonl"), "{ran:?}");
    assert!(!format!("{ran:?}").contains(SECRET));
    assert_nothing_written(&output);
}

#[test]
fn a_kill_leaves_nothing_that_looks_whole() {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("out");
    fs::create_dir(&output).unwrap();
    let old = save(&output, "pairs.jsonl", b"the file of an earlier run\n");
    let mut child = radllama(&["data", "pairs", "-", "--output", str(&output)])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    // It waits for more when it is killed.
    let mut stdin = child.stdin.take().unwrap();
    for number in 0..20_000 {
        writeln!(stdin, "{{\"id\": \"{number}\", \"findings\": \"a b\", \"impression\": \"c\"}}")
            .unwrap();
    }
    let partial = || {
        let names = fs::read_dir(&output).unwrap().map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).find(|name| name.ends_with(".partial"))
    };
    for _ in 0..2000 {
        let written = partial().and_then(|name| fs::metadata(output.join(name)).ok());
        if written.is_some_and(|metadata| metadata.len() > 0) {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(partial().expect("it had begun to write").starts_with("pairs.jsonl."));
    assert_eq!(fs::read(&old).unwrap(), b"the file of an earlier run\n");
    assert!(!output.join("statistics.json").exists());
    // The next run is not disturbed by what is left.
    let again = save(dir.path(), "in.jsonl", br#"{"id":"1","findings":"a","impression":"b"}"#);
    let ran = run(&["data", "pairs", str(&again), "--output", str(&output)]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ids(&old), ["1"]);
}
