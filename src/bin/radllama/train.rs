//! `radllama train`: LoRA instruction tuning.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use radllama::cpu::CpuStore;
use radllama::data::pairs::read_pairs;
use radllama::digest::sha256;
use radllama::lora::peft::{Element, base_sha256};
use radllama::lora::{Adapter, LoraConfig, Target};
use radllama::model::Weights;
use radllama::native::{ModelFiles, load_checkpoint, read_peft};
use radllama::prompt::Template;
use radllama::tokenizer::Tokenizer;
use radllama::train::{
    Base, Example, LogLine, Options, Precision, RunFolder, Schedule, Trainer, measured_flops,
    save_adapter,
};
use radllama::{Error, Result};
use serde_json::json;

use super::args::default_model;
use super::output;

/// Tunes a LoRA adapter on pairs of findings and impression, on the CPU. A run that was killed goes on
/// where its last checkpoint is, with the same results.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The base: a folder as transformers saves it (safetensors), a GGUF file, the first file of a
    /// split, or a manifest. Usually the default model.
    #[arg(long, value_name = "PATH")]
    base: Option<PathBuf>,
    /// Training pairs: a JSON object a line with "id", "findings" and "impression".
    #[arg(long, value_name = "JSONL")]
    train: PathBuf,
    /// Pairs for the validation loss, which chooses the adapter that is kept.
    #[arg(long, value_name = "JSONL")]
    validation: Option<PathBuf>,
    /// The folder of the run: adapter/, log.jsonl, loss.svg, checkpoint.safetensors.
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// Go on from this PEFT adapter's values instead of fresh ones.
    #[arg(long, value_name = "DIR")]
    start: Option<PathBuf>,
    /// The instruction template: alpaca, chatml, llama2, report; usually the base's.
    #[arg(long, value_name = "NAME")]
    template: Option<String>,
    /// Which matrices are adapted: any of q,k,v,o,gate,up,down.
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "q,v")]
    targets: Vec<String>,
    /// LoRA's R.
    #[arg(long, value_name = "R", default_value_t = 8)]
    rank: u32,
    /// The update's scale is alpha / R.
    #[arg(long, value_name = "A", default_value_t = 16.0)]
    alpha: f32,
    /// The update's scale is alpha / √R.
    #[arg(long)]
    rslora: bool,
    /// Share of the inputs of A that are zeroed while training.
    #[arg(long, value_name = "P", default_value_t = 0.05)]
    dropout: f32,
    /// Passes over the training pairs.
    #[arg(long, value_name = "N", default_value_t = 3)]
    epochs: u32,
    /// Examples an update.
    #[arg(long, value_name = "N", default_value_t = 16)]
    batch: u32,
    /// Tokens held in memory at a time; an update of more accumulates gradients.
    #[arg(long, value_name = "N", default_value_t = 2048)]
    batch_tokens: u32,
    /// Pairs of more tokens are left out and counted.
    #[arg(long, value_name = "N", default_value_t = 1024)]
    longest: u32,
    /// Peak learning rate.
    #[arg(long, value_name = "X", default_value_t = 3e-4)]
    learning_rate: f64,
    /// How the learning rate goes down.
    #[arg(long, value_enum, default_value_t = ScheduleArg::Cosine)]
    schedule: ScheduleArg,
    /// Share of all updates in which the learning rate goes up.
    #[arg(long, value_name = "P", default_value_t = 0.03)]
    warmup: f64,
    /// AdamW's weight decay.
    #[arg(long, value_name = "X", default_value_t = 0.0)]
    weight_decay: f64,
    /// Largest gradient norm; 0: any.
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    clip: f64,
    /// Share of a target's probability spread over all tokens.
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    label_smoothing: f32,
    /// Makes initial values, order and dropout.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Validations an epoch.
    #[arg(long, value_name = "N", default_value_t = 2)]
    validations: u32,
    /// Stop after this many validations that were no better; 0: never.
    #[arg(long, value_name = "N", default_value_t = 0)]
    patience: u32,
    /// Keep the last adapter instead of the one that validated best.
    #[arg(long)]
    keep_last: bool,
    /// Write the adapter in F16, at half the size.
    #[arg(long)]
    half: bool,
    /// Updates between two checkpoints.
    #[arg(long, value_name = "N", default_value_t = 25)]
    checkpoint: u64,
    /// Begin anew where the folder holds another run.
    #[arg(long)]
    restart: bool,
    /// What products with frozen weights are computed in; usually bf16 on CPUs made for it (AMX).
    #[arg(long, value_enum)]
    precision: Option<PrecisionArg>,
}

#[derive(Clone, Copy, ValueEnum)]
enum ScheduleArg {
    Cosine,
    Linear,
    Constant,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum PrecisionArg {
    F32,
    Bf16,
}

impl Args {
    fn options(&self) -> Options {
        Options {
            epochs: self.epochs,
            batch: self.batch,
            batch_tokens: self.batch_tokens,
            longest: self.longest,
            learning_rate: self.learning_rate,
            schedule: match self.schedule {
                ScheduleArg::Cosine => Schedule::Cosine,
                ScheduleArg::Linear => Schedule::Linear,
                ScheduleArg::Constant => Schedule::Constant,
            },
            warmup: self.warmup,
            weight_decay: self.weight_decay,
            clip: self.clip,
            label_smoothing: self.label_smoothing,
            seed: self.seed,
            patience: self.patience,
        }
    }

    fn lora(&self, base_model: String) -> Result<LoraConfig> {
        let mut target_modules = Vec::new();
        for name in &self.targets {
            let target = Target::from_name(&format!("{name}_proj"))
                .or_else(|| Target::from_name(name))
                .ok_or_else(|| Error::BadOption {
                    option: "targets",
                    value: name.clone(),
                    expected: "any of q, k, v, o, gate, up, down",
                })?;
            if !target_modules.contains(&target) {
                target_modules.push(target);
            }
        }
        target_modules.sort();
        Ok(LoraConfig {
            r: self.rank,
            lora_alpha: self.alpha,
            lora_dropout: self.dropout,
            use_rslora: self.rslora,
            target_modules,
            base_model,
        })
    }

    fn precision(&self) -> Precision {
        match self.precision {
            Some(PrecisionArg::F32) => Precision::F32,
            Some(PrecisionArg::Bf16) => Precision::Bf16,
            None => Precision::best(),
        }
    }
}

/// A file's examples, how many were left out as too long, and the file's hash.
fn examples(
    path: &Path,
    tokenizer: &Tokenizer,
    template: Template,
    longest: u32,
) -> Result<(Vec<Example>, u64, String)> {
    let mut examples = Vec::new();
    let mut left_out = 0;
    for pair in read_pairs(path)? {
        let (findings, impression) = (&pair.findings, &pair.impression);
        let example = Example::new(tokenizer, template, findings, impression, longest as usize);
        match example.map_err(|error| named(&pair.id, error))? {
            Some(example) => examples.push(example),
            None => left_out += 1,
        }
    }
    let bytes = std::fs::read(path).map_err(|error| Error::io(path, &error))?;
    Ok((examples, left_out, sha256(bytes)))
}

/// An error about a report, with the report's id.
fn named(id: &str, error: Error) -> Error {
    match error {
        Error::EmptyFindings => Error::BadText { what: format!("of report {id} has no findings") },
        Error::BadText { what } => Error::BadText { what: format!("of report {id} {what}") },
        other => other,
    }
}

/// The base's weights, its name and its own template.
fn open_base(path: &Path) -> Result<(Weights<CpuStore>, String, Template)> {
    if path.is_dir() {
        let spinner = output::spinner("loading");
        let weights = load_checkpoint(path, CpuStore::default())?;
        spinner.finish_and_clear();
        let template = Template::of(&weights.tokenizer);
        return Ok((weights, path.display().to_string(), template));
    }
    let files = ModelFiles::open(path)?;
    let bar = output::bytes_bar("loading", files.total_bytes());
    let weights =
        files.load(CpuStore::default(), &mut |done, _| bar.set_position(done), &mut || Ok(()))?;
    bar.finish_and_clear();
    let template = files.template(&weights.tokenizer)?;
    Ok((weights, files.name(), template))
}

pub(crate) fn run(args: &Args, json: bool) -> Result<ExitCode> {
    let path = args.base.clone().map_or_else(default_model, Ok)?;
    let (weights, name, own_template) = open_base(&path)?;
    let template = args.template.as_deref().map_or(Ok(own_template), str::parse)?;
    let precision = args.precision();
    let base = Arc::new(Base::new(weights, precision)?);
    let hash = base_sha256(&base.sha256);
    let base_hash = (!base.sha256.is_empty()).then_some(hash);

    let tokenizer = &base.tokenizer;
    let (train, train_out, train_hash) = examples(&args.train, tokenizer, template, args.longest)?;
    let (validation, validation_out, _) = match &args.validation {
        Some(path) => examples(path, tokenizer, template, args.longest)?,
        None => Default::default(),
    };
    for (what, count) in [("training", train_out), ("validation", validation_out)] {
        if count > 0 {
            let longest = args.longest;
            output::note(&format!("{count} {what} pairs of more than {longest} tokens left out"));
        }
    }
    let start = match &args.start {
        Some(folder) => {
            let (settings, tensors) = read_peft(folder)?;
            Some(Adapter::from_peft(&settings, &tensors, &base.config)?)
        }
        None => None,
    };
    let lora = args.lora(name)?;
    let fingerprint = json!({
        "base": base_hash, "train": train_hash, "template": template.name(),
        "rank": lora.r, "alpha": lora.lora_alpha, "rslora": lora.use_rslora,
        "dropout": lora.lora_dropout, "targets": args.targets,
        "precision": format!("{precision:?}"),
    })
    .to_string();
    let sizes = (train.len(), validation.len());
    let (config, parameters) = (base.config.clone(), base.multiplied_parameters());
    let mut trainer = Trainer::new(base, lora, start.as_ref(), args.options(), train, validation)?;
    let mut folder = RunFolder::open(&args.output)?;
    if let Some(bytes) = folder.checkpoint()?.filter(|_| !args.restart) {
        trainer.restore(&bytes, &fingerprint)?;
        output::note(&format!("going on after update {}", trainer.state().step));
    }
    folder.begin_log(trainer.state().step)?;

    let (f, d) = (config.intermediate_size as usize, config.hidden_size as usize);
    let flops = measured_flops(f, d, args.batch_tokens as usize, precision);
    let (tokens, seconds) = steps(args, &mut trainer, &mut folder, &fingerprint)?;

    let best = if args.keep_last { None } else { trainer.best_adapter().cloned() };
    let kept_step = best.as_ref().map_or(trainer.state().step, |_| trainer.state().best_step);
    let mut adapter = best.map_or_else(|| trainer.adapter(), Ok)?;
    adapter.base_sha256 = base_hash;
    let element = if args.half { Element::F16 } else { Element::F32 };
    let written = args.output.join("adapter");
    save_adapter(&written, &adapter, element)?;
    folder.save_plot()?;
    let rate = tokens as f64 / seconds.max(1e-9);
    let floor = flops / (4.0 * parameters as f64);
    if json {
        output::object(&json!({
            "adapter": written, "steps": trainer.state().step, "kept_step": kept_step,
            "validation_loss": trainer.state().best_loss, "examples": sizes.0,
            "validation_examples": sizes.1, "left_out": train_out + validation_out,
            "tokens_per_s": rate, "matmul_gflops": flops / 1e9, "floor_tokens_per_s": floor,
            "precision": format!("{precision:?}").to_lowercase(),
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    output::line(&format!("{} (update {kept_step})", written.display()))?;
    output::note(&format!(
        "{rate:.0} tokens/s; {floor:.0} if all time went into the frozen products at {:.0} GFLOP/s",
        flops / 1e9
    ));
    Ok(ExitCode::SUCCESS)
}

/// All steps that are left. Returns the tokens and the seconds of those done here.
fn steps(
    args: &Args,
    trainer: &mut Trainer,
    folder: &mut RunFolder,
    fingerprint: &str,
) -> Result<(u64, f64)> {
    let total = trainer.total_steps();
    let interval = (trainer.steps_per_epoch() / u64::from(args.validations.max(1))).max(1);
    let bar = output::slow_bar("training", total);
    bar.set_position(trainer.state().step);
    bar.reset_eta();
    let (mut tokens, mut spent) = (0, Duration::ZERO);
    while !trainer.finished() {
        let start = Instant::now();
        let report = trainer.step()?;
        let took = start.elapsed();
        (tokens, spent) = (tokens + report.tokens, spent + took);
        let (step, epoch) = (report.step, report.epoch);
        bar.set_position(step);
        bar.set_message(format!("epoch {epoch:.2} loss {:.3}", report.loss));
        let tokens_per_s = report.tokens as f64 / took.as_secs_f64();
        folder.log(LogLine::Step { report, tokens_per_s })?;
        if step % interval == 0 || step == total {
            if let Some(loss) = trainer.validate()? {
                bar.println(format!("epoch {epoch:.2}: validation loss {loss:.4}"));
                folder.log(LogLine::Validation { step, epoch, loss })?;
            }
            folder.save_plot()?;
        }
        if step % args.checkpoint.max(1) == 0 || trainer.finished() {
            folder.save_checkpoint(&trainer.checkpoint(fingerprint)?)?;
        }
    }
    bar.finish_and_clear();
    Ok((tokens, spent.as_secs_f64()))
}
