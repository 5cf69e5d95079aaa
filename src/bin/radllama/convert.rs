//! `radllama convert`: llama2.c checkpoints and GGUF files into GGUF files of another type or split.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;
use radllama::convert::{Options, Report, Vocabulary, llama2c, requantize};
use radllama::gguf::TensorType;
use radllama::native::ModelFiles;
use radllama::quant::encode::QuantError;
use radllama::{Error, Result};

use super::output;
use super::partial::{Partial, folder_and_stem};
use super::report::{Measure, as_json, print};

/// What `convert` says of an error.
const MEASURE: Measure = ("rmse", QuantError::rmse);

/// Convert a model to GGUF, requantize it, split it anew.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What the input is.
    #[arg(long, value_enum, default_value_t = From::Gguf)]
    from: From,
    /// A GGUF file, the first file of a split, a manifest, or a llama2.c checkpoint.
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// The tokenizer.json of a llama2.c checkpoint.
    #[arg(long, value_name = "FILE", required_if_eq("from", "llama2c"))]
    tokenizer: Option<PathBuf>,
    /// The type of the matrices.
    #[arg(long, value_enum, default_value_t = To::Same)]
    to: To,
    /// Another type for the embedding and the output matrix.
    #[arg(long, value_enum)]
    embedding: Option<To>,
    /// Split into files of at most so many bytes.
    #[arg(long, value_name = "BYTES")]
    split_bytes: Option<u64>,
    /// Metadata that tells where the model comes from, kept as radllama.KEY. May be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    provenance: Vec<(String, String)>,
    /// Folder and stem of the new files: DIR/NAME gives DIR/NAME.gguf, or DIR/NAME-00001-of-0000N.gguf.
    #[arg(long, value_name = "DIR/NAME")]
    output: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum From {
    Gguf,
    Llama2c,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum To {
    /// As in the source.
    Same,
    F32,
    F16,
    #[value(name = "q8_0")]
    Q8_0,
    #[value(name = "q4_0")]
    Q4_0,
    #[value(name = "q4_1")]
    Q4_1,
}

impl To {
    pub(crate) fn ty(self) -> Option<TensorType> {
        match self {
            To::Same => None,
            To::F32 => Some(TensorType::F32),
            To::F16 => Some(TensorType::F16),
            To::Q8_0 => Some(TensorType::Q8_0),
            To::Q4_0 => Some(TensorType::Q4_0),
            To::Q4_1 => Some(TensorType::Q4_1),
        }
    }
}

pub(crate) fn key_value(text: &str) -> std::result::Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

pub(crate) fn run(args: &Args, json: bool) -> Result<ExitCode> {
    let (folder, name) = folder_and_stem(&args.output)?;
    let options = Options {
        name,
        target: args.to.ty(),
        embedding: args.embedding.and_then(To::ty),
        max_part_bytes: args.split_bytes,
        provenance: args.provenance.clone(),
        ..Options::default()
    };
    let spinner = output::spinner("converting");
    let mut partial = Partial::new(folder);
    let mut open = |name: &str| {
        spinner.set_message(format!("writing {name}"));
        partial.open(name)
    };
    let done = match args.from {
        From::Gguf => from_gguf(&args.input, &options, &mut open),
        From::Llama2c => from_llama2c(args, &options, &mut open),
    };
    spinner.finish_and_clear();
    let report = done?;
    partial.commit()?;
    if json {
        output::object(&as_json(&report, MEASURE))?
    } else {
        print(&report, MEASURE, None)?
    }
    Ok(ExitCode::SUCCESS)
}

type Open<'a> = dyn FnMut(&str) -> Result<BufWriter<File>> + 'a;

fn from_gguf(input: &Path, options: &Options, open: &mut Open<'_>) -> Result<Report> {
    let model = ModelFiles::open(input)?;
    let (names, mut files) = model.sources()?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    requantize(&mut files, &names, options, &mut |name| open(name))
}

fn from_llama2c(args: &Args, options: &Options, open: &mut Open<'_>) -> Result<Report> {
    let tokenizer = args.tokenizer.as_deref().unwrap_or(Path::new(""));
    let json = std::fs::read(tokenizer).map_err(|error| Error::io(tokenizer, &error))?;
    let vocabulary = Vocabulary::from_tokenizer_json(&json)?;
    let mut source = File::open(&args.input).map_err(|error| Error::io(&args.input, &error))?;
    let name = args.input.file_name().unwrap_or(args.input.as_os_str()).to_string_lossy();
    llama2c(&mut source, &name, &vocabulary, options, &mut |name| open(name))
}
