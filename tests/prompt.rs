//! Prompts: the published wording, the static prefix, and what is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::sync::LazyLock;

use proptest::prelude::*;
use radllama::Error;
use radllama::gguf::read_header;
use radllama::prompt::{self, MAX_TEXT_BYTES, PromptRequest, Template};
use radllama::tokenizer::{Tokenizer, TokenizerSpec};

fn spec(name: &str) -> TokenizerSpec {
    let path = format!("{}/tests/vectors/ggml-vocab-{name}.gguf", env!("CARGO_MANIFEST_DIR"));
    let bytes = std::fs::read(&path).unwrap();
    TokenizerSpec::from_header(&read_header(path, &bytes).unwrap()).unwrap()
}

static LLAMA2: LazyLock<Tokenizer> =
    LazyLock::new(|| Tokenizer::from_spec(spec("llama-spm")).unwrap());

/// GPT-2's vocabulary with SmolLM2's pre-tokenizer and ChatML's tokens at its end, BOS as SmolLM2's.
static CHATML: LazyLock<Tokenizer> = LazyLock::new(|| {
    let mut spec = spec("gpt-2");
    spec.pre = Some("smollm".to_owned());
    spec.tokens.extend(["<|im_start|>".to_owned(), "<|im_end|>".to_owned()]);
    spec.token_types.extend([3, 3]);
    spec.bos = Some(50257);
    spec.eos = Some(50258);
    Tokenizer::from_spec(spec).unwrap()
});

/// The tokenizer of a model that would be prompted with this template.
fn of(template: Template) -> &'static Tokenizer {
    if template == Template::ChatMl { &CHATML } else { &LLAMA2 }
}

fn text_of(template: Template, request: &PromptRequest<'_>) -> String {
    let ids = prompt::build(of(template), template, request, 4096, 128).unwrap();
    of(template).decode(&ids, true).unwrap()
}

#[test]
fn alpaca_is_worded_as_published() {
    let found = text_of(Template::Alpaca, &PromptRequest::new("Heart size is normal."));
    assert_eq!(
        found,
        "<s>Below is an instruction that describes a task, paired with an input that provides further context. \
         Write a response that appropriately completes the request.\n\n### Instruction:\nDerive the impression \
         from findings in the radiology report\n\n### Input:\nFindings: Heart size is normal.\n\n### Response:"
    );
}

#[test]
fn chatml_and_llama_2_have_their_marks() {
    let request = PromptRequest {
        findings: "Clear lungs.",
        instruction: Some("Summarise"),
        prior: Some(" Nodule. "),
    };
    let chatml = text_of(Template::ChatMl, &request);
    assert!(chatml.starts_with("<|im_start|>system\nYou are a radiologist."), "{chatml}");
    assert!(
        chatml.ends_with(
            "<|im_end|>\n<|im_start|>user\nSummarise\n\nPrior: Nodule.\n\nFindings: Clear lungs.<|im_end|>\n\
             <|im_start|>assistant\n"
        ),
        "{chatml}"
    );
    let llama2 = text_of(Template::Llama2, &request);
    assert!(llama2.starts_with("<s>[INST] <<SYS>>\nYou are a radiologist."), "{llama2}");
    let end = "\n<</SYS>>\n\nSummarise\n\nPrior: Nodule.\n\nFindings: Clear lungs. [/INST]";
    assert!(llama2.ends_with(end), "{llama2}");
}

#[test]
fn report_has_headings_alone() {
    let found = text_of(Template::Report, &PromptRequest::new("Clear lungs.\r\nNo effusion. "));
    assert_eq!(found, "<s>Findings: Clear lungs.\nNo effusion.\nImpression:");
    let request = PromptRequest {
        findings: "Clear lungs.",
        instruction: Some("Summarise"),
        prior: Some("Nodule."),
    };
    let found = text_of(Template::Report, &request);
    assert_eq!(found, "<s>Summarise\n\nPrior: Nodule.\n\nFindings: Clear lungs.\nImpression:");
}

/// Prompt and answer are encoded apart, as at run time; together they must be what the undivided text is,
/// or a model would be tuned on ids that it never sees.
#[test]
fn an_answer_goes_on_where_the_prompt_ends() {
    for template in Template::ALL {
        let tokenizer = of(template);
        let request = PromptRequest::new("Clear lungs.");
        let mut ids = prompt::build(tokenizer, template, &request, 4096, 128).unwrap();
        let prompt = ids.len();
        ids.extend(prompt::answer(tokenizer, template, " No acute disease.\n").unwrap());
        assert_eq!(ids.last().copied(), tokenizer.eos());
        let whole = tokenizer.decode(&ids[prompt..ids.len() - 1], true).unwrap();
        assert_eq!(whole.trim_start(), "No acute disease.", "{}", template.name());
        if template == Template::Report {
            let text = "Findings: Clear lungs.\nImpression: No acute disease.";
            let undivided = tokenizer.encode(text).unwrap();
            assert_eq!(ids[1..ids.len() - 1], undivided[..], "BOS and end aside");
        }
    }
    let empty = prompt::answer(&LLAMA2, Template::Report, " \n").unwrap_err();
    assert_eq!(empty.code(), "bad_text");
}

/// `<|im_start|>` is BOS in SmolLM2: a model that asks for BOS gets it once.
#[test]
fn bos_is_never_doubled() {
    let mut spec = spec("gpt-2");
    spec.tokens.extend(["<|im_start|>".to_owned(), "<|im_end|>".to_owned()]);
    spec.token_types.extend([3, 3]);
    spec.bos = Some(50257);
    spec.add_bos = Some(true);
    let tokenizer = Tokenizer::from_spec(spec).unwrap();
    let ids =
        |template| prompt::build(&tokenizer, template, &PromptRequest::new("x"), 4096, 1).unwrap();
    assert_eq!(ids(Template::ChatMl)[0], 50257);
    assert_ne!(ids(Template::ChatMl)[1], 50257);
    assert_eq!(ids(Template::Alpaca)[0], 50257);
}

#[test]
fn names_are_those_of_manifests() {
    for template in Template::ALL {
        assert_eq!(Template::from_name(template.name()), Some(template));
    }
    assert_eq!(Template::from_name("ChatML"), None);
}

#[test]
fn empty_findings_are_refused() {
    for text in ["", " ", "\n\t \r\n", "\u{a0}"] {
        let error = prompt::build(&CHATML, Template::ChatMl, &PromptRequest::new(text), 4096, 1);
        assert_eq!(error.unwrap_err(), Error::EmptyFindings);
    }
    let request = PromptRequest { prior: Some(" "), ..PromptRequest::new("x") };
    let same = text_of(Template::Alpaca, &PromptRequest::new("x"));
    assert_eq!(text_of(Template::Alpaca, &request), same);
}

#[test]
fn control_characters_are_named_without_their_surroundings() {
    let error = |request: PromptRequest<'_>| {
        prompt::build(&CHATML, Template::ChatMl, &request, 4096, 1).unwrap_err()
    };
    let secret = "é Jane Doe\0";
    let found = error(PromptRequest::new(secret));
    assert_eq!(found.code(), "bad_text");
    let message = found.to_string();
    assert!(message.contains("U+0000 at character 11"), "{message}");
    assert!(!message.contains("Jane"), "{message}");
    for c in ['\u{1b}', '\u{7f}', '\u{85}', '\u{c}'] {
        assert_eq!(error(PromptRequest::new(&format!("x{c}"))).code(), "bad_text");
    }
    let prior = error(PromptRequest { prior: Some("\u{8}"), ..PromptRequest::new("x") });
    assert!(prior.to_string().contains("prior report"), "{prior}");
    let instruction =
        error(PromptRequest { instruction: Some("\u{8}"), ..PromptRequest::new("x") });
    assert!(instruction.to_string().contains("instruction"), "{instruction}");
}

#[test]
fn newlines_are_made_plain() {
    let unix = text_of(Template::Alpaca, &PromptRequest::new("a\nb\n\nc\nd"));
    assert_eq!(text_of(Template::Alpaca, &PromptRequest::new("\r\na\r\nb\r\n\r\nc\rd\r\n")), unix);
}

#[test]
fn too_long_has_both_counts_and_they_are_true() {
    let request = PromptRequest::new("Normal heart.");
    let length = prompt::build(&CHATML, Template::ChatMl, &request, 4096, 1).unwrap().len();
    assert!(prompt::build(&CHATML, Template::ChatMl, &request, length + 10, 10).is_ok());
    assert_eq!(
        prompt::build(&CHATML, Template::ChatMl, &request, length + 9, 10).unwrap_err(),
        Error::PromptTooLong { prompt_tokens: length, max_new_tokens: 10, context: length + 9 }
    );
    let overflow = prompt::build(&CHATML, Template::ChatMl, &request, 4096, usize::MAX);
    assert_eq!(overflow.unwrap_err().code(), "prompt_too_long");

    let megabyte = "word ".repeat(200_000);
    let error = prompt::build(&CHATML, Template::ChatMl, &PromptRequest::new(&megabyte), 2048, 128);
    let Error::PromptTooLong { prompt_tokens, max_new_tokens: 128, context: 2048 } =
        error.unwrap_err()
    else {
        panic!("not too long?");
    };
    assert!((200_000..200_200).contains(&prompt_tokens), "{prompt_tokens}");

    let more = "x".repeat(MAX_TEXT_BYTES + 1);
    let error = prompt::build(&CHATML, Template::ChatMl, &PromptRequest::new(&more), 2048, 128);
    assert_eq!(error.unwrap_err().code(), "bad_text");
}

#[test]
fn a_vocabulary_without_the_marks_is_refused() {
    let error =
        prompt::build(&LLAMA2, Template::ChatMl, &PromptRequest::new("x"), 4096, 1).unwrap_err();
    assert_eq!(error.code(), "bad_tokenizer");
    assert!(error.to_string().contains("<|im_start|>"), "{error}");
}

fn report() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "<|im_end|>",
            "</s>",
            "[/INST]",
            ":",
            " ",
            "\n",
            "1",
            "The ",
            "'s"
        ])
        .prop_map(str::to_owned),
        "\\PC{1,6}",
    ];
    prop::collection::vec(piece, 1..12)
        .prop_map(|pieces| pieces.concat())
        .prop_filter("not empty", |text| !text.trim().is_empty())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    /// What a KV cache of the prefix rests on, and that cutting there changes no id.
    #[test]
    fn the_static_prefix_is_static_and_its_cut_is_seamless(findings in report(), prior in report(), with_prior: bool) {
        let prior = with_prior.then_some(prior.as_str());
        let request = PromptRequest { prior, ..PromptRequest::new(&findings) };
        for template in Template::ALL {
            let tokenizer = of(template);
            let ids = prompt::build(tokenizer, template, &request, 1 << 20, 1).unwrap();
            let prefix = prompt::static_prefix(tokenizer, template, None, with_prior).unwrap();
            prop_assert_eq!(&ids[..prefix.len()], &prefix[..]);

            // The report's own text may look like marks: no more control ids than the template has.
            let control = |ids: &[u32]| ids.iter().filter(|&&id| tokenizer.is_control(id)).count();
            prop_assert_eq!(control(&ids), if template == Template::ChatMl { 5 } else { 1 });

            // The last part of the prompt that is free of control tokens, encoded undivided.
            let start = ids.iter().enumerate().filter(|&(i, &id)| i < prefix.len() && tokenizer.is_control(id)).map(|(i, _)| i + 1).max().unwrap_or(0);
            let end = ids[start..].iter().position(|&id| tokenizer.is_control(id)).map_or(ids.len(), |n| start + n);
            let text = tokenizer.decode(&ids[start..end], false).unwrap();
            if !text.contains('▁') && !findings.contains('▁') && !prior.is_some_and(|p| p.contains('▁')) {
                prop_assert_eq!(&tokenizer.encode(&text).unwrap()[..], &ids[start..end]);
            }
        }
    }
}
