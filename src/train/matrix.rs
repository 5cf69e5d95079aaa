//! Frozen matrices and the two products that training needs of them: `x Wᵀ` and, backwards, `g W`.

use gemm::Parallelism;

use super::amx::{self, Packed, Rows};

/// What the products with the frozen weights are computed in. Sums are f32 either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// f32 throughout.
    F32,
    /// Weights and activations rounded to bf16, on CPUs with AMX; f32 elsewhere.
    Bf16,
}

impl Precision {
    /// bf16 where the CPU is made for it.
    pub fn best() -> Self {
        if amx::available() { Precision::Bf16 } else { Precision::F32 }
    }
}

/// A weight matrix W \[rows\]\[cols\] that is never trained.
#[derive(Debug)]
pub struct Frozen {
    rows: usize,
    cols: usize,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    F32(Vec<f32>),
    Bf16 { transposed: Packed, plain: Packed },
}

impl Frozen {
    /// A matrix of `cols` columns from its rows.
    pub fn new(weights: Vec<f32>, cols: usize, precision: Precision) -> Frozen {
        let rows = weights.len() / cols;
        if precision == Precision::Bf16 && amx::available() {
            let transposed = Packed::from_columns(&weights, cols);
            let plain = Packed::from_rows(&weights, cols);
            return Frozen { rows, cols, kind: Kind::Bf16 { transposed, plain } };
        }
        Frozen { rows, cols, kind: Kind::F32(weights) }
    }

    /// Rows of W: the width of `x Wᵀ`.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns of W: the width of x.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// What its products are computed in.
    pub(super) fn precision(&self) -> Precision {
        match self.kind {
            Kind::F32(_) => Precision::F32,
            Kind::Bf16 { .. } => Precision::Bf16,
        }
    }

    /// x Wᵀ for x \[T\]\[cols\]: \[T\]\[rows\].
    pub(super) fn forward(&self, x: &Operand<'_>) -> Vec<f32> {
        let mut y = vec![0.0; x.height * self.rows];
        match (&self.kind, &x.kind) {
            (Kind::Bf16 { transposed, .. }, OperandKind::Bf16(x)) => {
                transposed.multiply_add(x, &mut y, self.rows);
            }
            (Kind::F32(w), OperandKind::F32(x)) => {
                multiply(&mut y, self.rows, rows(x, self.cols), columns(w, self.cols));
            }
            _ => debug_assert!(false, "operand and matrix are of two precisions"),
        }
        y
    }

    /// g W for g \[T\]\[rows\]: \[T\]\[cols\].
    pub(super) fn backward(&self, g: &Operand<'_>) -> Vec<f32> {
        let mut x = vec![0.0; g.height * self.cols];
        match (&self.kind, &g.kind) {
            (Kind::Bf16 { plain, .. }, OperandKind::Bf16(g)) => {
                plain.multiply_add(g, &mut x, self.cols);
            }
            (Kind::F32(w), OperandKind::F32(g)) => {
                multiply(&mut x, self.cols, rows(g, self.rows), rows(w, self.cols));
            }
            _ => debug_assert!(false, "operand and matrix are of two precisions"),
        }
        x
    }
}

/// The left side of several products, rounded once.
pub(super) struct Operand<'a> {
    height: usize,
    kind: OperandKind<'a>,
}

enum OperandKind<'a> {
    F32(&'a [f32]),
    Bf16(Rows),
}

impl<'a> Operand<'a> {
    /// Rows of `width`.
    pub(super) fn new(values: &'a [f32], width: usize, precision: Precision) -> Self {
        let kind = match precision {
            Precision::F32 => OperandKind::F32(values),
            Precision::Bf16 => OperandKind::Bf16(Rows::new(values, width)),
        };
        Operand { height: values.len() / width, kind }
    }

    /// C += x Fᵀ for F in rows of x's width, C in rows of `out`.
    pub(super) fn times_transposed(&self, f: &[f32], c: &mut [f32], out: usize) {
        let width = f.len() / out;
        match &self.kind {
            OperandKind::Bf16(x) => Packed::from_columns(f, width).multiply_add(x, c, out),
            OperandKind::F32(x) => multiply(c, out, rows(x, width), columns(f, width)),
        }
    }

    /// C += x F for F and C in rows of `width`.
    pub(super) fn times(&self, f: &[f32], c: &mut [f32], width: usize) {
        match &self.kind {
            OperandKind::Bf16(x) => Packed::from_rows(f, width).multiply_add(x, c, width),
            OperandKind::F32(x) => multiply(c, width, rows(x, f.len() / width), rows(f, width)),
        }
    }
}

/// lᵀ x \[R\]\[width\] for l \[T\]\[R\] and x \[T\]\[width\]: a factor's gradient.
pub(super) fn outer(
    l: &[f32],
    rank: usize,
    x: &[f32],
    width: usize,
    precision: Precision,
) -> Vec<f32> {
    let mut out = vec![0.0; rank * width];
    match precision {
        Precision::Bf16 => {
            let l = transpose(l, rank);
            Operand::new(&l, l.len() / rank, precision).times(x, &mut out, width);
        }
        Precision::F32 => multiply(&mut out, width, columns(l, rank), rows(x, width)),
    }
    out
}

/// Rows of `width` as columns.
pub(super) fn transpose(values: &[f32], width: usize) -> Vec<f32> {
    let height = values.len() / width;
    (0..values.len()).map(|i| values[i % height * width + i / height]).collect()
}

/// A view of f32 values as a matrix: rows, columns and the strides between them.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    values: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: isize,
    col_stride: isize,
}

/// Values as rows of `width`.
pub(super) fn rows(values: &[f32], width: usize) -> View<'_> {
    let (rows, row_stride) = (values.len() / width, width as isize);
    View { values, rows, cols: width, row_stride, col_stride: 1 }
}

/// The transpose of [`rows`].
pub(super) fn columns(values: &[f32], width: usize) -> View<'_> {
    let (cols, col_stride) = (values.len() / width, width as isize);
    View { values, rows: width, cols, row_stride: 1, col_stride }
}

/// C += A B with C in rows of `width`, on all threads.
fn multiply(c: &mut [f32], width: usize, a: View<'_>, b: View<'_>) {
    product(c, width, a, b, 1.0, Parallelism::Rayon(0));
}

/// C += alpha A B on this thread alone.
pub(super) fn multiply_here(c: &mut [f32], width: usize, a: View<'_>, b: View<'_>, alpha: f32) {
    product(c, width, a, b, alpha, Parallelism::None);
}

#[allow(unsafe_code, reason = "gemm's one entry takes pointers")]
fn product(c: &mut [f32], width: usize, a: View<'_>, b: View<'_>, alpha: f32, by: Parallelism) {
    let (m, k, n) = (a.rows, a.cols, b.cols);
    assert!(width == n && b.rows == k && c.len() >= m * n, "a product of matrices that do not fit");
    // SAFETY: the views cover their slices exactly, and the assertion ties their sizes together.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            width as isize,
            true,
            a.values.as_ptr(),
            a.col_stride,
            a.row_stride,
            b.values.as_ptr(),
            b.col_stride,
            b.row_stride,
            1.0,
            alpha,
            false,
            false,
            false,
            by,
        );
    }
}

/// FLOP/s of these products, at the size of a Llama block's, as this machine computes them now: the
/// best of a few. What training is held against.
pub fn measured_flops(rows: usize, cols: usize, tokens: usize, precision: Precision) -> f64 {
    let matrix = Frozen::new(vec![0.5; rows * cols], cols, precision);
    let x = vec![0.5; tokens * cols];
    let seconds = (0..5).map(|_| {
        let start = std::time::Instant::now();
        let x = Operand::new(std::hint::black_box(&x), cols, precision);
        std::hint::black_box(matrix.forward(&x));
        start.elapsed().as_secs_f64()
    });
    2.0 * (rows * cols * tokens) as f64 / seconds.fold(f64::INFINITY, f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampler::SplitMix64;

    /// Small whole numbers, which bf16 holds and f32 sums exactly.
    fn whole(count: usize, seed: u64) -> Vec<f32> {
        let mut random = SplitMix64::new(seed);
        (0..count).map(|_| (random.next() % 9) as f32 - 4.0).collect()
    }

    /// On CPUs with AMX tiles and products agree to the bit; elsewhere both are the same code.
    #[test]
    fn bf16_products_of_whole_numbers_are_exact() {
        for (tokens, rows, cols, rank) in
            [(1, 32, 32, 1), (37, 96, 64, 4), (129, 40, 288, 33), (300, 301, 96, 7)]
        {
            let (w, x) = (whole(rows * cols, 1), whole(tokens * cols, 2));
            let (g, low) = (whole(tokens * rows, 3), whole(tokens * rank, 4));
            let (a, b) = (whole(rank * cols, 5), whole(rows * rank, 6));
            let products = |precision: Precision| {
                let matrix = Frozen::new(w.clone(), cols, precision);
                let precision = matrix.precision();
                let x_operand = Operand::new(&x, cols, precision);
                let mut y = matrix.forward(&x_operand);
                Operand::new(&low, rank, precision).times_transposed(&b, &mut y, rows);
                let mut u = vec![1.0; tokens * rank];
                x_operand.times_transposed(&a, &mut u, rank);
                let g_operand = Operand::new(&g, rows, precision);
                let mut dx = matrix.backward(&g_operand);
                Operand::new(&low, rank, precision).times(&a, &mut dx, cols);
                let mut dlow = vec![0.0; tokens * rank];
                g_operand.times(&b, &mut dlow, rank);
                [y, u, dx, dlow, outer(&low, rank, &x, cols, precision)]
            };
            assert_eq!(products(Precision::Bf16), products(Precision::F32), "{tokens} {rows}");
        }
    }
}
