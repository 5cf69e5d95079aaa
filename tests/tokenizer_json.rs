//! `tokenizer.json` files against the GGUF metadata of the same vocabularies.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::HashMap;

use radllama::gguf::read_header;
use radllama::tokenizer::{Tokenizer, TokenizerSpec};
use serde_json::{Value, json};

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors");

fn spec(name: &str) -> TokenizerSpec {
    let path = format!("{VECTORS}/ggml-vocab-{name}.gguf");
    let bytes = std::fs::read(&path).unwrap();
    TokenizerSpec::from_header(&read_header(path, &bytes).unwrap()).unwrap()
}

fn texts() -> Vec<String> {
    let more: Value =
        serde_json::from_slice(&std::fs::read(format!("{VECTORS}/more.json")).unwrap()).unwrap();
    let inp = std::fs::read_to_string(format!("{VECTORS}/texts.inp")).unwrap();
    let more: Vec<String> = serde_json::from_value(more["texts"].clone()).unwrap();
    more.into_iter().chain(inp.split("\n__ggml_vocab_test__\n").map(str::to_owned)).collect()
}

fn compare(ours: &Tokenizer, reference: &Tokenizer) {
    assert_eq!(ours.vocab_size(), reference.vocab_size());
    for text in texts() {
        assert_eq!(ours.encode(&text).unwrap(), reference.encode(&text).unwrap(), "{text:?}");
        let special = ours.encode_special(&text).unwrap();
        assert_eq!(special, reference.encode_special(&text).unwrap(), "{text:?}");
        assert_eq!(ours.decode(&special, true), reference.decode(&special, true));
    }
    for id in 0..ours.vocab_size() as u32 {
        assert_eq!(ours.piece(id), reference.piece(id), "{id}");
        assert_eq!(ours.is_end(id), reference.is_end(id), "{id}");
        assert_eq!(ours.is_control(id), reference.is_control(id), "{id}");
    }
}

fn vocab(spec: &TokenizerSpec) -> HashMap<&str, usize> {
    spec.tokens.iter().enumerate().map(|(id, text)| (text.as_str(), id)).collect()
}

/// GPT-2's file, in the layout Hugging Face publishes it in.
fn gpt2_json(spec: &TokenizerSpec) -> Value {
    json!({
        "version": "1.0",
        "added_tokens": [{ "id": 50256, "content": "<|endoftext|>", "special": true }],
        "normalizer": null,
        "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true },
        "post_processor": { "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false },
        "decoder": { "type": "ByteLevel" },
        "model": { "vocab": vocab(spec), "merges": spec.merges },
    })
}

#[test]
fn gpt_2() {
    let spec = spec("gpt-2");
    let json = gpt2_json(&spec);
    let ours = Tokenizer::from_json(json.to_string().as_bytes()).unwrap();
    assert_eq!(ours.eos(), Some(50256));
    assert!(!ours.add_bos());
    compare(&ours, &Tokenizer::from_spec(spec).unwrap());
}

/// Llama 2's file as transformers converts it: all pairs that make a token, by falling score.
fn llama2_json(spec: &TokenizerSpec) -> Value {
    let vocab = vocab(spec);
    let mut merges = Vec::new();
    for (id, text) in spec.tokens.iter().enumerate().skip(259) {
        for (at, _) in text.char_indices().skip(1) {
            let (left, right) = text.split_at(at);
            if vocab.contains_key(left) && vocab.contains_key(right) {
                merges.push((spec.scores[id], id, [left, right]));
            }
        }
    }
    merges.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let merges: Vec<[&str; 2]> = merges.into_iter().map(|m| m.2).collect();
    let added = |id, content| json!({ "id": id, "content": content, "special": true });
    json!({
        "added_tokens": [added(0, "<unk>"), added(1, "<s>"), added(2, "</s>")],
        "normalizer": { "type": "Sequence", "normalizers": [
            { "type": "Prepend", "prepend": "▁" },
            { "type": "Replace", "pattern": { "String": " " }, "content": "▁" },
        ] },
        "pre_tokenizer": null,
        "post_processor": { "type": "TemplateProcessing", "single": [
            { "SpecialToken": { "id": "<s>", "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } },
        ] },
        "model": { "type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true,
            "vocab": vocab, "merges": merges },
    })
}

#[test]
fn llama_2() {
    let spec = spec("llama-spm");
    let ours = Tokenizer::from_json(llama2_json(&spec).to_string().as_bytes()).unwrap();
    assert_eq!((ours.bos(), ours.eos(), ours.add_bos()), (Some(1), Some(2), true));
    compare(&ours, &Tokenizer::from_spec(spec).unwrap());
}

#[test]
#[ignore = "needs a real Llama-2 tokenizer.json in RADLLAMA_LLAMA2_JSON"]
fn llama_2_as_published() {
    let json = std::fs::read(std::env::var("RADLLAMA_LLAMA2_JSON").unwrap()).unwrap();
    let ours = Tokenizer::from_json(&json).unwrap();
    compare(&ours, &Tokenizer::from_spec(spec("llama-spm")).unwrap());
}

/// The pre-tokenizers of SmolLM2 and Llama 3 are recognised: what they do is tested with their
/// vocabularies, that they differ shows here.
#[test]
fn pre_tokenizers_are_recognised() {
    let spec = spec("gpt-2");
    let bytes =
        |regex: bool| json!({ "type": "ByteLevel", "add_prefix_space": false, "use_regex": regex });
    let mut smollm = gpt2_json(&spec);
    smollm["pre_tokenizer"] = json!({ "type": "Sequence", "pretokenizers": [
        { "type": "Digits", "individual_digits": true }, bytes(true),
    ] });
    let mut llama3 = gpt2_json(&spec);
    let regex = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
    llama3["pre_tokenizer"] = json!({ "type": "Sequence", "pretokenizers": [
        { "type": "Split", "pattern": { "Regex": regex }, "behavior": "Isolated", "invert": false }, bytes(false),
    ] });
    llama3["model"]["ignore_merges"] = json!(true);
    for (json, pre) in [(smollm, "smollm"), (llama3, "llama-bpe")] {
        let ours = Tokenizer::from_json(json.to_string().as_bytes()).unwrap();
        let reference = TokenizerSpec { pre: Some(pre.to_owned()), ..spec.clone() };
        let reference = Tokenizer::from_spec(reference).unwrap();
        assert_ne!(
            ours.encode("a 2024").unwrap(),
            Tokenizer::from_spec(spec.clone()).unwrap().encode("a 2024").unwrap()
        );
        for text in texts() {
            assert_eq!(ours.encode(&text), reference.encode(&text), "{pre}: {text:?}");
        }
    }
}

#[test]
fn other_layouts_are_refused_by_name() {
    let spec = spec("gpt-2");
    let cases = [
        ("/model/type", json!("Unigram"), "Unigram"),
        ("/model/ignore_merges", json!(true), "ignore_merges"),
        ("/model/dropout", json!(0.1), "dropout"),
        ("/model/end_of_word_suffix", json!("</w>"), "suffixes"),
        ("/normalizer", json!({ "type": "NFC" }), "NFC"),
        ("/pre_tokenizer", json!({ "type": "Whitespace" }), "Whitespace"),
        ("/pre_tokenizer", Value::Null, "pre-tokenizer"),
        ("/pre_tokenizer/add_prefix_space", json!(true), "ByteLevel"),
        ("/model/vocab/hello", json!(4_000_000_000u32), "4000000000"),
        ("/model/vocab/hello", json!(7), "id 7"),
        ("/model/merges/0", json!("Ġ"), "merge 0"),
        ("/model/merges/0", json!(["a b", "c"]), "space"),
        ("/model/merges", json!(7), "tokenizer.json"),
    ];
    for (pointer, value, named) in cases {
        let mut json = gpt2_json(&spec);
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = json.pointer_mut(parent).unwrap();
        match parent {
            Value::Array(items) => items[key.parse::<usize>().unwrap()] = value,
            parent => parent[key] = value,
        }
        let error = Tokenizer::from_json(json.to_string().as_bytes()).unwrap_err();
        assert_eq!(error.code(), "bad_tokenizer");
        assert!(error.to_string().contains(named), "{pointer}: {error}");
    }
    assert_eq!(Tokenizer::from_json(b"{").unwrap_err().code(), "bad_tokenizer");
}
