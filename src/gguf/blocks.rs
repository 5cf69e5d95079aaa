//! What ggml's quantized blocks mean: the decoders, after the reference in `ggml-quants.c` and
//! `ggml-common.h`. Every quantized type is brought to one shape first, [`Affine`]: codes with one
//! scale and one minimum per 32 weights (per 16 for Q6_K), which both the f32 decoder here and the
//! repacking to GPU formats read.

use half::f16;

use super::types::TensorType;

/// A decoded block: weight `i` is `scales[i / group] · codes[i] + mins[i / group]`.
#[derive(Debug, Clone)]
pub struct Affine {
    /// Unsigned codes; the first `block_len` are used.
    pub codes: [u8; 256],
    /// d of each group.
    pub scales: [f32; 16],
    /// m of each group, already with its sign.
    pub mins: [f32; 16],
}

impl Affine {
    /// Weights that share a scale: 16 for Q6_K, otherwise 32.
    pub fn group(ty: TensorType) -> usize {
        if ty == TensorType::Q6_K { 16 } else { 32 }
    }

    /// All zero, to decode into.
    pub fn zero() -> Affine {
        Affine { codes: [0; 256], scales: [0.0; 16], mins: [0.0; 16] }
    }

    /// Decodes one block of `ty` (`block` has at least `block_bytes`). Does nothing for the
    /// unquantized types.
    pub fn decode(&mut self, ty: TensorType, block: &[u8]) {
        match ty {
            TensorType::F32 | TensorType::F16 | TensorType::BF16 => {}
            TensorType::Q4_0 => {
                self.set_head(half_at(block, 0), -8.0);
                self.low_high_nibbles(&block[2..18]);
            }
            TensorType::Q4_1 => {
                self.scales[0] = half_at(block, 0);
                self.mins[0] = half_at(block, 2);
                self.low_high_nibbles(&block[4..20]);
            }
            TensorType::Q5_0 => {
                self.set_head(half_at(block, 0), -16.0);
                self.low_high_nibbles(&block[6..22]);
                self.fifth_bits(&block[2..6]);
            }
            TensorType::Q5_1 => {
                self.scales[0] = half_at(block, 0);
                self.mins[0] = half_at(block, 2);
                self.low_high_nibbles(&block[8..24]);
                self.fifth_bits(&block[4..8]);
            }
            TensorType::Q8_0 => {
                self.set_head(half_at(block, 0), -128.0);
                for (code, &byte) in self.codes.iter_mut().zip(&block[2..34]) {
                    *code = byte ^ 0x80; // i8 + 128
                }
            }
            TensorType::Q4_K => {
                self.k_scales(block);
                self.k_nibbles(&block[16..144]);
            }
            TensorType::Q5_K => {
                self.k_scales(block);
                self.k_nibbles(&block[48..176]);
                let high = &block[16..48];
                for (group, codes) in self.codes.chunks_exact_mut(32).enumerate() {
                    for (code, &bits) in codes.iter_mut().zip(high) {
                        *code |= ((bits >> group) & 1) << 4;
                    }
                }
            }
            TensorType::Q6_K => self.q6_k(block),
        }
    }

    fn set_head(&mut self, d: f32, zero_point: f32) {
        self.scales[0] = d;
        self.mins[0] = d * zero_point; // a power of two: exact
    }

    /// Byte j holds weight j in its low and weight j+16 in its high nibble.
    fn low_high_nibbles(&mut self, bytes: &[u8]) {
        for (j, &byte) in bytes.iter().enumerate() {
            self.codes[j] = byte & 15;
            self.codes[j + 16] = byte >> 4;
        }
    }

    /// Bit i of a little-endian u32 is the fifth bit of weight i.
    fn fifth_bits(&mut self, bytes: &[u8]) {
        let bits = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        for (i, code) in self.codes[..32].iter_mut().enumerate() {
            *code |= ((bits >> i) as u8 & 1) << 4;
        }
    }

    /// d, dmin and eight pairs of 6-bit scale and minimum in 12 bytes.
    fn k_scales(&mut self, block: &[u8]) {
        let (d, dmin, packed) = (half_at(block, 0), half_at(block, 2), &block[4..16]);
        for j in 0..8 {
            let (scale, min) = if j < 4 {
                (packed[j] & 63, packed[j + 4] & 63)
            } else {
                (
                    (packed[j + 4] & 15) | ((packed[j - 4] >> 6) << 4),
                    (packed[j + 4] >> 4) | ((packed[j] >> 6) << 4),
                )
            };
            self.scales[j] = d * f32::from(scale);
            self.mins[j] = -(dmin * f32::from(min));
        }
    }

    /// Each 32 bytes hold 32 weights in their low, the next 32 in their high nibbles.
    fn k_nibbles(&mut self, bytes: &[u8]) {
        for (bytes, codes) in bytes.chunks_exact(32).zip(self.codes.chunks_exact_mut(64)) {
            for (j, &byte) in bytes.iter().enumerate() {
                codes[j] = byte & 15;
                codes[j + 32] = byte >> 4;
            }
        }
    }

    fn q6_k(&mut self, block: &[u8]) {
        let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
        let d = half_at(block, 208);
        for (half, codes) in self.codes.chunks_exact_mut(128).enumerate() {
            let (low, high) = (&low[half * 64..half * 64 + 64], &high[half * 32..half * 32 + 32]);
            for l in 0..32 {
                codes[l] = (low[l] & 15) | ((high[l] & 3) << 4);
                codes[l + 32] = (low[l + 32] & 15) | (((high[l] >> 2) & 3) << 4);
                codes[l + 64] = (low[l] >> 4) | (((high[l] >> 4) & 3) << 4);
                codes[l + 96] = (low[l + 32] >> 4) | (((high[l] >> 6) & 3) << 4);
            }
        }
        for (j, &scale) in scales.iter().enumerate() {
            self.scales[j] = d * f32::from(scale as i8);
            self.mins[j] = -32.0 * self.scales[j]; // exact
        }
    }
}

/// The little-endian f16 at byte `at`, as f32.
pub(crate) fn half_at(bytes: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}

/// See [`TensorType::dequantize`].
pub(super) fn dequantize(ty: TensorType, bytes: &[u8], out: &mut [f32]) {
    match ty {
        TensorType::F32 => {
            for (out, b) in out.iter_mut().zip(bytes.chunks_exact(4)) {
                *out = f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
            }
        }
        TensorType::F16 => {
            for (out, b) in out.iter_mut().zip(bytes.chunks_exact(2)) {
                *out = half_at(b, 0);
            }
        }
        TensorType::BF16 => {
            for (out, b) in out.iter_mut().zip(bytes.chunks_exact(2)) {
                *out = f32::from_bits(u32::from(u16::from_le_bytes([b[0], b[1]])) << 16);
            }
        }
        _ => {
            let (block_len, block_bytes) = (ty.block_len() as usize, ty.block_bytes() as usize);
            let group = Affine::group(ty);
            let mut affine = Affine::zero();
            for (out, block) in out.chunks_exact_mut(block_len).zip(bytes.chunks_exact(block_bytes))
            {
                affine.decode(ty, block);
                for (g, (out, codes)) in
                    out.chunks_exact_mut(group).zip(affine.codes.chunks_exact(group)).enumerate()
                {
                    let (d, m) = (affine.scales[g], affine.mins[g]);
                    for (out, &code) in out.iter_mut().zip(codes) {
                        *out = d * f32::from(code) + m;
                    }
                }
            }
        }
    }
}
