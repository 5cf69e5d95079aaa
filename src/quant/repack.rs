//! From ggml's interleaved blocks to the GPU's planar words, while a model streams in. The common
//! types are shuffled as bits, eight weights at a time, without a detour over f32.

use half::f16;

use super::{BLOCK, Format, quantize_row, scale_word};
use crate::error::{Error, Result};
use crate::gguf::TensorType;
use crate::gguf::blocks::Affine;

/// Appends the words of whole rows of `cols` weights each to `codes` and `scales`. `tensor` is the
/// name for messages.
///
/// Into [`Format::for_source`] the weights stay exact for Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, F16 and
/// F32. For Q4_K and Q5_K the products of scales round to f16 (relative 2⁻¹¹ of the scale and of
/// the minimum). Q6_K has a scale per 16 weights, which 32-weight blocks cannot hold: it is
/// requantized to 8 bits over each block's range; the error stays below an eighth of the coarser
/// half's own step. BF16 rounds to f16 only below f16's normal range. Any format can be the target:
/// quantized sources go into Q8 as exactly as they go into Q4, other combinations go through f32
/// and [`quantize_row`].
///
/// # Errors
/// [`Error::BadWeight`] when a scale or weight is not finite or does not fit f16 (F32 targets keep
/// f32's range); [`Error::WrongShape`] when the bytes are no whole rows or `cols` does not suit
/// the block.
pub fn repack(
    source: TensorType,
    format: Format,
    cols: u32,
    rows_bytes: &[u8],
    tensor: &str,
    codes: &mut Vec<u32>,
    scales: &mut Vec<u32>,
) -> Result<()> {
    let row_bytes = match source.row_bytes(cols.into()) {
        Some(bytes) if bytes > 0 => bytes as usize,
        _ => return Err(wrong_shape(tensor, source, cols)),
    };
    if !rows_bytes.len().is_multiple_of(row_bytes)
        || (format.has_scales() && !cols.is_multiple_of(BLOCK))
    {
        return Err(wrong_shape(tensor, source, cols));
    }
    let rows = rows_bytes.len() / row_bytes;
    codes.reserve(rows * format.code_words(cols) as usize);
    scales.reserve(rows * format.scale_words(cols) as usize);

    let fine = match (source, format) {
        (TensorType::Q4_0, Format::Q4) => q4_0(rows_bytes, codes, scales),
        (TensorType::Q4_1, Format::Q4) => q4_1(rows_bytes, codes, scales),
        (TensorType::Q8_0, Format::Q8) => q8_0(rows_bytes, codes, scales),
        (TensorType::F32, Format::F32) => f32_words(rows_bytes, codes),
        (TensorType::F16, Format::F16) => f16_words(rows_bytes, cols, codes),
        (TensorType::Q4_K, Format::Q4)
        | (
            TensorType::Q4_0
            | TensorType::Q4_1
            | TensorType::Q4_K
            | TensorType::Q5_0
            | TensorType::Q5_1
            | TensorType::Q5_K,
            Format::Q8,
        ) => affine(source, format, rows_bytes, codes, scales),
        _ => through_f32(source, format, cols, rows_bytes, row_bytes, codes, scales),
    };
    if fine { Ok(()) } else { Err(Error::BadWeight { tensor: tensor.to_owned() }) }
}

fn wrong_shape(tensor: &str, source: TensorType, cols: u32) -> Error {
    let block = source.block_len().max(BLOCK.into());
    Error::WrongShape {
        tensor: tensor.to_owned(),
        expected: vec![u64::from(cols).next_multiple_of(block)],
        found: vec![cols.into()],
    }
}

/// Whether the bits are those of a finite f16.
fn finite(bits: u16) -> bool {
    bits & 0x7c00 != 0x7c00
}

/// −2ⁿ·d in f16 bits; `None` when it overflows. A power of two keeps every mantissa bit, and what
/// is subnormal becomes larger, so this is exact.
fn times_minus_power(d: u16, n: i32) -> Option<u16> {
    let product = f16::from_f32(-f16::from_bits(d).to_f32() * (1u32 << n) as f32);
    product.is_finite().then(|| product.to_bits())
}

/// Gathers the low nibbles of eight bytes into a word.
fn gather_nibbles(bytes: u64) -> u32 {
    let x = bytes & 0x0f0f_0f0f_0f0f_0f0f;
    let x = (x | (x >> 4)) & 0x00ff_00ff_00ff_00ff;
    let x = (x | (x >> 8)) & 0x0000_ffff_0000_ffff;
    (x | (x >> 16)) as u32
}

fn le_u16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn le_u64(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

/// Sixteen bytes with weight j in the low and weight j+16 in the high nibble of byte j.
fn nibble_words(bytes: &[u8]) -> [u32; 4] {
    let (a, b) = (le_u64(&bytes[..8]), le_u64(&bytes[8..16]));
    [gather_nibbles(a), gather_nibbles(b), gather_nibbles(a >> 4), gather_nibbles(b >> 4)]
}

/// Room for the words of `blocks` blocks of 32 weights at the ends of both arrays.
fn room<'a>(
    blocks: usize,
    words: usize,
    codes: &'a mut Vec<u32>,
    scales: &'a mut Vec<u32>,
) -> (&'a mut [u32], &'a mut [u32]) {
    let (code_start, scale_start) = (codes.len(), scales.len());
    codes.resize(code_start + blocks * words, 0);
    scales.resize(scale_start + blocks, 0);
    (&mut codes[code_start..], &mut scales[scale_start..])
}

fn q4_0(bytes: &[u8], codes: &mut Vec<u32>, scales: &mut Vec<u32>) -> bool {
    let mut fine = true;
    let (codes, scales) = room(bytes.len() / 18, 4, codes, scales);
    let out = codes.chunks_exact_mut(4).zip(scales);
    for (block, (codes, scale)) in bytes.chunks_exact(18).zip(out) {
        let d = le_u16(block, 0);
        let m = times_minus_power(d, 3);
        fine &= finite(d) && m.is_some();
        *scale = u32::from(d) | (u32::from(m.unwrap_or(0)) << 16);
        codes.copy_from_slice(&nibble_words(&block[2..]));
    }
    fine
}

fn q4_1(bytes: &[u8], codes: &mut Vec<u32>, scales: &mut Vec<u32>) -> bool {
    let mut fine = true;
    let (codes, scales) = room(bytes.len() / 20, 4, codes, scales);
    let out = codes.chunks_exact_mut(4).zip(scales);
    for (block, (codes, scale)) in bytes.chunks_exact(20).zip(out) {
        let (d, m) = (le_u16(block, 0), le_u16(block, 2));
        fine &= finite(d) && finite(m);
        *scale = u32::from(d) | (u32::from(m) << 16);
        codes.copy_from_slice(&nibble_words(&block[4..]));
    }
    fine
}

fn q8_0(bytes: &[u8], codes: &mut Vec<u32>, scales: &mut Vec<u32>) -> bool {
    let mut fine = true;
    let (codes, scales) = room(bytes.len() / 34, 8, codes, scales);
    let out = codes.chunks_exact_mut(8).zip(scales);
    for (block, (codes, scale)) in bytes.chunks_exact(34).zip(out) {
        let d = le_u16(block, 0);
        let m = times_minus_power(d, 7);
        fine &= finite(d) && m.is_some();
        *scale = u32::from(d) | (u32::from(m.unwrap_or(0)) << 16);
        for (code, b) in codes.iter_mut().zip(block[2..].chunks_exact(4)) {
            // i8 + 128 is the byte with its sign bit flipped.
            *code = u32::from_le_bytes([b[0], b[1], b[2], b[3]]) ^ 0x8080_8080;
        }
    }
    fine
}

fn f32_words(bytes: &[u8], codes: &mut Vec<u32>) -> bool {
    let mut fine = true;
    codes.extend(bytes.chunks_exact(4).map(|b| {
        let bits = u32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        fine &= bits & 0x7f80_0000 != 0x7f80_0000;
        bits
    }));
    fine
}

fn f16_words(bytes: &[u8], cols: u32, codes: &mut Vec<u32>) -> bool {
    let mut fine = true;
    for row in bytes.chunks_exact(cols as usize * 2) {
        codes.extend(row.chunks(4).map(|pair| {
            let low = le_u16(pair, 0);
            let high = if pair.len() == 4 { le_u16(pair, 2) } else { 0 };
            fine &= finite(low) && finite(high);
            u32::from(low) | (u32::from(high) << 16)
        }));
    }
    fine
}

/// Sources with scale and minimum per 32 weights: the codes stay, the scales become f16.
fn affine(
    source: TensorType,
    format: Format,
    bytes: &[u8],
    codes: &mut Vec<u32>,
    scales: &mut Vec<u32>,
) -> bool {
    let mut fine = true;
    let mut block = Affine::zero();
    let groups = source.block_len() as usize / BLOCK as usize;
    for bytes in bytes.chunks_exact(source.block_bytes() as usize) {
        block.decode(source, bytes);
        for (group, weights) in block.codes.chunks_exact(BLOCK as usize).take(groups).enumerate() {
            let d = f16::from_f32(block.scales[group]);
            let m = f16::from_f32(block.mins[group]);
            fine &= d.is_finite() && m.is_finite();
            scales.push(scale_word(d, m));
            if format == Format::Q4 {
                codes.extend(weights.chunks_exact(8).map(|eight| gather_nibbles(le_u64(eight))));
            } else {
                codes.extend(
                    weights.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])),
                );
            }
        }
    }
    fine
}

fn through_f32(
    source: TensorType,
    format: Format,
    cols: u32,
    bytes: &[u8],
    row_bytes: usize,
    codes: &mut Vec<u32>,
    scales: &mut Vec<u32>,
) -> bool {
    let most = if format == Format::F32 { f32::MAX } else { f16::MAX.to_f32() };
    let mut fine = true;
    let mut row = vec![0.0; cols as usize];
    for bytes in bytes.chunks_exact(row_bytes) {
        source.dequantize(bytes, &mut row);
        fine &= row.iter().all(|w| w.abs() <= most); // false for NaN too
        if !fine {
            return false;
        }
        quantize_row(format, &row, codes, scales);
    }
    fine
}
