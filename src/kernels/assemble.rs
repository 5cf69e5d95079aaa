//! Shader assembly: `#import NAME` pastes `shaders/shared/NAME.wgsl` once, `#if NAME … #else … #endif`
//! keeps lines by the permutation's defines, `#repeat N … #end` writes lines N times with the number in
//! place of `$i` (N may be `QUADS`, a head's vec4s): what must live in registers cannot be an array with
//! a running index. Nothing else: the result is plain WGSL, and the same text goes to naga in tests, to
//! wgpu natively and to the browser.

use super::permutation::{Permutation, Variant};
use crate::error::{Error, Result};

/// The list of permutations.
pub const PERMUTATIONS: &str = include_str!("../../shaders/permutations");

const KERNELS: &[(&str, &str)] = &[
    ("embed", include_str!("../../shaders/embed.wgsl")),
    ("rms_norm", include_str!("../../shaders/rms_norm.wgsl")),
    ("matvec", include_str!("../../shaders/matvec.wgsl")),
    ("matmul", include_str!("../../shaders/matmul.wgsl")),
    ("matvecs", include_str!("../../shaders/matvecs.wgsl")),
    ("lora_down", include_str!("../../shaders/lora_down.wgsl")),
    ("rope_kv", include_str!("../../shaders/rope_kv.wgsl")),
    ("attention", include_str!("../../shaders/attention.wgsl")),
    ("beam_attention", include_str!("../../shaders/beam_attention.wgsl")),
    ("argmax", include_str!("../../shaders/argmax.wgsl")),
    ("top_k", include_str!("../../shaders/top_k.wgsl")),
];

const SHARED: &[(&str, &str)] = &[
    ("step", include_str!("../../shaders/shared/step.wgsl")),
    ("weights", include_str!("../../shaders/shared/weights.wgsl")),
    ("attention_tiles", include_str!("../../shaders/shared/attention_tiles.wgsl")),
    ("matmul_serial", include_str!("../../shaders/shared/matmul_serial.wgsl")),
    ("epilogue", include_str!("../../shaders/shared/epilogue.wgsl")),
    ("product", include_str!("../../shaders/shared/product.wgsl")),
    ("lora", include_str!("../../shaders/shared/lora.wgsl")),
    ("factors", include_str!("../../shaders/shared/factors.wgsl")),
];

/// The kernels that have a WGSL file.
pub fn kernel_names() -> impl Iterator<Item = &'static str> {
    KERNELS.iter().map(|(name, _)| *name)
}

/// The WGSL of one permutation.
///
/// `enable_subgroups`: whether to write `enable subgroups;`, which browsers require and naga refuses.
pub fn assemble(permutation: &Permutation, enable_subgroups: bool) -> Result<String> {
    let source = find(KERNELS, permutation.kernel)?;
    let mut out = String::with_capacity(2 * source.len());
    if permutation.variant == Variant::F16 {
        out.push_str("enable f16;\n");
    }
    if permutation.variant == Variant::Subgroup && enable_subgroups {
        out.push_str("enable subgroups;\n");
    }
    if let Some(head_dim) = permutation.head_dim {
        out.push_str(&format!("const QUADS: u32 = {}u; // Dh / 4\n", head_dim / 4));
    }
    let mut imported = Vec::new();
    expand(source, &permutation.defines(), &mut imported, &mut out)?;
    unroll(&out, permutation.head_dim.map(|head_dim| head_dim / 4))
}

/// Writes out `#repeat`.
fn unroll(source: &str, quads: Option<u32>) -> Result<String> {
    let mut out = String::with_capacity(2 * source.len());
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        let Some(count) = line.trim_start().strip_prefix("#repeat ") else {
            out.push_str(line);
            out.push('\n');
            continue;
        };
        let count = match count.trim() {
            "QUADS" => quads.ok_or_else(|| unbalanced("#repeat QUADS without a head dim"))?,
            number => number.parse().map_err(|_| unbalanced("#repeat"))?,
        };
        let mut body = Vec::new();
        loop {
            match lines.next() {
                Some(line) if line.trim() == "#end" => break,
                Some(line) => body.push(line),
                None => return Err(unbalanced("#repeat")),
            }
        }
        for i in 0..count {
            for line in &body {
                out.push_str(&line.replace("$i", &i.to_string()));
                out.push('\n');
            }
        }
    }
    Ok(out)
}

fn find(files: &[(&str, &'static str)], name: &str) -> Result<&'static str> {
    files
        .iter()
        .find(|(file, _)| *file == name)
        .map(|(_, source)| *source)
        .ok_or_else(|| Error::Internal(format!("no shader is called {name}")))
}

fn expand<'a>(
    source: &'a str,
    defines: &[&str],
    imported: &mut Vec<&'a str>,
    out: &mut String,
) -> Result<()> {
    // Each open #if: whether its lines are kept now, and whether the lines around it are.
    let mut open: Vec<(bool, bool)> = Vec::new();
    for line in source.lines() {
        let keep = open.last().is_none_or(|(keep, _)| *keep);
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some("#if"), Some(name)) => open.push((keep && defines.contains(&name), keep)),
            (Some("#else"), _) => match open.last_mut() {
                Some((kept, around)) => *kept = *around && !*kept,
                None => return Err(unbalanced("#else")),
            },
            (Some("#endif"), _) => {
                open.pop().ok_or_else(|| unbalanced("#endif"))?;
            }
            (Some("#import"), Some(name)) if keep && !imported.contains(&name) => {
                imported.push(name);
                expand(find(SHARED, name)?, defines, imported, out)?;
            }
            _ if keep => {
                out.push_str(line);
                out.push('\n');
            }
            _ => {}
        }
    }
    if open.is_empty() { Ok(()) } else { Err(unbalanced("#if")) }
}

fn unbalanced(directive: &str) -> Error {
    Error::Internal(format!("a shader has an unbalanced {directive}"))
}
