//! Beam search: against Hugging Face transformers on a real model, the GPU beside the CPU on tiny ones, and
//! what a step of beams costs. tests/goldens/README.md tells how transformers' answers were made.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![cfg(feature = "gpu")]

#[path = "common/tiny.rs"]
mod tiny;

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::OnceLock;

use pollster::block_on;
use radllama::Error;
use radllama::cpu::{CpuExecutor, CpuStore};
use radllama::engine::{Engine, GenerateOptions, Generation, Progress, Stop, Watch};
use radllama::gguf::TensorType;
use radllama::gpu::{Gpu, GpuExecutor, GpuStore};
use radllama::kernels::{Step, argmax};
use radllama::model::Executor;
use radllama::model::loader::{Loader, Part, Store, Weights};
use radllama::prompt::{PromptRequest, Template};
use radllama::sampler::Sampling;
use serde_json::Value;
use tiny::Tiny;

const CONTEXT: u32 = 250;
const CHUNK: u32 = 37;

fn weights<S: Store>(files: &[Vec<u8>], store: S) -> Weights<S> {
    let parts = (0..files.len()).map(|i| Part { name: format!("part {i}"), ..Part::default() });
    let mut loader = Loader::new(store, parts.collect());
    for (i, file) in files.iter().enumerate() {
        loader.push(i, file).unwrap();
    }
    loader.finish().unwrap()
}

fn clock() -> f64 {
    0.0
}

fn cpu(file: &[Vec<u8>]) -> Engine<CpuExecutor> {
    let mut weights = weights(file, CpuStore::default());
    let executor = CpuExecutor::new(&mut weights, CONTEXT, CHUNK).unwrap();
    Engine::new(executor, weights.tokenizer, Template::Alpaca, clock)
}

fn gpu_executor(file: &[Vec<u8>]) -> (GpuExecutor, radllama::tokenizer::Tokenizer) {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    let gpu = GPU.get_or_init(|| {
        block_on(Gpu::open(Default::default())).expect("tests need a Vulkan adapter")
    });
    let mut weights = weights(file, GpuStore::new(gpu));
    let kernels = block_on(gpu.prove(&weights.layout.needs(), |_, _| ())).unwrap();
    let executor = block_on(GpuExecutor::new(&mut weights, &kernels, CONTEXT, CHUNK)).unwrap();
    (executor, weights.tokenizer)
}

fn gpu(file: &[Vec<u8>]) -> Engine<GpuExecutor> {
    let (executor, tokenizer) = gpu_executor(file);
    Engine::new(executor, tokenizer, Template::Alpaca, clock)
}

fn beams(beams: u32, max_new_tokens: u32) -> GenerateOptions {
    GenerateOptions { beams, max_new_tokens, n_best: beams, ..GenerateOptions::default() }
}

fn try_generate<E: Executor>(
    engine: &mut Engine<E>,
    prompt: &[u32],
    options: &GenerateOptions,
) -> radllama::Result<Generation> {
    let (mut text, mut drafts) = (String::new(), Vec::new());
    let mut on = |progress: Progress<'_>| match progress {
        Progress::Delta(delta) => text.push_str(delta),
        Progress::Draft(draft) => drafts.push(draft.to_owned()),
        Progress::Prefill { .. } => {}
    };
    let mut watch = Watch { on: &mut on, cancelled: &|| false };
    let generation = block_on(engine.generate(prompt, options, &mut watch))?;
    assert_eq!(text, generation.text, "the deltas are the text");
    // A draft a step but the last, each a hypothesis so far; greedy decoding has none.
    if options.beams > 1 {
        assert_eq!(drafts.len() as u64, generation.steady.0);
        let longest = drafts.iter().map(String::len).max().unwrap_or(0);
        assert!(longest > 0 || generation.ids.len() < 3, "{drafts:?}");
    } else {
        assert!(drafts.is_empty());
    }
    Ok(generation)
}

fn generate<E: Executor>(
    engine: &mut Engine<E>,
    prompt: &[u32],
    options: &GenerateOptions,
) -> Generation {
    try_generate(engine, prompt, options).unwrap()
}

/// Ids of all hypotheses.
fn ids(generation: &Generation) -> Vec<&[u32]> {
    generation.n_best.iter().map(|found| &*found.ids).collect()
}

fn prompt(tokens: u32) -> Vec<u32> {
    std::iter::once(1).chain((1..tokens).map(|i| 3 + i * 37 % 290)).collect()
}

/// stories15M with another end token.
fn stories(eos: u32) -> Vec<Vec<u8>> {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/stories15M-q8_0.gguf");
    let mut file = std::fs::read(path).unwrap();
    let key = b"tokenizer.ggml.eos_token_id";
    let at = file.windows(key.len()).position(|window| window == key).unwrap() + key.len();
    assert_eq!(file[at..at + 8], [4, 0, 0, 0, 2, 0, 0, 0], "a u32, 2");
    file[at + 4..at + 8].copy_from_slice(&eos.to_le_bytes());
    vec![file]
}

fn goldens() -> Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    serde_json::from_str(&std::fs::read_to_string(path.join("stories15m_beams.json")).unwrap())
        .unwrap()
}

/// Holds every `each`-th run of transformers against an engine. Returns how many.
fn is_transformers<E: Executor>(make: impl Fn(&[Vec<u8>]) -> Engine<E>, each: usize) -> usize {
    let golden = goldens();
    let runs = golden["runs"].as_array().unwrap();
    let mut held = 0;
    for eos in [2, 29889] {
        let mut engine = make(&stories(eos));
        assert_eq!(engine.tokenizer().eos(), Some(eos));
        for run in runs.iter().filter(|run| run["eos"] == eos).step_by(each) {
            let width = run["beams"].as_u64().unwrap() as u32;
            let options = GenerateOptions {
                length_penalty: run["length_penalty"].as_f64().unwrap() as f32,
                ..beams(width, golden["max_new_tokens"].as_u64().unwrap() as u32)
            };
            let prompt: Vec<u32> = serde_json::from_value(run["prompt_ids"].clone()).unwrap();
            let found = generate(&mut engine, &prompt, &options);
            assert_eq!(found.n_best.len(), width as usize);
            assert_eq!(found.ids, found.n_best[0].ids);
            assert_eq!(found.score, Some(found.n_best[0].score));
            let ended = found.ids.last() == Some(&eos);
            assert_eq!(found.stop, if ended { Stop::Eos } else { Stop::Length });
            for (found, expected) in found.n_best.iter().zip(run["found"].as_array().unwrap()) {
                let expected_ids: Vec<u32> =
                    serde_json::from_value(expected["ids"].clone()).unwrap();
                assert_eq!(found.ids, expected_ids, "{options:?}");
                let difference = found.score - expected["score"].as_f64().unwrap();
                assert!(difference.abs() < 1e-3, "{difference}: {options:?}");
            }
            held += 1;
        }
    }
    held
}

#[test]
fn the_cpu_finds_what_transformers_finds() {
    // An odd stride: every width and penalty comes, with either end token.
    assert!(is_transformers(cpu, 5) >= 4);
}

#[test]
fn the_gpu_finds_what_transformers_finds() {
    assert_eq!(is_transformers(gpu, 1), 24);
}

#[test]
fn gpu_and_cpu_find_the_same() {
    let mut wide = Tiny::wide(TensorType::Q4_1);
    wide.seed = 3;
    for tiny in [Tiny::new(TensorType::Q8_0).untied(), wide, Tiny::new(TensorType::F32)] {
        let files = tiny.files();
        let (mut cpu, mut gpu) = (cpu(&files), gpu(&files));
        for (width, tokens, length_penalty, from) in
            [(2, 12, 1.0, 1), (3, 20, 0.6, 50), (8, 9, 1.4, 3)]
        {
            let options = GenerateOptions { length_penalty, ..beams(width, tokens) };
            let cpu = generate(&mut cpu, &prompt(from), &options);
            let gpu = generate(&mut gpu, &prompt(from), &options);
            assert_eq!(ids(&cpu), ids(&gpu), "{:?}, {width} beams", tiny.matrices);
            assert!((cpu.score.unwrap() - gpu.score.unwrap()).abs() < 1e-3);
        }
    }
}

/// A single beam, followed by hand, is the greedy text: the beams' forward pass is decoding's.
#[test]
fn one_beam_is_greedy_decoding() {
    let files = Tiny::new(TensorType::Q4_1).files();
    let options = GenerateOptions { ignore_eos: true, ..beams(1, 20) };
    let prompt = prompt(41);
    let greedy = generate(&mut gpu(&files), &prompt, &options);
    assert_eq!((greedy.score, greedy.n_best.len()), (None, 0));
    let (mut executor, _) = gpu_executor(&files);
    let at = prompt.len() as u32;
    block_on(async {
        executor.prepare_beams().await.unwrap();
        executor.write_ids(0, &prompt).unwrap();
        executor.prefill(Step::new(0, CHUNK), false).unwrap();
        executor.prefill(Step::new(CHUNK, at - CHUNK), true).unwrap();
        let mut found = vec![executor.beam_start(1).await.unwrap()[0].0];
        for t in 0..19 {
            let step = Step::beams(at + t, 1, at, 1);
            let slots: Vec<u32> = (at..=at + t).collect();
            let last = [*found.last().unwrap()];
            found.push(executor.beam_step(step, &last, &slots).await.unwrap()[0].0);
        }
        assert_eq!(found, greedy.ids);
    });
}

#[test]
fn the_cache_survives_a_beam_search() {
    let files = Tiny::new(TensorType::Q8_0).files();
    let mut engine = gpu(&files);
    let (prompt, options) = (prompt(45), beams(4, 15));
    let greedy = GenerateOptions { ignore_eos: true, ..beams(1, 30) };
    let first = generate(&mut engine, &prompt, &options);
    let again = generate(&mut engine, &prompt, &options);
    assert_eq!((first.reused_tokens, again.reused_tokens), (0, 44));
    assert_eq!(ids(&first), ids(&again));
    assert!((first.score.unwrap() - again.score.unwrap()).abs() < 1e-5);
    let after = generate(&mut engine, &prompt, &greedy);
    assert_eq!(after.reused_tokens, 44);
    assert_eq!(after.ids, generate(&mut gpu(&files), &prompt, &greedy).ids);
    assert_eq!(ids(&generate(&mut engine, &prompt, &options)), ids(&first));
}

#[test]
fn a_step_of_beams_costs_one_submit_and_little_traffic() {
    let mut engine = gpu(&Tiny::new(TensorType::Q4_1).files());
    let of = |engine: &mut Engine<GpuExecutor>, width| {
        let options = GenerateOptions { ignore_eos: true, ..beams(width, 25) };
        let (steps, counters) = generate(engine, &prompt(20), &options).steady;
        assert_eq!(steps, 24);
        counters
    };
    let (greedy, beams) = (of(&mut engine, 1), of(&mut engine, 4));
    assert_eq!(beams.dispatches, greedy.dispatches, "as many as for one token");
    assert_eq!(beams.submits, 24);
    assert_eq!(beams.read_bytes, 24 * 4 * 4 * 8, "(id, log-probability), 4 for each of 4 beams");
    // Step and ids, and the table of ancestors, which grows by a row a step.
    let slots: u64 = (1..=24).map(|rows| rows * 4 * 4).sum();
    assert_eq!(beams.uploaded_bytes, 24 * (16 + 16) + slots);
}

#[test]
fn cancelling_gives_what_there_is() {
    let mut engine = cpu(&Tiny::new(TensorType::F32).files());
    let asked = Cell::new(0);
    let cancelled = || {
        asked.set(asked.get() + 1);
        asked.get() > 6
    };
    let mut on = |_: Progress<'_>| ();
    let mut watch = Watch { on: &mut on, cancelled: &cancelled };
    let options = GenerateOptions { ignore_eos: true, ..beams(3, 30) };
    let found = block_on(engine.generate(&prompt(10), &options, &mut watch)).unwrap();
    // Asked once before the prompt, then after each choice.
    assert_eq!((found.stop, found.ids.len()), (Stop::Cancelled, 6));
    assert_eq!(found.n_best.len(), 3);
}

#[test]
fn what_is_not_finite_ends_it() {
    let mut tiny = Tiny::new(TensorType::F32).untied();
    // One logit overflows; it is not among the largest.
    tiny.values = vec![("output.weight", |i| match (i / 96, i % 96) {
        (290, _) => 3e38 * if i % 2 == 0 { 1.0 } else { -1.0 },
        _ => ((i * 37 % 101) as f32 - 50.0) * 0.003,
    })];
    let files = tiny.files();
    let not_finite = Err(Error::NotFinite { position: 5 });
    assert_eq!(try_generate(&mut cpu(&files), &prompt(5), &beams(4, 9)).map(drop), not_finite);
    assert_eq!(try_generate(&mut gpu(&files), &prompt(5), &beams(4, 9)).map(drop), not_finite);
    assert_eq!(argmax::NOT_FINITE, u32::MAX);
}

#[test]
fn options_that_cannot_be_are_refused() {
    let mut engine = cpu(&Tiny::new(TensorType::F32).files());
    let refuse = |engine: &mut Engine<CpuExecutor>, options: &GenerateOptions| {
        try_generate(engine, &prompt(5), options).unwrap_err()
    };
    let sampling = Sampling { temperature: 0.1, ..Sampling::default() };
    let penalty = Sampling { repetition_penalty: 1.2, ..Sampling::default() };
    for (options, option) in [
        (beams(0, 9), "beams"),
        (beams(9, 9), "beams"),
        (GenerateOptions { sampling, ..beams(2, 9) }, "beams"),
        (GenerateOptions { sampling: penalty, ..beams(2, 9) }, "beams"),
        (GenerateOptions { length_penalty: f32::NAN, ..beams(2, 9) }, "length_penalty"),
        (GenerateOptions { n_best: 3, ..beams(2, 9) }, "n_best"),
        (GenerateOptions { n_best: 0, ..beams(2, 9) }, "n_best"),
    ] {
        let error = refuse(&mut engine, &options);
        assert!(matches!(error, Error::BadOption { option: o, .. } if o == option), "{error}");
    }
    // 5 + 4 × 61 = 249 fits, 5 + 4 × 62 does not.
    assert!(try_generate(&mut engine, &prompt(5), &beams(4, 62)).is_ok());
    let error = refuse(&mut engine, &beams(4, 63));
    assert_eq!(
        error,
        Error::BeamsTooLong {
            prompt_tokens: 5,
            beams: 4,
            max_new_tokens: 63,
            positions: 248,
            context: CONTEXT as usize,
        }
    );
    assert_eq!(error.code(), "beams_too_long");
    for number in ["5 tokens", "4 beams of 63", "248", "250"] {
        assert!(error.to_string().contains(number), "{error}");
    }
    let request = PromptRequest { findings: &"a ".repeat(100), ..PromptRequest::default() };
    let mut watch = Watch { on: &mut |_| (), cancelled: &|| false };
    let error = block_on(engine.impression(&request, &beams(2, 200), &mut watch)).unwrap_err();
    assert_eq!(error.code(), "prompt_too_long");
}
