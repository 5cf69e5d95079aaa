//! `radllama average`: several adapters of one base into one.

use std::path::PathBuf;
use std::process::ExitCode;

use radllama::Result;
use radllama::lora::Adapter;
use radllama::lora::peft::Element;
use radllama::native::{ModelFiles, checkpoint_config, read_peft};
use radllama::train::{average, save_adapter};
use serde_json::json;

use super::args::{adapter_and_weight, default_model};
use super::output;

/// Average adapters that were trained on one base into one adapter of any rank. Runs from different
/// seeds or of different lengths, averaged, often do better than each of them.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The base: as for train. Usually the default model.
    #[arg(long, value_name = "PATH")]
    base: Option<PathBuf>,
    /// A folder as PEFT saves it, and its weight; without one, 1 over their number. Repeated.
    #[arg(long, value_name = "DIR[=WEIGHT]", required = true)]
    adapter: Vec<String>,
    /// R of the average: what is above it of the exact sum is cut off.
    #[arg(long, value_name = "R", default_value_t = 16)]
    rank: u32,
    /// Write the adapter in F16, at half the size.
    #[arg(long)]
    half: bool,
    /// The folder of the new adapter.
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
}

pub(crate) fn run(args: &Args, json: bool) -> Result<ExitCode> {
    let path = args.base.clone().map_or_else(default_model, Ok)?;
    let config = match path.is_dir() {
        true => checkpoint_config(&path)?,
        false => ModelFiles::open(&path)?.config()?,
    };
    let usual = 1.0 / args.adapter.len() as f32;
    let mut adapters = Vec::new();
    for text in &args.adapter {
        let (folder, weight) = adapter_and_weight(text)?;
        let (settings, tensors) = read_peft(&folder)?;
        let adapter = Adapter::from_peft(&settings, &tensors, &config)?;
        adapters.push((adapter, weight.unwrap_or(usual)));
    }
    let spinner = output::spinner("averaging");
    let (adapter, kept) = average(&adapters, args.rank)?;
    let element = if args.half { Element::F16 } else { Element::F32 };
    save_adapter(&args.output, &adapter, element)?;
    spinner.finish_and_clear();
    if json {
        output::object(&json!({
            "adapter": args.output, "rank": args.rank, "kept": kept.total, "least_kept": kept.least,
        }))?;
    } else {
        let (total, least) = (100.0 * kept.total, 100.0 * kept.least);
        output::line(&format!(
            "{}: {total:.2} % of the exact sum kept, {least:.2} % of the matrix that loses most",
            args.output.display()
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
