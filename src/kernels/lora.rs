//! The low-rank side path of a matrix product (LoRA, Hu et al. 2021): y = W·x + B·t with t = A·x.
//!
//! t comes from [`super::lora_down`], for the stacked A of all tensors that are fused in W; B·t is added
//! inside [`super::matvec`] and [`super::matmul`], before their epilogue, R more
//! multiplications a row. The `lora` permutations of those two shaders have it; the plain ones know
//! nothing of it.

use super::{Binding, matvec, read, write};

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
pub(super) fn add(p: &Params, row: usize, b: &[f32], t: &[f32], into: &mut [f32]) {
    let rank = 4 * p.quads as usize;
    let b = &b[row * rank..][..rank];
    let part = 4 * p.part(row as u32) as usize;
    for (into, t) in into.iter_mut().zip(t.chunks_exact(4 * p.stride as usize)) {
        *into += b.iter().zip(&t[part..]).map(|(b, t)| b * t).sum::<f32>();
    }
}
