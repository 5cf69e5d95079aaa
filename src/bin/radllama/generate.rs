//! `radllama generate`: any prompt, with everything that comparisons and measurements need.

use std::path::PathBuf;
use std::process::ExitCode;

use radllama::Result;
use radllama::engine::Generation;
use serde_json::{Value, json};

use super::args::{ModelArgs, SamplingArgs, read_text, text_or_stdin};
use super::output;
use super::session::{Prompt, Session};

/// Continue a prompt.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("source").required(true))]
pub(crate) struct Args {
    /// The prompt; `-` is stdin.
    #[arg(long, group = "source", value_name = "TEXT", allow_hyphen_values = true)]
    prompt: Option<String>,
    /// A file with the prompt; `-` is stdin.
    #[arg(long, group = "source", value_name = "FILE")]
    prompt_file: Option<PathBuf>,
    /// The prompt's token ids. BOS is not added.
    #[arg(long, group = "source", value_name = "1,2,3", value_delimiter = ',')]
    prompt_ids: Option<Vec<u32>>,
    /// Parse control tokens such as <|im_start|> in the prompt's text.
    #[arg(long)]
    special: bool,
    /// No BOS before the prompt, even where the model wants it.
    #[arg(long)]
    no_bos: bool,
    /// Report the K largest logits behind the prompt.
    #[arg(long, value_name = "K", default_value_t = 0)]
    top_logits: u32,
    /// Go on after an end token.
    #[arg(long)]
    ignore_eos: bool,
    /// Report what a decode step moves to the device and back.
    #[arg(long)]
    stats: bool,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    model: ModelArgs,
}

pub(crate) fn run(args: &Args, json: bool) -> Result<ExitCode> {
    let text = match (&args.prompt, &args.prompt_file) {
        (Some(text), _) => Some(text_or_stdin(text)?),
        (None, Some(file)) => Some(read_text(file)?),
        (None, None) => None,
    };
    let mut options = args.sampling.options(None);
    options.validate()?;
    options.top_logits = args.top_logits;
    options.ignore_eos = args.ignore_eos;
    let mut session = Session::open(&args.model.open()?, &args.model)?;
    let ids = match text {
        Some(text) => {
            let tokenizer = session.tokenizer();
            let bos = tokenizer.bos().filter(|_| tokenizer.add_bos() && !args.no_bos);
            let body = match args.special {
                true => tokenizer.encode_special(&text)?,
                false => tokenizer.encode(&text)?,
            };
            bos.into_iter().chain(body).collect()
        }
        None => args.prompt_ids.clone().unwrap_or_default(),
    };
    let generation = session.generate(&Prompt::Ids(&ids), &options, !json)?;
    if json {
        let mut object = session.json(&generation);
        if args.stats {
            object["stats"] = stats(&generation);
        }
        output::object(&object)?;
        return Ok(ExitCode::SUCCESS);
    }
    for (id, logit) in &generation.top_logits {
        output::note(&format!("{id:>8} {logit:.5}"));
    }
    if args.stats {
        output::note(&readable(&session, &generation));
    }
    Ok(ExitCode::SUCCESS)
}

/// Per decode step after the first token.
fn stats(generation: &Generation) -> Value {
    let (steps, counters) = generation.steady;
    let per_token = |count: u64| if steps == 0 { 0.0 } else { count as f64 / steps as f64 };
    json!({
        "steps": steps,
        "dispatches_per_token": per_token(counters.dispatches),
        "uploaded_bytes_per_token": per_token(counters.uploaded_bytes),
        "read_bytes_per_token": per_token(counters.read_bytes),
        "submits_per_token": per_token(counters.submits),
    })
}

fn readable(session: &Session, generation: &Generation) -> String {
    let timings = generation.timings;
    let mut text = format!(
        "{}: {} prompt tokens in {:.0} ms ({:.1}/s), then {} in {:.0} ms ({:.1}/s)",
        session.adapter,
        generation.prompt_ids.len(),
        timings.prefill_ms,
        timings.prefill_tokens_per_s,
        generation.ids.len(),
        timings.decode_ms,
        timings.decode_tokens_per_s
    );
    if let Value::Object(stats) = stats(generation) {
        for (name, value) in stats {
            text.push_str(&format!("\n{:<26}{value}", name.replace('_', " ")));
        }
    }
    for (kernel, variant) in &session.variants {
        text.push_str(&format!("\n{kernel:<26}{variant}"));
    }
    text
}
