//! Matrix kernels, each variant that the adapter can run, on the shapes of real models: a time a
//! dispatch, weights and floating-point operations a second. The variants take turns, so that ratios
//! hold on a machine whose speed drifts.
//!
//! `cargo bench --bench kernels -- [smollm2|llama2-7b] [matvec|matmul|beams] [q4|q8|f16|f32] [rounds]`,
//! or `… -- others` for all other kernels on the sizes of the tests. `beams`: what can multiply with four
//! tokens, beside matvec with one.
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use std::time::Instant;

use radllama::gpu::{self, Gpu};
use radllama::kernels::cases::{Extent, cases, product_case};
use radllama::kernels::{Epilogue, HEAD_DIMS, permutations};

/// Rows, columns, epilogue, how often in a layer.
type Shape = (&'static str, u32, u32, Epilogue);

const SMOLLM2: &[Shape] = &[
    ("qkv", 960, 576, Epilogue::Store),
    ("out", 576, 576, Epilogue::Add),
    ("gate_up", 1536, 576, Epilogue::Swiglu),
    ("down", 576, 1536, Epilogue::Add),
    ("lm_head", 49152, 576, Epilogue::Store),
];
const LLAMA2_7B: &[Shape] = &[
    ("qkv", 12288, 4096, Epilogue::Store),
    ("out", 4096, 4096, Epilogue::Add),
    ("gate_up", 11008, 4096, Epilogue::Swiglu),
    ("down", 4096, 11008, Epilogue::Add),
];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let has = |word: &str| words.iter().any(|w| w == word);
    let shapes = if has("llama2-7b") { LLAMA2_7B } else { SMOLLM2 };
    let groups: [(&str, &[&str], u32); 3] = [
        ("matvec", &["matvec"], 1),
        ("matmul", &["matmul"], 128),
        ("beams", &["matvec", "matvecs", "matmul"], 4),
    ];
    let any = groups.iter().any(|(name, ..)| has(name));
    let wanted = groups.into_iter().filter(|(name, ..)| has(name) || !any);
    let format = ["q8", "f16", "f32"].into_iter().find(|f| has(f)).unwrap_or("q4");
    let rounds = words.iter().find_map(|word| word.parse::<usize>().ok()).unwrap_or(5);
    pollster::block_on(async {
        let gpu = Gpu::open(Default::default()).await.unwrap();
        println!("{} ({})", gpu.name(), gpu.driver());
        if has("others") {
            others(&gpu).await;
            return;
        }
        for (group, kernels, tokens) in wanted {
            for (name, rows, cols, epilogue) in shapes {
                if group == "matmul" && *name == "lm_head" {
                    continue; // only the last token goes through it
                }
                let mut runs = Vec::new();
                for permutation in permutations(&HEAD_DIMS).into_iter().filter(|p| {
                    kernels.contains(&p.kernel)
                        && p.epilogue == Some(*epilogue)
                        && p.format.map(|f| f.name()) == Some(format)
                        && gpu.can_run(p.variant)
                }) {
                    let tokens = if permutation.kernel == "matvec" { 1 } else { tokens };
                    let case = product_case(&permutation, *rows, *cols, tokens);
                    let pipeline = gpu.pipeline(&permutation).await.unwrap();
                    let run =
                        gpu::repeat(&gpu, &pipeline, &case, permutation.variant).await.unwrap();
                    runs.push((permutation, run, f64::INFINITY));
                }
                // As many dispatches a submit as take the slowest about a tenth of a second.
                let mut times = 1;
                for (_, run, _) in &mut runs {
                    run(1).await.unwrap();
                    let start = Instant::now();
                    run(1).await.unwrap();
                    let once = start.elapsed().as_secs_f64();
                    times = times.max(((0.1 / once) as u32).clamp(1, 200));
                }
                for _ in 0..rounds {
                    for (_, run, best) in &mut runs {
                        let start = Instant::now();
                        run(times).await.unwrap();
                        *best = best.min(start.elapsed().as_secs_f64() / f64::from(times));
                    }
                }
                let pair = if *epilogue == Epilogue::Swiglu { 2.0 } else { 1.0 };
                let weights = f64::from(*rows) * f64::from(*cols) * pair;
                for (permutation, _, best) in &runs {
                    println!(
                        "{name:8} {:28} {:9.1} µs {:8.2} Gweights/s {:9.1} GFLOP/s",
                        permutation.name(),
                        best * 1e6,
                        weights / best / 1e9,
                        2.0 * weights
                            * f64::from(if permutation.kernel == "matvec" { 1 } else { tokens })
                            / best
                            / 1e9
                    );
                }
            }
        }
    });
}

/// A time a dispatch for each case of the kernels that are no matrix products.
async fn others(gpu: &Gpu) {
    for permutation in permutations(&HEAD_DIMS) {
        if matches!(permutation.kernel, "matvec" | "matvecs" | "matmul")
            || !gpu.can_run(permutation.variant)
        {
            continue;
        }
        let pipeline = gpu.pipeline(&permutation).await.unwrap();
        for case in cases(&permutation, Extent::Full) {
            let mut run = gpu::repeat(gpu, &pipeline, &case, permutation.variant).await.unwrap();
            let mut best = f64::INFINITY;
            for _ in 0..5 {
                let start = Instant::now();
                run(50).await.unwrap();
                best = best.min(start.elapsed().as_secs_f64() / 50.0);
            }
            println!("{:20} {:30} {:9.1} µs", permutation.name(), case.name, best * 1e6);
        }
    }
}
