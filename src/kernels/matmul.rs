//! Quantized matrix × T vectors, for prefill. Parameters, bindings and the CPU twin are those of
//! [`super::matvec`]; what differs is the tiling.

use super::{Binding, Epilogue, Step, Variant, matvec};

/// codes and scales \[rows\]\[cols\], x \[T\]\[cols\] → out \[T\]\[rows\]
pub const BINDINGS: &[Binding] = matvec::BINDINGS;

/// Weight rows of a workgroup's tile in the base and f16 variants.
pub const TILE_ROWS: u32 = 64;
/// Tokens of a workgroup's tile in the base and f16 variants.
pub const TILE_TOKENS: u32 = 32;
/// Threads of a workgroup of the serial variant.
pub const SERIAL_THREADS: u32 = 8;
/// Weight rows of a thread of the serial variant: for swiglu four gate and four up rows.
pub const SERIAL_ROWS: u32 = 8;
/// Tokens of a thread of the serial variant.
pub const SERIAL_TOKENS: u32 = 4;

/// Workgroups: tiles of rows × tiles of tokens.
pub fn grid(p: &matvec::Params, epilogue: Epilogue, step: &Step, variant: Variant) -> [u32; 3] {
    let (rows, tokens) = match variant {
        Variant::Serial => (SERIAL_THREADS * SERIAL_ROWS, SERIAL_TOKENS),
        _ => (TILE_ROWS, TILE_TOKENS),
    };
    // A swiglu tile holds gate and up rows, so it writes half as many values.
    let written = if epilogue == Epilogue::Swiglu { rows / 2 } else { rows };
    [p.rows.div_ceil(written), step.tokens.div_ceil(tokens), 1]
}
