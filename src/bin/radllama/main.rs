//! The `radllama` command line: one file a subcommand; [`output`] is the only place that prints.

mod args;
mod convert;
mod generate;
mod impression;
mod inspect;
mod output;
mod session;
mod shaders;
mod tokenize;
mod validate;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Writes the impression of a radiology report from its findings, on this device alone.
///
/// A research tool, not a medical device: every sentence it writes must be checked by a radiologist.
#[derive(Parser)]
#[command(name = "radllama", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Print exactly one JSON object on stdout; of an error, {"error": {"code", "message"}}.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    Impression(impression::Args),
    Generate(generate::Args),
    Tokenize(tokenize::Args),
    Inspect(inspect::Args),
    Convert(convert::Args),
    Validate(validate::Args),
    Shaders(shaders::Args),
}

fn main() -> ExitCode {
    let Cli { command, json } = Cli::parse();
    let done = match command {
        Command::Impression(args) => impression::run(&args, json),
        Command::Generate(args) => generate::run(&args, json),
        Command::Tokenize(args) => tokenize::run(&args, json),
        Command::Inspect(args) => inspect::run(&args, json),
        Command::Convert(args) => convert::run(&args, json),
        Command::Validate(args) => validate::run(&args, json),
        Command::Shaders(args) => shaders::run(&args, json),
    };
    done.unwrap_or_else(|error| {
        output::error(&error, json);
        ExitCode::FAILURE
    })
}
