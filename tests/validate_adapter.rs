//! `radllama validate --adapter` and `--adapter` for generating, on models made up on the spot.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![cfg(feature = "native")]

#[path = "common/adapters.rs"]
mod adapters;
mod common;
#[path = "common/tiny.rs"]
mod tiny;

use std::path::{Path, PathBuf};

use adapters::{adapter, merged, odd_ranks};
use common::{ok, run, save};
use radllama::digest::sha256;
use radllama::gguf::TensorType;
use radllama::lora::Adapter;
use radllama::lora::peft::Element;
use radllama::lora::peft::base_sha256;
use serde_json::{Value, json};
use tempfile::TempDir;
use tiny::Tiny;

/// A base, an adapter and the merged model in a folder.
struct Folder {
    dir: TempDir,
    tiny: Tiny,
    base: Vec<u8>,
    adapter: Adapter,
}

impl Folder {
    fn new() -> Folder {
        let dir = tempfile::tempdir().unwrap();
        let mut tiny = Tiny::new(TensorType::F32);
        tiny.config.max_position_embeddings = 1024; // room for the template, byte by byte
        let base = tiny.files().remove(0);
        let ranks = |_, target| if target == radllama::lora::Target::O { 0 } else { 8 };
        let adapter = adapter(&tiny.config, 7, ranks);
        save(dir.path(), "base.gguf", &base);
        save(dir.path(), "merged.gguf", &merged(&base, &tiny.config, &adapter, true));
        let folder = Folder { dir, tiny, base, adapter };
        folder.write(&folder.adapter, "adapter");
        folder
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, adapter: &Adapter, name: &str) -> PathBuf {
        let folder = self.dir.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let (settings, weights) = adapter.to_peft(Element::F32).unwrap();
        save(&folder, "adapter_config.json", &settings);
        save(&folder, "adapter_model.safetensors", &weights);
        folder
    }

    fn validate(&self, merged: &str, more: &[&str]) -> (i32, Value) {
        let (base, adapter) = (self.path("base.gguf"), self.path("adapter"));
        let merged = self.path(merged);
        let args = ["validate", "--quick", "--json", "--base", &base, "--adapter", &adapter];
        let ran = run(&[&args[..], &["--merged", &merged], more].concat());
        (ran.code, ran.json())
    }
}

fn generate(model: &str, more: &[&str]) -> Value {
    let args = ["generate", "--model", model, "--prompt-ids", "1,40,50,60", "--json"];
    ok(&[&args[..], &["--max-new-tokens", "12", "--ignore-eos"], more].concat()).json()
}

#[test]
fn a_right_merge_passes_and_each_wrong_one_fails() {
    let folder = Folder::new();
    let written = generate(&folder.path("base.gguf"), &["--adapter", &folder.path("adapter")]);
    let ids = json!({ "prompt_ids": written["prompt_ids"], "ids": written["ids"] });
    save(folder.dir.path(), "ids.json", ids.to_string().as_bytes());
    let (code, report) =
        folder.validate("merged.gguf", &["--browser-ids", &folder.path("ids.json")]);
    assert_eq!((code, &report["passed"]), (0, &json!(true)), "{report}");
    // All tensors; seven targets of two layers, two of them not adapted.
    let matrices = report["matrices"].as_array().unwrap();
    assert_eq!(matrices.len(), 2 * 9 + 2);
    assert_eq!(matrices.iter().filter(|m| m["share"].is_number()).count(), 12);
    assert!(matrices.iter().all(|m| m["nmse"].as_f64().unwrap() < 1e-12));
    assert_eq!(report["side_path"]["top_1"], 1.0);
    assert_eq!(report["merged_run"]["passed"], true);
    assert_eq!(
        (&report["browser"]["tokens"], &report["browser"]["top_1"]),
        (&json!(12), &json!(1.0))
    );

    // The base itself; rows of q and k in Hugging Face's order; another id.
    let failed = |report: &Value| {
        let failed = report["matrices"].as_array().unwrap().iter();
        failed.filter(|m| m["passed"] == false).count()
    };
    let (code, report) = folder.validate("base.gguf", &[]);
    assert_eq!((code, failed(&report)), (1, 12), "{report}");
    let wrong = merged(&folder.base, &folder.tiny.config, &folder.adapter, false);
    save(folder.dir.path(), "wrong.gguf", &wrong);
    let (code, report) = folder.validate("wrong.gguf", &[]);
    assert_eq!((code, failed(&report)), (1, 4), "{report}");
    let mut ids = ids;
    ids["ids"][5] = json!((ids["ids"][5].as_u64().unwrap() + 7) % 300);
    save(folder.dir.path(), "ids.json", ids.to_string().as_bytes());
    let (code, report) =
        folder.validate("merged.gguf", &["--browser-ids", &folder.path("ids.json")]);
    assert_eq!((code, &report["browser"]["passed"]), (1, &json!(false)), "{report}");
}

#[test]
fn what_does_not_belong_together_is_an_error_with_a_code() {
    let folder = Folder::new();
    let code = |adapter: &Path| {
        let (base, adapter) = (folder.path("base.gguf"), adapter.to_str().unwrap().to_owned());
        let args = ["--model", &base, "--adapter", &adapter, "--prompt-ids", "1,2", "--json"];
        let ran = run(&[&["generate"], &args[..]].concat());
        assert_ne!(ran.code, 0, "{ran:?}");
        ran.json()["error"]["code"].as_str().unwrap().to_owned()
    };
    assert_eq!(code(&folder.dir.path().join("nothing")), "io");
    let other = Adapter { base_sha256: Some("0".repeat(64)), ..folder.adapter.clone() };
    assert_eq!(code(&folder.write(&other, "other")), "other_base");
    let larger = Tiny::wide(TensorType::F32);
    assert_eq!(
        code(&folder.write(&adapter(&larger.config, 1, odd_ranks), "larger")),
        "wrong_shape"
    );
    // Its own base is right, though no manifest tells the hash.
    let hash = base_sha256(&[sha256(&folder.base)]);
    let own = Adapter { base_sha256: Some(hash), ..folder.adapter.clone() };
    folder.write(&own, "own");
    generate(&folder.path("base.gguf"), &["--adapter", &folder.path("own")]);
}

#[test]
fn a_manifest_brings_its_adapter_and_its_decoding() {
    let folder = Folder::new();
    let dir = folder.dir.path();
    let mut manifest = common::manifest(dir, &[dir.join("base.gguf")]);
    let adapter: Vec<PathBuf> = ["config.json", "model.safetensors"]
        .map(|n| dir.join(format!("adapter/adapter_{n}")))
        .to_vec();
    let files = common::manifest(dir, &adapter)["files"].clone();
    manifest["adapter"] = json!({ "config": files[0], "weights": files[1] });
    manifest["decoding"] = json!({ "max_new_tokens": 5 });
    let path = save(dir, "manifest.json", manifest.to_string().as_bytes());
    let path = path.to_str().unwrap();
    let ids = |model: &str, more: &[&str]| generate(model, more)["ids"].clone();
    let with = ids(&folder.path("base.gguf"), &["--adapter", &folder.path("adapter")]);
    let base = ids(&folder.path("base.gguf"), &[]);
    assert_ne!(with, base);
    assert_eq!(ids(path, &[]), with);
    assert_eq!(ids(path, &["--no-adapter"]), base);
    // Impressions decode as it says, unless the caller does.
    let count = |more: &[&str]| {
        let args = ["impression", "--findings", "the heart is in it", "--json", "--model", path];
        ok(&[&args[..], more].concat()).json()["ids"].as_array().unwrap().len()
    };
    assert!(count(&[]) <= 5);
    assert!(count(&["--max-new-tokens", "9"]) > 5);
    // A damaged adapter is noticed.
    let weights = dir.join("adapter/adapter_model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    save(&dir.join("adapter"), "adapter_model.safetensors", &bytes);
    let ran = run(&["generate", "--model", path, "--prompt-ids", "1,2", "--json"]);
    assert_eq!(ran.json()["error"]["code"], "hash_mismatch");
}
