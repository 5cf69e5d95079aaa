//! The first half of a low-rank side path (LoRA, Hu et al. 2021): t = A·x, for the stacked A of all
//! tensors that are fused in one weight. [`super::lora`] says what becomes of t.

use super::lora::Factors;
use super::{Args, Binding, Step, Variant, read, write};

/// Fixed parameters.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Params {
    /// Rows of A: the ranks of all its tensors.
    pub rows: u32,
    /// vec4s of a row, a multiple of 8.
    pub quads: u32,
    /// Uniform structs are multiples of 16 bytes.
    pub pad: [u32; 2],
}

/// a \[rows\]\[cols\], x \[T\]\[cols\] → out \[T\]\[rows\]
pub const BINDINGS: &[Binding] = &[read("a"), read("x"), write("out")];

/// Rows of a workgroup of the serial variant, two to a thread.
pub const SERIAL_ROWS: u32 = 16;
/// Tokens of a workgroup of the serial variant.
pub const SERIAL_TOKENS: u32 = 4;

/// Workgroups: rows × tokens.
pub fn grid(p: &Params, step: &Step, variant: Variant) -> [u32; 3] {
    match variant {
        Variant::Serial => [p.rows.div_ceil(SERIAL_ROWS), step.tokens.div_ceil(SERIAL_TOKENS), 1],
        _ => [p.rows, step.tokens, 1],
    }
}

/// The CPU twin.
pub fn reference(factors: Factors, p: &Params, step: &Step, args: &mut Args<'_>) {
    let x: &[f32] = bytemuck::cast_slice(args.inputs[1]);
    let out: &mut [f32] = bytemuck::cast_slice_mut(args.outputs[0]);
    let (rows, cols) = (p.rows as usize, 4 * p.quads as usize);
    let mut a = vec![0.0; cols];
    for row in 0..rows {
        factors.decode(args.inputs[0], row * cols, &mut a);
        for (t, x) in x.chunks_exact(cols).take(step.tokens as usize).enumerate() {
            out[t * rows + row] = a.iter().zip(x).map(|(a, x)| a * x).sum();
        }
    }
}
