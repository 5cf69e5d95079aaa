use std::fs;
use std::io::Write;

use proptest::prelude::*;
use radllama::data::atomic::AtomicFile;
use radllama::data::pairs::Format;
use radllama::data::rename::{self, Columns, Ids, Unknown};
use radllama::data::{Pair, PairReader, PairWriter, read_pairs};
use serde_json::{Value, json};

use crate::common::{radllama, run_with, save};
use crate::fixtures::{SECRET, assert_nothing_written, fails, gzip, ids, lines, prepared};

fn read(text: impl AsRef<[u8]>) -> Vec<radllama::Result<Pair>> {
    PairReader::new("f", text.as_ref()).collect()
}

#[test]
fn lines_become_pairs() {
    let text = "\u{feff}{\"id\": \"a\", \"findings\": \"x\\ny\", \"impression\": \"\"}\r\n\n  \n\
                {\"impression\": \"i\", \"findings\": \"f\", \"id\": 7, \"abnormal\": true, \
                 \"indication\": \"pain\", \"comparison\": null, \"mesh\": [\"Nodule\"], \
                 \"age\": 40, \"more\": {\"a\": [1, null]}}";
    let pairs: Vec<Pair> = read(text).into_iter().map(Result::unwrap).collect();
    assert_eq!(pairs[0], Pair::new("a", "x\ny", ""));
    assert!(!pairs[0].is_complete());
    let mut expected = Pair::new("7", "f", "i");
    expected.abnormal = Some(true);
    expected.indication = Some("pain".into());
    expected.mesh = vec!["Nodule".into()];
    expected.extra.insert("age".into(), json!(40));
    expected.extra.insert("more".into(), json!({ "a": [1, null] }));
    assert_eq!(pairs[1..], [expected]);
}

#[test]
fn a_bad_line_is_named_and_the_next_is_read() {
    let good = "{\"id\": \"a\", \"findings\": \"f\", \"impression\": \"i\"}";
    for (line, expected) in [
        (r#"{"id": "a", "findings": "zyzzyva"}"#, "\"impression\" is missing"),
        (r#"{"findings": "zyzzyva", "impression": "i"}"#, "\"id\" is missing"),
        (r#"{"id": " ", "findings": "zyzzyva", "impression": "i"}"#, "\"id\" must be"),
        (r#"{"id": 1.5, "findings": "zyzzyva", "impression": "i"}"#, "\"id\" must be"),
        (r#"{"id": "a", "findings": ["zyzzyva"], "impression": "i"}"#, "\"findings\" must be"),
        (
            r#"{"id": "a", "findings": "f", "impression": "i", "abnormal": "zyzzyva"}"#,
            "\"abnormal\"",
        ),
        (r#"{"id": "a", "findings": "f", "impression": "i", "mesh": "zyzzyva"}"#, "\"mesh\""),
        (r#"{"id": "a", "id": "zyzzyva", "findings": "f", "impression": "i"}"#, "twice"),
        (r#"{"id": "a", "findings": "f", "impression": "i", "n": 1, "n": 2}"#, "twice"),
        (r#""zyzzyva""#, "not a JSON object"),
        (r#"[{"id": "zyzzyva"}]"#, "not a JSON object"),
        (r#"{"id": "a", "findings": "zyzzyva"#, "ends too soon"),
        (r#"{"id": "a", "findings": zyzzyva}"#, "not JSON at column 25"),
        (r#"{"id": "a", "findings": "f", "impression": "zyzzyva"} {}"#, "not JSON at column"),
        ("{\"id\": \"zyzzyva\u{1}\"}", "not UTF-8 at byte 16"),
    ] {
        let bytes: Vec<u8> = line.bytes().map(|b| if b == 1 { 0xff } else { b }).collect();
        let text = [good.as_bytes(), b"\n", &bytes, b"\n", good.as_bytes(), b"\n"].concat();
        let found = read(&text);
        assert_eq!(found.len(), 3, "{line}");
        assert!(found[0].is_ok() && found[2].is_ok(), "{line}");
        let error = found[1].clone().expect_err(line);
        assert_eq!(error.code(), "bad_data");
        let message = error.to_string();
        assert!(message.starts_with("f, line 2: ") && message.contains(expected), "{message}");
        assert!(!message.contains(SECRET), "{message}");
    }
}

#[test]
fn unknown_fields_are_kept_or_refused() {
    let line = br#"{"id": "a", "findings": "f", "impression": "i", "age": 40}"#;
    let mut refusing = PairReader::new("f", &line[..]).refuse_unknown();
    let message = refusing.next().unwrap().unwrap_err().to_string();
    assert!(message.contains("\"age\" is not known"), "{message}");
}

#[test]
fn a_whole_file_has_every_id_once() {
    let dir = tempfile::tempdir().unwrap();
    let line = |id| format!("{{\"id\":\"{id}\",\"findings\":\"zyzzyva\",\"impression\":\"i\"}}\n");
    let path = save(dir.path(), "p.jsonl", [line("a"), line("b"), line("a")].concat().as_bytes());
    let error = read_pairs(&path).unwrap_err();
    assert_eq!(error.code(), "duplicate_id");
    let message = error.to_string();
    assert!(message.contains("line 1 ") && message.contains("line 3"), "{message}");
    let path = save(dir.path(), "p.jsonl", [line("a"), line("b")].concat().as_bytes());
    assert_eq!(read_pairs(&path).unwrap().len(), 2);
    assert_eq!(read_pairs(&dir.path().join("gone")).unwrap_err().code(), "io");
}

#[test]
fn a_file_gets_its_name_when_it_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p.jsonl");
    let pair = Pair::new("a", "f", "i");
    let mut writer = PairWriter::create(&path).unwrap();
    writer.write(&pair).unwrap();
    assert!(!path.exists());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    drop(writer);
    assert_nothing_written(dir.path());
    let mut writer = PairWriter::create(&path).unwrap();
    writer.write(&pair).unwrap();
    assert_eq!(writer.finish().unwrap(), 1);
    assert_eq!(read_pairs(&path).unwrap(), [pair]);
    // A name that is taken by a folder cannot be given; what was written goes.
    let mut file = AtomicFile::create(&dir.path().join("p.jsonl")).unwrap();
    file.write_all(b"x").unwrap();
    fs::remove_file(&path).unwrap();
    fs::create_dir_all(path.join("full")).unwrap();
    assert_eq!(file.commit().unwrap_err().code(), "io");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    let mut clash = Pair::new("a", "f", "i");
    clash.extra.insert("findings".into(), json!("other"));
    let mut writer = PairWriter::create(&dir.path().join("q.jsonl")).unwrap();
    assert!(writer.write(&clash).unwrap_err().to_string().contains("\"findings\""));
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["\\PC{0,40}", "[ -~\n\r\t\"\\\\,;_é\u{2028}😀]{0,40}"]
}

fn extra() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        text().prop_map(Value::from),
        Just(Value::Null),
        proptest::collection::vec(text(), 0..3).prop_map(Value::from),
    ]
}

prop_compose! {
    fn pair()(
        id in "[!-~é]{1,12}",
        findings in text(),
        impression in text(),
        abnormal in any::<Option<bool>>(),
        indication in proptest::option::of(text()),
        comparison in proptest::option::of(text()),
        mesh in proptest::collection::vec(text(), 0..3),
        extra in proptest::collection::btree_map("x[a-z é\"]{0,6}", extra(), 0..3),
    ) -> Pair {
        let extra = extra.into_iter().collect();
        Pair { id, findings, impression, abnormal, indication, comparison, mesh, extra }
    }
}

/// The pair as a table can hold it: what is empty is not there, a column holds text.
fn in_a_table(mut pair: Pair) -> Pair {
    pair.indication = pair.indication.filter(|text| !text.is_empty());
    pair.comparison = pair.comparison.filter(|text| !text.is_empty());
    pair.mesh = pair.mesh.iter().map(|term| format!("t{}", term.replace(';', ","))).collect();
    pair.extra = [("note".to_owned(), Value::from(pair.findings.clone()))].into_iter().collect();
    pair
}

proptest! {
    #[test]
    fn what_is_written_as_lines_is_read_back(pairs in proptest::collection::vec(pair(), 1..8)) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.jsonl");
        let mut writer = PairWriter::create(&path).unwrap();
        for pair in &pairs {
            writer.write(pair).unwrap();
        }
        writer.finish().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        prop_assert_eq!(text.lines().count(), pairs.len());
        let back: Vec<Pair> = PairReader::open(&path).unwrap().map(Result::unwrap).collect();
        prop_assert_eq!(back, pairs);
    }

    #[test]
    fn what_is_written_as_a_table_is_read_back(pairs in proptest::collection::vec(pair(), 1..8)) {
        let pairs: Vec<Pair> = pairs.into_iter().map(in_a_table).collect();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.csv");
        let mut writer = PairWriter::with_format(&path, Format::Csv).unwrap();
        for pair in &pairs {
            writer.write(pair).unwrap();
        }
        writer.finish().unwrap();
        let columns = Columns {
            id: Ids::Field("id".into()),
            findings: "findings".into(),
            impression: "impression".into(),
            unknown: Unknown::Keep,
        };
        let mut back = Vec::new();
        rename::reports(&path, None, &columns, &mut |found| {
            back.push(found?.pair);
            Ok(())
        }).unwrap();
        prop_assert_eq!(back, pairs);
    }
}

#[test]
fn columns_may_have_other_names() {
    let dir = tempfile::tempdir().unwrap();
    let table = "study,Findings,Impression,age,abnormal\n\
                 s1,\"clear, \"\"both\"\"\nsides\",normal,40,false\ns2,hazy,,,\n";
    let zipped = save(dir.path(), "t.csv.gz", &gzip(table.as_bytes()));
    let output = dir.path().join("out");
    let named = [
        "pairs",
        zipped.to_str().unwrap(),
        "--id-column",
        "study",
        "--findings-column",
        "Findings",
        "--impression-column",
        "Impression",
        "--output",
        output.to_str().unwrap(),
    ];
    let statistics = prepared(&named);
    assert_eq!(statistics["left_out"]["empty_impression"]["first"], json!(["s2"]));
    let path = output.join("pairs.jsonl");
    assert_eq!(
        lines(&path),
        [json!({ "id": "s1", "findings": "clear, \"both\"\nsides", "impression": "normal",
                 "abnormal": false, "age": "40" })]
    );
    prepared(&[&named[..], &["--unknown", "drop"]].concat());
    assert_eq!(lines(&path)[0].get("age"), None);
    let (code, message) = fails(&[&named[..], &["--unknown", "refuse"]].concat());
    assert_eq!(code, "bad_data");
    assert!(message.contains("line 2") && message.contains("\"age\""), "{message}");
}

#[test]
fn lines_and_tables_turn_into_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let first = "{\"id\":\"a\",\"findings\":\"f, g\",\"impression\":\"i\",\"abnormal\":true,\
                 \"mesh\":[\"A, b\",\"C\"],\"age\":\"40\"}\n{\"id\":\"b\",\"findings\":\"f\",\
                 \"impression\":\"i\",\"age\":\"\"}\n";
    let input = save(dir.path(), "p.jsonl", first.as_bytes());
    let (table, back) = (dir.path().join("table"), dir.path().join("back"));
    let split = save(dir.path(), "split.csv", b"id,split\na,train\nb,test\n");
    prepared(&[
        "pairs",
        input.to_str().unwrap(),
        "--to",
        "csv",
        "--output",
        table.to_str().unwrap(),
        "--split",
        split.to_str().unwrap(),
    ]);
    let train = table.join("train.csv");
    let text = fs::read_to_string(&train).unwrap();
    assert_eq!(
        text,
        "id,findings,impression,abnormal,indication,comparison,mesh,age\n\
         a,\"f, g\",i,true,,,\"A, b;C\",40\n"
    );
    for (part, line) in ["train.csv", "test.csv"].iter().zip(first.lines()) {
        let part = table.join(part);
        prepared(&["pairs", part.to_str().unwrap(), "--output", back.to_str().unwrap()]);
        assert_eq!(fs::read_to_string(back.join("pairs.jsonl")).unwrap().trim_end(), line);
    }
}

#[test]
fn tables_that_cannot_be_read_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("out");
    for (text, expected) in [
        ("", "no column [\"findings\", \"impression\", \"id\"]"),
        ("id,finding,impression\na,zyzzyva,c\n", "line 1: the table has no column [\"findings\"]"),
        ("id,findings,impression,id\na,b,c,d\n", "\"id\" stands twice (column 4)"),
        ("id,findings,impression\na,b,c\nb,zyzzyva\n", "line 3: the row has 2 cells, the header 3"),
        ("id,findings,impression\na,zyzzyva\u{1},c\n", "line 2: cell 2 is not UTF-8"),
        ("id,findings,impression\n,zyzzyva,c\n", "line 2: \"id\" must be"),
        ("id,findings,impression,abnormal\na,b,c,zyzzyva\n", "line 2: \"abnormal\" must be"),
        ("id,findings,impression\na,b,c\na,zyzzyva,c\n", "line 2 and again in"),
    ] {
        let bytes: Vec<u8> = text.bytes().map(|b| if b == 1 { 0xff } else { b }).collect();
        let input = save(dir.path(), "t.csv", &bytes);
        let args = ["pairs", input.to_str().unwrap(), "--output", output.to_str().unwrap()];
        let (code, message) = fails(&args);
        assert!(code == "bad_data" || code == "duplicate_id", "{text}: {message}");
        assert!(message.contains(expected), "{text}: {message}");
        assert_nothing_written(&output);
    }
    // A column that a later report would need.
    let text = "{\"id\":\"a\",\"findings\":\"f\",\"impression\":\"i\"}\n\
                {\"id\":\"b\",\"findings\":\"f\",\"impression\":\"i\",\"age\":1}\n";
    let input = save(dir.path(), "p.jsonl", text.as_bytes());
    let args =
        ["pairs", input.to_str().unwrap(), "--output", output.to_str().unwrap(), "--to", "csv"];
    let (_, message) = fails(&args);
    assert!(message.contains("report b") && message.contains("\"age\""), "{message}");
    // The chosen id beside another of that name.
    let input = save(dir.path(), "t.csv", b"id,study,findings,impression\n1,s1,f,i\n");
    let args = ["pairs", input.to_str().unwrap(), "--output", output.to_str().unwrap()];
    let chosen = [&args[..], &["--id-column", "study"]].concat();
    let (_, message) = fails(&chosen);
    assert!(message.contains("would be lost"), "{message}");
    prepared(&[&chosen[..], &["--unknown", "drop"]].concat());
    assert_eq!(ids(&output.join("pairs.jsonl")), ["s1"]);
}

#[test]
fn ids_may_be_made_and_input_may_be_piped() {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("out");
    let args = ["data", "pairs", "-", "--from", "csv", "--make-ids", "r", "--json", "--output"];
    let command = radllama(&[&args[..], &[output.to_str().unwrap()]].concat());
    let ran = run_with(command, b"findings,impression\na,b\nc,d\n");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.json()["kept"], 2);
    assert_eq!(ids(&output.join("pairs.jsonl")), ["r1", "r2"]);
}

#[test]
fn people_get_a_table() {
    let dir = tempfile::tempdir().unwrap();
    let input = save(dir.path(), "p.jsonl", br#"{"id":"a","findings":"f g","impression":"i"}"#);
    let output = dir.path().join("out");
    let args = ["data", "pairs", input.to_str().unwrap(), "--output", output.to_str().unwrap()];
    let ran = crate::common::ok(&args);
    let row = ran.stdout.lines().nth(1).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(row, "pairs.jsonl 1 0 2 (2–2) 1 (1–1)");
}
