//! A folder with a tiny model and files for the tests of `radllama batch`.
#![allow(dead_code, reason = "every test binary uses its own part")]
#![allow(unreachable_pub, reason = "the module is copied into each test binary")]

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use crate::common::{Ran, Tiny, run};
use radllama::gguf::TensorType;
use serde_json::Value;
use tempfile::TempDir;

pub struct Files(pub TempDir);

pub const FINDINGS: [&str; 4] = [
    "the heart is at its size.",
    "there is an opacity in the right base.",
    "on the left a small effusion is seen.",
    "the lines are in place, and there is no air.",
];

impl Files {
    /// A model and `in.csv` with so many rows, each with an impression.
    pub fn new(rows: usize) -> Files {
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

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn str(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    pub fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Arguments with the folder before what is a file in it.
    pub fn placed(&self, words: &[&str]) -> Vec<String> {
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

    pub fn run(&self, words: &[&str]) -> Ran {
        let args = self.placed(words);
        run(&args.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// The arguments of a run over `input` with the tiny model.
    pub fn args(&self, input: &str, words: &[&str]) -> Vec<String> {
        self.placed(
            &[&[input, "--model", "m.gguf", "--backend", "cpu", "--max-new-tokens", "4"], words]
                .concat(),
        )
    }

    /// That run.
    pub fn batch(&self, input: &str, words: &[&str]) -> Ran {
        run(&self.args(input, words).iter().map(String::as_str).collect::<Vec<_>>())
    }

    pub fn ended(&self, input: &str, words: &[&str], code: i32) -> Value {
        let ran = self.batch(input, words);
        assert_eq!(ran.code, code, "{ran:?}");
        ran.json()
    }

    pub fn refused(&self, input: &str, words: &[&str], code: &str, expected: &[&str]) {
        refused(&self.batch(input, words), code, expected);
    }
}

pub fn refused(ran: &Ran, code: &str, expected: &[&str]) {
    assert_eq!(ran.code, 1, "{ran:?}");
    let error = &ran.json()["error"];
    assert_eq!(error["code"], code, "{ran:?}");
    for word in expected {
        assert!(error["message"].as_str().unwrap().contains(word), "{word:?}: {ran:?}");
    }
    assert!(!ran.stderr.contains("secret") && !ran.stdout.contains("secret"), "{ran:?}");
}

pub fn values(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The text without what differs from run to run: how long it took.
pub fn untimed(text: &str) -> String {
    assert!(text.ends_with('\n') || text.is_empty());
    text.lines().map(|line| line.split(",\"timings\":").next().unwrap().to_owned() + "\n").collect()
}
