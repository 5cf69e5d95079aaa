//! `radllama eval` with a model: runs in shards, runs taken up again, runs not to be mixed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;
#[path = "common/eval.rs"]
mod fixture;

use std::fs;
use std::path::{Path, PathBuf};

use common::{D, LAYERS, Ran, Tiny};
use fixture::{Files, good, refused, system};
use radllama::gguf::TensorType;
use radllama::lora::peft::Element;
use radllama::lora::{Adapter, LoraConfig, Pair, Target};
use serde_json::{Value, json};

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
    assert_eq!(
        system(&json, "base zero-shot")["degenerate"]["empty"].as_u64().map(|n| n >= 1),
        Some(true)
    );
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

/// An adapter that changes what every query head asks for.
fn adapter(files: &Files) -> String {
    let pattern =
        |count: u64, size: f32| (0..count).map(|i| size * ((i * 37 % 11) as f32 - 5.0)).collect();
    let pair = || Pair { rank: 2, scale: 2.0, a: pattern(2 * D, 0.2), b: pattern(D * 2, 0.2) };
    let pairs = (0..LAYERS as u32).map(|layer| ((layer, Target::Q), pair())).collect();
    let config = LoraConfig {
        r: 2,
        lora_alpha: 4.0,
        lora_dropout: 0.0,
        use_rslora: false,
        target_modules: vec![Target::Q],
        base_model: "tiny".into(),
    };
    let (config, weights) =
        Adapter { config, base_sha256: None, pairs }.to_peft(Element::F32).unwrap();
    let folder = files.path("tuned");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("adapter_config.json"), config).unwrap();
    fs::write(folder.join("adapter_model.safetensors"), weights).unwrap();
    folder.display().to_string()
}

#[test]
fn an_adapter_stands_beside_its_base() {
    let files = Files::new();
    let (model, adapter) = (&model(&files, "m", TensorType::Q4_1), &adapter(&files));
    let args = ["--adapter", adapter, "--zero-shot", "--save", "o.jsonl"];
    let json = good(generate(&files, model, &args));
    let names: Vec<&str> =
        json["systems"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert_eq!(names[1..], ["base zero-shot", "constant", "copy"]);
    assert!(names[0].ends_with("+ tuned"), "{names:?}");
    good(generate(&files, model, &["--save", "b.jsonl"]));
    assert_eq!(files.read("o.base.jsonl"), files.read("b.jsonl"));
    assert_ne!(files.read("o.jsonl"), files.read("b.jsonl"));
    let ran = generate(&files, model, &["--save", "o.jsonl"]);
    refused(&ran, "bad_data", &["adapter_sha256", "model"]);
}
