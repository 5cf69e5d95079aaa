//! The tokenizer against llama.cpp's vectors, and what holds for any text and any ids.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs
)]

use std::sync::LazyLock;
use std::time::Instant;

use proptest::prelude::*;
use radllama::Error;
use radllama::gguf::read_header;
use radllama::tokenizer::{Part, Tokenizer, TokenizerSpec};

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors");

fn spec(path: &str) -> TokenizerSpec {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{path}: {e}"));
    TokenizerSpec::from_header(&read_header(path, &bytes).unwrap()).unwrap()
}

fn build(path: &str) -> Tokenizer {
    Tokenizer::from_spec(spec(path)).unwrap()
}

static LLAMA2: LazyLock<Tokenizer> =
    LazyLock::new(|| build(&format!("{VECTORS}/ggml-vocab-llama-spm.gguf")));
static GPT2: LazyLock<Tokenizer> =
    LazyLock::new(|| build(&format!("{VECTORS}/ggml-vocab-gpt-2.gguf")));

/// Compares with all vectors of one vocabulary; returns how many there were.
fn check_vectors(tokenizer: &Tokenizer, name: &str) -> usize {
    let texts = std::fs::read_to_string(format!("{VECTORS}/texts.inp")).unwrap();
    let ids = std::fs::read_to_string(format!("{VECTORS}/{name}.out")).unwrap();
    let separator = "\n__ggml_vocab_test__\n";
    let texts: Vec<&str> = texts.strip_suffix(separator).unwrap().split(separator).collect();
    let ids: Vec<Vec<u32>> = ids
        .lines()
        .map(|line| line.split_whitespace().map(|id| id.parse().unwrap()).collect())
        .collect();
    assert_eq!(texts.len(), ids.len());

    let more = std::fs::read(format!("{VECTORS}/more.json")).unwrap();
    let more: serde_json::Value = serde_json::from_slice(&more).unwrap();
    let more_texts: Vec<String> = serde_json::from_value(more["texts"].clone()).unwrap();
    let more_ids: Vec<Vec<u32>> = serde_json::from_value(more[name].clone()).unwrap();
    let special: Vec<Vec<u32>> =
        serde_json::from_value(more[format!("{name}+special")].clone()).unwrap();
    assert_eq!(more_texts.len(), more_ids.len());

    let texts = texts.into_iter().chain(more_texts.iter().map(String::as_str));
    let mut wrong = Vec::new();
    let mut count = 0;
    for (text, expected) in texts.zip(ids.iter().chain(&more_ids)) {
        count += 1;
        let found = tokenizer.encode(text).unwrap();
        if found != *expected {
            wrong.push(format!("{text:?}: {found:?}, but llama.cpp has {expected:?}"));
        }
    }
    for (text, expected) in more_texts.iter().zip(&special) {
        count += 1;
        let found = tokenizer.encode_special(text).unwrap();
        if found != *expected {
            wrong.push(format!("special {text:?}: {found:?}, but llama.cpp has {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {count} differ:\n{}", wrong.len(), wrong.join("\n"));
    count
}

#[test]
fn llama_2_vectors() {
    assert_eq!(check_vectors(&LLAMA2, "llama-spm"), 46 + 210 + 9);
}

#[test]
fn gpt_2_vectors() {
    assert_eq!(check_vectors(&GPT2, "gpt-2"), 46 + 210 + 9);
}

/// The default model's vocabulary, from the first file of its split.
fn smollm2() -> Tokenizer {
    let path = std::env::var("RADLLAMA_SMOLLM2").unwrap_or_else(|_| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/weights");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path().to_string_lossy().into_owned())
            .filter(|path| path.contains("SmolLM2") && path.ends_with(".gguf"))
            .collect();
        files.sort();
        files.first().expect("weights/ holds no SmolLM2 GGUF").clone()
    });
    build(&path)
}

#[test]
fn smollm2_vectors() {
    let tokenizer = smollm2();
    assert_eq!(check_vectors(&tokenizer, "smollm2"), 46 + 210 + 9);
    assert!(!tokenizer.add_bos());
    assert_eq!(tokenizer.control("<|im_end|>"), Some(2));
    assert!(tokenizer.is_end(2) && tokenizer.is_end(0) && !tokenizer.is_end(1));
}

#[test]
#[ignore = "needs RADLLAMA_LLAMA_BPE, see vectors/README.md"]
fn llama_3_vectors() {
    let start = Instant::now();
    let tokenizer = build(&std::env::var("RADLLAMA_LLAMA_BPE").unwrap());
    println!("built in {:?}", start.elapsed());
    assert_eq!(check_vectors(&tokenizer, "llama-bpe"), 46 + 210 + 9);
    assert!(tokenizer.add_bos());
}

#[test]
fn what_the_vocabularies_say() {
    assert_eq!(LLAMA2.vocab_size(), 32000);
    assert_eq!((LLAMA2.bos(), LLAMA2.eos()), (Some(1), Some(2)));
    assert!(LLAMA2.add_bos() && !LLAMA2.add_eos());
    assert!(LLAMA2.is_end(2) && !LLAMA2.is_end(1));
    assert_eq!(LLAMA2.piece(13).unwrap(), b"\n"); // <0x0A>
    assert_eq!(LLAMA2.piece(1).unwrap(), b"<s>");
    assert_eq!(LLAMA2.piece(15043).unwrap(), b" Hello");
    assert_eq!(
        LLAMA2.piece(32000).unwrap_err(),
        Error::TokenOutOfRange { id: 32000, vocab_size: 32000 }
    );

    assert_eq!(GPT2.vocab_size(), 50257);
    assert!(!GPT2.add_bos());
    assert_eq!(GPT2.control("<|endoftext|>"), Some(50256));
    assert!(GPT2.is_end(50256));
    assert_eq!(GPT2.piece(995).unwrap(), b" world");
}

#[test]
fn control_tokens_come_from_parts_only() {
    let text = "a<|endoftext|>b";
    assert!(!GPT2.encode(text).unwrap().contains(&50256));
    let parts = [Part::Text("a"), Part::Control("<|endoftext|>"), Part::Text("b")];
    let ids = GPT2.encode_parts(&parts).unwrap();
    assert_eq!(ids, [64, 50256, 65]);
    assert_eq!(ids, GPT2.encode_special(text).unwrap());
    assert_eq!(GPT2.decode(&ids, false).unwrap(), "ab");
    assert_eq!(GPT2.decode(&ids, true).unwrap(), text);

    let error = GPT2.encode_parts(&[Part::Control("<|im_start|>")]).unwrap_err();
    assert!(error.to_string().contains("<|im_start|>"), "{error}");
}

#[test]
fn the_dummy_prefix_stands_where_llama_cpp_puts_it() {
    let ids = |text: &str| LLAMA2.encode_special(text).unwrap();
    // ▁Hello at the start and after a control token; nothing for no text.
    assert_eq!(ids("Hello"), [15043]);
    assert_eq!(ids("<s>Hello</s>Hello"), [1, 15043, 2, 15043]);
    assert_eq!(ids(""), [0u32; 0]);
    assert_eq!(LLAMA2.decode(&ids("<s>Hello</s>Hello"), true).unwrap(), "<s>Hello</s>Hello");

    let mut spec = spec(&format!("{VECTORS}/ggml-vocab-llama-spm.gguf"));
    spec.add_space_prefix = Some(false);
    let bare = Tokenizer::from_spec(spec).unwrap();
    assert_eq!(bare.encode(" Hello").unwrap(), [15043]);
    assert_eq!(bare.decode(&[15043], false).unwrap(), " Hello");
}

/// A tokenizer whose tokens are given as (text, type), with scores falling by id.
fn tiny(
    tokens: &[(&str, i32)],
    change: impl FnOnce(&mut TokenizerSpec),
) -> Result<Tokenizer, Error> {
    let mut spec = TokenizerSpec {
        model: "llama".to_owned(),
        tokens: tokens.iter().map(|t| t.0.to_owned()).collect(),
        token_types: tokens.iter().map(|t| t.1).collect(),
        scores: (0..tokens.len()).map(|i| -(i as f32)).collect(),
        unk: Some(0),
        ..TokenizerSpec::default()
    };
    change(&mut spec);
    Tokenizer::from_spec(spec)
}

#[test]
fn user_defined_tokens_match_first_and_unknown_characters_fuse() {
    let tokens = [
        ("<unk>", 2),
        ("<s>", 3),
        ("ab", 4),
        ("abab", 4),
        ("▁", 1),
        ("a", 1),
        ("b", 1),
        ("▁a", 1),
        ("aa", 1),
        ("c", 5),
    ];
    let tokenizer = tiny(&tokens, |_| {}).unwrap();
    let ids = |text: &str| tokenizer.encode(text).unwrap();
    assert_eq!(ids("ababab"), [3, 2]);
    assert_eq!(ids("<s>a"), [4, 0, 5]);
    assert_eq!(ids("xyzaxy"), [4, 0, 5, 0]);
    assert_eq!(ids("c"), [4, 0]); // an unused token is not used
    // ▁a has the higher score than aa.
    assert_eq!(ids("aaa"), [7, 8]);
}

#[test]
fn equal_scores_merge_from_the_left() {
    let tokens = [("<unk>", 2), ("a", 1), ("b", 1), ("ba", 1), ("ab", 1)];
    let tokenizer = tiny(&tokens, |spec| {
        spec.scores = vec![0.0; 5];
        spec.add_space_prefix = Some(false);
    })
    .unwrap();
    assert_eq!(tokenizer.encode("aba").unwrap(), [4, 1]);
    assert_eq!(tokenizer.encode("bab").unwrap(), [3, 2]);
}

type Change = Box<dyn FnOnce(&mut TokenizerSpec)>;

#[test]
fn faults_of_a_vocabulary_are_named() {
    let tokens = [("<unk>", 2), ("a", 1), ("b", 1)];
    let cases: Vec<(Change, &str)> = vec![
        (Box::new(|s| s.model = "bert".to_owned()), "bert"),
        (Box::new(|s| s.tokens.clear()), "0 tokens"),
        (Box::new(|s| s.token_types.truncate(2)), "2 types"),
        (Box::new(|s| s.scores.truncate(2)), "2 scores"),
        (Box::new(|s| s.scores[1] = f32::NAN), "not a number"),
        (Box::new(|s| s.bos = Some(3)), "BOS token is 3"),
        (Box::new(|s| s.tokens[2] = "a".to_owned()), "same text"),
        (Box::new(|s| s.token_types[1] = 6), "\"a\""),
        (Box::new(|s| s.unk = None), "unknown"),
        (
            Box::new(|s| {
                s.model = "gpt2".to_owned();
                s.pre = Some("tekken".to_owned());
            }),
            "tekken",
        ),
        (
            Box::new(|s| {
                s.model = "gpt2".to_owned();
                s.merges = vec!["a b".to_owned()];
            }),
            "makes no token",
        ),
        (
            Box::new(|s| {
                s.model = "gpt2".to_owned();
                s.merges = vec!["ab".to_owned()];
            }),
            "not two tokens",
        ),
        (
            Box::new(|s| {
                s.model = "gpt2".to_owned();
                s.tokens[2] = "abc".to_owned();
                s.merges = vec!["a a".to_owned()];
            }),
            "outside the vocabulary",
        ),
    ];
    for (change, named) in cases {
        let error = tiny(&tokens, change).unwrap_err();
        assert_eq!(error.code(), "bad_tokenizer");
        assert!(error.to_string().contains(named), "{error} does not say {named}");
    }
    assert!(tiny(&tokens, |_| {}).is_ok());
}

/// A megabyte of anything, runs without spaces included, in seconds even unoptimised.
#[test]
fn a_megabyte_takes_seconds() {
    let report = "The cardiomediastinal silhouette is within normal limits. 1.5 cm nodule.\n";
    let texts = [
        ("report", report.repeat((1 << 20) / report.len())),
        ("one letter", "a".repeat(1 << 20)),
        ("letters", "pneumonoultramicroscopicsilicovolcanoconiosis".repeat((1 << 20) / 45)),
        ("spaces", " ".repeat(1 << 20)),
        ("spaces, then a word", " ".repeat(1 << 20) + "x"),
        ("newlines", "\n".repeat(1 << 20)),
        ("digits", "7".repeat(1 << 20)),
        ("dashes", "-".repeat(1 << 20)),
        ("apostrophes", "'".repeat(1 << 20)),
        ("NUL", "\0".repeat(1 << 20)),
        ("emoji", "🫁".repeat(1 << 18)),
        ("combining", "\u{301}".repeat(1 << 19)),
    ];
    for (name, tokenizer) in [("Llama 2", &*LLAMA2), ("GPT-2", &*GPT2)] {
        for (what, text) in &texts {
            let start = Instant::now();
            let ids = tokenizer.encode(text).unwrap();
            let elapsed = start.elapsed();
            println!("{name}, {what}: {} ids in {elapsed:?}", ids.len());
            assert!(elapsed.as_secs() < 10, "{name}, {what}: {elapsed:?}");
            assert_eq!(tokenizer.decode(&ids, false).unwrap(), *text, "{name}, {what}");
        }
    }
}

#[test]
fn building_is_fast() {
    for file in ["ggml-vocab-llama-spm.gguf", "ggml-vocab-gpt-2.gguf"] {
        let spec = spec(&format!("{VECTORS}/{file}"));
        let start = Instant::now();
        let tokenizer = Tokenizer::from_spec(spec).unwrap();
        let elapsed = start.elapsed();
        println!("{file}: {} tokens in {elapsed:?}", tokenizer.vocab_size());
        // 0.3 s is the aim for an optimised build on a quiet machine; this is neither.
        assert!(elapsed.as_secs_f32() < 3.0, "{elapsed:?}");
    }
}

/// Ids as streamed, piece by piece.
fn streamed(tokenizer: &Tokenizer, ids: &[u32]) -> String {
    let mut stream = tokenizer.stream();
    let mut text: String = ids.iter().map(|&id| stream.push(id).unwrap()).collect();
    text.push_str(&stream.finish());
    text
}

#[test]
fn a_stream_holds_back_half_a_character() {
    let ids = GPT2.encode("🦙!").unwrap();
    assert_eq!(ids.len(), 4); // three tokens for the four bytes of the llama
    let mut stream = GPT2.stream();
    let pushed: Vec<String> = ids.iter().map(|&id| stream.push(id).unwrap()).collect();
    assert_eq!(pushed, ["", "", "🦙", "!"]);
    assert_eq!(stream.finish(), "");

    let mut stream = GPT2.stream();
    assert_eq!(stream.push(ids[0]).unwrap(), "");
    assert_eq!(stream.push(50257).unwrap_err().code(), "token_out_of_range");
    assert_eq!(stream.finish(), "\u{fffd}");

    let ids = LLAMA2.encode("Hello").unwrap();
    assert_eq!(LLAMA2.stream().push(ids[0]).unwrap(), "Hello");
    assert_eq!(LLAMA2.stream_continuing().push(ids[0]).unwrap(), " Hello");
}

/// Any text, with what could be taken for a control token strewn in.
fn hostile() -> impl Strategy<Value = String> {
    let control = prop::sample::select(vec![
        "<s>",
        "</s>",
        "<unk>",
        "<|endoftext|>",
        "<|im_end|>",
        "<0x0A>",
        "<",
        "|>",
        "/s>",
        " ",
        "▁<s>",
    ]);
    let piece = prop_oneof![
        control.prop_map(str::to_owned),
        "\\PC{0,8}",
        any::<char>().prop_map(String::from)
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// Ids of bytes and of control tokens more often than uniform ones would be.
fn any_ids(vocab_size: u32) -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(prop_oneof![0..vocab_size, 0..300u32, vocab_size - 1..vocab_size], 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn text_never_becomes_a_control_token(text in hostile()) {
        for tokenizer in [&*LLAMA2, &*GPT2] {
            let ids = tokenizer.encode(&text).unwrap();
            prop_assert!(ids.iter().all(|&id| !tokenizer.is_control(id) && !tokenizer.is_end(id)));
        }
    }

    #[test]
    fn decoding_gives_the_text_back(text in hostile()) {
        prop_assert_eq!(&GPT2.decode(&GPT2.encode(&text).unwrap(), false).unwrap(), &text);
        // SentencePiece writes spaces as ▁, so that character comes back as a space.
        let spaced = text.replace('▁', " ");
        prop_assert_eq!(LLAMA2.decode(&LLAMA2.encode(&text).unwrap(), false).unwrap(), spaced);
    }

    #[test]
    fn how_a_text_is_cut_into_parts_does_not_matter(text in hostile(), at in any::<prop::sample::Index>()) {
        let cuts: Vec<usize> = text.char_indices().map(|(i, _)| i).chain([text.len()]).collect();
        let (left, right) = text.split_at(cuts[at.index(cuts.len())]);
        for tokenizer in [&*LLAMA2, &*GPT2] {
            let parts = tokenizer.encode_parts(&[Part::Text(left), Part::Text(right)]).unwrap();
            prop_assert_eq!(parts, tokenizer.encode(&text).unwrap());
        }
    }

    #[test]
    fn a_stream_is_the_whole_decoded(llama in any_ids(32000), gpt in any_ids(50257)) {
        prop_assert_eq!(streamed(&LLAMA2, &llama), LLAMA2.decode(&llama, false).unwrap());
        prop_assert_eq!(streamed(&GPT2, &gpt), GPT2.decode(&gpt, false).unwrap());
    }
}
