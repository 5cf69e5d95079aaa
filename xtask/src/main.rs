//! The project's chores: setting up a machine, building the browser's package, serving the page,
//! and running every test. `cargo xtask --help` lists them.
#![allow(clippy::print_stdout, clippy::print_stderr)] // a command-line tool talks to its terminal

mod bundle;
mod checks;
mod demo;
mod dist;
mod offline;
mod package;
mod page;
mod serve;
mod setup;
mod shell;
mod wasm;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// The default port of the page; the next free one is taken where it is in use.
const PORT: u16 = 8080;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Chores of the radllama project")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Set up what is needed, run one report natively, then build and serve the page
    Demo {
        /// Stop after building the page
        #[arg(long)]
        no_serve: bool,
        /// Port of the page
        #[arg(long, default_value_t = PORT)]
        port: u16,
    },
    /// Set up what is needed and run every check and test, on the CPU, the GPU and in the browser
    Test,
    /// Install what the tests need; each step looks first whether it is needed
    Setup,
    /// Build the WebAssembly package into target/www/pkg
    Wasm,
    /// Assemble the static page in target/www from www/, weights/ and the package
    Page,
    /// Make dist/ for a static host: hashed, compressed, within its budget (after `wasm`)
    Dist,
    /// Assemble the npm package in target/npm from target/www, and pack it
    Package,
    /// Serve target/www
    Serve {
        /// Port of the page
        #[arg(long, default_value_t = PORT)]
        port: u16,
    },
}

fn main() -> Result<()> {
    match Cli::parse().task {
        Task::Demo { no_serve, port } => demo::demo((!no_serve).then_some(port)),
        Task::Test => checks::test(),
        Task::Setup => setup::everything(),
        Task::Wasm => wasm::build(),
        Task::Page => page::assemble().map(drop),
        Task::Dist => page::assemble().and_then(|_| dist::build()),
        Task::Package => package::assemble().map(drop),
        Task::Serve { port } => serve::serve(&page::root(), port),
    }
}
