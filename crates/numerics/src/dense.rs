//! Small wrappers over faer for row-major slices. Sequential kernels under rayon over fixed row chunks, so
//! that the order of every sum is independent of the number of threads.

use crate::krylov::BLOCK;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};
use microtome_core::{Error, ErrorKind, Matrix, Result};
use rayon::prelude::*;

/// Rows per unit of parallel work; part of the result's definition (order of sums), so never derived from
/// the number of threads.
pub(crate) const CHUNK: usize = 1024;

/// A row-major block inside a larger row-major buffer.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) data: &'a [f64],
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) stride: usize,
}

impl<'a> View<'a> {
    pub(crate) fn new(data: &'a [f64], rows: usize, cols: usize, stride: usize) -> Self {
        Self { data, rows, cols, stride }
    }

    fn mat(&self) -> MatRef<'a, f64> {
        MatRef::from_row_major_slice_with_stride(self.data, self.rows, self.cols, self.stride)
    }

    fn chunk(&self, start: usize, rows: usize) -> MatRef<'a, f64> {
        self.mat().subrows(start, rows)
    }
}

/// Error when some value is NaN or infinite; `what` names the input.
pub(crate) fn check_finite(values: impl IntoIterator<Item = f64>, what: &str) -> Result<()> {
    match values.into_iter().enumerate().find(|(_, v)| !v.is_finite()) {
        None => Ok(()),
        Some((i, v)) => Err(Error::mismatch(format!("{what} must be finite"))
            .expected("finite numbers only")
            .found(format!("{v} at position {i}"))
            .remedy("remove or impute the affected cells first")),
    }
}

/// [`check_finite`] for a matrix, naming row and column.
pub(crate) fn check_finite_matrix(x: &Matrix, what: &str) -> Result<()> {
    match x.data().iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(i) => Err(Error::mismatch(format!("{what} must be finite"))
            .expected("finite numbers only")
            .found(format!("{} in row {}, column {}", x.data()[i], i / x.cols(), i % x.cols()))
            .remedy("remove or impute the affected cells first")),
    }
}

/// Eigenvalues (ascending) and eigenvectors (column `j` of the row-major `[n, n]` output) of a symmetric matrix.
pub(crate) fn symmetric_eigen(a: &[f64], n: usize) -> Result<(Vec<f64>, Vec<f64>)> {
    let mut values = faer::Col::<f64>::zeros(n);
    let mut vectors = Mat::<f64>::zeros(n, n);
    let mut memory = MemBuffer::new(self_adjoint_evd_scratch::<f64>(
        n,
        ComputeEigenvectors::Yes,
        Par::Seq,
        Default::default(),
    ));
    self_adjoint_evd(
        MatRef::from_row_major_slice(a, n, n),
        values.as_mut().as_diagonal_mut(),
        Some(vectors.as_mut()),
        Par::Seq,
        MemStack::new(&mut memory),
        Default::default(),
    )
    .map_err(|_| Error::new(ErrorKind::CheckFailed, "the symmetric eigenvalue solver did not converge"))?;
    let mut out = vec![0.0; n * n];
    for (i, row) in out.chunks_exact_mut(n.max(1)).enumerate() {
        for (j, v) in row.iter_mut().enumerate() {
            *v = vectors[(i, j)];
        }
    }
    Ok(((0..n).map(|i| values[i]).collect(), out))
}

/// `out [a.rows, b.cols] = a b` (small, sequential).
pub(crate) fn product(a: View<'_>, b: View<'_>) -> Vec<f64> {
    let mut out = vec![0.0; a.rows * b.cols];
    matmul(
        MatMut::from_row_major_slice_mut(&mut out, a.rows, b.cols),
        Accum::Replace,
        a.mat(),
        b.mat(),
        1.0,
        Par::Seq,
    );
    out
}

/// `a^T b` for tall `a [n, m]` and `b [n, p]`, as row-major `[m, p]`.
pub(crate) fn transpose_product(a: View<'_>, b: View<'_>) -> Vec<f64> {
    let (m, p) = (a.cols, b.cols);
    let starts: Vec<usize> = (0..a.rows).step_by(CHUNK).collect();
    let mut total = vec![0.0; m * p];
    // In groups, so that partial results never need more memory than a few small matrices per thread.
    for group in starts.chunks(32) {
        let parts: Vec<Vec<f64>> = group
            .par_iter()
            .map(|&start| {
                let rows = CHUNK.min(a.rows - start);
                let mut part = vec![0.0; m * p];
                matmul(
                    MatMut::from_row_major_slice_mut(&mut part, m, p),
                    Accum::Replace,
                    a.chunk(start, rows).transpose(),
                    b.chunk(start, rows),
                    1.0,
                    Par::Seq,
                );
                part
            })
            .collect();
        for part in parts {
            total.iter_mut().zip(part).for_each(|(t, v)| *t += v);
        }
    }
    total
}

/// `out += alpha a b` for tall `a [n, m]`, small `b [m, p]`, contiguous `out [n, p]`.
pub(crate) fn add_product(out: &mut [f64], p: usize, a: View<'_>, b: View<'_>, alpha: f64) {
    if p == 0 {
        return;
    }
    out.par_chunks_mut(CHUNK * p).enumerate().for_each(|(c, out)| {
        let rows = out.len() / p;
        matmul(
            MatMut::from_row_major_slice_mut(out, rows, p),
            Accum::Add,
            a.chunk(c * CHUNK, rows),
            b.mat(),
            alpha,
            Par::Seq,
        );
    });
}

/// Symmetric `x^T x` of a tall `[n, d]` matrix in blocks of columns, as full row-major `[d, d]`.
pub(crate) fn gram(x: View<'_>) -> Vec<f64> {
    const BLOCK: usize = 128;
    let d = x.cols;
    let starts: Vec<usize> = (0..d).step_by(BLOCK).collect();
    let pairs: Vec<(usize, usize)> =
        starts.iter().flat_map(|&i| starts.iter().filter(move |&&j| j >= i).map(move |&j| (i, j))).collect();
    let blocks: Vec<Vec<f64>> = pairs
        .par_iter()
        .map(|&(i, j)| {
            let (wi, wj) = (BLOCK.min(d - i), BLOCK.min(d - j));
            let mut block = vec![0.0; wi * wj];
            matmul(
                MatMut::from_row_major_slice_mut(&mut block, wi, wj),
                Accum::Replace,
                x.mat().subcols(i, wi).transpose(),
                x.mat().subcols(j, wj),
                1.0,
                Par::Seq,
            );
            block
        })
        .collect();
    let mut out = vec![0.0; d * d];
    for ((i, j), block) in pairs.into_iter().zip(blocks) {
        let wj = BLOCK.min(d - j);
        for (r, row) in block.chunks_exact(wj).enumerate() {
            for (c, &v) in row.iter().enumerate() {
                out[(i + r) * d + j + c] = v;
                out[(j + c) * d + i + r] = v;
            }
        }
    }
    out
}

/// Symmetric `x x^T` of a wide `[n, d]` matrix.
pub(crate) fn gram_of_rows(x: View<'_>) -> Vec<f64> {
    let (n, d) = (x.rows, x.cols);
    let mut transposed = vec![0.0; n * d];
    for i in 0..n {
        for j in 0..d {
            transposed[j * n + i] = x.data[i * x.stride + j];
        }
    }
    gram(View::new(&transposed, d, n, n))
}

/// `out [rows_a, rows_b] = a b^T` in `f32` for contiguous row-major inputs of width `d` (sequential).
pub(crate) fn cross_f32(a: &[f32], b: &[f32], d: usize, out: &mut [f32]) {
    let (n, m) = (a.len() / d, b.len() / d);
    matmul(
        MatMut::from_row_major_slice_mut(out, n, m),
        Accum::Replace,
        MatRef::from_row_major_slice(a, n, d),
        MatRef::from_row_major_slice(b, m, d).transpose(),
        1.0f32,
        Par::Seq,
    );
}

/// `out = sum of value * x[index]` over one sparse row, for `x` row-major of width `out.len()`.
pub(crate) fn sparse_row<V: Copy + Into<f64>>(indices: &[u32], values: &[V], x: &[f64], out: &mut [f64]) {
    // The width that the eigenvalue solver uses stays in registers.
    if let Ok(out) = <&mut [f64; BLOCK]>::try_from(&mut *out) {
        let (x, _) = x.as_chunks::<BLOCK>();
        let mut sums = [0.0; BLOCK];
        for (&j, &v) in indices.iter().zip(values) {
            let v: f64 = v.into();
            let x = &x[j as usize];
            for c in 0..BLOCK {
                sums[c] += v * x[c];
            }
        }
        *out = sums;
        return;
    }
    let p = out.len();
    out.fill(0.0);
    for (&j, &v) in indices.iter().zip(values) {
        let v: f64 = v.into();
        let x = &x[j as usize * p..(j as usize + 1) * p];
        out.iter_mut().zip(x).for_each(|(o, x)| *o += v * x);
    }
}
