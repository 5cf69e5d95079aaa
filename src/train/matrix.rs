//! Frozen matrices and the two products that training needs of them: `x Wᵀ` and, backwards, `g W`.

use gemm::Parallelism;

use super::amx::{self, Packed};

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
            let transposed = Packed::from_columns(&weights, cols, 1.0);
            let plain = Packed::from_rows(&weights, cols, 1.0);
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
    pub fn forward(&self, x: &[f32]) -> Vec<f32> {
        match &self.kind {
            Kind::Bf16 { transposed, .. } => transposed.multiply(x, self.cols, self.rows),
            Kind::F32(w) => {
                let mut y = vec![0.0; x.len() / self.cols * self.rows];
                multiply(&mut y, self.rows, rows(x, self.cols), columns(w, self.cols), 1.0);
                y
            }
        }
    }

    /// g W for g \[T\]\[rows\]: \[T\]\[cols\].
    pub fn backward(&self, g: &[f32]) -> Vec<f32> {
        match &self.kind {
            Kind::Bf16 { plain, .. } => plain.multiply(g, self.rows, self.cols),
            Kind::F32(w) => {
                let mut x = vec![0.0; g.len() / self.rows * self.cols];
                multiply(&mut x, self.cols, rows(g, self.rows), rows(w, self.cols), 1.0);
                x
            }
        }
    }
}

/// A factor of a low-rank update and its products, in the precision of the matrix beside it.
pub(super) struct Factor<'a> {
    /// \[R\]\[width\] for A, \[width\]\[R\] for B.
    values: &'a [f32],
    /// Length of its rows.
    width: usize,
    precision: Precision,
}

impl<'a> Factor<'a> {
    pub(super) fn new(values: &'a [f32], width: usize, precision: Precision) -> Self {
        Factor { values, width, precision }
    }

    /// C += scale · x Fᵀ.
    pub(super) fn add_transposed(&self, x: &[f32], c: &mut [f32], scale: f32) {
        let (out, width) = (self.values.len() / self.width, self.width);
        match self.precision {
            Precision::Bf16 => {
                Packed::from_columns(self.values, width, scale).multiply_add(x, width, c, out);
            }
            Precision::F32 => multiply(c, out, rows(x, width), columns(self.values, width), scale),
        }
    }

    /// C += scale · x F.
    pub(super) fn add(&self, x: &[f32], c: &mut [f32], scale: f32) {
        let (depth, width) = (self.values.len() / self.width, self.width);
        match self.precision {
            Precision::Bf16 => {
                Packed::from_rows(self.values, width, scale).multiply_add(x, depth, c, width);
            }
            Precision::F32 => multiply(c, width, rows(x, depth), rows(self.values, width), scale),
        }
    }
}

/// scale · lᵀ x \[R\]\[width\] for l \[T\]\[R\] and x \[T\]\[width\]: a factor's gradient.
pub(super) fn outer(
    l: &[f32],
    rank: usize,
    x: &[f32],
    width: usize,
    scale: f32,
    precision: Precision,
) -> Vec<f32> {
    match precision {
        Precision::Bf16 => {
            let transposed = transpose(l, rank);
            Packed::from_rows(x, width, scale).multiply(&transposed, l.len() / rank, width)
        }
        Precision::F32 => {
            let mut out = vec![0.0; rank * width];
            multiply(&mut out, width, columns(l, rank), rows(x, width), scale);
            out
        }
    }
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

/// C += alpha A B with C in rows of `width`, on all threads.
pub(super) fn multiply(c: &mut [f32], width: usize, a: View<'_>, b: View<'_>, alpha: f32) {
    product(c, width, a, b, alpha, Parallelism::Rayon(0));
}

/// The same on this thread alone.
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
        std::hint::black_box(matrix.forward(std::hint::black_box(&x)));
        start.elapsed().as_secs_f64()
    });
    2.0 * (rows * cols * tokens) as f64 / seconds.fold(f64::INFINITY, f64::min)
}
