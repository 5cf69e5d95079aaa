//! What `convert` and `merge` tell of the files they wrote: each tensor's types and error, each part.

use radllama::Result;
use radllama::convert::Report;
use radllama::quant::encode::QuantError;
use serde_json::{Value, json};

use super::output;

/// A measure of error besides the greatest: its name and how it is got.
pub(crate) type Measure = (&'static str, fn(&QuantError) -> f64);

/// `{"parts": [...], "tensors": [...]}`.
pub(crate) fn as_json(report: &Report, (measure, of): Measure) -> Value {
    let parts = report
        .parts
        .iter()
        .map(|part| json!({ "path": part.name, "bytes": part.bytes, "sha256": part.sha256 }));
    let tensors = report.tensors.iter().map(|tensor| {
        json!({
            "name": tensor.name,
            "from": tensor.from.name(),
            "to": tensor.to.name(),
            measure: of(&tensor.error),
            "max_abs": tensor.error.max_abs,
        })
    });
    json!({ "parts": parts.collect::<Vec<_>>(), "tensors": tensors.collect::<Vec<_>>() })
}

/// The same as a table, with a line for all tensors together where there is a `total`.
pub(crate) fn print(
    report: &Report,
    (measure, of): Measure,
    total: Option<(&str, QuantError)>,
) -> Result<()> {
    output::line(&format!(
        "{:<28}{:>6}   {:<6}{measure:>12}{:>12}",
        "tensor", "from", "to", "max error"
    ))?;
    for tensor in &report.tensors {
        output::line(&format!(
            "{:<28}{:>6} → {:<6}{:>12.3e}{:>12.3e}",
            tensor.name,
            tensor.from.name(),
            tensor.to.name(),
            of(&tensor.error),
            tensor.error.max_abs
        ))?;
    }
    if let Some((name, total)) = total {
        output::line(&format!("{name:<45}{:>12.3e}{:>12.3e}", of(&total), total.max_abs))?;
    }
    for part in &report.parts {
        output::line(&format!("{}  {}  {}", part.sha256, part.name, output::size(part.bytes)))?;
    }
    Ok(())
}
