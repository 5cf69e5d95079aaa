//! `radllama merge`: a base and its adapters into one quantized GGUF model.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use radllama::convert::{Base, Options, Report, merge};
use radllama::digest::sha256;
use radllama::lora::Adapter;
use radllama::native::{ModelFiles, open_checkpoint, read_peft};
use radllama::prompt::Template;
use radllama::quant::encode::{QuantError, Quantizer};
use radllama::{Error, Result};
use serde_json::json;

use super::args::adapter_and_weight;
use super::convert::{To, key_value};
use super::output;
use super::partial::{Partial, folder_and_stem};
use super::report::{Measure, as_json, print};

/// What `merge` says of an error.
const MEASURE: Measure = ("nmse", QuantError::nmse);

/// Merge adapters into their base, quantize, and write GGUF; or convert a Hugging Face checkpoint.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A folder as transformers saves it, a GGUF file, the first file of a split, or a manifest.
    #[arg(long, value_name = "PATH")]
    base: PathBuf,
    /// A folder as PEFT saves it, and a factor other than 1. May be repeated: all are added up.
    #[arg(long, value_name = "DIR[=WEIGHT]")]
    adapter: Vec<String>,
    /// The type of the matrices.
    #[arg(long, value_enum)]
    to: To,
    /// Another type for the embedding and the output matrix.
    #[arg(long, value_enum)]
    embedding: Option<To>,
    /// Take scales from the extremes, as llama.cpp's reference does, without a search for better ones.
    #[arg(long)]
    no_search: bool,
    /// Split into files of at most so many bytes.
    #[arg(long, value_name = "BYTES")]
    split_bytes: Option<u64>,
    /// The prompt template that the model was tuned with; the manifest's where there is one.
    #[arg(long, value_name = "NAME")]
    template: Option<String>,
    /// Metadata that tells where the model comes from, kept as radllama.KEY. May be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    provenance: Vec<(String, String)>,
    /// Folder and stem of the new files: DIR/NAME gives DIR/NAME.gguf, or DIR/NAME-00001-of-0000N.gguf.
    #[arg(long, value_name = "DIR/NAME")]
    output: PathBuf,
}

pub(crate) fn run(args: &Args, json: bool) -> Result<ExitCode> {
    let (folder, name) = folder_and_stem(&args.output)?;
    let spinner = output::spinner("reading the base");
    let (base, mut template) = open_base(&args.base, &name)?;
    if let Some(name) = &args.template {
        template = Some(name.parse()?);
    }
    let mut provenance = Vec::new();
    if let Some(template) = template {
        provenance.push(("template".to_owned(), template.name().to_owned()));
    }
    let mut adapters = Vec::new();
    let mut hashes = Vec::new();
    for adapter in &args.adapter {
        let (folder, weight) = adapter_and_weight(adapter)?;
        let weight = weight.unwrap_or(1.0);
        let (config, tensors) = read_peft(&folder)?;
        let adapter = Adapter::from_peft(&config, &tensors, base.config())?;
        let weight_note = if weight == 1.0 { String::new() } else { format!(" × {weight}") };
        hashes.push(format!("{}+{}{weight_note}", sha256(&config), sha256(&tensors)));
        adapters.push((adapter, weight));
    }
    if !hashes.is_empty() {
        // Configuration (which holds the scale) and tensors of each.
        provenance.push(("adapter_sha256".to_owned(), hashes.join(",")));
    }
    provenance.extend(args.provenance.iter().cloned());
    let quantizer = if args.no_search { Quantizer::Nearest } else { Quantizer::Search };
    let options = Options {
        name,
        target: args.to.ty(),
        embedding: args.embedding.and_then(To::ty),
        quantizer,
        max_part_bytes: args.split_bytes,
        provenance,
    };
    let base_sha256 = base.sha256();
    let mut partial = Partial::new(folder);
    let done = merge(base, adapters, &options, &mut |name| {
        spinner.set_message(format!("writing {name}"));
        partial.open(name)
    });
    spinner.finish_and_clear();
    let report = done?;
    partial.commit()?;
    if json {
        let total = total(&report);
        let mut value = as_json(&report, MEASURE);
        value["quantizer"] = json!(quantizer.name());
        value["base_sha256"] = json!(base_sha256);
        value["nmse"] = json!(total.nmse());
        value["max_abs"] = json!(total.max_abs);
        output::object(&value)?;
    } else {
        let name = format!("all, quantizer {}", quantizer.name());
        print(&report, MEASURE, Some((&name, total(&report))))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn open_base(path: &Path, name: &str) -> Result<(Base<File>, Option<Template>)> {
    if path.is_dir() { Ok((open_checkpoint(path, name)?, None)) } else { open_gguf(path) }
}

fn open_gguf(path: &Path) -> Result<(Base<File>, Option<Template>)> {
    let model = ModelFiles::open(path)?;
    let (names, files) = model.sources()?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let base = Base::gguf(files, &names)?;
    let Some(manifest) = &model.manifest else { return Ok((base, None)) };
    for (file, found) in manifest.files.iter().zip(base.hashes()) {
        if file.sha256 != *found {
            let (name, expected) = (file.path.clone(), file.sha256.clone());
            return Err(Error::HashMismatch { name, expected, found: found.clone() });
        }
    }
    Ok((base, Some(manifest.template()?)))
}

fn total(report: &Report) -> QuantError {
    let mut total = QuantError::default();
    report.tensors.iter().for_each(|tensor| total.merge(&tensor.error));
    total
}
