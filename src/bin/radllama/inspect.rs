//! `radllama inspect`: what a model is, and what it will need on the GPU. Reads headers only.

use std::path::PathBuf;
use std::process::ExitCode;

use radllama::Result;
use radllama::gguf::{Header, TensorInfo};
use radllama::model::{Layout, forward};
use radllama::native::{GPU_CHUNK, ModelFiles};
use radllama::quant::Format;
use radllama::tokenizer::{Tokenizer, TokenizerSpec};
use serde_json::{Value, json};

use super::output;

/// Show a model's configuration, its tensors and the memory it takes on the GPU.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A GGUF file, the first file of a split, or a manifest.
    path: PathBuf,
    /// The context to count the memory for, in tokens.
    #[arg(long, value_name = "N")]
    context: Option<u32>,
}

pub(crate) fn run(args: &Args, json: bool) -> Result<ExitCode> {
    let files = ModelFiles::open(&args.path)?;
    let headers = files.headers()?;
    let tensors: Vec<&TensorInfo> = headers.iter().flat_map(|header| &header.tensors).collect();
    let has_output = tensors.iter().any(|tensor| tensor.name == "output.weight");
    let first = &headers[0];
    let tokenizer = Tokenizer::from_spec(TokenizerSpec::from_header(first)?)?;
    let mut object = json!({
        "name": files.name(),
        "files": files.files().map(|(path, bytes)| json!({ "path": path, "bytes": bytes })).collect::<Vec<_>>(),
        "tokenizer": {
            "model": first.str("tokenizer.ggml.model")?,
            "tokens": tokenizer.vocab_size(),
            "bos": tokenizer.bos(),
            "eos": tokenizer.eos(),
            "add_bos": tokenizer.add_bos(),
        },
        "template": files.template(&tokenizer)?.name(),
        "provenance": provenance(first),
        "config": null,
        "tensors": [],
        "memory": null,
    });
    // A file with a vocabulary only is worth a look, too.
    if !tensors.is_empty() {
        let config = first.config_with(has_output)?;
        let layout = Layout::new(&config, tensors.iter().copied())?;
        object["config"] = json!(config);
        object["tensors"] = tensors
            .iter()
            .map(|tensor| {
                json!({
                    "name": tensor.name,
                    "shape": tensor.dims,
                    "type": tensor.ty.name(),
                    "format": format_of(&layout, tensor).map(Format::name),
                    "bytes": tensor.bytes(),
                })
            })
            .collect();
        object["memory"] = memory(&layout, files.context(args.context, &layout))?;
    }
    if json {
        output::object(&object)?
    } else {
        output::line(&readable(&object))?
    }
    Ok(ExitCode::SUCCESS)
}

/// The format of the matrix that a tensor becomes part of; `None` for vectors.
fn format_of(layout: &Layout, tensor: &TensorInfo) -> Option<Format> {
    use radllama::model::layout::Route;
    match layout.routes.get(&tensor.name) {
        Some(Route::Rows(matrix, _)) => Some(matrix.format),
        Some(Route::Vector(..)) => Some(Format::F32),
        None => None,
    }
}

/// The keys that conversions by this program leave.
fn provenance(header: &Header) -> Value {
    let keys = header.metadata.iter().filter_map(|(key, value)| {
        Some((key.strip_prefix("radllama.")?.to_owned(), value.as_str()?.into()))
    });
    Value::Object(keys.collect())
}

fn memory(layout: &Layout, context: u32) -> Result<Value> {
    let program = forward::program(layout, context, GPU_CHUNK.min(context))?;
    let (weights, rest) = program.buffers.split_at(layout.buffers.len());
    let is_cache = |label: &str| label.starts_with("keys ") || label.starts_with("values ");
    let sum = |of: &dyn Fn(&str) -> bool| {
        rest.iter().filter(|spec| of(&spec.label)).map(|spec| spec.bytes()).sum::<u64>()
    };
    let weights: u64 = weights.iter().map(|spec| spec.bytes()).sum();
    let (cache, activations) = (sum(&is_cache), sum(&|label| !is_cache(label)));
    let largest = program.buffers.iter().max_by_key(|spec| spec.bytes());
    Ok(json!({
        "context": context,
        "weights_bytes": weights,
        "kv_cache_bytes": cache,
        "activations_bytes": activations,
        "total_bytes": weights + cache + activations,
        "largest_buffer": largest.map(|spec| &spec.label),
        "largest_buffer_bytes": largest.map(|spec| spec.bytes()),
    }))
}

fn readable(object: &Value) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let bytes = |value: &Value| output::size(value.as_u64().unwrap_or(0));
    line(plain(&object["name"]));
    for file in object["files"].as_array().into_iter().flatten() {
        line(format!("  {} ({})", plain(&file["path"]), bytes(&file["bytes"])));
    }
    line(format!("template {}", plain(&object["template"])));
    for section in ["provenance", "tokenizer", "config"] {
        for (key, value) in object[section].as_object().into_iter().flatten() {
            line(format!("{section:<11}{key:<26}{}", plain(value)));
        }
    }
    for tensor in object["tensors"].as_array().into_iter().flatten() {
        line(format!(
            "tensor     {:<26}{:>6} → {:<5}{}",
            plain(&tensor["name"]),
            plain(&tensor["type"]),
            plain(&tensor["format"]),
            tensor["shape"]
        ));
    }
    for (key, value) in object["memory"].as_object().into_iter().flatten() {
        let value = if key.ends_with("bytes") { bytes(value) } else { plain(value) };
        line(format!("memory     {key:<26}{value}"));
    }
    out.truncate(out.trim_end().len());
    out
}
