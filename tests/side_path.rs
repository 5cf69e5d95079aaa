//! An adapter at run time: the GPU beside the CPU beside a model into which it was merged, and what
//! loading, swapping and dropping it leaves behind.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs
)]
#![cfg(feature = "gpu")]

#[path = "common/adapters.rs"]
mod adapters;
#[path = "common/tiny.rs"]
mod tiny;

use std::sync::OnceLock;

use adapters::{adapter, halved, merged, odd_ranks};
use pollster::block_on;
use radllama::cpu::{CpuExecutor, CpuStore};
use radllama::digest::sha256;
use radllama::engine::{Engine, GenerateOptions, Watch};
use radllama::gguf::TensorType;
use radllama::gpu::{Gpu, GpuExecutor, GpuStore, Kernels};
use radllama::kernels::{Call, Step};
use radllama::lora::peft::base_sha256;
use radllama::lora::{Adapter, Target};
use radllama::model::loader::{Loader, Part, Store, Weights};
use radllama::model::{Executor, Needs, SidePath, forward};
use radllama::prompt::Template;
use radllama::quant::Format;
use tiny::{Random, Tiny};

const CHUNK: u32 = 37;
const CONTEXT: u32 = 160;
/// As in tests/executors.rs: f32 sums in another order, through two layers.
const TOLERANCE: f32 = 3e-4;

fn device() -> (Gpu, Kernels) {
    static DEVICE: OnceLock<(Gpu, Kernels)> = OnceLock::new();
    let open = || {
        let gpu = block_on(Gpu::open(Default::default())).expect("tests need a Vulkan adapter");
        let needs = Needs { formats: Format::ALL.to_vec(), head_dim: 16 };
        let kernels = block_on(gpu.prove(&needs, |_, _| ())).unwrap();
        (gpu, kernels)
    };
    DEVICE.get_or_init(open).clone()
}

fn weights<S: Store>(file: &[u8], store: S) -> Weights<S> {
    let (bytes, sha256) = (Some(file.len() as u64), Some(sha256(file)));
    let mut loader =
        Loader::new(store, vec![Part { name: "tiny".into(), bytes, sha256, ..Part::default() }]);
    loader.push(0, file).unwrap();
    loader.finish().unwrap()
}

fn file(tiny: &Tiny) -> Vec<u8> {
    tiny.files().remove(0)
}

fn cpu(file: &[u8]) -> CpuExecutor {
    CpuExecutor::new(&mut weights(file, CpuStore::default()), CONTEXT, CHUNK).unwrap()
}

fn gpu(file: &[u8]) -> GpuExecutor {
    let (gpu, kernels) = device();
    let mut weights = weights(file, GpuStore::new(&gpu));
    block_on(GpuExecutor::new(&mut weights, &kernels, CONTEXT, CHUNK)).unwrap()
}

fn set<E: Executor>(executor: &mut E, adapter: &Adapter) {
    block_on(executor.set_adapter(Some(adapter))).unwrap();
}

fn drop_adapter<E: Executor>(executor: &mut E) {
    block_on(executor.set_adapter(None)).unwrap();
}

fn prompt(tokens: usize) -> Vec<u32> {
    let mut random = Random(tokens as u64 ^ 0x70_70);
    (0..tokens).map(|i| if i == 0 { 1 } else { 3 + random.below(298) as u32 }).collect()
}

/// The logits behind a prompt of T tokens and behind three more, one after the other.
fn logits<E: Executor>(executor: &mut E, tokens: usize) -> Vec<Vec<f32>> {
    block_on(async {
        let ids = prompt(tokens + 3);
        executor.write_ids(0, &ids).unwrap();
        let mut done = 0;
        while done < tokens {
            let step = (tokens - done).min(CHUNK as usize);
            let step = Step::new(done as u32, step as u32);
            done += step.tokens as usize;
            executor.prefill(step, done == tokens).unwrap();
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

/// The largest difference of any logit, relative to the root mean square of its step's.
fn difference(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    assert_eq!(a.len(), b.len());
    let one = |a: &Vec<f32>, b: &Vec<f32>| {
        let rms = (a.iter().map(|v| v * v).sum::<f32>() / a.len() as f32).sqrt();
        assert!(rms > 0.01 && rms < 100.0, "logits of {rms} test nothing");
        let worst = a.iter().zip(b).map(|(a, b)| (a - b).abs());
        worst.fold(0.0, |worst: f32, d| if d.is_nan() { f32::INFINITY } else { worst.max(d) }) / rms
    };
    a.iter().zip(b).map(|(a, b)| one(a, b)).fold(0.0, f32::max)
}

fn bits(logits: &[Vec<f32>]) -> Vec<u32> {
    logits.iter().flatten().map(|logit| logit.to_bits()).collect()
}

fn all_of(rank: u32) -> impl Fn(u32, Target) -> u32 {
    move |_, _| rank
}

#[test]
fn the_gpu_computes_what_the_twins_compute() {
    use TensorType::{F16, F32, Q4_1, Q8_0};
    type Ranks = fn(u32, Target) -> u32;
    let ranks: [(&str, Ranks); 3] = [
        ("odd ranks", odd_ranks),
        ("q and v", |_, target| if matches!(target, Target::Q | Target::V) { 8 } else { 0 }),
        ("k, up and one layer's down", |layer, target| match target {
            Target::K | Target::Up => 2,
            Target::Down if layer == 1 => 5,
            _ => 0,
        }),
    ];
    for ty in [Q4_1, Q8_0, F16, F32] {
        let tiny = Tiny::new(ty);
        let bytes = file(&tiny);
        let (mut cpu, mut gpu) = (cpu(&bytes), gpu(&bytes));
        for (name, rank) in ranks {
            let floats = adapter(&tiny.config, 5, rank);
            for (factors, adapter) in [("f16", halved(&floats)), ("f32", floats)] {
                set(&mut cpu, &adapter);
                set(&mut gpu, &adapter);
                for tokens in [1, 2, 33, 38] {
                    let off = difference(&logits(&mut cpu, tokens), &logits(&mut gpu, tokens));
                    // Not `>`: a NaN is no agreement.
                    assert!(
                        off <= TOLERANCE,
                        "{ty}, {name}, {factors}, T {tokens}: off by {off:e}"
                    );
                }
            }
        }
    }
}

#[test]
fn base_and_side_path_are_the_merged_model() {
    for (name, tiny) in [
        ("6 heads over 2", Tiny::new(TensorType::F32)),
        ("as many", {
            let mut tiny = Tiny::new(TensorType::F32).untied();
            tiny.config.num_key_value_heads = tiny.config.num_attention_heads;
            tiny
        }),
    ] {
        let bytes = file(&tiny);
        let floats = adapter(&tiny.config, 9, odd_ranks);
        for (factors, adapter) in [("f16", halved(&floats)), ("f32", floats)] {
            let name = format!("{name}, {factors}");
            let into = merged(&bytes, &tiny.config, &adapter, true);
            let mut with_side = (cpu(&bytes), gpu(&bytes));
            let base = logits(&mut with_side.0, 40);
            set(&mut with_side.0, &adapter);
            set(&mut with_side.1, &adapter);
            let expected = logits(&mut cpu(&into), 40);
            let off = [
                difference(&expected, &logits(&mut with_side.0, 40)),
                difference(&expected, &logits(&mut with_side.1, 40)),
                difference(&expected, &logits(&mut gpu(&into), 40)),
            ];
            println!(
                "{name}: side path on the CPU {:e}, on the GPU {:e}, merged on the GPU {:e}",
                off[0], off[1], off[2]
            );
            assert!(off.iter().all(|off| *off <= TOLERANCE), "{name}: {off:?}");
            // And the adapter is one that a test notices: without it, or with q and k in the wrong order.
            assert!(difference(&expected, &base) > 0.3, "{name}");
            let wrong = merged(&bytes, &tiny.config, &adapter, false);
            let off = difference(&logits(&mut cpu(&wrong), 40), &logits(&mut with_side.1, 40));
            assert!(
                off > 100.0 * TOLERANCE,
                "{name}: rows in the wrong order are off by {off:e} only"
            );
        }
    }
}

#[test]
fn one_wrong_factor_is_noticed() {
    let tiny = Tiny::new(TensorType::F32);
    let bytes = file(&tiny);
    let right = adapter(&tiny.config, 9, odd_ranks);
    let expected = logits(&mut cpu(&merged(&bytes, &tiny.config, &right, true)), 20);
    let mut gpu = gpu(&bytes);
    for key in right.pairs.keys() {
        let mut wrong = right.clone();
        let pair = wrong.pairs.get_mut(key).unwrap();
        let rank = pair.rank as usize;
        pair.b.rotate_right(rank); // the next row's
        set(&mut gpu, &wrong);
        let off = difference(&expected, &logits(&mut gpu, 20));
        assert!(off > 10.0 * TOLERANCE, "{key:?}: off by {off:e} only");
        let mut without = right.clone();
        without.pairs.remove(key);
        set(&mut gpu, &without);
        let off = difference(&expected, &logits(&mut gpu, 20));
        assert!(off > 10.0 * TOLERANCE, "without {key:?}: off by {off:e} only");
    }
    set(&mut gpu, &right);
    assert!(difference(&expected, &logits(&mut gpu, 20)) <= TOLERANCE);
}

fn comes_and_goes<E: Executor>(name: &str, executor: &mut E, tiny: &Tiny) {
    let config = &tiny.config;
    let (one, other) = (adapter(config, 1, all_of(8)), adapter(config, 2, odd_ranks));
    let base = logits(executor, 38);
    set(executor, &one);
    let first = logits(executor, 38);
    set(executor, &other);
    let second = logits(executor, 38);
    assert!(difference(&base, &first) > 0.1 && difference(&first, &second) > 0.1, "{name}");
    set(executor, &one);
    assert_eq!(bits(&logits(executor, 38)), bits(&first), "{name}: swapped back");
    let before = executor.counters();
    drop_adapter(executor);
    let uploaded = (executor.counters() - before).uploaded_bytes;
    assert_eq!(uploaded, 0, "{name}: dropping uploads nothing");
    assert_eq!(bits(&logits(executor, 38)), bits(&base), "{name}: dropped");
    // An adapter of nothing is the base.
    set(executor, &adapter(config, 1, all_of(0)));
    assert_eq!(bits(&logits(executor, 38)), bits(&base), "{name}: empty");
}

#[test]
fn swapping_and_dropping_leave_nothing_behind() {
    for ty in [TensorType::Q4_1, TensorType::F16] {
        let tiny = Tiny::new(ty);
        comes_and_goes("CPU", &mut cpu(&file(&tiny)), &tiny);
        comes_and_goes("GPU", &mut gpu(&file(&tiny)), &tiny);
    }
}

#[test]
fn the_engine_forgets_what_another_model_read() {
    let tiny = Tiny::new(TensorType::Q8_0);
    let (device, kernels) = device();
    let mut weights = weights(&file(&tiny), GpuStore::new(&device));
    let executor = block_on(GpuExecutor::new(&mut weights, &kernels, CONTEXT, CHUNK)).unwrap();
    let mut engine = Engine::new(executor, weights.tokenizer, Template::Alpaca, || 0.0);
    let options =
        GenerateOptions { max_new_tokens: 12, ignore_eos: true, ..GenerateOptions::default() };
    let generate = |engine: &mut Engine<GpuExecutor>| {
        let mut watch = Watch { on: &mut |_| (), cancelled: &|| false };
        block_on(engine.generate(&prompt(50), &options, &mut watch)).unwrap()
    };
    let base = generate(&mut engine);
    assert_eq!(generate(&mut engine).reused_tokens, 49);
    let adapter = adapter(&tiny.config, 3, all_of(4));
    block_on(engine.set_adapter(Some(&adapter))).unwrap();
    let with = generate(&mut engine);
    assert_eq!(with.reused_tokens, 0, "the cache was another model's");
    assert_ne!(with.ids, base.ids);
    assert_eq!(generate(&mut engine).ids, with.ids);
    block_on(engine.set_adapter(None)).unwrap();
    let again = generate(&mut engine);
    assert_eq!((again.reused_tokens, again.ids), (0, base.ids));
}

#[test]
fn beams_go_by_the_side_path_too() {
    let tiny = Tiny::new(TensorType::F32);
    let bytes = file(&tiny);
    let adapter = adapter(&tiny.config, 6, odd_ranks);
    let into = merged(&bytes, &tiny.config, &adapter, true);
    let options = GenerateOptions {
        max_new_tokens: 12,
        beams: 3,
        n_best: 3,
        ignore_eos: true,
        ..GenerateOptions::default()
    };
    let tokenizer = || weights(&bytes, CpuStore::default()).tokenizer;
    fn best<E: Executor>(engine: &mut Engine<E>, options: &GenerateOptions) -> Vec<Vec<u32>> {
        let mut watch = Watch { on: &mut |_| (), cancelled: &|| false };
        let generation = block_on(engine.generate(&prompt(50), options, &mut watch)).unwrap();
        generation.n_best.into_iter().map(|hypothesis| hypothesis.ids).collect()
    }
    let engine = |executor| Engine::new(executor, tokenizer(), Template::Alpaca, || 0.0);
    let expected = best(&mut engine(cpu(&into)), &options);
    assert_eq!(expected.len(), 3);
    let mut gpu = Engine::new(gpu(&bytes), tokenizer(), Template::Alpaca, || 0.0);
    // Beams before, with and after the adapter: their kernels and bindings are other ones each time.
    let base = best(&mut gpu, &options);
    assert_ne!(base, expected);
    block_on(gpu.set_adapter(Some(&adapter))).unwrap();
    assert_eq!(best(&mut gpu, &options), expected);
    block_on(gpu.set_adapter(None)).unwrap();
    assert_eq!(best(&mut gpu, &options), base);
}

fn refuses<E: Executor>(executor: &mut E, tiny: &Tiny, sha256: &str) {
    let good = adapter(&tiny.config, 4, odd_ranks);
    set(executor, &good);
    let expected = bits(&logits(executor, 5));
    let mut refused = |code: &str, named: &str, change: &dyn Fn(&mut Adapter)| {
        let mut wrong = good.clone();
        change(&mut wrong);
        let error = block_on(executor.set_adapter(Some(&wrong))).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(named), "{named}: {error}");
        // The one before is still there.
        assert_eq!(bits(&logits(executor, 5)), expected, "{code}");
    };
    let up = (1, Target::Up);
    let change = |change: fn(&mut radllama::lora::Pair)| {
        move |adapter: &mut Adapter| change(adapter.pairs.get_mut(&up).unwrap())
    };
    let name = "model.layers.1.mlp.up_proj.lora_";
    refused("bad_weight", &format!("{name}A"), &change(|p| p.a[7] = f32::NAN));
    refused("bad_weight", &format!("{name}B"), &change(|p| p.b[7] = f32::INFINITY));
    refused("bad_weight", &format!("{name}A"), &change(|p| p.scale = f32::NAN));
    refused("wrong_shape", &format!("{name}A"), &change(|p| p.a.truncate(p.a.len() - 19)));
    refused("wrong_shape", &format!("{name}B"), &change(|p| p.b.extend([0.0; 19])));
    refused("wrong_shape", &format!("{name}A"), &change(|p| p.rank += 1));
    refused("wrong_shape", &format!("{name}A"), &change(|p| p.rank = 0));
    refused("unexpected_tensor", "model.layers.2.mlp.up_proj", &|adapter| {
        let pair = adapter.pairs[&up].clone();
        adapter.pairs.insert((2, Target::Up), pair);
    });
    refused("other_base", sha256, &|adapter| adapter.base_sha256 = Some("0".repeat(64)));
    let mut known = good.clone();
    known.base_sha256 = Some(sha256.to_owned());
    set(executor, &known);
    assert_eq!(bits(&logits(executor, 5)), expected);
}

#[test]
fn what_does_not_belong_is_refused_and_changes_nothing() {
    let tiny = Tiny::new(TensorType::F32);
    let bytes = file(&tiny);
    let sha256 = base_sha256(&[sha256(&bytes)]);
    refuses(&mut cpu(&bytes), &tiny, &sha256);
    refuses(&mut gpu(&bytes), &tiny, &sha256);
}

#[test]
fn without_an_adapter_the_program_is_what_it_was() {
    let tiny = Tiny::new(TensorType::Q4_1);
    let layout = weights(&file(&tiny), CpuStore::default()).layout;
    let plain = forward::program(&layout, CONTEXT, CHUNK).unwrap();
    let lora = |call: &Call| matches!(call, Call::MatvecLora(..) | Call::MatmulLora(..));
    assert_eq!(plain.decode.len(), 8 * 2 + 4);
    assert!(!plain.decode.iter().chain(&plain.prefill).any(|dispatch| lora(&dispatch.call)));
    assert_eq!(plain.side, plain.buffers.len());
    // q and v alone: one dispatch more a block, and only the product that has them is another.
    let qv = adapter(&tiny.config, 1, |_, target| {
        u32::from(matches!(target, Target::Q | Target::V)) * 8
    });
    let side = SidePath::new(&layout, &qv).unwrap();
    let with = forward::adapted(&layout, CONTEXT, CHUNK, Some(&side)).unwrap();
    assert_eq!(with.decode.len(), 9 * 2 + 4);
    assert_eq!(with.decode.iter().filter(|dispatch| lora(&dispatch.call)).count(), 2);
    assert_eq!(with.buffers[..with.side], plain.buffers[..]);
    let all = SidePath::new(&layout, &adapter(&tiny.config, 1, odd_ranks)).unwrap();
    let all = forward::adapted(&layout, CONTEXT, CHUNK, Some(&all)).unwrap();
    assert_eq!(all.decode.len(), 12 * 2 + 4);
}
