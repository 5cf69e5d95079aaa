//! Quantizers for files: f32 rows into ggml blocks, either rounding as the reference quantizers of
//! `ggml-quants.c` do, so that the bytes are llama.cpp's, or searching for the scales that cost least.

use half::f16;

use super::search;
use crate::error::{Error, Result};
use crate::gguf::TensorType;

/// The types that [`encode_row`] writes.
pub const TARGETS: [TensorType; 5] =
    [TensorType::F32, TensorType::F16, TensorType::Q8_0, TensorType::Q4_0, TensorType::Q4_1];

/// How scales are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Quantizer {
    /// By the block's extremes, each weight to its nearest code: llama.cpp's reference, to the byte.
    #[default]
    Nearest,
    /// Those of many that leave the least squared error in the block; never more than
    /// [`Quantizer::Nearest`] leaves.
    Search,
}

impl Quantizer {
    /// `nearest` or `search`.
    pub fn name(self) -> &'static str {
        match self {
            Quantizer::Nearest => "nearest",
            Quantizer::Search => "search",
        }
    }
}

/// How far quantized weights are from what they were.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct QuantError {
    /// Sum of squared differences.
    squared: f64,
    /// Sum of squared weights, before.
    power: f64,
    /// Number of weights.
    count: u64,
    /// Greatest absolute difference.
    pub max_abs: f32,
}

impl QuantError {
    /// Takes in what became of `original`.
    pub fn add(&mut self, original: &[f32], decoded: &[f32]) {
        for (a, b) in original.iter().zip(decoded) {
            let difference = (a - b).abs();
            self.squared += f64::from(difference) * f64::from(difference);
            self.power += f64::from(*a) * f64::from(*a);
            self.max_abs = self.max_abs.max(difference);
        }
        self.count += original.len().min(decoded.len()) as u64;
    }

    /// Takes in what was counted elsewhere.
    pub fn merge(&mut self, other: &QuantError) {
        self.squared += other.squared;
        self.power += other.power;
        self.count += other.count;
        self.max_abs = self.max_abs.max(other.max_abs);
    }

    /// Normalised mean squared error: the differences' squares over the weights'; 0 for nothing.
    pub fn nmse(&self) -> f64 {
        if self.power == 0.0 { 0.0 } else { self.squared / self.power }
    }

    /// Root of the mean squared difference; 0 for nothing.
    pub fn rmse(&self) -> f64 {
        if self.count == 0 { 0.0 } else { (self.squared / self.count as f64).sqrt() }
    }
}

/// Appends a row, encoded as `target` by [`Quantizer::Nearest`], to `out`.
///
/// # Errors
/// As [`encode_row_with`].
pub fn encode_row(
    target: TensorType,
    values: &[f32],
    tensor: &str,
    out: &mut Vec<u8>,
) -> Result<()> {
    encode_row_with(Quantizer::Nearest, target, values, tensor, out)
}

/// Appends a row, encoded as `target`, to `out`.
///
/// # Errors
/// [`Error::BadWeight`] for a value that is not finite or (but for F32) exceeds f16's range;
/// [`Error::WrongShape`] when the row is no multiple of the block; [`Error::UnsupportedFeature`]
/// for a type outside [`TARGETS`].
pub fn encode_row_with(
    quantizer: Quantizer,
    target: TensorType,
    values: &[f32],
    tensor: &str,
    out: &mut Vec<u8>,
) -> Result<()> {
    let Some(bytes) = target.row_bytes(values.len() as u64) else {
        return Err(Error::WrongShape {
            tensor: tensor.to_owned(),
            expected: vec![(values.len() as u64).next_multiple_of(target.block_len())],
            found: vec![values.len() as u64],
        });
    };
    let most = if target == TensorType::F32 { f32::MAX } else { f16::MAX.to_f32() };
    if !values.iter().all(|v| v.abs() <= most) {
        return Err(Error::BadWeight { tensor: tensor.to_owned() });
    }
    out.reserve(bytes as usize);
    match target {
        TensorType::F32 => out.extend(values.iter().flat_map(|v| v.to_le_bytes())),
        TensorType::F16 => out.extend(values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes())),
        TensorType::Q8_0 => blocks(quantizer, values, q8_0, search::q8_0, out),
        TensorType::Q4_0 => blocks(quantizer, values, q4_0, search::q4_0, out),
        TensorType::Q4_1 => blocks(quantizer, values, q4_1, search::q4_1, out),
        _ => {
            return Err(Error::UnsupportedFeature { what: format!("writing tensors as {target}") });
        }
    }
    Ok(())
}

/// Encodes block by block; a block that `search` finds nothing better for is as `nearest` has it.
fn blocks(
    quantizer: Quantizer,
    values: &[f32],
    nearest: fn(&[f32], &mut Vec<u8>),
    search: fn(&[f32; 32], &mut [u8]),
    out: &mut Vec<u8>,
) {
    for block in values.chunks_exact(32) {
        let start = out.len();
        nearest(block, out);
        if let (Quantizer::Search, Ok(block)) = (quantizer, block.try_into()) {
            search(block, &mut out[start..]);
        }
    }
}

fn inverse(d: f32) -> f32 {
    if d == 0.0 { 0.0 } else { 1.0 / d }
}

fn q8_0(block: &[f32], out: &mut Vec<u8>) {
    let most = block.iter().fold(0.0f32, |most, v| most.max(v.abs()));
    let d = most / 127.0;
    let id = inverse(d);
    out.extend(f16::from_f32(d).to_le_bytes());
    out.extend(block.iter().map(|v| (v * id).round() as i8 as u8)); // half away from zero
}

fn q4_0(block: &[f32], out: &mut Vec<u8>) {
    // The first of the greatest magnitude, with its sign, becomes code 0 (−8).
    let mut extreme = 0.0f32;
    for &v in block {
        if v.abs() > extreme.abs() {
            extreme = v;
        }
    }
    let d = extreme / -8.0;
    let id = inverse(d);
    out.extend(f16::from_f32(d).to_le_bytes());
    let code = |v: f32| ((v * id + 8.5) as u8).min(15);
    out.extend((0..16).map(|j| code(block[j]) | (code(block[j + 16]) << 4)));
}

fn q4_1(block: &[f32], out: &mut Vec<u8>) {
    let min = block.iter().copied().fold(f32::MAX, f32::min);
    let max = block.iter().copied().fold(f32::MIN, f32::max);
    let d = (max - min) / 15.0;
    let id = inverse(d);
    out.extend(f16::from_f32(d).to_le_bytes());
    out.extend(f16::from_f32(min).to_le_bytes());
    let code = |v: f32| (((v - min) * id + 0.5) as u8).min(15);
    out.extend((0..16).map(|j| code(block[j]) | (code(block[j + 16]) << 4)));
}
