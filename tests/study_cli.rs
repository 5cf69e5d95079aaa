//! `radllama study`: from systems' outputs to a study file, from readers' files to a report.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use std::fs;

use common::{Ran, run};
use radllama::study::{Answer, Study, plan, ratings};
use serde_json::{Value, json};
use tempfile::TempDir;

struct Folder(TempDir);

impl Folder {
    fn new() -> Folder {
        let folder = Folder(tempfile::tempdir().unwrap());
        let lines = |of: &dyn Fn(usize) -> Value| {
            (0..6).map(|n| format!("{}\n", of(n))).collect::<String>()
        };
        let pair =
            |n| json!({ "id": format!("r{n}"), "findings": "secret", "impression": "secret too" });
        folder.write("pairs.jsonl", &lines(&pair));
        let output =
            |n| json!({ "id": format!("r{n}"), "impression": format!("secret {n}"), "tokens": 3 });
        folder.write("one.jsonl", &lines(&output));
        let whole = lines(&output);
        let half: Vec<&str> = whole.lines().collect();
        folder.write("two-a.jsonl", &half[..2].join("\n"));
        folder.write("two-b.jsonl", &half[3..].join("\n"));
        folder
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Runs `study` with the folder in place of `@`.
    fn study(&self, args: &[&str]) -> Ran {
        let args: Vec<String> = args.iter().map(|arg| arg.replace('@', &self.path(""))).collect();
        let all: Vec<&str> =
            ["study", "--json"].into_iter().chain(args.iter().map(String::as_str)).collect();
        run(&all)
    }
}

fn good(ran: Ran) -> Value {
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.json()
}

fn refused(ran: &Ran, code: &str, words: &[&str]) {
    assert_eq!((ran.code, &ran.json()["error"]["code"]), (1, &json!(code)), "{ran:?}");
    for word in words {
        assert!(ran.stderr.contains(word), "{word:?} is not in {ran:?}");
    }
    assert!(!ran.stderr.contains("secret") && !ran.stdout.contains("secret"), "{ran:?}");
}

const PLAN: [&str; 7] =
    ["plan", "--pairs", "@pairs.jsonl", "--system", "one=@one.jsonl", "--out", "@s.jsonl"];

#[test]
fn outputs_become_a_study_and_readers_files_a_report() {
    let folder = Folder::new();
    let two = ["--system", "two=@two-a.jsonl", "--system", "two=@two-b.jsonl"];
    let more =
        ["--reference", "radiologist", "--title", "Chest", "--seed", "5", "--key", "AB=@key.csv"];
    let said = good(folder.study(&[&PLAN[..], &two, &more].concat()));
    assert_eq!((&said["reports"], &said["left_out"]), (&json!(5), &json!(1)));
    assert_eq!(said["systems"], json!(["one", "radiologist", "two"]));
    let study = Study::parse("s", folder.read("s.jsonl").as_bytes()).unwrap();
    assert_eq!((study.title.as_str(), study.seed), ("Chest", 5));
    assert_eq!(said["study"], study.hash());
    assert!(study.items.iter().all(|item| item.id != "r2" && item.outputs[1] == "secret too"));
    // The key says what the plan says.
    let key = folder.read("key.csv");
    let shown = &plan(&study, "AB").unwrap()[2];
    let row: Vec<&str> = key.lines().nth(3).unwrap().split(',').collect();
    assert_eq!(row[3], study.items[shown.item].id);
    assert_eq!(
        row[4..],
        shown.places.iter().map(|s| study.systems[*s].as_str()).collect::<Vec<_>>()
    );

    for (reader, mark) in [("AB", 3), ("CD", 4)] {
        let answer = |n: usize| Answer {
            marks: vec![[Some(mark); 5], [Some(mark - 1); 5], [Some(1 + n as u8); 5]],
            preferred: Some(n % 3),
            seconds: 20.0,
        };
        let answers: Vec<Answer> = (0..5).map(answer).collect();
        let records = ratings::records(&study, reader, &answers).unwrap();
        folder.write(&format!("{reader}.csv"), &ratings::csv(&records));
    }
    let report = [
        "report",
        "@AB.csv",
        "@CD.csv",
        "--study",
        "@s.jsonl",
        "--out",
        "@out",
        "--resamples",
        "100",
    ];
    let figures = good(folder.study(&report));
    assert_eq!((&figures["reports"], &figures["study"]), (&json!(5), &json!(study.hash())));
    assert_eq!(figures["readers"].as_array().unwrap().len(), 2);
    assert_eq!(folder.read("out/ratings.csv").lines().count(), 1 + 2 * 5 * 3);
    for name in ["report.html", "report.md", "figures.csv", "figures.json"] {
        let text = folder.read(&format!("out/{name}"));
        assert!(text.contains("radiologist") && !text.contains("secret"), "{name}");
    }
    assert!(folder.read("out/report.md").starts_with("# Chest"));
    let ran = run(&["study", "report", &folder.path("AB.csv"), "--resamples", "10"]);
    assert!(ran.stdout.contains("| Understandability"), "{ran:?}");

    // Merged already, and once more with one of them.
    good(folder.study(&["report", "@out/ratings.csv", "--resamples", "10"]));
    refused(
        &folder.study(&["report", "@out/ratings.csv", "@AB.csv"]),
        "duplicate_id",
        &["AB.csv, line 2"],
    );
    let other = folder.read("s.jsonl").replace("\"seed\":5", "\"seed\":6");
    folder.write("other.jsonl", &other);
    let strange = folder.study(&["report", "@AB.csv", "--study", "@other.jsonl"]);
    refused(&strange, "bad_data", &["another study"]);
}

#[test]
fn samples_are_the_seeds_and_bad_input_is_refused() {
    let folder = Folder::new();
    let two = ["--reference", "radiologist", "--sample", "3"];
    let ids = |seed: &str| {
        good(folder.study(&[&PLAN[..], &two, &["--seed", seed]].concat()));
        let study = Study::parse("s", folder.read("s.jsonl").as_bytes()).unwrap();
        study.items.into_iter().map(|item| item.id).collect::<Vec<_>>()
    };
    assert_eq!((ids("1"), ids("1").len()), (ids("1"), 3));
    assert!((2..9).any(|seed: u8| ids(&seed.to_string()) != ids("1")));
    let ran = folder.study(&[&PLAN[..], &["--reference", "x", "--sample", "9"]].concat());
    refused(&ran, "bad_option", &["sample", "6 reports"]);
    refused(&folder.study(&PLAN), "bad_data", &["1 systems", "2 to 4"]);
    folder.write("strange.jsonl", "{\"id\":\"zz\",\"impression\":\"secret\"}");
    let ran = folder.study(&[&PLAN[..], &["--system", "b=@strange.jsonl"]].concat());
    refused(&ran, "bad_data", &["line 1", "zz"]);
    refused(&folder.study(&["report", "@none.csv"]), "io", &["none.csv"]);
    folder.write("bad.csv", "study,reader\nx,y");
    refused(&folder.study(&["report", "@bad.csv"]), "bad_data", &["line 1", "missing"]);
    let ran = folder.study(&["plan", "--pairs", "p", "--system", "b", "--out", "o"]);
    assert!(ran.code == 2 && ran.stderr.contains("NAME=FILE"), "{ran:?}");
}
