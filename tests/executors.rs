//! The GPU's executor beside the CPU's, and the engine over both, on tiny random models of every tensor
//! type and of sizes that fill no tile.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs
)]
#![cfg(feature = "gpu")]

#[path = "common/tiny.rs"]
mod tiny;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};

use pollster::block_on;
use radllama::Error;
use radllama::cpu::{CpuExecutor, CpuStore};
use radllama::engine::{Engine, GenerateOptions, Generation, Progress, Stop, Watch};
use radllama::gguf::TensorType;
use radllama::gpu::{Gpu, GpuExecutor, GpuStore, Kernels};
use radllama::kernels::Step;
use radllama::model::loader::{Loader, Part, Store, Weights};
use radllama::model::{Executor, Needs};
use radllama::prompt::{PromptRequest, Template};
use radllama::quant::Format;
use radllama::sampler::Sampling;
use tiny::{Random, Tiny, Values};

/// Prefill steps are cut at so many tokens: no multiple of any tile.
const CHUNK: u32 = 37;
const CONTEXT: u32 = 160;

/// The device, and its kernels for every format and heads of this width.
fn device(head_dim: u32) -> (Gpu, Kernels) {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    static KERNELS: Mutex<BTreeMap<u32, Kernels>> = Mutex::new(BTreeMap::new());
    let gpu = GPU.get_or_init(|| {
        block_on(Gpu::open(Default::default())).expect("tests need a Vulkan adapter")
    });
    let mut kernels = KERNELS.lock().unwrap();
    let proven = kernels.entry(head_dim).or_insert_with(|| {
        let needs = Needs { formats: Format::ALL.to_vec(), head_dim };
        block_on(gpu.prove(&needs, |_, _| ())).unwrap()
    });
    (gpu.clone(), proven.clone())
}

/// Pushes the files in pieces of odd lengths, the heads first and then the parts by turns.
fn try_weights<S: Store>(files: &[Vec<u8>], store: S) -> radllama::Result<Weights<S>> {
    let parts = (0..files.len()).map(|i| Part { name: format!("part {i}"), ..Part::default() });
    let mut loader = Loader::new(store, parts.collect());
    let mut random = Random(files.len() as u64);
    let mut at = vec![0; files.len()];
    let mut push = |loader: &mut Loader<S>, i: usize, most: usize| {
        let end = (at[i] + 1 + random.below(most)).min(files[i].len());
        let result = loader.push(i, &files[i][at[i]..end]);
        at[i] = end;
        result.map(|()| end < files[i].len())
    };
    for i in 0..files.len() {
        while !loader.head_complete(i) {
            push(&mut loader, i, 999)?;
        }
    }
    let mut open: Vec<usize> = (0..files.len()).collect();
    while !open.is_empty() {
        let mut still = Vec::new();
        for i in open {
            if push(&mut loader, i, 77_777)? {
                still.push(i);
            }
        }
        open = still;
    }
    loader.finish()
}

fn cpu_executor(tiny: &Tiny) -> (CpuExecutor, radllama::tokenizer::Tokenizer) {
    let mut weights = try_weights(&tiny.files(), CpuStore::default()).unwrap();
    assert_eq!(weights.layout.config, tiny.config);
    (CpuExecutor::new(&mut weights, CONTEXT, CHUNK).unwrap(), weights.tokenizer)
}

fn gpu_executor(tiny: &Tiny) -> (GpuExecutor, radllama::tokenizer::Tokenizer) {
    let (gpu, kernels) = device(tiny.config.head_dim);
    let mut weights = try_weights(&tiny.files(), GpuStore::new(&gpu)).unwrap();
    let executor = block_on(GpuExecutor::new(&mut weights, &kernels, CONTEXT, CHUNK)).unwrap();
    (executor, weights.tokenizer)
}

/// A clock that stands still: to the engine the device is infinitely fast.
fn still() -> f64 {
    0.0
}

/// A clock that gains 0.1 s at each look: a slow device.
fn slow() -> f64 {
    static MS: AtomicU64 = AtomicU64::new(0);
    MS.fetch_add(100, Ordering::Relaxed) as f64
}

fn cpu(tiny: &Tiny) -> Engine<CpuExecutor> {
    let (executor, tokenizer) = cpu_executor(tiny);
    Engine::new(executor, tokenizer, Template::Alpaca, still)
}

fn gpu_with(tiny: &Tiny, clock: fn() -> f64) -> Engine<GpuExecutor> {
    let (executor, tokenizer) = gpu_executor(tiny);
    Engine::new(executor, tokenizer, Template::Alpaca, clock)
}

fn gpu(tiny: &Tiny) -> Engine<GpuExecutor> {
    gpu_with(tiny, still)
}

fn prompt(tokens: usize) -> Vec<u32> {
    let mut random = Random(tokens as u64 ^ 0x70_70);
    (0..tokens).map(|i| if i == 0 { 1 } else { 3 + random.below(298) as u32 }).collect()
}

fn options(max_new_tokens: u32) -> GenerateOptions {
    GenerateOptions { max_new_tokens, ignore_eos: true, ..GenerateOptions::default() }
}

fn sampling(temperature: f32, top_k: u32, seed: u64) -> Sampling {
    Sampling { temperature, top_k, seed, ..Sampling::default() }
}

fn generate<E: Executor>(
    engine: &mut Engine<E>,
    prompt: &[u32],
    options: &GenerateOptions,
) -> radllama::Result<Generation> {
    let mut text = String::new();
    let mut on = |progress: Progress<'_>| {
        if let Progress::Delta(delta) = progress {
            text.push_str(delta);
        }
    };
    let mut watch = Watch { on: &mut on, cancelled: &|| false };
    let result = block_on(engine.generate(prompt, options, &mut watch));
    match &result {
        Ok(generation) => assert_eq!(text, generation.text, "the deltas are the text"),
        Err(_) => assert_eq!(text, "", "no text before an error"),
    }
    result
}

/// The logits behind a prompt of T tokens and behind three more, one after the other.
fn logits<E: Executor>(executor: &mut E, tokens: usize) -> Vec<Vec<f32>> {
    block_on(async {
        let ids = prompt(tokens + 3);
        executor.write_ids(0, &ids).unwrap();
        let mut done = 0;
        while done < tokens {
            let step = (tokens - done).min(CHUNK as usize);
            let last = done + step == tokens;
            executor.prefill(Step::new(done as u32, step as u32), last).unwrap();
            done += step;
        }
        let mut all = vec![executor.logits().await.unwrap()];
        for position in tokens..tokens + 3 {
            executor.write_ids(position as u32, &ids[position..]).unwrap();
            executor.advance(position as u32).unwrap();
            all.push(executor.logits().await.unwrap());
        }
        all
    })
}

/// The largest difference, relative to the root mean square. f32 sums in another order differ by
/// 1e-6 or so; two layers and sharp attention carry that on to some 1e-5. A wrong row is off by 1.
fn difference(a: &[f32], b: &[f32]) -> f32 {
    let rms = (a.iter().map(|v| v * v).sum::<f32>() / a.len() as f32).sqrt();
    assert!(rms > 0.01 && rms < 100.0, "logits of {rms} test nothing");
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / rms
}

const TOLERANCE: f32 = 3e-4;

fn assert_same(name: &str, tiny: &Tiny, tokens: &[usize]) {
    let ((mut cpu, _), (mut gpu, _)) = (cpu_executor(tiny), gpu_executor(tiny));
    let mut worst: f32 = 0.0;
    for &t in tokens {
        for (step, (a, b)) in logits(&mut cpu, t).iter().zip(&logits(&mut gpu, t)).enumerate() {
            let difference = difference(a, b);
            // Not `>`: a NaN is no agreement.
            assert!(difference <= TOLERANCE, "{name}, T {t}, step {step}: off by {difference:e}");
            worst = worst.max(difference);
        }
    }
    println!("{name}: {worst:e}");
    let (cpu, gpu) = (&mut self::cpu(tiny), &mut self::gpu(tiny));
    for t in [1, 40] {
        let ids = |generation: Generation| generation.ids;
        let (cpu, gpu) = (
            generate(cpu, &prompt(t), &options(24)).map(ids).unwrap(),
            generate(gpu, &prompt(t), &options(24)).map(ids).unwrap(),
        );
        assert_eq!(cpu, gpu, "{name}, T {t}");
    }
}

/// All sizes of a prefill that are edges of something: a token, a tile of the kernels, the chunk.
const EDGES: [usize; 9] = [1, 2, 31, 33, 36, 37, 38, 74, 75];

#[test]
fn every_tensor_type_computes_the_same_on_both() {
    for ty in TensorType::ALL {
        let make = if ty.block_len() == 256 { Tiny::wide } else { Tiny::new };
        assert_same(&format!("{ty}, tied"), &make(ty), &[1, 2, 33]);
        assert_same(&format!("{ty}, untied"), &make(ty).untied(), &[5]);
    }
}

#[test]
fn every_edge_of_a_chunk_computes_the_same_on_both() {
    assert_same("Q4_1", &Tiny::new(TensorType::Q4_1), &EDGES);
    assert_same("Q8_0", &Tiny::wide(TensorType::Q8_0).untied(), &EDGES);
}

#[test]
fn mixed_types_within_a_fused_matrix_compute_the_same_on_both() {
    use TensorType::{BF16, F16, F32, Q4_0, Q4_1, Q4_K, Q5_1, Q6_K, Q8_0};
    type Group = (&'static str, TensorType, &'static [(&'static str, TensorType)]);
    let groups: [Group; 5] = [
        ("4 and 8 bits", Q4_1, &[("attn_k.weight", Q8_0), ("ffn_up.weight", Q5_1)]),
        ("4 bits and floats", Q4_0, &[("attn_v.weight", F16), ("ffn_gate.weight", F32)]),
        ("8 bits and bfloat", Q8_0, &[("attn_q.weight", BF16), ("token_embd.weight", Q4_1)]),
        ("floats", F16, &[("attn_k.weight", F32), ("output.weight", Q8_0)]),
        ("k-quants", Q4_K, &[("attn_v.weight", Q6_K), ("ffn_down.weight", Q6_K)]),
    ];
    for (name, matrices, types) in groups {
        let make = if name == "k-quants" { Tiny::wide } else { Tiny::new };
        assert_same(name, &Tiny { types: types.to_vec(), ..make(matrices).untied() }, &[1, 33]);
    }
}

#[test]
fn a_split_is_the_same_model() {
    let whole = Tiny::new(TensorType::Q8_0).untied();
    let split = Tiny { max_part_bytes: Some(60_000), ..whole.clone() };
    assert!(split.files().len() > 3);
    let (mut one, _) = gpu_executor(&whole);
    let (mut parts, _) = gpu_executor(&split);
    assert_eq!(logits(&mut one, 33), logits(&mut parts, 33));
    // One part missing, one twice, two exchanged.
    let files = split.files();
    let mut exchanged = files.clone();
    exchanged.swap(1, 2);
    for wrong in [files[1..].to_vec(), files[..2].to_vec(), exchanged] {
        let error = try_weights(&wrong, CpuStore::default()).err().unwrap();
        assert_eq!(error.code(), "split_mismatch");
    }
}

#[test]
fn weights_that_an_executor_took_make_no_second_one() {
    let mut weights =
        try_weights(&Tiny::new(TensorType::F16).files(), CpuStore::default()).unwrap();
    CpuExecutor::new(&mut weights, CONTEXT, CHUNK).unwrap();
    assert!(CpuExecutor::new(&mut weights, CONTEXT, CHUNK).is_err(), "it would run on zeros");
}

#[test]
fn a_greedy_token_costs_four_bytes_and_a_share_of_a_submit() {
    let tiny = Tiny::new(TensorType::Q4_1);
    let layers = u64::from(tiny.config.num_hidden_layers);
    for clock in [still, slow] {
        let mut engine = gpu_with(&tiny, clock);
        let generation = generate(&mut engine, &prompt(40), &options(101)).unwrap();
        let (steps, counts) = generation.steady;
        assert_eq!(steps, 100);
        assert!(counts.dispatches <= steps * (10 * layers + 4), "{counts:?}");
        assert_eq!((counts.uploaded_bytes, counts.read_bytes), (0, 4 * steps));
        assert!(4 * counts.submits <= steps, "{counts:?}");
    }
    // Nothing was generated behind the first token: nothing is counted.
    let mut engine = gpu(&tiny);
    let one = generate(&mut engine, &prompt(5), &options(1)).unwrap();
    assert_eq!(one.steady, Default::default());
    let mut watch = Watch { on: &mut |_| (), cancelled: &|| true };
    let none = block_on(engine.generate(&prompt(9), &options(9), &mut watch)).unwrap();
    assert_eq!(none.steady, Default::default(), "cancelled before the first token");
}

/// Cancels after `looks` looks, and tells how far the prefill came.
fn cancelled<E: Executor>(
    engine: &mut Engine<E>,
    prompt: &[u32],
    options: &GenerateOptions,
    looks: u32,
) -> (Generation, usize) {
    let (seen, read) = (Cell::new(0), Cell::new(0));
    let mut on = |progress: Progress<'_>| {
        if let Progress::Prefill { done, .. } = progress {
            read.set(done);
        }
    };
    let stop = || seen.replace(seen.get() + 1) >= looks;
    let mut watch = Watch { on: &mut on, cancelled: &stop };
    let generation = block_on(engine.generate(prompt, options, &mut watch)).unwrap();
    (generation, read.get())
}

fn cancels<E: Executor>(fresh: impl Fn() -> Engine<E>) {
    let prompt = prompt(100);
    let greedy = options(30);
    let sampled = GenerateOptions { sampling: sampling(0.8, 20, 5), ..options(30) };
    let all_logits = GenerateOptions { sampling: sampling(0.8, 0, 5), ..options(30) };
    for options in [greedy, sampled, all_logits] {
        let whole = generate(&mut fresh(), &prompt, &options).unwrap();
        assert_eq!((whole.ids.len(), whole.stop), (30, Stop::Length));
        // At once, between chunks, and behind the first, the second and a later batch of tokens.
        for looks in [0, 1, 2, 4, 5, 6] {
            let mut engine = fresh();
            let (part, read) = cancelled(&mut engine, &prompt, &options, looks);
            assert_eq!(part.stop, Stop::Cancelled, "after {looks} looks");
            assert_eq!(part.ids, whole.ids[..part.ids.len()], "after {looks} looks");
            assert!(whole.text.starts_with(&part.text));
            if looks <= 2 {
                assert!(part.ids.is_empty() && read < prompt.len(), "{looks}: {read}");
            } else {
                assert!(!part.ids.is_empty() && read == prompt.len(), "{looks}: {read}");
            }
            // What was read stays in the cache, and is right.
            let again = generate(&mut engine, &prompt, &options).unwrap();
            assert_eq!(again.reused_tokens, read.min(prompt.len() - 1));
            assert_eq!((&again.ids, &again.text), (&whole.ids, &whole.text), "{looks}");
        }
    }
}

#[test]
fn cancelling_keeps_what_was_written_and_the_cache() {
    let tiny = Tiny::new(TensorType::Q8_0);
    cancels(|| cpu(&tiny));
    cancels(|| gpu(&tiny));
}

#[test]
fn the_cache_serves_only_what_is_the_same() {
    let mut engine = gpu(&Tiny::new(TensorType::F16));
    let first = generate(&mut engine, &prompt(60), &options(20)).unwrap();
    // Goes on behind what was generated: all but the last id is in the cache.
    let longer = [&first.prompt_ids[..], &first.ids, &[7, 8]].concat();
    let fresh = generate(&mut gpu(&Tiny::new(TensorType::F16)), &longer, &options(10)).unwrap();
    let reused = generate(&mut engine, &longer, &options(10)).unwrap();
    assert_eq!(reused.reused_tokens, 60 + 19);
    assert_eq!(reused.ids, fresh.ids);
    // Two prompts that part: what the one overwrote is not there for the other.
    let mut other = prompt(60);
    other[30] ^= 1;
    generate(&mut engine, &other[..50], &options(5)).unwrap();
    let again = generate(&mut engine, &prompt(60), &options(20)).unwrap();
    assert_eq!(again.reused_tokens, 30);
    assert_eq!(again.ids, first.ids);
}

#[test]
fn a_seed_gives_one_text_and_another_seed_another() {
    let tiny = Tiny::new(TensorType::Q4_0);
    for top_k in [0, 40, 100] {
        let text = |seed| {
            let options = GenerateOptions { sampling: sampling(1.5, top_k, seed), ..options(40) };
            let generation = generate(&mut gpu(&tiny), &prompt(20), &options).unwrap();
            (generation.ids, generation.text)
        };
        assert_eq!(text(1), text(1));
        assert_ne!(text(1), text(2));
    }
    // Of one candidate or at temperature 0 it is the greedy choice.
    let greedy = generate(&mut gpu(&tiny), &prompt(20), &options(20)).unwrap();
    for sampling in [sampling(1.0, 1, 3), Sampling { temperature: 0.0, ..sampling(0.0, 5, 3) }] {
        let options = GenerateOptions { sampling, ..options(20) };
        assert_eq!(generate(&mut gpu(&tiny), &prompt(20), &options).unwrap().ids, greedy.ids);
    }
}

fn never_text<E: Executor>(name: &str, fresh: impl Fn() -> Engine<E>) {
    let greedy = options(20);
    let few = GenerateOptions { sampling: sampling(0.7, 40, 1), ..options(20) };
    let all = GenerateOptions { sampling: sampling(0.7, 0, 1), ..options(20) };
    for (how, options) in [("greedy", greedy), ("of 40", few), ("of all", all)] {
        for t in [1, 40] {
            match generate(&mut fresh(), &prompt(t), &options) {
                Err(Error::NotFinite { position }) => assert_eq!(position, t as u32),
                other => panic!("{name}, {how}, T {t}: {other:?}"),
            }
        }
    }
}

#[test]
fn logits_that_are_not_finite_never_become_text() {
    let faults: [(&str, Values); 4] = [
        ("all logits infinite", ("output_norm.weight", |_| 3e38)),
        ("NaN from attention on", ("blk.0.attn_norm.weight", |_| 1e30)),
        ("overflow in the feed-forward layer", ("blk.1.ffn_norm.weight", |_| 1e30)),
        // Row 290: ±3e38 in turn. No other logit is touched, and NaN is not among the largest.
        (
            "a single NaN",
            ("output.weight", |i| match (i / 96, i % 2) {
                (290, 0) => 3e38,
                (290, _) => -3e38,
                _ => ((i * 37 % 101) as f32 - 50.0) * 0.003,
            }),
        ),
    ];
    for (name, values) in faults {
        let tiny = Tiny { values: vec![values], ..Tiny::new(TensorType::F32).untied() };
        never_text(&format!("CPU, {name}"), || cpu(&tiny));
        never_text(&format!("GPU, {name}"), || gpu(&tiny));
    }
}

#[test]
fn weights_that_are_not_finite_are_refused_by_name() {
    let wrong: [fn(usize) -> f32; 2] = [
        |i| if i == 777 { f32::NAN } else { 0.1 },
        |i| if i == 777 { f32::NEG_INFINITY } else { 0.1 },
    ];
    for value in wrong {
        let values: Vec<Values> = vec![("blk.1.ffn_down.weight", value)];
        let tiny = Tiny { values, ..Tiny::new(TensorType::F32) };
        let error = try_weights(&tiny.files(), CpuStore::default()).err().unwrap();
        assert_eq!(error, Error::BadWeight { tensor: "blk.1.ffn_down.weight".into() });
    }
}

#[test]
fn the_context_can_be_filled_to_its_last_position_and_no_further() {
    let tiny = Tiny::new(TensorType::Q5_1);
    let (context, t) = (CONTEXT as usize, 90);
    let room = options((context - t) as u32);
    let on_cpu = generate(&mut cpu(&tiny), &prompt(t), &room).unwrap();
    let on_gpu = generate(&mut gpu(&tiny), &prompt(t), &room).unwrap();
    assert_eq!(on_gpu.ids.len(), context - t);
    assert_eq!(on_gpu.ids, on_cpu.ids);
    // A prompt that leaves room for one token.
    let mut engine = gpu(&tiny);
    let last = generate(&mut engine, &prompt(context - 1), &options(1)).unwrap();
    assert_eq!(last.ids.len(), 1);
    for (tokens, room) in [(t, context - t + 1), (context, 1), (context + 50, 10)] {
        let error = generate(&mut engine, &prompt(tokens), &options(room as u32)).unwrap_err();
        let expected =
            Error::PromptTooLong { prompt_tokens: tokens, max_new_tokens: room, context };
        assert_eq!(error, expected);
    }
    // By the findings' way, too, and the engine still works.
    let findings = "w".repeat(context);
    let mut watch = Watch { on: &mut |_| (), cancelled: &|| false };
    let request = PromptRequest::new(&findings);
    let error = block_on(engine.impression(&request, &options(5), &mut watch)).unwrap_err();
    assert_eq!(error.code(), "prompt_too_long");
    assert!(!error.to_string().contains("www"), "findings never stand in an error");
    assert_eq!(generate(&mut engine, &prompt(t), &room).unwrap().ids, on_cpu.ids);
}

#[test]
fn what_cannot_be_run_is_refused() {
    let mut engine = cpu(&Tiny::new(TensorType::F16));
    let code = |engine: &mut Engine<CpuExecutor>, prompt: &[u32], options: &GenerateOptions| {
        generate(engine, prompt, options).unwrap_err().code()
    };
    assert_eq!(code(&mut engine, &[], &options(5)), "bad_option");
    assert_eq!(code(&mut engine, &[1], &options(0)), "bad_option");
    assert_eq!(code(&mut engine, &[1, 301], &options(5)), "token_out_of_range");
    let hot = GenerateOptions { sampling: sampling(f32::NAN, 0, 1), ..options(5) };
    assert_eq!(code(&mut engine, &[1], &hot), "bad_option");
    for context in [0, 257] {
        let mut weights =
            try_weights(&Tiny::new(TensorType::F16).files(), CpuStore::default()).unwrap();
        let error = CpuExecutor::new(&mut weights, context, CHUNK).err().unwrap();
        assert_eq!(error.code(), "bad_option");
    }
}
