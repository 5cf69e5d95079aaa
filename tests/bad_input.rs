//! Bad files, bad text, bad devices: each gives its typed error, which names what is wrong and how to
//! mend it, on one line, with exit code 1.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use common::{Ran, Tiny, manifest, ok, radllama, run, run_with, save};
use radllama::gguf::{Array, Layout, TensorSpec, TensorType, Value};
use serde_json::json;
use tempfile::TempDir;

/// Checks that a run failed with this error, in one line that says all of `words`.
fn failed(ran: &Ran, code: &str, words: &[&str]) {
    assert_eq!(ran.code, 1, "{ran:?}");
    let error = &ran.json()["error"];
    assert_eq!(error["code"], code, "{ran:?}");
    let message = error["message"].as_str().unwrap();
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
    assert!(ran.stderr.lines().any(|line| line == format!("error: {message}")), "{ran:?}");
    assert!(!ran.stderr.contains("panicked"), "{ran:?}");
}

/// Loads a model and writes one token.
fn load(model: &Path) -> Ran {
    run(&[
        "generate",
        "--model",
        model.to_str().unwrap(),
        "--prompt",
        "the",
        "--max-new-tokens",
        "1",
        "--backend",
        "cpu",
        "--json",
    ])
}

fn tiny() -> Tiny {
    Tiny::new(TensorType::Q4_1)
}

/// A model that was spoilt.
fn spoilt(spoil: impl FnOnce(&mut Tiny)) -> Ran {
    let dir = tempfile::tempdir().unwrap();
    let mut tiny = tiny();
    spoil(&mut tiny);
    load(&tiny.save(dir.path(), "m"))
}

/// A file with these bytes.
fn bytes(bytes: &[u8]) -> Ran {
    let dir = tempfile::tempdir().unwrap();
    load(&save(dir.path(), "m.gguf", bytes))
}

#[test]
fn the_unspoilt_model_loads() {
    assert_eq!(spoilt(|_| ()).code, 0);
}

#[test]
fn what_is_not_a_gguf() {
    failed(&bytes(b"hello, I am a text"), "not_gguf", &["m.gguf", "pass a .gguf"]);
    failed(&bytes(b"PK\x03\x04 and so on"), "not_gguf", &["m.gguf"]);
    failed(&bytes(b"{ \"no\": \"manifest\" }"), "bad_manifest", &["no"]);
    failed(&load(Path::new("/nowhere/m.gguf")), "io", &["/nowhere/m.gguf"]);
    failed(&load(Path::new("/")), "io", &["folder", "pass"]);
    let mut file = tiny().file();
    file[4] = 1;
    failed(&bytes(&file), "gguf_version", &["version 1", "convert"]);
}

#[test]
fn truncated_files() {
    let file = tiny().file();
    for length in [0, 3, 20, 2000, file.len() / 2, file.len() - 1] {
        failed(&bytes(&file[..length]), "truncated", &["m.gguf", "download it again"]);
    }
}

#[test]
fn an_unknown_tensor_type() {
    let mut file = tiny().file();
    let name = b"blk.1.ffn_up.weight";
    let at = file.windows(name.len()).position(|bytes| bytes == name).unwrap() + name.len();
    // Number of dimensions, two dimensions, then the type: 39 is ggml's MXFP4.
    file[at + 4 + 16..][..4].copy_from_slice(&39u32.to_le_bytes());
    failed(&bytes(&file), "unknown_tensor_type", &["blk.1.ffn_up.weight", "requantize"]);
}

#[test]
fn tensors_that_do_not_fit() {
    let name = "blk.1.ffn_up.weight";
    let missing = spoilt(|tiny| drop(tiny.remove(name)));
    failed(&missing, "missing_tensor", &[name, "incomplete"]);
    let wrong = spoilt(|tiny| {
        tiny.remove(name);
        tiny.push(name, &[64, 95], &|_| TensorType::Q4_1);
    });
    failed(&wrong, "wrong_shape", &[name, "[64, 95]", "[64, 96]"]);
    let extra = spoilt(|tiny| tiny.push("blk.2.attn_q.bias", &[64], &|_| TensorType::F32));
    failed(&extra, "unexpected_tensor", &["blk.2.attn_q.bias"]);
    let nan = spoilt(|tiny| {
        let (spec, mut bytes) = tiny.remove("output_norm.weight");
        bytes[..4].copy_from_slice(&f32::NAN.to_le_bytes());
        tiny.tensors.push((spec, bytes));
    });
    failed(&nan, "bad_weight", &["output_norm.weight", "damaged"]);
}

#[test]
fn metadata_that_does_not_fit() {
    let other = spoilt(|tiny| tiny.set("general.architecture", Value::String("mamba".into())));
    failed(&other, "unsupported_architecture", &["mamba", "llama"]);
    let absent = spoilt(|tiny| tiny.metadata.retain(|(key, _)| key != "llama.block_count"));
    failed(&absent, "missing_metadata", &["llama.block_count"]);
    let odd = spoilt(|tiny| tiny.set("llama.attention.head_count_kv", Value::U32(3)));
    failed(&odd, "bad_config", &["4", "3"]);
    let yarn = spoilt(|tiny| tiny.set("llama.rope.scaling.type", Value::String("yarn".into())));
    failed(&yarn, "unsupported_feature", &["yarn"]);
    let fewer = spoilt(|tiny| {
        for key in ["tokens", "scores", "token_type"] {
            let key = format!("tokenizer.ggml.{key}");
            let (_, value) = tiny.metadata.iter_mut().find(|(k, _)| *k == key).unwrap();
            match value {
                Value::Array(Array::String(v)) => v.truncate(299),
                Value::Array(Array::F32(v)) => v.truncate(299),
                Value::Array(Array::I32(v)) => v.truncate(299),
                other => panic!("{other:?}"),
            }
        }
    });
    failed(&fewer, "vocabulary_mismatch", &["299", "300", "do not belong together"]);
}

/// A split in a folder of its own.
fn split() -> (TempDir, Vec<PathBuf>) {
    let dir = tempfile::tempdir().unwrap();
    let parts = tiny().save_split(dir.path(), "m", 30_000);
    assert!(parts.len() > 2);
    (dir, parts)
}

/// Loads through a manifest of these files.
fn load_manifest(
    dir: &Path,
    files: &[PathBuf],
    change: impl FnOnce(&mut serde_json::Value),
) -> Ran {
    let mut json = manifest(dir, files);
    change(&mut json);
    load(&save(dir, "manifest.json", json.to_string().as_bytes()))
}

#[test]
fn parts_of_a_split() {
    let (dir, parts) = split();
    assert_eq!(load(&parts[0]).code, 0);
    assert_eq!(load_manifest(dir.path(), &parts, |_| ()).code, 0);

    let first = parts[0].file_name().unwrap().to_str().unwrap();
    failed(&load(&parts[1]), "split_mismatch", &["part 2", "pass the first", first]);
    let mut swapped = parts.clone();
    swapped.swap(0, 1);
    failed(&load_manifest(dir.path(), &swapped, |_| ()), "split_mismatch", &["came as part 0"]);
    let fewer = load_manifest(dir.path(), &parts[..2], |_| ());
    failed(&fewer, "split_mismatch", &["parts", "2 were given"]);
    // The same part under two names.
    let copy = save(dir.path(), "copy.gguf", &fs::read(&parts[1]).unwrap());
    let mut doubled = parts.clone();
    doubled[2] = copy;
    failed(
        &load_manifest(dir.path(), &doubled, |_| ()),
        "split_mismatch",
        &["copy.gguf", "part 1"],
    );
    let other = Tiny::new(TensorType::F32).save(dir.path(), "other");
    let mut mixed = parts.clone();
    mixed[1] = other;
    failed(&load_manifest(dir.path(), &mixed, |_| ()), "split_mismatch", &["other.gguf"]);

    let renamed = dir.path().join("renamed.gguf");
    fs::copy(&parts[0], &renamed).unwrap();
    failed(&load(&renamed), "split_mismatch", &["renamed.gguf", "-00001-of-0000"]);
    let last = parts.last().unwrap();
    fs::remove_file(last).unwrap();
    let name = last.file_name().unwrap().to_str().unwrap();
    failed(&load(&parts[0]), "split_mismatch", &[name, "missing", "into one folder"]);
}

#[test]
fn manifests_that_lie() {
    let (dir, parts) = split();
    let name = parts[1].file_name().unwrap().to_str().unwrap();
    let hash = load_manifest(dir.path(), &parts, |json| {
        json["files"][1]["sha256"] = "0".repeat(64).into()
    });
    failed(&hash, "hash_mismatch", &[name, "download it again"]);
    for by in [-1, 1] {
        let length = load_manifest(dir.path(), &parts, |json| {
            json["files"][1]["bytes"] = json!(json["files"][1]["bytes"].as_i64().unwrap() + by);
        });
        failed(&length, "truncated", &[name]);
    }
    let absent =
        load_manifest(dir.path(), &parts, |json| json["files"][1]["path"] = "none.gguf".into());
    failed(&absent, "io", &["none.gguf"]);
    let outside =
        load_manifest(dir.path(), &parts, |json| json["files"][1]["path"] = "../m.gguf".into());
    failed(&outside, "bad_manifest", &["../m.gguf"]);
    let template = load_manifest(dir.path(), &parts, |json| json["template"] = "vicuna".into());
    failed(&template, "bad_manifest", &["vicuna", "chatml"]);
}

#[test]
fn findings_that_are_no_findings() {
    let dir = tempfile::tempdir().unwrap();
    let model = tiny().save(dir.path(), "m");
    let args =
        ["impression", "-", "--model", model.to_str().unwrap(), "--backend", "cpu", "--json"];
    let with = |text: &[u8]| run_with(radllama(&args), text);
    assert_eq!(with(b"the heart is normal.").code, 0);
    for empty in [&b""[..], b"  \n\t "] {
        failed(&with(empty), "empty_findings", &["paste the findings"]);
    }
    let megabyte = "cardiomegaly is seen. ".repeat(48_000);
    assert!(megabyte.len() > 1 << 20);
    let ran = with(megabyte.as_bytes());
    failed(&ran, "prompt_too_long", &["1024", "shorten the findings"]);
    assert!(!ran.stdout.contains("cardiomegaly") && !ran.stderr.contains("cardiomegaly"));
    failed(&with(b"heart\0 normal"), "bad_text", &["U+0000", "character 6"]);
    failed(&with(b"heart\xff normal"), "bad_text", &["UTF-8 at byte 6"]);
    failed(&with(&[b'a'; 5 << 20]), "bad_text", &["bytes"]);
    let file = dir.path().join("none.txt");
    let args = ["impression", "--file", file.to_str().unwrap(), "--json"];
    failed(&run(&args), "io", &["none.txt"]);
}

#[test]
fn options_out_of_range() {
    let dir = tempfile::tempdir().unwrap();
    let model = tiny().save(dir.path(), "m");
    let with = |more: &[&str]| {
        let base = ["generate", "--model", model.to_str().unwrap(), "--backend", "cpu", "--json"];
        run(&[&base[..], more].concat())
    };
    let options = [
        ("--temperature", "-1", "temperature"),
        ("--temperature", "NaN", "temperature"),
        ("--top-p", "0", "top_p"),
        ("--min-p", "2", "min_p"),
        ("--repetition-penalty", "0", "repetition_penalty"),
        ("--max-new-tokens", "0", "max_new_tokens"),
        ("--beams", "9", "beams"),
        ("--length-penalty", "NaN", "length_penalty"),
        ("--n-best", "2", "n_best"),
        ("--context", "0", "context"),
        ("--context", "1025", "1024"),
    ];
    for (flag, value, named) in options {
        failed(&with(&["--prompt", "a", flag, value]), "bad_option", &[named]);
    }
    let long = with(&["--prompt", "a", "--max-new-tokens", "30", "--context", "20"]);
    failed(&long, "prompt_too_long", &["30", "20"]);
    let beams = ["--beams", "4", "--max-new-tokens", "10", "--context", "20"];
    failed(&with(&[&["--prompt", "a"], &beams[..]].concat()), "beams_too_long", &["36", "20"]);
    failed(&with(&["--prompt-ids", "1,300"]), "token_out_of_range", &["300"]);
    failed(&with(&["--prompt", "", "--no-bos"]), "bad_option", &["prompt"]);
    let args = ["tokenize", "--model", model.to_str().unwrap(), "--decode", "300", "--json"];
    failed(&run(&args), "token_out_of_range", &["300"]);
}

#[test]
fn no_adapter() {
    let dir = tempfile::tempdir().unwrap();
    let model = tiny().save(dir.path(), "m");
    let args = ["generate", "--model", model.to_str().unwrap(), "--prompt", "a", "--json"];
    let mut command = radllama(&args);
    command.env("VK_ICD_FILENAMES", "/nonexistent").env("VK_DRIVER_FILES", "/nonexistent");
    failed(&run_with(command, b""), "no_adapter", &["Vulkan driver", "--backend cpu"]);
}

/// A model whose embedding alone has 16 GiB: its header, and a hole in the file where weights would be.
#[test]
fn limits_too_small() {
    let dir = tempfile::tempdir().unwrap();
    let mut tiny = Tiny::new(TensorType::F32);
    let (width, vocab) = (1 << 12, 1 << 20);
    tiny.set("llama.embedding_length", Value::U32(width));
    tiny.set("llama.attention.head_count", Value::U32(width / 16));
    tiny.set("llama.attention.head_count_kv", Value::U32(width / 32));
    tiny.set("llama.vocab_size", Value::U32(vocab));
    let widen = |dim: u64| match dim {
        64 => u64::from(width),
        32 => u64::from(width / 2),
        300 => u64::from(vocab),
        other => other,
    };
    let specs: Vec<TensorSpec> = tiny
        .tensors
        .iter()
        .map(|(spec, _)| TensorSpec {
            dims: spec.dims.iter().copied().map(widen).collect(),
            ..spec.clone()
        })
        .collect();
    let layout = Layout::new(&tiny.metadata, &specs, None).unwrap();
    let part = &layout.parts()[0];
    let mut head = Vec::new();
    let stop = radllama::Error::Cancelled; // behind the header
    part.write("large", &mut head, &mut |_, _, _| Err(stop.clone())).unwrap_err();
    let path = save(dir.path(), "large.gguf", &head);
    File::options().write(true).open(&path).unwrap().set_len(part.file_bytes()).unwrap();
    ok(&["inspect", path.to_str().unwrap()]);
    let ran = run(&["generate", "--model", path.to_str().unwrap(), "--prompt", "a", "--json"]);
    let bytes = (4u64 << 32).to_string();
    failed(&ran, "limit_too_small", &["token_embd", &bytes, "use a smaller"]);
}
