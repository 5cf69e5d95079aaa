//! Quantized matrix × vector, for decode: one token. Its parameters, bindings and CPU twin serve
//! [`super::matmul`] too, which is the same product for T tokens.

use super::lora::{self, Factors};
use super::{Args, Binding, Epilogue, Step, Variant, read, write};
use crate::quant::{self, Format};

/// Fixed parameters.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Params {
    /// Values written a token: the weight's rows, or half of them for the swiglu epilogue.
    pub rows: u32,
    /// Blocks of 32 columns.
    pub blocks: u32,
    /// Uniform structs are multiples of 16 bytes.
    pub pad: [u32; 2],
}

impl Params {
    /// For a product that writes `rows` values from `cols` columns, a multiple of 32.
    pub fn new(rows: u32, cols: u32) -> Self {
        Params { rows, blocks: cols / quant::BLOCK, pad: [0; 2] }
    }
}

/// codes and scales \[rows\]\[cols\], x \[T\]\[cols\] → out \[T\]\[rows\]
pub const BINDINGS: &[Binding] = &[read("codes"), read("scales"), read("x"), write("out")];

/// Teams of a workgroup in the base and subgroup variants: eight threads that share [`TEAM_ROWS`] rows.
pub const TEAMS: u32 = 8;
/// Teams of a workgroup in the serial variant: of one thread.
pub const SERIAL_TEAMS: u32 = 16;
/// Weight rows of a team: for swiglu two gate and two up rows.
pub const TEAM_ROWS: u32 = 4;

/// Workgroups along the rows; past what one dimension takes they go on in y.
pub fn grid(p: &Params, epilogue: Epilogue, variant: Variant) -> [u32; 3] {
    let teams = if variant == Variant::Serial { SERIAL_TEAMS } else { TEAMS };
    let rows = if epilogue == Epilogue::Swiglu { TEAM_ROWS / 2 } else { TEAM_ROWS };
    let written = teams * rows;
    let groups = p.rows.div_ceil(written);
    let x = groups.min(32768);
    [x, groups.div_ceil(x.max(1)), 1]
}

/// The CPU twin of matvec and matmul: each block of a row is dequantized once, then multiplied with
/// every token's activations in ascending order of the columns.
pub fn reference(format: Format, epilogue: Epilogue, p: &Params, step: &Step, args: &mut Args<'_>) {
    products(format, epilogue, p, step, args, |_, _| ());
}

/// The CPU twin with an adapter's side path, which is added to the finished product.
pub fn adapted(
    format: Format,
    epilogue: Epilogue,
    factors: Factors,
    p: &lora::Params,
    step: &Step,
    args: &mut Args<'_>,
) {
    let b = args.inputs[3];
    let t: &[f32] = bytemuck::cast_slice(args.inputs[4]);
    let side = |row: usize, into: &mut [f32]| lora::add(factors, p, row, b, t, into);
    products(format, epilogue, &p.product(), step, args, side);
}

/// `side` adds to what a weight row gave, a value a token.
fn products(
    format: Format,
    epilogue: Epilogue,
    p: &Params,
    step: &Step,
    args: &mut Args<'_>,
    side: impl Fn(usize, &mut [f32]),
) {
    let (codes, scales) = (args.inputs[0], args.inputs[1]);
    let x: &[f32] = bytemuck::cast_slice(args.inputs[2]);
    let out: &mut [f32] = bytemuck::cast_slice_mut(args.outputs[0]);
    let (rows, blocks, tokens) = (p.rows as usize, p.blocks as usize, step.tokens as usize);
    let mut weights = vec![0.0; blocks * 32];
    let mut products = |row: usize, into: &mut [f32]| {
        for (block, values) in weights.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            quant::dequantize_block(format, codes, scales, row * blocks + block, values);
        }
        for (into, x) in into.iter_mut().zip(x.chunks_exact(blocks * 32)) {
            *into = dot(&weights, x);
        }
        side(row, into);
    };
    let (mut first, mut second) = (vec![0.0; tokens], vec![0.0; tokens]);
    for row in 0..rows {
        products(row, &mut first);
        if epilogue == Epilogue::Swiglu {
            products(row + rows, &mut second);
        }
        for t in 0..tokens {
            let out = &mut out[t * rows + row];
            match epilogue {
                Epilogue::Store => *out = first[t],
                Epilogue::Add => *out += first[t],
                Epilogue::Swiglu => *out = first[t] / (1.0 + (-first[t]).exp()) * second[t],
            }
        }
    }
}

/// A dot product in eight interleaved sums, which the compiler turns into SIMD.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    for (a, b) in a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0) {
        for i in 0..8 {
            sums[i] += a[i] * b[i];
        }
    }
    sums.iter().sum()
}
