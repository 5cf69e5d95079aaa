//! `radllama tokenize`: text to ids and back, with nothing but a vocabulary.

use std::path::PathBuf;
use std::process::ExitCode;

use radllama::Result;
use radllama::native::ModelFiles;
use radllama::tokenizer::Tokenizer;
use serde_json::json;

use super::args::{default_model, read_text, text_or_stdin};
use super::output;

/// Turn text into token ids, or ids into text.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("source").required(true))]
pub(crate) struct Args {
    /// A GGUF file (one with a vocabulary only will do) or a manifest; the default model without it.
    #[arg(long, value_name = "PATH")]
    model: Option<PathBuf>,
    /// The text; `-` is stdin.
    #[arg(long, group = "source", value_name = "TEXT", allow_hyphen_values = true)]
    text: Option<String>,
    /// A file with the text; `-` is stdin.
    #[arg(long, group = "source", value_name = "FILE")]
    file: Option<PathBuf>,
    /// Token ids to turn back into text.
    #[arg(long, group = "source", value_name = "1,2,3", value_delimiter = ',')]
    decode: Option<Vec<u32>>,
    /// Parse control tokens in the text; with --decode, show them.
    #[arg(long)]
    special: bool,
    /// Put BOS first.
    #[arg(long)]
    bos: bool,
    /// Every line of the file is a text; one JSON object a line comes out.
    #[arg(long, conflicts_with_all = ["text", "decode"])]
    lines: bool,
}

pub(crate) fn run(args: &Args, json: bool) -> Result<ExitCode> {
    let text = match (&args.text, &args.file) {
        (Some(text), _) => text_or_stdin(text)?,
        (None, Some(file)) => read_text(file)?,
        (None, None) => String::new(),
    };
    let path = match &args.model {
        Some(path) => path.clone(),
        None => default_model()?,
    };
    let tokenizer = ModelFiles::open(&path)?.tokenizer()?;
    if let Some(ids) = &args.decode {
        let text = tokenizer.decode(ids, args.special)?;
        if json { output::object(&json!({ "text": text }))? } else { output::line(&text)? }
    } else if args.lines {
        let mut out = String::new();
        for line in text.strip_suffix('\n').unwrap_or(&text).split('\n') {
            out.push_str(&json!({ "ids": ids(&tokenizer, args, line)? }).to_string());
            out.push('\n');
        }
        output::text(&out)?;
    } else {
        let ids = ids(&tokenizer, args, &text)?;
        if json {
            output::object(&json!({ "ids": ids }))?;
        } else {
            let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
            output::line(&ids.join(","))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn ids(tokenizer: &Tokenizer, args: &Args, text: &str) -> Result<Vec<u32>> {
    let body = match args.special {
        true => tokenizer.encode_special(text)?,
        false => tokenizer.encode(text)?,
    };
    Ok(tokenizer.bos().filter(|_| args.bos).into_iter().chain(body).collect())
}
