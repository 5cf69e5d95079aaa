//! Training: the network beside the engine, gradients beside differences, runs that are killed and go
//! on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![cfg(feature = "train")]

#[path = "common/tiny.rs"]
mod tiny;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pollster::block_on;
use radllama::cpu::{CpuExecutor, CpuStore};
use radllama::gguf::TensorType;
use radllama::kernels::Step;
use radllama::lora::{Adapter, LoraConfig, Pair, Target};
use radllama::model::Executor;
use radllama::model::loader::{Loader, Part, Weights};
use radllama::prompt::Template;
use radllama::train::{Base, Example, Network, Options, Precision, Schedule, Trainer};
use serde_json::Value;
use tiny::{Random, Tiny};

fn weights(tiny: &Tiny) -> Weights<CpuStore> {
    let files = tiny.files();
    let mut loader = Loader::new(CpuStore::default(), vec![Part::default()]);
    loader.push(0, &files[0]).unwrap();
    loader.finish().unwrap()
}

fn base(tiny: &Tiny, precision: Precision) -> Arc<Base> {
    Arc::new(Base::new(weights(tiny), precision).unwrap())
}

fn lora(targets: &[Target], dropout: f32) -> LoraConfig {
    LoraConfig {
        r: 4,
        lora_alpha: 8.0,
        lora_dropout: dropout,
        use_rslora: false,
        target_modules: targets.to_vec(),
        base_model: "tiny".to_owned(),
    }
}

fn options() -> Options {
    Options {
        epochs: 3,
        batch: 4,
        batch_tokens: 128,
        longest: 256,
        learning_rate: 5e-3,
        schedule: Schedule::Cosine,
        warmup: 0.1,
        weight_decay: 0.01,
        clip: 1.0,
        label_smoothing: 0.0,
        seed: 7,
        patience: 0,
    }
}

/// Reports made of two words that say what the impression is.
fn reports(count: usize) -> Vec<(String, String)> {
    let words = ["abc", "bcd", "cde", "def", "efg"];
    let word = |i: usize| words[i % words.len()];
    (0..count)
        .map(|i| (format!("{} {}", word(i), word(i / 5)), format!("{}{}", word(i), word(i + 1))))
        .collect()
}

fn examples(base: &Base, count: usize) -> Vec<Example> {
    let example = |(findings, impression): &(String, String)| {
        Example::new(&base.tokenizer, Template::Report, findings, impression, 256).unwrap().unwrap()
    };
    reports(count).iter().map(example).collect()
}

fn trainer(base: &Arc<Base>, lora: LoraConfig, options: Options) -> Trainer {
    let (train, validation) = (examples(base, 24), examples(base, 6));
    Trainer::new(base.clone(), lora, None, options, train, validation).unwrap()
}

/// An adapter that changes what the base says, with another rank for one target.
fn random_adapter(base: &Base, targets: &[Target]) -> Adapter {
    let mut random = Random(3);
    let mut values =
        |n: u32, width: f32| (0..n).map(|_| width * random.value()).collect::<Vec<f32>>();
    let mut pairs = std::collections::BTreeMap::new();
    for layer in 0..base.config.num_hidden_layers {
        for &target in targets {
            let rank = if target == Target::V { 3 } else { 4 };
            let (out, inner) = target.shape(&base.config);
            let (a, b) = (values(rank * inner, 0.2), values(out * rank, 0.2));
            pairs.insert((layer, target), Pair { rank, scale: 1.5, a, b });
        }
    }
    Adapter { config: lora(targets, 0.0), base_sha256: None, pairs }
}

fn ids(config: &radllama::LlamaConfig, count: usize) -> Vec<u32> {
    let mut random = Random(9);
    (0..count).map(|_| random.below(config.vocab_size as usize) as u32).collect()
}

/// The engine's logits after the last of `ids`.
fn engine_logits(tiny: &Tiny, ids: &[u32]) -> Vec<f32> {
    let mut executor = CpuExecutor::new(&mut weights(tiny), 64, 64).unwrap();
    executor.write_ids(0, ids).unwrap();
    executor.prefill(Step::new(0, ids.len() as u32), true).unwrap();
    block_on(executor.logits()).unwrap()
}

fn difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let rms = (expected.iter().map(|e| e * e).sum::<f32>() / expected.len() as f32).sqrt();
    found.iter().zip(expected).map(|(f, e)| (f - e).abs()).fold(0.0, f32::max) / rms
}

#[test]
fn the_network_computes_what_the_engine_does() {
    for tiny in [
        Tiny::new(TensorType::F32),
        Tiny::new(TensorType::Q4_1).untied(),
        Tiny::wide(TensorType::Q8_0),
    ] {
        let base = base(&tiny, Precision::F32);
        let network = Network::new(base.clone(), lora(&Target::ALL, 0.0), 64, 1).unwrap();
        let ids = ids(&tiny.config, 23);
        let logits = network.logits(&ids).unwrap();
        let last = &logits[logits.len() - tiny.config.vocab_size as usize..];
        let error = difference(last, &engine_logits(&tiny, &ids));
        assert!(error < 1e-4, "{error:e}");
    }
}

/// bf16 has eight bits, 0.4 % a product; two layers of sharp attention make more of it.
#[test]
fn products_in_bf16_are_near_those_in_f32() {
    if Precision::best() == Precision::F32 {
        return; // the same thing here
    }
    let tiny = Tiny::wide(TensorType::Q8_0);
    let logits = |precision| {
        let base = base(&tiny, precision);
        let adapter = random_adapter(&base, &Target::ALL);
        let network = Network::from_adapter(base, &adapter, 64).unwrap();
        network.logits(&ids(&tiny.config, 37)).unwrap()
    };
    let (found, expected) = (logits(Precision::Bf16), logits(Precision::F32));
    let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|v| v * v).sum::<f32>().sqrt();
    let error = norm(&mut found.iter().zip(&expected).map(|(f, e)| f - e))
        / norm(&mut expected.iter().copied());
    assert!(error > 1e-4 && error < 0.1, "{error:e}");
}

/// One update by plain gradient descent's hand: the loss must fall by what the gradient promises. A
/// wrong backward of any part makes this false.
#[test]
fn gradients_are_those_of_the_loss() {
    let tiny = Tiny::new(TensorType::F32).untied();
    let base = base(&tiny, Precision::F32);
    let examples = examples(&base, 5);
    for target in Target::ALL {
        let start = random_adapter(&base, &Target::ALL);
        let loss = |adapter: &Adapter| {
            let network = Network::from_adapter(base.clone(), adapter, 64).unwrap();
            network.gradients(&examples).unwrap()
        };
        let (_, gradients) = loss(&start);
        for layer in 0..2 {
            let gradient = &gradients[&(layer, target)];
            // Along the gradient itself, where the difference is largest.
            let norm = |v: &[f32]| v.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
            for side in ["a", "b"] {
                let g = if side == "a" { &gradient.a } else { &gradient.b };
                let step = 1e-2 / norm(g).sqrt();
                let moved = |sign: f64| {
                    let mut adapter = start.clone();
                    let pair = adapter.pairs.get_mut(&(layer, target)).unwrap();
                    let values = if side == "a" { &mut pair.a } else { &mut pair.b };
                    for (value, g) in values.iter_mut().zip(g) {
                        *value += (sign * step * f64::from(*g)) as f32;
                    }
                    loss(&adapter).0
                };
                let found = (moved(1.0) - moved(-1.0)) / (2.0 * step);
                let error = (found / norm(g) - 1.0).abs();
                assert!(error < 0.02, "layer {layer} {} {side}: {error}", target.name());
            }
        }
    }
}

#[test]
fn a_small_set_is_learnt() {
    let base = base(&Tiny::new(TensorType::Q8_0), Precision::F32);
    let mut trainer = trainer(&base, lora(&Target::ALL, 0.0), Options { epochs: 25, ..options() });
    let first = trainer.step().unwrap().loss;
    let mut last = first;
    while !trainer.finished() {
        last = trainer.step().unwrap().loss;
    }
    assert!(last < 0.25 * first, "{first} to {last}");
    assert!(trainer.validate().unwrap().unwrap() < 0.25 * first);
    assert!(trainer.best_adapter().is_some());
}

#[test]
fn a_resumed_run_is_the_same_run() {
    let base = base(&Tiny::new(TensorType::Q4_1), Precision::F32);
    let lora = lora(&[Target::Q, Target::V, Target::Down], 0.1);
    let mut whole = trainer(&base, lora.clone(), options());
    let mut reports = Vec::new();
    let mut kept = None;
    while !whole.finished() {
        reports.push(whole.step().unwrap());
        if reports.len() % 6 == 0 {
            whole.validate().unwrap();
        }
        if reports.len() == 8 {
            kept = Some(whole.checkpoint("data").unwrap());
        }
    }
    let mut resumed = trainer(&base, lora.clone(), options());
    resumed.restore(&kept.clone().unwrap(), "data").unwrap();
    assert_eq!(resumed.state().step, 8);
    let mut step = 8;
    while !resumed.finished() {
        assert_eq!(resumed.step().unwrap(), reports[step]);
        step += 1;
        if step % 6 == 0 {
            resumed.validate().unwrap();
        }
    }
    assert_eq!(step, reports.len());
    assert_eq!(resumed.adapter().unwrap(), whole.adapter().unwrap());
    assert_eq!(resumed.best_adapter(), whole.best_adapter());
    assert_eq!(resumed.state(), whole.state());

    // Another run is not taken for this one.
    let kept = kept.unwrap();
    let mut other = trainer(&base, lora.clone(), Options { seed: 8, ..options() });
    assert_eq!(other.restore(&kept, "data").unwrap_err().code(), "bad_option");
    let mut other = trainer(&base, lora.clone(), options());
    assert_eq!(other.restore(&kept, "other data").unwrap_err().code(), "bad_option");
    for end in [0, 7, 100, kept.len() - 1] {
        assert_eq!(other.restore(&kept[..end], "data").unwrap_err().code(), "io");
    }
}

#[test]
fn dropout_and_smoothing_change_the_course() {
    let base = base(&Tiny::new(TensorType::Q8_0), Precision::F32);
    let course = |dropout: f32, smoothing: f32| {
        let options = Options { label_smoothing: smoothing, ..options() };
        let mut trainer = trainer(&base, lora(&Target::ALL, dropout), options);
        (0..4).map(|_| trainer.step().unwrap().loss).collect::<Vec<_>>()
    };
    let plain = course(0.0, 0.0);
    assert_eq!(plain, course(0.0, 0.0));
    // B is zero at first: what A sees does not matter until it is not.
    assert_eq!(course(0.5, 0.0)[0], plain[0]);
    assert_ne!(course(0.5, 0.0)[3], plain[3]);
    assert!(course(0.0, 0.1)[0] != plain[0]);
}

#[test]
fn options_out_of_range_are_named() {
    let base = base(&Tiny::new(TensorType::Q8_0), Precision::F32);
    let error = |lora: LoraConfig, options: Options, train: usize| {
        let train = examples(&base, train);
        let trainer = Trainer::new(base.clone(), lora, None, options, train, Vec::new());
        trainer.err().unwrap().to_string()
    };
    let fine = || lora(&Target::ALL, 0.0);
    let cases = [
        error(LoraConfig { r: 0, ..fine() }, options(), 4),
        error(LoraConfig { lora_alpha: f32::NAN, ..fine() }, options(), 4),
        error(LoraConfig { lora_dropout: 1.0, ..fine() }, options(), 4),
        error(LoraConfig { target_modules: vec![], ..fine() }, options(), 4),
        error(fine(), Options { epochs: 0, ..options() }, 4),
        error(fine(), Options { learning_rate: -1.0, ..options() }, 4),
        error(fine(), Options { warmup: 1.5, ..options() }, 4),
        error(fine(), Options { clip: f64::INFINITY, ..options() }, 4),
        error(fine(), options(), 0),
    ];
    let names = [
        "rank",
        "alpha",
        "dropout",
        "targets",
        "epochs",
        "learning-rate",
        "warmup",
        "clip",
        "pairs",
    ];
    for (case, name) in cases.iter().zip(names) {
        assert!(case.contains(name), "{name}: {case}");
    }
}

#[test]
fn the_learning_rate_rises_and_falls() {
    let share = |schedule: Schedule, step| schedule.share(step, 10, 110);
    for schedule in [Schedule::Cosine, Schedule::Linear, Schedule::Constant] {
        assert!((share(schedule, 4) - 0.5).abs() < 1e-12);
        assert!((share(schedule, 10) - 1.0).abs() < 1e-12);
    }
    assert!((share(Schedule::Linear, 60) - 0.5).abs() < 1e-12);
    assert!((share(Schedule::Cosine, 60) - 0.5).abs() < 1e-12);
    assert!((share(Schedule::Cosine, 35) - 0.853_553_390_593_273_8).abs() < 1e-12);
    assert_eq!(share(Schedule::Constant, 109), 1.0);
    assert!(share(Schedule::Linear, 109) > 0.0);
}

fn program(folder: &Path, output: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_radllama"));
    command
        .args(["train", "--json", "--template", "report", "--epochs", "6", "--batch", "3"])
        .args(["--rank", "4", "--checkpoint", "2", "--validations", "1", "--targets", "q,v,down"])
        .args(["--precision", "f32"])
        .arg("--base")
        .arg(folder.join("tiny.gguf"))
        .arg("--train")
        .arg(folder.join("train.jsonl"))
        .arg("--validation")
        .arg(folder.join("validation.jsonl"))
        .arg("--output")
        .arg(folder.join(output))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn lay_out(folder: &Path) {
    std::fs::write(folder.join("tiny.gguf"), &Tiny::new(TensorType::Q8_0).files()[0]).unwrap();
    for (name, count) in [("train", 24), ("validation", 5)] {
        let lines = reports(count).into_iter().enumerate().map(|(i, (findings, impression))| {
            let line =
                serde_json::json!({ "id": i, "findings": findings, "impression": impression });
            format!("{line}\n")
        });
        std::fs::write(folder.join(format!("{name}.jsonl")), lines.collect::<String>()).unwrap();
    }
}

/// The log without what depends on the clock.
fn log(folder: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join("log.jsonl")).unwrap();
    let line = |line: &str| {
        let mut value: Value = serde_json::from_str(line).unwrap();
        value.as_object_mut().unwrap().remove("tokens_per_s");
        value
    };
    text.lines().map(line).collect()
}

#[test]
fn a_killed_run_goes_on_to_the_same_end() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    lay_out(folder);
    let whole = program(folder, "whole").output().unwrap();
    assert!(whole.status.success(), "{}", String::from_utf8_lossy(&whole.stderr));
    let said: Value = serde_json::from_slice(&whole.stdout).unwrap();
    assert_eq!(said["steps"], 48);
    assert!(said["tokens_per_s"].as_f64().unwrap() > 0.0);

    // Killed as soon as there is something to go on from, wherever it is by then, and once more.
    for _ in 0..2 {
        let mut child = program(folder, "killed").spawn().unwrap();
        let begun = Instant::now();
        let log = folder.join("killed/log.jsonl");
        let lines = || std::fs::read_to_string(&log).map_or(0, |text| text.lines().count());
        let before = lines();
        while lines() < before + 5 && child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < Duration::from_secs(120));
            std::thread::sleep(Duration::from_millis(2));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let end = program(folder, "killed").output().unwrap();
    assert!(end.status.success(), "{}", String::from_utf8_lossy(&end.stderr));
    assert_eq!(log(&folder.join("killed")), log(&folder.join("whole")));
    for name in ["adapter_config.json", "adapter_model.safetensors"] {
        let read = |run: &str| std::fs::read(folder.join(run).join("adapter").join(name)).unwrap();
        assert!(read("killed") == read("whole"), "{name}");
    }
    let plot = std::fs::read_to_string(folder.join("killed/loss.svg")).unwrap();
    assert!(plot.starts_with("<svg") && plot.contains("validation"), "{plot}");

    // Other options in the same folder are another run.
    let other = program(folder, "killed").args(["--seed", "5"]).output().unwrap();
    assert!(!other.status.success());
    let said: Value = serde_json::from_slice(&other.stdout).unwrap();
    assert_eq!(said["error"]["code"], "bad_option");
}

#[test]
fn bad_reports_are_named_by_id() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    lay_out(folder);
    for (line, code) in [
        (r#"{"id":"x17","findings":"abc","impression":" "}"#, "bad_text"),
        (r#"{"id":"x17","findings":"","impression":"abc"}"#, "bad_text"),
    ] {
        std::fs::write(folder.join("train.jsonl"), format!("{line}\n")).unwrap();
        let done = program(folder, "bad").output().unwrap();
        assert!(!done.status.success());
        let said: Value = serde_json::from_slice(&done.stdout).unwrap();
        assert_eq!(said["error"]["code"], code, "{said}");
        assert!(said["error"]["message"].as_str().unwrap().contains("x17"), "{said}");
    }
}
