//! `radllama validate`: is this device right? Every kernel against its CPU twin, then a model's
//! logits, token by token, GPU against CPU.

use std::process::ExitCode;

use radllama::Result;
use radllama::gpu::{Gpu, check};
use radllama::kernels::cases::{Extent, cases};
use radllama::kernels::lora::Factors;
use radllama::kernels::{HEAD_DIMS, Permutation, Step, permutations};
use radllama::model::Executor;
use radllama::native::ModelFiles;
use radllama::sampler::top_logits;
use radllama::tokenizer::Tokenizer;
use serde::Serialize;
use serde_json::json;

use super::args::default_model;
use super::output;
use super::validate_adapter::{self, Files};

/// Check every kernel this device can run against its CPU twin, then a model's logits on the GPU
/// against those on the CPU; or, with --adapter, an adapted model. Fails when anything differs.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A GGUF file, the first file of a split, or a manifest; the default model without it.
    #[arg(long, value_name = "PATH", conflicts_with = "adapter")]
    model: Option<std::path::PathBuf>,
    /// Fewer and smaller cases, one format of an adapter's factors, and 8 tokens instead of 32.
    #[arg(long)]
    quick: bool,
    #[command(flatten)]
    files: Files,
}

/// A permutation over all its cases.
#[derive(Debug, Serialize)]
struct KernelReport {
    permutation: String,
    cases: usize,
    /// None when the device refused it; JSON has no infinity either.
    worst_error: Option<f64>,
    allowed: f64,
    passed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
}

/// One forced token.
#[derive(Debug, Serialize)]
pub(crate) struct StepReport {
    position: u32,
    /// Largest difference of a logit, relative to the root mean square of all.
    pub(crate) error: f64,
    pub(crate) gpu_argmax: u32,
    pub(crate) cpu_argmax: u32,
    /// Between the CPU's two largest logits.
    top_2_gap: f32,
    /// Another argmax, but the two are so close that rounding decides.
    pub(crate) near_tie: bool,
    pub(crate) passed: bool,
}

#[derive(Debug, Serialize)]
struct ModelReport {
    model: String,
    /// Decode, one token after the other.
    steps: Vec<StepReport>,
    /// The same tokens in one prefill.
    prefill: StepReport,
    allowed: f64,
    passed: bool,
}

/// The logits of a whole forward pass may differ by this, relative to their root mean square: the
/// rounding of a few hundred f32 sums in another order, one after the other (SmolLM2-135M on lavapipe:
/// 1.5e-5). A wrong kernel is off by 1e-1 and more.
const ALLOWED: f64 = 1e-3;
/// Two logits as close as this are a near tie.
pub(crate) const NEAR_TIE: f32 = 0.01;

pub(crate) fn run(args: &Args, json: bool) -> Result<ExitCode> {
    if let Some(folder) = &args.files.adapter {
        return validate_adapter::run(&args.files, folder, args.quick, json);
    }
    let files = match (&args.model, default_model()) {
        (Some(path), _) => Some(ModelFiles::open(path)?),
        (None, Ok(path)) => Some(ModelFiles::open(&path)?),
        (None, Err(_)) => {
            output::note(
                "no default model is there and no --model was given: only the kernels are checked",
            );
            None
        }
    };
    let gpu = pollster::block_on(Gpu::open(Default::default()))?;
    if !json {
        output::line(&format!("{} ({})", gpu.name(), gpu.driver()))?;
    }
    let (kernels, skipped) = kernels(&gpu, args.quick, json)?;
    let model = match &files {
        Some(files) => Some(model(&gpu, files, args.quick, json)?),
        None => None,
    };
    let passed =
        kernels.iter().all(|kernel| kernel.passed) && model.as_ref().is_none_or(|m| m.passed);
    if json {
        output::object(&json!({
            "adapter": gpu.name(),
            "driver": gpu.driver(),
            "kernels": kernels,
            "skipped": skipped,
            "model": model,
            "passed": passed,
        }))?;
    } else {
        output::line(if passed { "all passed" } else { "FAILED" })?;
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn kernels(gpu: &Gpu, quick: bool, json: bool) -> Result<(Vec<KernelReport>, Vec<String>)> {
    let mut all = permutations(&HEAD_DIMS);
    if quick {
        // Side paths differ by how their factors lie; `lora_down` alone shows both. Compiling them is
        // most of the time on a CPU adapter.
        all.retain(|p| !p.is_adapted() || p.lora == Some(Factors::F16));
    }
    let (possible, skipped): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|permutation| gpu.can_run(permutation.variant));
    let skipped: Vec<String> = skipped.iter().map(Permutation::name).collect();
    let bar = output::steps_bar("kernels", possible.len() as u64);
    let mut reports = Vec::new();
    for permutation in possible {
        bar.inc(1);
        let report = pollster::block_on(kernel(gpu, &permutation, quick))?;
        if !json {
            let error = match (report.worst_error, &report.refused) {
                (_, Some(reason)) => format!("refused: {reason}"),
                (Some(error), None) => format!("{error:.2e}"),
                (None, None) => "not finite".to_owned(),
            };
            bar.suspend(|| {
                output::line(&format!(
                    "{} {:<28}{:>3} cases  {error}",
                    if report.passed { "ok  " } else { "FAIL" },
                    report.permutation,
                    report.cases
                ))
            })?;
        }
        reports.push(report);
    }
    bar.finish_and_clear();
    if !json && !skipped.is_empty() {
        output::line(&format!("the device lacks the features for {}", skipped.join(", ")))?;
    }
    Ok((reports, skipped))
}

async fn kernel(gpu: &Gpu, permutation: &Permutation, quick: bool) -> Result<KernelReport> {
    let mut report = KernelReport {
        permutation: permutation.name(),
        cases: 0,
        worst_error: Some(0.0),
        allowed: 0.0,
        passed: true,
        refused: None,
    };
    let pipeline = match gpu.pipeline(permutation).await {
        Ok(pipeline) => pipeline,
        Err(error) => {
            report.refused = Some(error.to_string());
            (report.passed, report.worst_error) = (false, None);
            return Ok(report);
        }
    };
    for case in cases(permutation, if quick { Extent::Quick } else { Extent::Full }) {
        let check = check(gpu, permutation, &pipeline, &case).await?;
        report.cases += 1;
        report.passed &= check.passed();
        report.worst_error = report
            .worst_error
            .filter(|_| check.error.is_finite())
            .map(|worst| worst.max(check.error));
        report.allowed = check.allowed;
    }
    Ok(report)
}

fn model(gpu: &Gpu, files: &ModelFiles, quick: bool, json: bool) -> Result<ModelReport> {
    let count = if quick { 8 } else { 32 };
    let bar = output::bytes_bar("loading", 2 * files.total_bytes());
    let context = Some(count);
    let (gpu, tokenizer, _) =
        files.gpu_executor(gpu, context, &mut |done, _| bar.set_position(done))?;
    let (cpu, _) =
        files.cpu_executor(context, &mut |done, total| bar.set_position(total + done))?;
    bar.finish_and_clear();
    let ids = forced(&tokenizer, count as usize)?;
    let report = pollster::block_on(compare(gpu, cpu, &ids, files.name()))?;
    if !json {
        output::line(&format!("{}, {count} forced tokens, GPU against CPU:", report.model))?;
        for (what, step) in
            report.steps.iter().map(|step| ("decode", step)).chain([("prefill", &report.prefill)])
        {
            let argmax = match (step.gpu_argmax == step.cpu_argmax, step.near_tie) {
                (true, _) => format!("both {}", step.gpu_argmax),
                (false, near) => format!(
                    "{} against {}, gap {:.5}{}",
                    step.gpu_argmax,
                    step.cpu_argmax,
                    step.top_2_gap,
                    if near { " (near tie)" } else { "" }
                ),
            };
            let verdict = if step.passed { "ok  " } else { "FAIL" };
            output::line(&format!(
                "{verdict} {what} at {:<4} error {:.2e}  argmax {argmax}",
                step.position, step.error
            ))?;
        }
    }
    Ok(report)
}

/// Ids to force: of a text that any vocabulary knows, over and over.
pub(crate) fn forced(tokenizer: &Tokenizer, count: usize) -> Result<Vec<u32>> {
    let text = "The heart is normal in size. The lungs are clear. No pleural effusion is seen. ";
    let body = tokenizer.encode(&text.repeat(4))?;
    let ids = tokenizer.bos().into_iter().chain(body.iter().copied().cycle());
    Ok(ids.take(count).collect())
}

async fn compare<G: Executor, C: Executor>(
    mut gpu: G,
    mut cpu: C,
    ids: &[u32],
    model: String,
) -> Result<ModelReport> {
    let bar = output::steps_bar("tokens", ids.len() as u64);
    let mut steps = Vec::new();
    let mut last = Vec::new();
    for (position, id) in (0..).zip(ids) {
        // A step writes its choice where the next token stands: the forced one goes there after it.
        gpu.write_ids(position, &[*id])?;
        gpu.advance(position)?;
        cpu.write_ids(position, &[*id])?;
        cpu.advance(position)?;
        last = cpu.logits().await?;
        steps.push(judge(position, &gpu.logits().await?, &last));
        bar.inc(1);
    }
    bar.finish_and_clear();
    gpu.write_ids(0, ids)?;
    let mut done = 0;
    while done < ids.len() {
        let tokens = (gpu.chunk() as usize).min(ids.len() - done);
        let head = done + tokens == ids.len();
        gpu.prefill(Step::new(done as u32, tokens as u32), head)?;
        gpu.wait().await?;
        done += tokens;
    }
    let prefill = judge(ids.len() as u32 - 1, &gpu.logits().await?, &last);
    let passed = prefill.passed && steps.iter().all(|step| step.passed);
    Ok(ModelReport { model, steps, prefill, allowed: ALLOWED, passed })
}

pub(crate) fn judge(position: u32, gpu: &[f32], cpu: &[f32]) -> StepReport {
    let squares: f64 = cpu.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
    let rms = (squares / cpu.len() as f64).sqrt();
    let differences = gpu.iter().zip(cpu).map(|(g, c)| (f64::from(*g) - f64::from(*c)).abs());
    // `max` drops a NaN: a NaN anywhere is an infinite error.
    let largest = differences
        .fold(0.0, |worst: f64, d| if d.is_nan() { f64::INFINITY } else { worst.max(d) });
    let error = if gpu.len() == cpu.len() { largest / rms } else { f64::INFINITY };
    let (ours, theirs) = (top_logits(gpu, 1), top_logits(cpu, 2));
    let id = |top: &[(u32, f32)]| top.first().map_or(u32::MAX, |(id, _)| *id);
    let (gpu_argmax, cpu_argmax) = (id(&ours), id(&theirs));
    let top_2_gap = match theirs.as_slice() {
        [(_, first), (_, second), ..] => first - second,
        _ => f32::INFINITY,
    };
    let near_tie = gpu_argmax != cpu_argmax && top_2_gap < NEAR_TIE;
    let passed = error <= ALLOWED && (gpu_argmax == cpu_argmax || near_tie);
    StepReport { position, error, gpu_argmax, cpu_argmax, top_2_gap, near_tie, passed }
}
