//! The browser's package: the crate compiled for size, and its JavaScript glue.
//!
//! wasm-opt has no place here: it makes the module 9 % smaller, but 3 % larger on the wire, and the
//! release that Debian 12 has exports the wrong table.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result, bail};
use flate2::{Compression, write::GzEncoder};
use wasm_bindgen_cli_support::Bindgen;

use crate::page;
use crate::setup::WASM_TARGET;
use crate::shell::{cargo, run, target};

/// The most that the .wasm may weigh on the wire. The engine is 624 KB of it, the guard 78 (11 of those are
/// its lexicon), export 52, files of rows and their scores 22, reader studies 58.
const MAX_GZIP_BYTES: usize = 860_000;

/// Builds target/www/pkg: `radllama.js`, `radllama.d.ts` and `radllama_bg.wasm`.
pub(crate) fn build() -> Result<()> {
    run(&mut cargo([
        "build",
        "--package",
        "radllama",
        "--lib",
        "--profile",
        "web",
        "--target",
        WASM_TARGET,
        "--no-default-features",
        "--features",
        "web",
    ]))?;
    let pkg = page::root().join("pkg");
    if pkg.exists() {
        std::fs::remove_dir_all(&pkg)?; // nothing stale beside the new glue
    }
    std::fs::create_dir_all(&pkg)?;
    Bindgen::new()
        .input_path(target().join(WASM_TARGET).join("web/radllama.wasm"))
        .web(true)
        .and_then(|bindgen| {
            bindgen.typescript(true).remove_name_section(true).omit_default_module_path(false);
            bindgen.generate(&pkg)
        })
        .context("wasm-bindgen could not process radllama.wasm")?;

    let wasm = pkg.join("radllama_bg.wasm");
    let (raw, gzip) = sizes(&wasm)?;
    println!("radllama_bg.wasm: {} KB, {} KB gzipped", raw / 1000, gzip / 1000);
    if gzip > MAX_GZIP_BYTES {
        bail!("radllama_bg.wasm is over its budget of {} KB gzipped", MAX_GZIP_BYTES / 1000);
    }
    Ok(())
}

/// Bytes of a file as it is and gzipped.
fn sizes(path: &Path) -> Result<(usize, usize)> {
    let bytes = std::fs::read(path)?;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&bytes)?;
    Ok((bytes.len(), gzip.finish()?.len()))
}
