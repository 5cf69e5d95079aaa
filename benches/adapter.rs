//! What an adapter costs: decode of the default model without one and with several, in turns on one
//! executor, so that ratios hold on a machine whose speed drifts.
//!
//! `cargo bench --bench adapter -- [rounds] [prefill] [path/to/manifest.json]`; without `prefill` only decode
//! is measured, over a cache of zeros.
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use radllama::gpu::{Gpu, GpuExecutor, GpuStore};
use radllama::kernels::Step;
use radllama::lora::{Adapter, LoraConfig, Pair, Target};
use radllama::model::Executor;
use radllama::native::ModelFiles;

const STEPS: u32 = 4;
const CONTEXT: u32 = 256;
/// Where decoding begins: a short report.
const PROMPT: u32 = 100;

/// The step between an adapter's values where all are f16, as those from F16 files are.
const HALVES: f32 = 1.0 / 1024.0;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let rounds = words.iter().find_map(|word| word.parse::<usize>().ok()).unwrap_or(9);
    let reads = words.iter().any(|word| word == "prefill");
    let path = words.iter().find(|word| word.ends_with(".json") || word.ends_with(".gguf"));
    let path = path.map_or("weights/base.json", |path| path);
    pollster::block_on(async {
        let gpu = Gpu::open(Default::default()).await.unwrap();
        println!("{} ({})", gpu.name(), gpu.driver());
        let files = ModelFiles::open(Path::new(path)).unwrap();
        let mut weights = files.load(GpuStore::new(&gpu), &mut |_, _| (), &mut || Ok(())).unwrap();
        let kernels = gpu.prove(&weights.layout.needs(), |_, _| ()).await.unwrap();
        let config = weights.layout.config.clone();
        let mut executor = GpuExecutor::new(&mut weights, &kernels, CONTEXT, 128).await.unwrap();
        let all = |rank| adapter(&config, &Target::ALL, rank, HALVES);
        let runs = [
            ("none", None),
            ("q v, R 8", Some(adapter(&config, &[Target::Q, Target::V], 8, HALVES))),
            ("all, R 8", Some(all(8))),
            ("all, R 16", Some(all(16))),
            ("all, R 32", Some(all(32))),
            ("all, R 64", Some(all(64))),
            ("R 16, f32", Some(adapter(&config, &Target::ALL, 16, 1e-3))),
        ];
        // Wall clock and this process's CPU time; on a software adapter the latter is the adapter's work,
        // whoever else is on the machine.
        let mut times: Vec<Vec<[f64; 4]>> = vec![Vec::new(); runs.len()];
        for round in 0..rounds {
            for ((_, adapter), times) in runs.iter().zip(&mut times) {
                executor.set_adapter(adapter.as_ref()).await.unwrap();
                let ids: Vec<u32> = (0..PROMPT).map(|i| 100 + i * 37 % 1000).collect();
                executor.write_ids(0, &ids).unwrap();
                let prefill = clocks();
                if reads {
                    executor.prefill(Step::new(0, PROMPT), true).unwrap();
                }
                executor.wait().await.unwrap();
                let decode = clocks();
                let pending = executor.decode(PROMPT, STEPS).unwrap();
                executor.read(pending).await.unwrap();
                let end = clocks();
                // The first round warms up.
                if round > 0 {
                    let steps = f64::from(STEPS);
                    times.push([
                        (end[0] - decode[0]) / steps,
                        (end[1] - decode[1]) / steps,
                        decode[0] - prefill[0],
                        decode[1] - prefill[1],
                    ]);
                }
            }
        }
        for ((name, _), own) in runs.iter().zip(&times) {
            print!("{name:10}");
            let columns = if reads { 4 } else { 2 };
            for (i, what) in ["decode", "of CPU", "prefill", "of CPU"][..columns].iter().enumerate()
            {
                let least = |of: &[[f64; 4]]| of.iter().map(|t| t[i]).fold(f64::INFINITY, f64::min);
                // Of each round against the same round without an adapter; and best against best, which
                // holds on a busy machine.
                let ratio = median(own.iter().zip(&times[0]).map(|(t, base)| t[i] / base[i]));
                let best = least(own) / least(&times[0]);
                print!(
                    "  {what} {:7.2} ms ({:+5.1} %; best {:+5.1} %)",
                    1e3 * median(own.iter().map(|t| t[i])),
                    100.0 * (ratio - 1.0),
                    100.0 * (best - 1.0)
                );
            }
            println!();
        }
    });
}

/// Seconds of the wall clock and, on Linux, of this process on all CPUs.
fn clocks() -> [f64; 2] {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let wall = START.get_or_init(Instant::now).elapsed().as_secs_f64();
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let nanoseconds = tasks
        .filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|line| line.split(' ').next()?.parse::<u64>().ok());
    [wall, nanoseconds.sum::<u64>() as f64 / 1e9]
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn adapter(config: &radllama::LlamaConfig, targets: &[Target], rank: u32, step: f32) -> Adapter {
    let mut pairs = BTreeMap::new();
    for layer in 0..config.num_hidden_layers {
        for target in targets {
            let (rows, cols) = target.shape(config);
            let values = |count: u32| (0..count).map(|i| ((i * 37 % 101) as f32 - 50.0) * step);
            let (a, b) = (values(rank * cols).collect(), values(rows * rank).collect());
            pairs.insert((layer, *target), Pair { rank, scale: 2.0, a, b });
        }
    }
    let config = LoraConfig {
        r: rank,
        lora_alpha: 2.0 * rank as f32,
        lora_dropout: 0.0,
        use_rslora: false,
        target_modules: targets.to_vec(),
        base_model: String::new(),
    };
    Adapter { config, base_sha256: None, pairs }
}
