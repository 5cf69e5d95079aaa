//! `radllama shaders`: every shader as a browser gets it, for other compilers to look at.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use radllama::kernels::assemble::assemble;
use radllama::kernels::{HEAD_DIMS, Variant, permutations};
use radllama::{Error, Result};
use serde_json::{Value, json};

use super::output;

/// Write every assembled shader permutation, with an index.json that says which WebGPU features each
/// needs.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder to write to.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub(crate) fn run(args: &Args, json: bool) -> Result<ExitCode> {
    std::fs::create_dir_all(&args.out).map_err(|error| Error::io(&args.out, &error))?;
    let mut index = Vec::new();
    for permutation in permutations(&HEAD_DIMS) {
        let name = permutation.name();
        let file = format!("{name}.wgsl");
        write(&args.out.join(&file), &assemble(&permutation, true)?)?;
        let features: &[&str] = match permutation.variant {
            Variant::F16 => &["shader-f16"],
            Variant::Subgroup => &["subgroups"],
            Variant::Base | Variant::Serial => &[],
        };
        index.push(json!({ "name": name, "file": file, "features": features }));
    }
    let count = index.len();
    write(&args.out.join("index.json"), &Value::Array(index).to_string())?;
    if json {
        output::object(&json!({ "shaders": count, "out": args.out }))?;
    } else {
        output::line(&format!("{count} shaders in {}", args.out.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(|error| Error::io(path, &error))
}
