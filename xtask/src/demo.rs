//! The newcomer's first command: one report through the native program, then the page.

use anyhow::Result;

use crate::shell::{cargo, run};
use crate::{page, serve, setup, wasm};

/// Findings written for this demonstration.
const FINDINGS: &str = "The heart is normal in size. The mediastinum is unremarkable. There is a patchy \
opacity in the right lower lobe with a small right pleural effusion. The left lung is clear. There is no \
pneumothorax. The bony structures are intact.";

/// Sets up, builds and runs everything once; serves on `port` unless there is none.
pub(crate) fn demo(port: Option<u16>) -> Result<()> {
    setup::for_demo()?;
    println!("\nFindings: {FINDINGS}\n");
    run(&mut cargo([
        "run",
        "--release",
        "--bin",
        "radllama",
        "--",
        "impression",
        "--findings",
        FINDINGS,
    ]))?;
    println!();
    wasm::build()?;
    let dir = page::assemble()?;
    println!("The page is in {}", dir.display());
    match port {
        Some(port) => serve::serve(&dir, port),
        None => Ok(()),
    }
}
