//! Quantized matrix × a few vectors, for a step of beams: each weight is read once for [`TOKENS`] of them.
//! Parameters, bindings and the CPU twin are those of [`super::matvec`], and so is the sharing of rows
//! among threads; [`super::matmul`]'s tiles of 32 tokens would be mostly empty. The serial variant is
//! matmul's own.

use super::{Binding, Epilogue, Step, Variant, matmul, matvec};

/// codes and scales \[rows\]\[cols\], x \[T\]\[cols\] → out \[T\]\[rows\]
pub const BINDINGS: &[Binding] = matvec::BINDINGS;

/// Vectors that a workgroup multiplies with the weights it reads.
pub const TOKENS: u32 = 4;

/// Workgroups along the rows as for one vector; groups of [`TOKENS`] in z.
pub fn grid(p: &matvec::Params, epilogue: Epilogue, step: &Step, variant: Variant) -> [u32; 3] {
    if variant == Variant::Serial {
        return matmul::grid(p, epilogue, step, variant);
    }
    let [x, y, _] = matvec::grid(p, epilogue, variant);
    [x, y, step.tokens.div_ceil(TOKENS)]
}
