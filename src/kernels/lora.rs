//! The low-rank side path of a matrix product (LoRA, Hu et al. 2021): y = W·x + B·t with t = A·x.
//!
//! t comes from [`super::lora_down`], for the stacked A of all tensors that are fused in W; B·t is added
//! inside [`super::matvec`], [`super::matvecs`] and [`super::matmul`], before their epilogue, R more
//! multiplications a row. The `lora` permutations of those shaders have it; the plain ones know
//! nothing of it.

use half::f16;

use super::{Binding, matvec, read, write};

/// How the factors A and s·B lie on the device. They lose nothing in either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Factors {
    /// A word a value.
    F32,
    /// Two a word, the first in the low half, each an f16 of [`F16_SCALE`] times the value: what
    /// [`Factors::hold`] says of every value of an adapter, which those from F16 files are. Half as much
    /// to read.
    F16,
}

/// What f16 factors are multiplied with. WGSL lets a device read a subnormal f16 as zero
/// (`unpack2x16float`); 2¹⁰ times f16's smallest subnormal, 2⁻²⁴, is its smallest normal, so that every
/// f16 below 64 comes through exactly.
pub const F16_SCALE: f32 = 1024.0;

impl Factors {
    /// Both.
    pub const ALL: [Factors; 2] = [Factors::F32, Factors::F16];

    /// The end of a permutation's name: `lora` or `lora_f16`.
    pub fn name(self) -> &'static str {
        match self {
            Factors::F32 => "lora",
            Factors::F16 => "lora_f16",
        }
    }

    /// Whether `value` comes back exactly.
    pub fn hold(self, value: f32) -> bool {
        let stored = value * F16_SCALE;
        let half = f16::from_f32(stored);
        self == Factors::F32 || half.to_f32() == stored && (half.is_normal() || value == 0.0)
    }

    /// The buffer of an even number of values.
    pub fn encode(self, values: &[f32]) -> Vec<u32> {
        let half = |value: f32| u32::from(f16::from_f32(value * F16_SCALE).to_bits());
        match self {
            Factors::F32 => values.iter().map(|value| value.to_bits()).collect(),
            Factors::F16 => {
                let pairs = values.as_chunks::<2>().0.iter();
                pairs.map(|&[low, high]| half(low) | half(high) << 16).collect()
            }
        }
    }

    /// Values `first` to `first + into.len()` of a buffer.
    pub(super) fn decode(self, words: &[u32], first: usize, into: &mut [f32]) {
        let value = |i: usize| match self {
            Factors::F32 => f32::from_bits(words[i]),
            Factors::F16 => {
                f16::from_bits((words[i / 2] >> (16 * (i % 2))) as u16).to_f32() / F16_SCALE
            }
        };
        into.iter_mut().enumerate().for_each(|(i, into)| *into = value(first + i));
    }
}

/// Fixed parameters: those of the plain product, then where a row finds its part of t.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Params {
    /// As for [`matvec::Params`].
    pub rows: u32,
    /// As for [`matvec::Params`].
    pub blocks: u32,
    /// R / 4: quads of a row of B, the largest rank of the fused tensors.
    pub quads: u32,
    /// Quads of a token in t, all tensors together.
    pub stride: u32,
    /// First weight row of the second fused tensor; the number of rows where there is none.
    pub second: u32,
    /// First weight row of the third fused tensor; the number of rows where there is none.
    pub third: u32,
    /// Where the second tensor's part of a token begins in t, in quads. The first's begins at 0.
    pub second_at: u32,
    /// Where the third's begins.
    pub third_at: u32,
}

impl Params {
    /// Those of the plain product.
    pub fn product(&self) -> matvec::Params {
        matvec::Params { rows: self.rows, blocks: self.blocks, pad: [0; 2] }
    }

    /// Where weight row `row` finds its part of a token in t, in quads.
    pub fn part(&self, row: u32) -> u32 {
        match row {
            row if row >= self.third => self.third_at,
            row if row >= self.second => self.second_at,
            _ => 0,
        }
    }
}

/// codes and scales \[rows\]\[cols\], x \[T\]\[cols\], lora_b \[rows\]\[R\], lora_t
/// \[T\]\[4 stride\] → out \[T\]\[rows\]
pub const BINDINGS: &[Binding] =
    &[read("codes"), read("scales"), read("x"), read("lora_b"), read("lora_t"), write("out")];

/// The side path of weight row `row` for each token: what is added to the product.
pub(super) fn add(
    factors: Factors,
    p: &Params,
    row: usize,
    b: &[u32],
    t: &[f32],
    into: &mut [f32],
) {
    let rank = 4 * p.quads as usize;
    let mut own = vec![0.0; rank];
    factors.decode(b, row * rank, &mut own);
    let part = 4 * p.part(row as u32) as usize;
    for (into, t) in into.iter_mut().zip(t.chunks_exact(4 * p.stride as usize)) {
        *into += own.iter().zip(&t[part..]).map(|(b, t)| b * t).sum::<f32>();
    }
}
