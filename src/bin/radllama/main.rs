//! The `radllama` command line: one file a subcommand; [`output`] is the only place that prints.

mod args;
#[cfg(feature = "train")]
mod average;
mod batch;
mod compare;
mod convert;
mod data;
mod eval;
mod export;
mod generate;
mod guard;
mod impression;
mod inspect;
mod merge;
mod output;
mod partial;
mod report;
mod resume;
mod session;
mod shaders;
mod stop;
mod study;
mod tokenize;
#[cfg(feature = "train")]
mod train;
mod validate;
mod validate_adapter;

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
    Merge(merge::Args),
    Validate(validate::Args),
    Data(data::Args),
    Eval(Box<eval::Args>),
    Compare(compare::Args),
    Guard(guard::Args),
    Export(export::Args),
    Batch(Box<batch::Args>),
    Study(study::Args),
    Shaders(shaders::Args),
    #[cfg(feature = "train")]
    Train(train::Args),
    #[cfg(feature = "train")]
    Average(average::Args),
}

/// Mesa's layer that looks for the desktop's GPU prints an error of its own where there is no desktop.
fn quiet_mesa() {
    if cfg!(target_os = "linux") && std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: called first thing in main, before any other thread could read the environment.
        #[allow(unsafe_code, reason = "changing the environment is unsafe beside other threads")]
        unsafe {
            std::env::set_var("NODEVICE_SELECT", "1");
        }
    }
}

fn main() -> ExitCode {
    quiet_mesa();
    let Cli { command, json } = Cli::parse();
    let done = match command {
        Command::Impression(args) => impression::run(&args, json),
        Command::Generate(args) => generate::run(&args, json),
        Command::Tokenize(args) => tokenize::run(&args, json),
        Command::Inspect(args) => inspect::run(&args, json),
        Command::Convert(args) => convert::run(&args, json),
        Command::Merge(args) => merge::run(&args, json),
        Command::Validate(args) => validate::run(&args, json),
        Command::Data(args) => data::run(&args, json),
        Command::Eval(args) => eval::run(&args, json),
        Command::Compare(args) => compare::run(&args, json),
        Command::Guard(args) => guard::run(&args, json),
        Command::Export(args) => export::run(&args, json),
        Command::Batch(args) => batch::run(&args, json),
        Command::Study(args) => study::run(&args, json),
        Command::Shaders(args) => shaders::run(&args, json),
        #[cfg(feature = "train")]
        Command::Train(args) => train::run(&args, json),
        #[cfg(feature = "train")]
        Command::Average(args) => average::run(&args, json),
    };
    done.unwrap_or_else(|error| {
        output::error(&error, json);
        ExitCode::FAILURE
    })
}
