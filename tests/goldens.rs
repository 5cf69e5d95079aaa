//! The forward pass against implementations that are not ours: llama.cpp and a numpy forward, on real
//! models. tests/goldens/README.md tells how their answers were made.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![allow(clippy::print_stdout)] // near ties are shown
#![cfg(feature = "gpu")]

use std::path::PathBuf;

use radllama::cpu::{CpuExecutor, CpuStore};
use radllama::engine::{Engine, GenerateOptions, Generation, Watch};
use radllama::gpu::{Gpu, GpuExecutor, GpuStore};
use radllama::model::Executor;
use radllama::model::loader::{Loader, Part, Store, Weights};
use radllama::prompt::Template;
use serde_json::Value;

const SMOLLM2: &[&str] = &[
    "weights/SmolLM2-135M-Instruct.Q4_1-00001-of-00003.gguf",
    "weights/SmolLM2-135M-Instruct.Q4_1-00002-of-00003.gguf",
    "weights/SmolLM2-135M-Instruct.Q4_1-00003-of-00003.gguf",
];
const STORIES: &[&str] = &["tests/fixtures/stories15M-q8_0.gguf"];

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn golden(name: &str) -> Value {
    let text = std::fs::read_to_string(path("tests/goldens").join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

fn weights<S: Store>(files: &[&str], store: S) -> Weights<S> {
    let part = |name: &&str| Part { name: name.to_string(), ..Part::default() };
    let mut loader = Loader::new(store, files.iter().map(part).collect());
    let bytes: Vec<_> = files.iter().map(|name| std::fs::read(path(name)).unwrap()).collect();
    let mut at = vec![0; files.len()];
    for (i, bytes) in bytes.iter().enumerate() {
        while !loader.head_complete(i) {
            let end = (at[i] + (1 << 20)).min(bytes.len());
            loader.push(i, &bytes[at[i]..end]).unwrap();
            at[i] = end;
        }
    }
    for (i, bytes) in bytes.iter().enumerate() {
        loader.push(i, &bytes[at[i]..]).unwrap();
    }
    loader.finish().unwrap()
}

fn clock() -> f64 {
    0.0
}

fn cpu(files: &[&str], context: u32) -> Engine<CpuExecutor> {
    let mut weights = weights(files, CpuStore::default());
    let executor = CpuExecutor::new(&mut weights, context, 256).unwrap();
    Engine::new(executor, weights.tokenizer, Template::ChatMl, clock)
}

fn gpu(files: &[&str], context: u32) -> Engine<GpuExecutor> {
    pollster::block_on(async {
        let gpu = Gpu::open(Default::default()).await.expect("tests need a Vulkan adapter");
        let mut weights = weights(files, GpuStore::new(&gpu));
        let kernels = gpu.prove(&weights.layout.needs(), |_, _| ()).await.unwrap();
        let executor = GpuExecutor::new(&mut weights, &kernels, context, 256).await.unwrap();
        Engine::new(executor, weights.tokenizer, Template::ChatMl, clock)
    })
}

fn greedy<E: Executor>(engine: &mut Engine<E>, prompt: &[u32], tokens: usize) -> Generation {
    let options = GenerateOptions {
        max_new_tokens: tokens as u32,
        top_logits: 10,
        ignore_eos: true,
        ..GenerateOptions::default()
    };
    let mut watch = Watch { on: &mut |_| (), cancelled: &|| false };
    pollster::block_on(engine.generate(prompt, &options, &mut watch)).unwrap()
}

/// Ids must be the golden's up to the first step whose two best logits lie within `tie`.
fn assert_same(name: &str, found: &[u32], golden: &Value, tie: f64) -> usize {
    let expected = ids(&golden["ids"]);
    let same = found.iter().zip(&expected).take_while(|(a, b)| a == b).count();
    if same < found.len() {
        let gap = golden["gaps"][same].as_f64().unwrap();
        assert!(gap < tie, "{name}: step {same} differs where the gap is {gap}");
        println!("{name}: {same} of {} the same, then a near tie (gap {gap})", found.len());
    }
    same
}

fn assert_logits(name: &str, found: &[(u32, f32)], golden: &Value, tolerance: f64) {
    for (found, expected) in found.iter().zip(golden["top_logits"].as_array().unwrap()) {
        let logit = expected[1].as_f64().unwrap();
        let difference = (f64::from(found.1) - logit).abs();
        assert!(difference < tolerance, "{name}: {found:?} against {expected}");
    }
}

/// llama.cpp computing in f32 on the same weights, and on its own path, which rounds activations to
/// 8 bits. Returns how many steps were the same as in f32.
fn smollm2<E: Executor>(engine: &mut Engine<E>, prompts: usize, tokens: usize) -> usize {
    let golden = golden("smollm2_llama_cpp.json");
    let mut same = 0;
    for prompt in golden["prompts"].as_array().unwrap().iter().take(prompts) {
        let name = prompt["name"].as_str().unwrap();
        let found = greedy(engine, &ids(&prompt["prompt_ids"]), tokens);
        assert_logits(name, &found.top_logits, &prompt["f32"], 2e-3);
        same += assert_same(&format!("{name}, f32"), &found.ids, &prompt["f32"], 0.01);
        // llama.cpp's two paths part at gaps up to 0.415; where they do, its f32 decides.
        let own = prompt["q4_vs_f32_agree"].as_u64().unwrap() as usize;
        let until = own.min(found.ids.len());
        assert_same(&format!("{name}, q4"), &found.ids[..until], &prompt["q4"], 0.3);
    }
    same
}

#[test]
fn smollm2_on_the_cpu_is_llama_cpp() {
    assert!(smollm2(&mut cpu(SMOLLM2, 512), 5, 48) > 200);
}

#[test]
fn smollm2_on_the_gpu_is_llama_cpp() {
    assert!(smollm2(&mut gpu(SMOLLM2, 512), 3, 24) > 60);
}

#[test]
fn stories15m_is_the_numpy_forward() {
    let golden = &golden("stories15m_numpy.json")["runs"]["q8_0"];
    for (name, found) in [
        ("cpu", greedy(&mut cpu(STORIES, 256), &[1], 200)),
        ("gpu", greedy(&mut gpu(STORIES, 256), &[1], 200)),
    ] {
        assert_logits(name, &found.top_logits, golden, 1e-3);
        assert_eq!(found.ids, ids(&golden["ids"]), "{name}: {}", found.text);
        assert!(found.text.starts_with("Once upon a time"), "{}", found.text);
    }
}

#[test]
fn a_prompt_read_in_pieces_or_from_the_cache_gives_the_same_ids() {
    let mut engine = gpu(STORIES, 256);
    let prompt: Vec<u32> = greedy(&mut engine, &[1], 90).ids;
    let first = greedy(&mut engine, &prompt, 20);
    let again = greedy(&mut engine, &prompt, 20);
    assert_eq!(again.reused_tokens, prompt.len() - 1);
    let mut other = prompt.clone();
    other[40] += 1;
    let changed = greedy(&mut engine, &other, 20);
    assert_eq!(changed.reused_tokens, 40);
    let fresh = greedy(&mut gpu(STORIES, 256), &other, 20);
    assert_eq!((first.ids, changed.ids), (again.ids, fresh.ids));
}
