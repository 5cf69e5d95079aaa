//! Every subcommand of the built program, on small models made on the spot.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use std::fs;
use std::path::Path;

use common::{Tiny, manifest, ok, radllama, run, run_with, save};
use radllama::gguf::TensorType;
use serde_json::{Value, json};

const SPM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/ggml-vocab-llama-spm.gguf");
const FINDINGS: &str = "the heart is normal in size. there is a small effusion on the right.";

fn str(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn ids(object: &Value) -> Vec<u64> {
    object["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect()
}

#[test]
fn tokenize_works_on_a_vocabulary_alone() {
    let json = |args: &[&str]| {
        let all = [&["tokenize", "--model", SPM, "--json"], args].concat();
        ok(&all).json()
    };
    // Llama-2's own ids.
    assert_eq!(json(&["--text", "Hello world"]), json!({ "ids": [15043, 3186] }));
    assert_eq!(json(&["--text", "Hello", "--bos"]), json!({ "ids": [1, 15043] }));
    assert_eq!(json(&["--decode", "15043,3186"]), json!({ "text": "Hello world" }));
    assert_eq!(ids(&json(&["--text", "</s>", "--special"])), [2]);
    assert!(ids(&json(&["--text", "</s>"])).len() > 1);
    assert_eq!(json(&["--decode", "1,15043", "--special"]), json!({ "text": "<s>Hello" }));
    assert_eq!(json(&["--decode", "1,15043"]), json!({ "text": "Hello" }));
    let plain = ok(&["tokenize", "--model", SPM, "--text", "Hello world"]);
    assert_eq!(plain.stdout, "15043,3186\n");
}

#[test]
fn tokenize_takes_a_text_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = save(dir.path(), "texts", "Hello\n\nHello world".as_bytes());
    let args = ["tokenize", "--model", SPM, "--file", str(&file), "--lines"];
    let lines: Vec<Value> =
        ok(&args).stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        lines,
        [json!({ "ids": [15043] }), json!({ "ids": [] }), json!({ "ids": [15043, 3186] })]
    );
    let args = ["tokenize", "--model", SPM, "--file", "-", "--lines", "--json"];
    let ran = run_with(radllama(&args), b"Hello\nHello world\n");
    assert_eq!(ran.stdout.lines().count(), 2);
}

#[test]
fn generate_says_everything_as_json() {
    let dir = tempfile::tempdir().unwrap();
    let model = Tiny::new(TensorType::Q4_1).save(dir.path(), "m");
    let args = [
        "generate",
        "--model",
        str(&model),
        "--prompt",
        "the heart",
        "--max-new-tokens",
        "20",
        "--top-logits",
        "5",
        "--ignore-eos",
        "--stats",
        "--json",
    ];
    let gpu = ok(&args).json();
    let tokens =
        ok(&["tokenize", "--model", str(&model), "--text", "the heart", "--bos", "--json"]);
    assert_eq!(gpu["prompt_ids"], tokens.json()["ids"]);
    assert_eq!(gpu["prompt_ids"][0], 1);
    assert_eq!((ids(&gpu).len(), &gpu["stop"]), (20, &json!("length")));
    let top = gpu["top_logits"].as_array().unwrap();
    assert_eq!((top.len(), &top[0][0]), (5, &gpu["ids"][0]));
    assert!(top.windows(2).all(|pair| pair[0][1].as_f64() >= pair[1][1].as_f64()), "{top:?}");
    for rate in ["prefill_tokens_per_s", "decode_tokens_per_s"] {
        assert!(gpu[rate].as_f64().unwrap() > 0.0, "{rate}");
    }
    assert!(!gpu["adapter"].as_str().unwrap().is_empty());
    assert!(gpu["variants"]["matvec"].is_string(), "{}", gpu["variants"]);
    // Per token: every layer's eight kernels, embedding, three for the head; four bytes come back.
    let stats = &gpu["stats"];
    assert_eq!(stats["steps"], 19);
    assert_eq!(stats["dispatches_per_token"], (8 * common::LAYERS + 4) as f64);
    assert_eq!(
        (&stats["uploaded_bytes_per_token"], &stats["read_bytes_per_token"]),
        (&json!(0.0), &json!(4.0))
    );
    assert!(stats["submits_per_token"].as_f64().unwrap() < 0.5);

    let cpu = ok(&[&args[..], &["--backend", "cpu"]].concat()).json();
    assert_eq!((&cpu["ids"], &cpu["text"]), (&gpu["ids"], &gpu["text"]));
    for (ours, theirs) in top.iter().zip(cpu["top_logits"].as_array().unwrap()) {
        let difference = ours[1].as_f64().unwrap() - theirs[1].as_f64().unwrap();
        assert!(difference.abs() < 1e-3, "{ours} {theirs}");
    }
}

#[test]
fn generate_streams_the_same_text() {
    let dir = tempfile::tempdir().unwrap();
    let model = Tiny::new(TensorType::Q8_0).save(dir.path(), "m");
    let base = ["generate", "--model", str(&model), "--backend", "cpu", "--max-new-tokens", "12"];
    let with = |more: &[&str]| ok(&[&base[..], more].concat());
    let object = with(&["--prompt", "the heart", "--json"]).json();
    assert_eq!(
        with(&["--prompt", "the heart"]).stdout,
        format!("{}\n", object["text"].as_str().unwrap())
    );
    // The same prompt by other ways.
    let file = save(dir.path(), "prompt", b"the heart");
    assert_eq!(with(&["--prompt-file", str(&file), "--json"]).json()["ids"], object["ids"]);
    let prompt: Vec<String> =
        object["prompt_ids"].as_array().unwrap().iter().map(Value::to_string).collect();
    let by_ids = with(&["--prompt-ids", &prompt.join(","), "--json"]).json();
    assert_eq!((&by_ids["prompt_ids"], &by_ids["ids"]), (&object["prompt_ids"], &object["ids"]));
    let no_bos = with(&["--prompt", "the heart", "--no-bos", "--json"]).json();
    assert_eq!(
        no_bos["prompt_ids"].as_array().unwrap()[..],
        object["prompt_ids"].as_array().unwrap()[1..]
    );
    let special = with(&["--prompt", "</s>a", "--special", "--json"]).json();
    assert_eq!(special["prompt_ids"][1], 2);
    // For people: figures to stderr, text to stdout.
    let people = with(&["--prompt", "the heart", "--stats", "--top-logits", "2"]);
    assert!(people.stderr.contains("dispatches per token"), "{}", people.stderr);
    assert_eq!(people.stdout, format!("{}\n", object["text"].as_str().unwrap()));
}

#[test]
fn generate_samples_by_its_seed() {
    let dir = tempfile::tempdir().unwrap();
    let model = Tiny::new(TensorType::F16).save(dir.path(), "m");
    let with = |more: &[&str]| {
        let base = [
            "generate",
            "--model",
            str(&model),
            "--prompt",
            "a",
            "--max-new-tokens",
            "16",
            "--ignore-eos",
            "--backend",
            "cpu",
            "--json",
        ];
        ids(&ok(&[&base[..], more].concat()).json())
    };
    let warm = ["--temperature", "2", "--top-k", "50", "--top-p", "0.99", "--min-p", "0.001"];
    let seeded = |seed| with(&[&warm[..], &["--seed", seed]].concat());
    assert_eq!(seeded("1"), seeded("1"));
    assert_ne!(seeded("1"), seeded("2"));
    assert_ne!(with(&["--repetition-penalty", "3"]), with(&[]));
}

#[test]
fn a_split_and_a_manifest_are_the_same_model() {
    let dir = tempfile::tempdir().unwrap();
    let mixed = |name: &str| match name {
        "token_embd.weight" => TensorType::Q8_0,
        name if name.contains("attn_v") => TensorType::F16,
        name if name.contains("ffn_down") => TensorType::F32,
        _ => TensorType::Q4_0,
    };
    let tiny = Tiny::with(mixed);
    let single = tiny.save(dir.path(), "m");
    let parts = tiny.save_split(dir.path(), "m", 40_000);
    assert!(parts.len() > 2);
    let file = manifest(dir.path(), &parts);
    let manifest = save(dir.path(), "manifest.json", file.to_string().as_bytes());
    let of = |model: &Path| {
        ok(&[
            "generate",
            "--model",
            str(model),
            "--prompt",
            "the",
            "--max-new-tokens",
            "9",
            "--json",
        ])
        .json()["ids"]
            .clone()
    };
    assert_eq!(of(&single), of(&parts[0]));
    assert_eq!(of(&single), of(&manifest));
}

#[test]
fn impression_writes_from_every_source() {
    let dir = tempfile::tempdir().unwrap();
    let model = Tiny::new(TensorType::Q4_1).save(dir.path(), "m");
    let file = manifest(dir.path(), &[model]);
    let model = save(dir.path(), "manifest.json", file.to_string().as_bytes());
    let base = ["impression", "--model", str(&model), "--backend", "cpu", "--max-new-tokens", "6"];
    let args = |more: &[&'static str]| [&base[..], more].concat();
    let ran = ok(&args(&["--findings", FINDINGS, "--json"]));
    let object = ran.json();
    assert_eq!(
        (&object["model"], &object["notice"]),
        (&json!("tiny"), &json!("Made up for a test."))
    );
    assert!(
        ran.stderr.contains("Made up for a test.") && ran.stderr.contains("not a medical device")
    );
    assert!(object["prompt_ids"].as_array().unwrap().len() > FINDINGS.len() / 2);

    let text = format!("{}\n", object["text"].as_str().unwrap());
    assert_eq!(run_with(radllama(&args(&["-"])), FINDINGS.as_bytes()).stdout, text);
    assert_eq!(run_with(radllama(&args(&["--findings", "-"])), FINDINGS.as_bytes()).stdout, text);
    let file = save(dir.path(), "findings.txt", FINDINGS.as_bytes());
    assert_eq!(ok(&[&base[..], &["--file", str(&file)]].concat()).stdout, text);
    let other = ok(&args(&["--findings", FINDINGS, "--instruction", "say it", "--json"])).json();
    assert!(other["prompt_ids"] != object["prompt_ids"]);
}

#[test]
fn inspect_shows_shape_and_memory() {
    let dir = tempfile::tempdir().unwrap();
    let model = Tiny::new(TensorType::Q4_1).save(dir.path(), "m");
    let object = ok(&["inspect", str(&model), "--context", "100", "--json"]).json();
    assert_eq!(object["config"]["hidden_size"], common::D);
    assert_eq!(object["tensors"].as_array().unwrap().len(), 20);
    assert_eq!(
        (&object["tensors"][0]["type"], &object["tensors"][0]["format"]),
        (&json!("Q4_1"), &json!("q4"))
    );
    let memory = &object["memory"];
    // Keys and values: layers × positions × kv heads × head dim × f32, twice.
    assert_eq!(memory["kv_cache_bytes"], 2 * common::LAYERS * 100 * 32 * 4);
    let sum: u64 = ["weights_bytes", "kv_cache_bytes", "activations_bytes"]
        .iter()
        .map(|part| memory[part].as_u64().unwrap())
        .sum();
    assert_eq!(memory["total_bytes"], sum);
    let text = ok(&["inspect", str(&model)]).stdout;
    assert!(text.contains("blk.1.ffn_down.weight") && text.contains("kv_cache"), "{text}");
    // A vocabulary has no tensors, and is still worth a look.
    assert_eq!(ok(&["inspect", SPM, "--json"]).json()["tokenizer"]["tokens"], 32000);
}

#[test]
fn convert_requantizes_and_splits() {
    let dir = tempfile::tempdir().unwrap();
    let model = Tiny::new(TensorType::F32).save(dir.path(), "m");
    let out = dir.path().join("new/q");
    let args = ["convert", "--input", str(&model), "--output", str(&out), "--to", "q8_0"];
    let report =
        ok(&[&args[..], &["--split-bytes", "60000", "--provenance", "licence=CC0", "--json"]]
            .concat())
        .json();
    let parts = report["parts"].as_array().unwrap();
    assert!(parts.len() > 1);
    for part in parts {
        let bytes = fs::read(out.with_file_name(part["path"].as_str().unwrap())).unwrap();
        assert_eq!(bytes.len() as u64, part["bytes"].as_u64().unwrap());
    }
    let embedding = &report["tensors"][0];
    assert_eq!((&embedding["from"], &embedding["to"]), (&json!("F32"), &json!("Q8_0")));
    let rmse = embedding["rmse"].as_f64().unwrap();
    assert!((1e-4..1e-2).contains(&rmse), "{rmse}");
    let first = out.with_file_name(parts[0]["path"].as_str().unwrap());
    let object = ok(&["inspect", str(&first), "--json"]).json();
    assert_eq!(object["provenance"]["licence"], "CC0");
    assert_eq!(object["tensors"][1]["type"], "F32");
    // Together again, and in place.
    let one = ["convert", "--input", str(&first), "--output", str(&out)];
    assert!(ok(&one).stdout.contains("token_embd.weight"));
    let whole = dir.path().join("new/q.gguf");
    ok(&["convert", "--input", str(&whole), "--output", str(&whole), "--to", "same"]);
    ok(&["inspect", str(&whole)]);
    let names = fs::read_dir(dir.path().join("new")).unwrap();
    assert_eq!(names.count(), parts.len() + 1, "nothing partial is left");
}

#[test]
fn convert_reads_llama2c() {
    let dir = tempfile::tempdir().unwrap();
    let (vocab, d, f, context) = (265, 64, 96, 8);
    let mut bytes: Vec<u8> =
        [d, f, 1, 4, 2, vocab, context].into_iter().flat_map(i32::to_le_bytes).collect();
    let weights = vocab * d + 2 * d + 2 * d * d + 2 * 32 * d + 3 * d * f + d + context * 16;
    let weight = |i: i32| (i * 7919 % 10_007 - 5003) as f32 / 8192.0;
    bytes.extend((0..weights).flat_map(|i| weight(i).to_le_bytes()));
    let checkpoint = save(dir.path(), "m.bin", &bytes);
    let names = ["<unk>", "<s>", "</s>"].map(str::to_owned).into_iter();
    let names = names.chain((0..256).map(|byte| format!("<0x{byte:02X}>")));
    let names = names.chain(["▁▁", "▁a", "ab", "▁", "a", "b"].map(str::to_owned));
    let table: serde_json::Map<String, Value> =
        names.enumerate().map(|(id, name)| (name, id.into())).collect();
    let json = json!({ "model": {
        "type": "BPE", "byte_fallback": true, "unk_token": "<unk>", "vocab": table,
        "merges": ["▁ a", "a b", "▁ ▁"],
    }});
    let tokenizer = save(dir.path(), "tokenizer.json", json.to_string().as_bytes());
    let out = dir.path().join("stories");
    ok(&[
        "convert",
        "--from",
        "llama2c",
        "--input",
        str(&checkpoint),
        "--tokenizer",
        str(&tokenizer),
        "--to",
        "q4_1",
        "--embedding",
        "q8_0",
        "--output",
        str(&out),
    ]);
    let model = dir.path().join("stories.gguf");
    let object = ok(&["inspect", str(&model), "--json"]).json();
    assert_eq!(
        (&object["tensors"][0]["type"], &object["tensors"][2]["type"]),
        (&json!("Q8_0"), &json!("Q4_1"))
    );
    assert_eq!(object["memory"]["context"], 8);
}

#[test]
fn validate_passes_here() {
    let dir = tempfile::tempdir().unwrap();
    let model = Tiny::new(TensorType::Q4_1).save(dir.path(), "m");
    let object = ok(&["validate", "--quick", "--model", str(&model), "--json"]).json();
    assert_eq!(object["passed"], true);
    let kernels = object["kernels"].as_array().unwrap();
    assert!(kernels.len() > 30, "{}", kernels.len());
    assert!(kernels.iter().all(
        |kernel| kernel["worst_error"].as_f64().unwrap() <= kernel["allowed"].as_f64().unwrap()
    ));
    assert_eq!(object["model"]["steps"].as_array().unwrap().len(), 8);
    assert!(object["model"]["prefill"]["error"].as_f64().unwrap() > 0.0, "nothing was compared");
}

#[test]
fn shaders_are_written_with_an_index() {
    let dir = tempfile::tempdir().unwrap();
    ok(&["shaders", "--out", str(dir.path())]);
    let index: Value =
        serde_json::from_slice(&fs::read(dir.path().join("index.json")).unwrap()).unwrap();
    let index = index.as_array().unwrap();
    assert_eq!(index.len(), radllama::kernels::permutations(&radllama::kernels::HEAD_DIMS).len());
    for shader in index {
        let code = fs::read_to_string(dir.path().join(shader["file"].as_str().unwrap())).unwrap();
        let has = |feature: &str| shader["features"].as_array().unwrap().contains(&json!(feature));
        assert_eq!(code.contains("enable f16;"), has("shader-f16"), "{shader}");
        assert_eq!(code.contains("enable subgroups;"), has("subgroups"), "{shader}");
    }
}

#[test]
fn usage_errors_are_2() {
    for args in [
        &["generate", "--model", "x"][..],
        &["generate", "--prompt", "a", "--prompt-ids", "1"],
        &["impression", "--findings", "a", "--file", "b"],
        &["tokenize", "--text", "a", "--lines"],
        &["convert", "--from", "llama2c", "--input", "a", "--output", "b"],
        &["nonsense"],
        &[],
    ] {
        assert_eq!(run(args).code, 2, "{args:?}");
    }
    assert!(ok(&["--help"]).stdout.contains("not a medical device"));
}
