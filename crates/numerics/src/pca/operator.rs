//! Centred rows as a linear map that is never written out.

use crate::dense::sparse_row;
use crate::krylov::Operator;
use crate::subset::{Columns, by_gene};
use microtome_core::{Counts, Matrix};
use rayon::prelude::*;

/// Rows that can be multiplied from both sides.
pub(super) trait Rows: Sync {
    fn n(&self) -> usize;
    fn width(&self) -> usize;
    /// `out = X b`, `b [width, p]`, `out [n, p]`.
    fn forward(&self, b: &[f64], p: usize, out: &mut [f64]);
    /// `out = X' u`, `u [n, p]`, `out [width, p]`.
    fn backward(&self, u: &[f64], p: usize, out: &mut [f64]);
    /// Sum of squares of every column about its mean.
    fn squares(&self, mean: &[f64]) -> f64;
}

/// Dense rows in `f64`.
pub(super) struct DenseRows {
    n: usize,
    d: usize,
    rows: Vec<f64>,
}

impl DenseRows {
    pub(super) fn new(x: &Matrix) -> Self {
        Self { n: x.rows(), d: x.cols(), rows: super::to_f64(x.data()) }
    }
}

impl Rows for DenseRows {
    fn n(&self) -> usize {
        self.n
    }
    fn width(&self) -> usize {
        self.d
    }
    fn forward(&self, b: &[f64], p: usize, out: &mut [f64]) {
        out.fill(0.0);
        super::add_dense(&self.rows, self.n, self.d, b, p, out);
    }
    fn backward(&self, u: &[f64], p: usize, out: &mut [f64]) {
        use crate::dense::{View, transpose_product};
        let x = View::new(&self.rows, self.n, self.d, self.d);
        out.copy_from_slice(&transpose_product(x, View::new(u, self.n, p, p)));
    }
    fn squares(&self, mean: &[f64]) -> f64 {
        self.rows.chunks_exact(self.d).flat_map(|r| r.iter().zip(mean)).map(|(v, m)| (v - m) * (v - m)).sum()
    }
}

/// CSR rows and the same values by column, so that both products run in parallel and in a fixed order. Every value of
/// row `i` may be raised by `shift[i]`, stored or not.
pub(super) struct SparseRows<'a> {
    rows: &'a Counts,
    columns: Columns,
    shift: Option<&'a [f64]>,
}

impl<'a> SparseRows<'a> {
    pub(super) fn new(rows: &'a Counts, shift: Option<&'a [f64]>) -> Self {
        Self { rows, columns: by_gene(rows), shift }
    }
}

/// `out[row] = sum of value * x[index]` for every row.
fn sparse_product<'s>(
    row: impl Fn(usize) -> (&'s [u32], &'s [f32]) + Sync,
    x: &[f64],
    p: usize,
    out: &mut [f64],
) {
    const ROWS: usize = 64;
    out.par_chunks_mut(ROWS * p).enumerate().for_each(|(chunk, out)| {
        for (r, out) in out.chunks_exact_mut(p).enumerate() {
            let (indices, values) = row(chunk * ROWS + r);
            sparse_row(indices, values, x, out);
        }
    });
}

impl Rows for SparseRows<'_> {
    fn n(&self) -> usize {
        self.rows.n_cells()
    }
    fn width(&self) -> usize {
        self.rows.n_genes()
    }
    fn forward(&self, b: &[f64], p: usize, out: &mut [f64]) {
        sparse_product(|i| self.rows.row(i), b, p, out);
        let Some(shift) = self.shift else { return };
        let mut sums = vec![0.0; p];
        b.chunks_exact(p).for_each(|b| sums.iter_mut().zip(b).for_each(|(s, b)| *s += b));
        for (out, shift) in out.chunks_exact_mut(p).zip(shift) {
            out.iter_mut().zip(&sums).for_each(|(o, s)| *o += shift * s);
        }
    }
    fn backward(&self, u: &[f64], p: usize, out: &mut [f64]) {
        sparse_product(|g| self.columns.row(g), u, p, out);
        let Some(shift) = self.shift else { return };
        let mut sums = vec![0.0; p];
        for (u, shift) in u.chunks_exact(p).zip(shift) {
            sums.iter_mut().zip(u).for_each(|(s, u)| *s += shift * u);
        }
        out.chunks_exact_mut(p).for_each(|out| out.iter_mut().zip(&sums).for_each(|(o, s)| *o += s));
    }
    fn squares(&self, mean: &[f64]) -> f64 {
        let shift = |cell: usize| self.shift.map_or(0.0, |s| s[cell]);
        let (n, sum, squares) = (0..self.n())
            .fold((self.n() as f64, 0.0, 0.0), |(n, s, q), c| (n, s + shift(c), q + shift(c) * shift(c)));
        (0..self.width())
            .map(|g| {
                let m = mean[g];
                // As if nothing were stored, then what the stored values change.
                let bare = squares - 2.0 * m * sum + n * m * m;
                let (cells, values) = self.columns.row(g);
                let change = cells.iter().zip(values).map(|(&c, &v)| {
                    let (s, v) = (shift(c as usize) - m, f64::from(v));
                    (v + s) * (v + s) - s * s
                });
                bare + change.sum::<f64>()
            })
            .sum()
    }
}

/// `X - 1 mean'` and, as an [`Operator`], its Gram matrix over the smaller side.
pub(super) struct Centred<'a> {
    pub(super) rows: &'a dyn Rows,
    pub(super) mean: Vec<f64>,
}

impl<'a> Centred<'a> {
    pub(super) fn new(rows: &'a dyn Rows) -> Self {
        let n = rows.n();
        let mut mean = vec![0.0; rows.width()];
        rows.backward(&vec![1.0 / n as f64; n], 1, &mut mean);
        Self { rows, mean }
    }

    pub(super) fn sum_of_squares(&self) -> f64 {
        self.rows.squares(&self.mean)
    }

    /// `out = (X - 1 mean') b`.
    pub(super) fn apply_forward(&self, b: &[f64], p: usize, out: &mut [f64]) {
        self.rows.forward(b, p, out);
        let mut shift = vec![0.0; p];
        for (m, b) in self.mean.iter().zip(b.chunks_exact(p)) {
            shift.iter_mut().zip(b).for_each(|(s, b)| *s += m * b);
        }
        out.par_chunks_mut(p * 256).for_each(|rows| {
            for row in rows.chunks_exact_mut(p) {
                row.iter_mut().zip(&shift).for_each(|(o, s)| *o -= s);
            }
        });
    }

    /// `out = (X - 1 mean')' u`.
    pub(super) fn transpose_apply(&self, u: &[f64], p: usize, out: &mut [f64]) {
        self.rows.backward(u, p, out);
        let mut sums = vec![0.0; p];
        for u in u.chunks_exact(p) {
            sums.iter_mut().zip(u).for_each(|(s, u)| *s += u);
        }
        for (m, out) in self.mean.iter().zip(out.chunks_exact_mut(p)) {
            out.iter_mut().zip(&sums).for_each(|(o, s)| *o -= m * s);
        }
    }
}

impl Operator for Centred<'_> {
    fn dim(&self) -> usize {
        self.rows.n().min(self.rows.width())
    }

    fn apply(&self, x: &[f64], width: usize, out: &mut [f64]) {
        if self.rows.width() <= self.rows.n() {
            let mut between = vec![0.0; self.rows.n() * width];
            self.apply_forward(x, width, &mut between);
            self.transpose_apply(&between, width, out);
        } else {
            let mut between = vec![0.0; self.rows.width() * width];
            self.transpose_apply(x, width, &mut between);
            self.apply_forward(&between, width, out);
        }
    }
}
