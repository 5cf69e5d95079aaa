//! `radllama impression`: the main job.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use radllama::prompt::PromptRequest;
use radllama::{Error, Result};

use super::args::{ModelArgs, SamplingArgs, read_text, text_or_stdin};
use super::output;
use super::session::{Prompt, Session};

pub(crate) const WARNING: &str =
    "radllama is a research tool, not a medical device: check every sentence.";

/// Write the impression of a report's findings.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("report").required(true))]
pub(crate) struct Args {
    /// A file with the findings; `-` is stdin.
    #[arg(group = "report", value_name = "FILE")]
    input: Option<PathBuf>,
    /// The findings themselves; `-` is stdin.
    #[arg(long, group = "report", value_name = "TEXT", allow_hyphen_values = true)]
    findings: Option<String>,
    /// A file with the findings; `-` is stdin.
    #[arg(long, group = "report", value_name = "FILE")]
    file: Option<PathBuf>,
    /// Another instruction than "Derive the impression from findings in the radiology report".
    #[arg(long, value_name = "TEXT")]
    instruction: Option<String>,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    model: ModelArgs,
}

pub(crate) fn run(args: &Args, json: bool) -> Result<ExitCode> {
    let findings = match (&args.findings, args.file.as_ref().or(args.input.as_ref())) {
        (Some(text), _) => text_or_stdin(text)?,
        (None, file) => read_text(file.map_or(Path::new("-"), |file| file))?,
    };
    if findings.trim().is_empty() {
        return Err(Error::EmptyFindings); // before a model is loaded for nothing
    }
    args.sampling.options(None).validate()?; // before a model is opened for nothing
    let files = args.model.open()?;
    let options = args.sampling.options(files.manifest.as_ref().and_then(|m| m.decoding));
    options.validate()?;
    let notice = files.manifest.as_ref().and_then(|manifest| manifest.notice.clone());
    if let Some(notice) = &notice {
        output::note(notice);
    }
    output::note(WARNING);
    let mut session = Session::open(&files, &args.model)?;
    let request = PromptRequest {
        findings: &findings,
        instruction: args.instruction.as_deref(),
        prior: None,
    };
    let generation = session.generate(&Prompt::Report(request), &options, !json)?;
    if json {
        let mut object = session.json(&generation);
        object["model"] = files.name().into();
        object["notice"] = notice.into();
        output::object(&object)?;
    }
    Ok(ExitCode::SUCCESS)
}
