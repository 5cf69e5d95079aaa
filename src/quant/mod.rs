//! The weight formats of the GPU, and the quantizers of the CPU side.
//!
//! On the GPU a matrix is two planar arrays of u32 words. `codes` holds the weights of each row one
//! after another; `scales` holds, for the quantized formats, one word per [`BLOCK`] weights: f16 d
//! in the low and f16 m in the high half, and a weight is `d·q + m` with unsigned q.
//!
//! | format | a word of `codes` holds | q |
//! |---|---|---|
//! | [`Format::Q4`] | weights 8i…8i+7 in ascending nibbles | 0…15 |
//! | [`Format::Q8`] | weights 4i…4i+3 in ascending bytes | 0…255 |
//! | [`Format::F16`] | weights 2i, 2i+1, low half first | |
//! | [`Format::F32`] | weight i | |
//!
//! [`repack`] turns rows of any ggml type into these words while a model streams in; [`encode`]
//! goes the other way, f32 into ggml blocks for files that this crate writes.

pub mod encode;
mod repack;
mod search;

use half::f16;

pub use repack::repack;

use crate::gguf::TensorType;

/// Weights that share a scale word.
pub const BLOCK: u32 = 32;

/// A weight format of the GPU. Ordered from narrow to wide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    /// 4 bits with scale and minimum per 32.
    Q4,
    /// 8 bits with scale and minimum per 32.
    Q8,
    /// binary16.
    F16,
    /// binary32.
    F32,
}

impl Format {
    /// Every format, from narrow to wide.
    pub const ALL: [Format; 4] = [Format::Q4, Format::Q8, Format::F16, Format::F32];

    /// `q4`, `q8`, `f16` or `f32`.
    pub fn name(self) -> &'static str {
        match self {
            Format::Q4 => "q4",
            Format::Q8 => "q8",
            Format::F16 => "f16",
            Format::F32 => "f32",
        }
    }

    /// Whether the format has scale words.
    pub fn has_scales(self) -> bool {
        matches!(self, Format::Q4 | Format::Q8)
    }

    /// Weights in one word of `codes`.
    pub fn weights_per_word(self) -> u32 {
        match self {
            Format::Q4 => 8,
            Format::Q8 => 4,
            Format::F16 => 2,
            Format::F32 => 1,
        }
    }

    /// Words of `codes` in a row of `cols` weights (a multiple of [`BLOCK`] for formats with
    /// scales; an odd last f16 weight fills its word with zero).
    pub fn code_words(self, cols: u32) -> u32 {
        cols.div_ceil(self.weights_per_word())
    }

    /// Words of `scales` in a row of `cols` weights.
    pub fn scale_words(self, cols: u32) -> u32 {
        if self.has_scales() { cols.div_ceil(BLOCK) } else { 0 }
    }

    /// The narrowest format that loses nothing of the type but the rounding of scales to f16
    /// (and, for Q6_K, a requantization to 8 bits; for BF16, what f16 cannot hold).
    pub fn for_source(source: TensorType) -> Format {
        match source {
            TensorType::Q4_0 | TensorType::Q4_1 | TensorType::Q4_K => Format::Q4,
            TensorType::Q5_0
            | TensorType::Q5_1
            | TensorType::Q8_0
            | TensorType::Q5_K
            | TensorType::Q6_K => Format::Q8,
            TensorType::F16 | TensorType::BF16 => Format::F16,
            TensorType::F32 => Format::F32,
        }
    }

    /// The wider of two formats: what both can be repacked into.
    pub fn widest(self, other: Format) -> Format {
        self.max(other)
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Packs d and m into a scale word.
pub fn scale_word(d: f16, m: f16) -> u32 {
    u32::from(d.to_bits()) | (u32::from(m.to_bits()) << 16)
}

/// d and m of a scale word.
pub fn unpack_scale(word: u32) -> (f32, f32) {
    (f16::from_bits(word as u16).to_f32(), f16::from_bits((word >> 16) as u16).to_f32())
}

/// Decodes weights 32·`block_index`… of `codes` (rows are contiguous, so with `cols` a multiple of
/// 32 block b of row r is `r·cols/32 + b`). Words past the end read as zero.
pub fn dequantize_block(
    format: Format,
    codes: &[u32],
    scales: &[u32],
    block_index: usize,
    out: &mut [f32; 32],
) {
    let words = (BLOCK / format.weights_per_word()) as usize;
    let codes = codes.get(block_index * words..).unwrap_or(&[]);
    let (d, m) = match scales.get(block_index) {
        Some(&word) if format.has_scales() => unpack_scale(word),
        _ => (0.0, 0.0),
    };
    out.fill(0.0);
    decode_words(format, &codes[..words.min(codes.len())], d, m, out);
}

/// Decodes one row: `codes` has `code_words`, `scales` has `scale_words` of the row's columns, of
/// which `out` has the number.
pub fn dequantize_row(format: Format, codes: &[u32], scales: &[u32], out: &mut [f32]) {
    let words = (BLOCK / format.weights_per_word()) as usize;
    for (i, (out, codes)) in out.chunks_mut(BLOCK as usize).zip(codes.chunks(words)).enumerate() {
        let (d, m) = match scales.get(i) {
            Some(&word) if format.has_scales() => unpack_scale(word),
            _ => (0.0, 0.0),
        };
        decode_words(format, codes, d, m, out);
    }
}

fn decode_words(format: Format, codes: &[u32], d: f32, m: f32, out: &mut [f32]) {
    let per_word = format.weights_per_word() as usize;
    for (out, &word) in out.chunks_mut(per_word).zip(codes) {
        for (i, out) in out.iter_mut().enumerate() {
            *out = match format {
                Format::Q4 => d * ((word >> (4 * i)) & 15) as f32 + m,
                Format::Q8 => d * ((word >> (8 * i)) & 255) as f32 + m,
                Format::F16 => f16::from_bits((word >> (16 * i)) as u16).to_f32(),
                Format::F32 => f32::from_bits(word),
            };
        }
    }
}

/// Quantizes one row and appends its words. For Q4 and Q8, scale and minimum span exactly the
/// block's range (both rounded outwards to f16, so no weight is clamped), and each code is the
/// nearest to its weight: the error is at most d/2. A partial last block is padded with its
/// first weight. Values must be finite and, except for F32, within f16's range: check beforehand,
/// as [`repack`] does.
pub fn quantize_row(format: Format, values: &[f32], codes: &mut Vec<u32>, scales: &mut Vec<u32>) {
    match format {
        Format::F32 => codes.extend(values.iter().map(|v| v.to_bits())),
        Format::F16 => codes.extend(values.chunks(2).map(|pair| {
            let high = pair.get(1).map_or(0, |&v| f16::from_f32(v).to_bits());
            u32::from(f16::from_f32(pair[0]).to_bits()) | (u32::from(high) << 16)
        })),
        Format::Q4 | Format::Q8 => {
            for block in values.chunks(BLOCK as usize) {
                let mut padded = [block[0]; BLOCK as usize]; // leaves the range as it is
                padded[..block.len()].copy_from_slice(block);
                scales.push(quantize_block(format, &padded, codes));
            }
        }
    }
}

/// Adding this to 0…255 leaves the nearest integer in the sum's lowest bits.
const ROUNDER: f32 = (1u32 << 23) as f32;

/// Appends the codes of 32 weights and returns their scale word.
fn quantize_block(format: Format, values: &[f32; 32], codes: &mut Vec<u32>) -> u32 {
    let levels: f32 = if format == Format::Q4 { 15.0 } else { 255.0 };
    let (min, max) = range(values);
    let m = round_down(min);
    let d = round_up((max - m.to_f32()) / levels);
    let (step, base) = (d.to_f32(), m.to_f32());
    let inverse = if step > 0.0 { 1.0 / step } else { 0.0 };
    // m is not above and m + levels·d not below any weight: no code needs to be clamped.
    let code = |value: f32| ((value - base) * inverse + ROUNDER).to_bits() & levels as u32;
    let q = values.map(code);
    if format == Format::Q4 {
        codes.extend((0..4).map(|i| (0..8).fold(0, |word, j| word | (q[8 * i + j] << (4 * j)))));
    } else {
        codes.extend((0..8).map(|i| (0..4).fold(0, |word, j| word | (q[4 * i + j] << (8 * j)))));
    }
    scale_word(d, m)
}

/// Least and greatest, in lanes that a compiler can keep in vector registers.
fn range(values: &[f32; 32]) -> (f32, f32) {
    let (mut min, mut max) = ([f32::INFINITY; 8], [f32::NEG_INFINITY; 8]);
    for eight in values.chunks_exact(8) {
        for (lane, &v) in eight.iter().enumerate() {
            min[lane] = if v < min[lane] { v } else { min[lane] };
            max[lane] = if v > max[lane] { v } else { max[lane] };
        }
    }
    (min.into_iter().fold(f32::INFINITY, f32::min), max.into_iter().fold(f32::MIN, f32::max))
}

/// The greatest f16 that is not above `value`.
fn round_down(value: f32) -> f16 {
    let near = f16::from_f32(value);
    if near.to_f32() <= value {
        return near;
    }
    match near.to_bits() {
        0 | 0x8000 => f16::from_bits(0x8001), // below zero comes the smallest negative
        bits if bits & 0x8000 == 0 => f16::from_bits(bits - 1),
        bits => f16::from_bits(bits + 1),
    }
}

/// The least f16 that is not below `value`.
fn round_up(value: f32) -> f16 {
    -round_down(-value)
}
