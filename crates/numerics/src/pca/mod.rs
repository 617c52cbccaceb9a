//! Principal components and random projection.

mod operator;
mod projection;

pub use projection::random_projection;

use crate::dense::{View, add_product, check_finite_matrix, gram, gram_of_rows, symmetric_eigen};
use crate::diffusion::sign_of_largest;
use crate::krylov::{Eigenpairs, Which, leading};
use crate::rank_normal::RankNormal;
use microtome_core::{Counts, Error, Matrix, Result};
use operator::{Centred, DenseRows, SparseRows};

/// Principal component analysis.
#[derive(Clone, Debug, PartialEq)]
pub struct Pca {
    /// `[n, k]`; centred rows times components.
    pub scores: Matrix,
    /// `[k, d]`; orthonormal rows, the entry of largest magnitude positive. A row of zeros where the data has no
    /// further variance.
    pub components: Matrix,
    /// Variance (n - 1) along every component, falling.
    pub explained_variance: Vec<f64>,
    /// Sum of the variances of all columns.
    pub total_variance: f64,
    /// Column means that were subtracted.
    pub mean: Vec<f64>,
}

impl Pca {
    /// Scores of other rows. Errors when their width differs or a value is not finite.
    pub fn transform(&self, x: &Matrix) -> Result<Matrix> {
        if x.cols() != self.components.cols() {
            return Err(Error::usage("rows to project differ in width from the fitted ones")
                .expected(self.components.cols().to_string())
                .found(x.cols().to_string()));
        }
        check_finite_matrix(x, "rows to project")?;
        let k = self.components.rows();
        let axes: Vec<Vec<f64>> = (0..k).map(|c| to_f64(self.components.row(c))).collect();
        let mut scores = Matrix::zeros(x.rows(), k);
        for i in 0..x.rows() {
            for (out, axis) in scores.row_mut(i).iter_mut().zip(&axes) {
                let row = x.row(i).iter().zip(&self.mean).zip(axis);
                *out = row.map(|((&v, m), a)| (f64::from(v) - m) * a).sum::<f64>() as f32;
            }
        }
        Ok(scores)
    }

    /// Share of the total variance along every component; zeros when there is no variance.
    pub fn explained_ratio(&self) -> Vec<f64> {
        let scale = if self.total_variance > 0.0 { 1.0 / self.total_variance } else { 0.0 };
        self.explained_variance.iter().map(|v| v * scale).collect()
    }
}

fn to_f64(row: &[f32]) -> Vec<f64> {
    row.iter().map(|&v| f64::from(v)).collect()
}

/// Up to this size of the smaller side the covariance is written out and solved densely.
const DENSE_LIMIT: usize = 1024;
/// Residual of eigenpairs of the covariance, relative to the largest: the error of an axis is this over the
/// relative gap to the next variance, so scores are good to `f32` for gaps down to a part in a million.
const TOLERANCE: f64 = 1e-11;

/// The first `n_components` principal components of dense rows. `seed` matters only for starting vectors.
///
/// Errors when `n_components` is 0 or above `min(n - 1, d)`, or when a value is NaN or infinite.
pub fn pca(x: &Matrix, n_components: usize, seed: u64) -> Result<Pca> {
    check_components(x.rows(), x.cols(), n_components)?;
    check_finite_matrix(x, "values for principal components")?;
    let (n, d) = (x.rows(), x.cols());
    let rows = DenseRows::new(x);
    let centred = Centred::new(&rows);
    if n.min(d) > DENSE_LIMIT {
        return krylov(&centred, n_components, seed);
    }
    let mut data: Vec<f64> = to_f64(x.data());
    data.chunks_exact_mut(d).for_each(|row| row.iter_mut().zip(&centred.mean).for_each(|(v, m)| *v -= m));
    let view = View::new(&data, n, d, d);
    let side = n.min(d);
    let (values, vectors) = symmetric_eigen(&if d <= n { gram(view) } else { gram_of_rows(view) }, side)?;
    let top: Vec<usize> = (0..side).rev().take(n_components).collect();
    let pairs = Eigenpairs {
        values: top.iter().map(|&j| values[j]).collect(),
        vectors: (0..side)
            .flat_map(|i| top.iter().map(move |&j| (i, j)))
            .map(|(i, j)| vectors[i * side + j])
            .collect(),
    };
    finish(&centred, pairs, n_components)
}

/// [`pca`] of sparse rows with the column means subtracted implicitly: the data stays sparse.
pub fn pca_sparse(x: &Counts, n_components: usize, seed: u64) -> Result<Pca> {
    sparse(x, None, n_components, seed)
}

/// [`pca`] of rank-normal cells, which stay sparse.
pub fn pca_rank_normal(x: &RankNormal, n_components: usize, seed: u64) -> Result<Pca> {
    sparse(&x.deviations, Some(&x.background), n_components, seed)
}

fn sparse(x: &Counts, shift: Option<&[f64]>, n_components: usize, seed: u64) -> Result<Pca> {
    check_components(x.n_cells(), x.n_genes(), n_components)?;
    if x.check_raw().n_non_finite > 0 {
        return Err(Error::mismatch("values for principal components must be finite")
            .expected("finite numbers only")
            .found(format!("{} NaN or infinite values", x.check_raw().n_non_finite)));
    }
    let rows = SparseRows::new(x, shift);
    krylov(&Centred::new(&rows), n_components, seed)
}

fn check_components(n: usize, d: usize, k: usize) -> Result<()> {
    let most = n.saturating_sub(1).min(d);
    if k == 0 || k > most {
        return Err(Error::usage("this number of principal components does not exist")
            .expected(format!("1 to {most} ({n} rows, {d} columns)"))
            .found(k.to_string()));
    }
    Ok(())
}

fn krylov(centred: &Centred<'_>, k: usize, seed: u64) -> Result<Pca> {
    let pairs = leading(centred, k, Which::LargestAlgebraic, TOLERANCE, seed, &[])?;
    finish(centred, pairs, k)
}

/// From eigenvectors of `X'X` or `XX'` (whichever is smaller) to axes and scores.
fn finish(centred: &Centred<'_>, pairs: Eigenpairs, k: usize) -> Result<Pca> {
    let (n, d) = (centred.rows.n(), centred.rows.width());
    let top = pairs.values.iter().fold(0.0f64, |a, &v| a.max(v));
    // Below this the squared singular value is rounding.
    let floor = top * f64::EPSILON * n.max(d) as f64;
    let mut axes = if d <= n {
        pairs.vectors
    } else {
        let mut axes = vec![0.0; d * k];
        centred.transpose_apply(&pairs.vectors, k, &mut axes);
        axes
    };
    let singular: Vec<f64> = pairs.values.iter().map(|&v| if v > floor { v.sqrt() } else { 0.0 }).collect();
    for (c, &singular) in singular.iter().enumerate() {
        let column: Vec<f64> = axes.iter().skip(c).step_by(k).copied().collect();
        let length = column.iter().map(|v| v * v).sum::<f64>().sqrt();
        let scale = if singular > 0.0 { sign_of_largest(&column) / length } else { 0.0 };
        axes.iter_mut().skip(c).step_by(k).for_each(|v| *v *= scale);
    }
    let mut scores = vec![0.0; n * k];
    centred.apply_forward(&axes, k, &mut scores);
    let mut components = Matrix::zeros(k, d);
    for c in 0..k {
        components
            .row_mut(c)
            .iter_mut()
            .zip(axes.iter().skip(c).step_by(k))
            .for_each(|(o, v)| *o = *v as f32);
    }
    let divisor = (n - 1) as f64;
    Ok(Pca {
        scores: Matrix::new(n, k, scores.iter().map(|&v| v as f32).collect())?,
        components,
        explained_variance: singular.iter().map(|s| s * s / divisor).collect(),
        total_variance: centred.sum_of_squares() / divisor,
        mean: centred.mean.clone(),
    })
}

/// Rows of `x [n, d]` times small `b [d, p]`, added to `out`.
fn add_dense(x: &[f64], n: usize, d: usize, b: &[f64], p: usize, out: &mut [f64]) {
    add_product(out, p, View::new(x, n, d, d), View::new(b, d, p, p), 1.0);
}
