//! The browser's package: the crate compiled for size, its JavaScript glue, and wasm-opt.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result, bail};
use flate2::{Compression, write::GzEncoder};
use wasm_bindgen_cli_support::Bindgen;

use crate::page;
use crate::setup::WASM_TARGET;
use crate::shell::{cargo, on_path, program, run, target};

/// The most that the .wasm may weigh on the wire.
const MAX_GZIP_BYTES: usize = 1_100_000;

/// The features that rustc 1.95 and wasm-bindgen use, which Debian's wasm-opt 108 has off.
const WASM_FEATURES: [&str; 6] = [
    "--enable-bulk-memory",
    "--enable-nontrapping-float-to-int",
    "--enable-sign-ext",
    "--enable-mutable-globals",
    "--enable-reference-types",
    "--enable-multivalue",
];

/// What to do where wasm-opt is not installed.
#[derive(PartialEq)]
pub(crate) enum Optimizer {
    /// Fail.
    Required,
    /// Go on with a larger package.
    IfInstalled,
}

/// Builds target/www/pkg: `radllama.js`, `radllama.d.ts` and `radllama_bg.wasm`.
pub(crate) fn build(optimizer: Optimizer) -> Result<()> {
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
        .and_then(|bindgen| bindgen.typescript(true).omit_default_module_path(false).generate(&pkg))
        .context("wasm-bindgen could not process radllama.wasm")?;

    let wasm = pkg.join("radllama_bg.wasm");
    let optimized = if on_path("wasm-opt") {
        run(program("wasm-opt", ["-Oz"]).args(WASM_FEATURES).arg(&wasm).arg("-o").arg(&wasm))?;
        true
    } else if optimizer == Optimizer::Required {
        bail!("wasm-opt is not installed; it is part of binaryen");
    } else {
        eprintln!("wasm-opt (binaryen) is not installed: the package stays larger than it need be");
        false
    };
    let (raw, gzip) = sizes(&wasm)?;
    println!("radllama_bg.wasm: {} KB, {} KB gzipped", raw / 1000, gzip / 1000);
    if optimized && gzip > MAX_GZIP_BYTES {
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
