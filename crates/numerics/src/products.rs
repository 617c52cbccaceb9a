//! Matrix products and spectra for whole representations. Sums run over fixed chunks in a fixed order, so results do
//! not depend on the number of threads.

use crate::dense::{
    CHUNK, View, check_finite, cross_f32, gram as gram_f64, symmetric_eigen, transpose_product,
};
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::svd::{ComputeSvdVectors, svd, svd_scratch};
use faer::{MatRef, Par};
use microtome_core::{Error, ErrorKind, Matrix, Result};
use rayon::prelude::*;

fn must_match(what: &str, expected: usize, found: usize) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    Err(Error::usage(what.to_owned()).expected(expected.to_string()).found(found.to_string()))
}

/// `out [a rows, b rows] = a b^T` for row-major `f32` inputs of width `d`, on the calling thread. The same call on the
/// same values gives the same bits.
///
/// Errors when the lengths do not fit together.
pub fn cross(a: &[f32], b: &[f32], d: usize, out: &mut [f32]) -> Result<()> {
    if d == 0 {
        out.fill(0.0);
        return must_match("rows of no width hold values", 0, a.len() + b.len());
    }
    must_match("rows are not whole", 0, a.len() % d + b.len() % d)?;
    must_match("output of a product has another size", (a.len() / d) * (b.len() / d), out.len())?;
    cross_f32(a, b, d, out);
    Ok(())
}

/// `out [a rows, a rows] += a a^T` for few long rows of `f64`, row-major, on the calling thread.
///
/// Errors when the lengths do not fit together.
pub fn add_rows_product(a: &[f64], rows: usize, out: &mut [f64]) -> Result<()> {
    must_match("output of a product has another size", rows * rows, out.len())?;
    if rows == 0 || a.is_empty() {
        return Ok(());
    }
    must_match("rows are not whole", 0, a.len() % rows)?;
    let width = a.len() / rows;
    let all = MatRef::from_row_major_slice(a, rows, width);
    faer::linalg::matmul::matmul(
        faer::MatMut::from_row_major_slice_mut(out, rows, rows),
        faer::Accum::Add,
        all,
        all.transpose(),
        1.0,
        Par::Seq,
    );
    Ok(())
}

/// `x w^T + bias` for `x [n, d]` and `w [out, d]` (the layout of PyTorch's `Linear`), as `[n, out]`.
///
/// Errors when widths differ.
pub fn linear(x: &Matrix, w: &Matrix, bias: Option<&[f32]>) -> Result<Matrix> {
    must_match("input and weights differ in width", w.cols(), x.cols())?;
    if let Some(bias) = bias {
        must_match("bias and weights differ in number", w.rows(), bias.len())?;
    }
    let (d, width) = (x.cols(), w.rows());
    let mut out = Matrix::zeros(x.rows(), width);
    if width == 0 {
        return Ok(out);
    }
    out.data_mut().par_chunks_mut(CHUNK * width).enumerate().for_each(|(c, out)| {
        let rows = out.len() / width;
        if d > 0 {
            cross_f32(&x.data()[c * CHUNK * d..][..rows * d], w.data(), d, out);
        }
        if let Some(bias) = bias {
            out.chunks_exact_mut(width).for_each(|row| row.iter_mut().zip(bias).for_each(|(o, b)| *o += b));
        }
    });
    Ok(out)
}

/// Rows as `f64` with the column means subtracted, row-major.
pub fn centred(x: &Matrix) -> Vec<f64> {
    let mean = crate::distances::centre(x);
    let mut out: Vec<f64> = x.data().iter().map(|&v| f64::from(v)).collect();
    out.par_chunks_mut(x.cols().max(1)).for_each(|row| row.iter_mut().zip(&mean).for_each(|(v, m)| *v -= m));
    out
}

/// `x^T y` for row-major `x [n, p]` and `y [n, q]`, as `[p, q]`.
///
/// Errors when the lengths do not fit together.
pub fn columns_product(x: &[f64], p: usize, y: &[f64], q: usize) -> Result<Vec<f64>> {
    if p == 0 || q == 0 {
        return Ok(Vec::new());
    }
    must_match("rows are not whole", 0, x.len() % p + y.len() % q)?;
    must_match("the two sides differ in rows", x.len() / p, y.len() / q)?;
    let n = x.len() / p;
    if std::ptr::eq(x, y) {
        return Ok(gram_f64(View::new(x, n, p, p)));
    }
    Ok(transpose_product(View::new(x, n, p, p), View::new(y, n, q, q)))
}

/// Eigenvalues of a symmetric row-major `[n, n]` matrix, rising.
///
/// Errors when it is not square, not finite, or the solver does not converge.
pub fn eigenvalues(a: &[f64], n: usize) -> Result<Vec<f64>> {
    must_match("matrix is not square", n * n, a.len())?;
    check_finite(a.iter().copied(), "a matrix to decompose")?;
    Ok(symmetric_eigen(a, n)?.0)
}

/// Singular values of a row-major `[rows, cols]` matrix, falling.
///
/// Errors when the shape does not fit, a value is not finite, or the solver does not converge.
pub fn singular_values(a: &[f64], rows: usize, cols: usize) -> Result<Vec<f64>> {
    must_match("matrix does not fill its shape", rows * cols, a.len())?;
    check_finite(a.iter().copied(), "a matrix to decompose")?;
    let size = rows.min(cols);
    if size == 0 {
        return Ok(Vec::new());
    }
    let mut values = faer::Col::<f64>::zeros(size);
    let no = ComputeSvdVectors::No;
    let mut memory = MemBuffer::new(svd_scratch::<f64>(rows, cols, no, no, Par::Seq, Default::default()));
    svd(
        MatRef::from_row_major_slice(a, rows, cols),
        values.as_mut().as_diagonal_mut(),
        None,
        None,
        Par::Seq,
        MemStack::new(&mut memory),
        Default::default(),
    )
    .map_err(|_| Error::new(ErrorKind::CheckFailed, "the singular value solver did not converge"))?;
    Ok((0..size).map(|i| values[i]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resample::Rng;

    fn random(rows: usize, cols: usize, seed: u64) -> Matrix {
        let mut rng = Rng::new(seed);
        Matrix::new(rows, cols, (0..rows * cols).map(|_| rng.normal() as f32).collect()).unwrap()
    }

    #[test]
    fn linear_is_torch_linear() {
        let (x, w) = (random(2050, 7, 1), random(5, 7, 2));
        let bias = [0.5, -1.0, 0.0, 2.0, 3.0];
        let y = linear(&x, &w, Some(&bias)).unwrap();
        for i in [0, 1023, 1024, 2049] {
            for (o, bias) in bias.iter().enumerate() {
                let want: f32 = x.row(i).iter().zip(w.row(o)).map(|(a, b)| a * b).sum::<f32>() + bias;
                assert!((y.row(i)[o] - want).abs() < 1e-5);
            }
        }
        assert!(linear(&x, &random(5, 6, 0), None).is_err());
        assert!(linear(&x, &w, Some(&bias[1..])).is_err());
    }

    #[test]
    fn spectra_agree_with_each_other() {
        let x = random(60, 8, 3);
        let rows = centred(&x);
        let gram = columns_product(&rows, 8, &rows, 8).unwrap();
        let copy = rows.clone();
        let other = columns_product(&rows, 8, &copy, 8).unwrap();
        assert!(gram.iter().zip(&other).all(|(a, b)| (a - b).abs() < 1e-10));
        let mut squares: Vec<f64> = singular_values(&rows, 60, 8).unwrap().iter().map(|s| s * s).collect();
        squares.reverse();
        for (s, e) in squares.iter().zip(eigenvalues(&gram, 8).unwrap()) {
            assert!((s - e).abs() < 1e-9, "{s} {e}");
        }
        let mut out = vec![0.0; 4];
        add_rows_product(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2, &mut out).unwrap();
        assert_eq!(out, [14.0, 32.0, 32.0, 77.0]);
        assert!(eigenvalues(&[1.0; 3], 2).is_err() && singular_values(&[1.0; 3], 2, 2).is_err());
        assert!(cross(&[1.0; 4], &[1.0; 4], 3, &mut [0.0; 4]).is_err());
    }
}
