//! Ridge regression in closed form over many penalties at once.

use crate::dense::{
    View, add_product, check_finite, check_finite_matrix, gram, gram_of_rows, product, symmetric_eigen,
    transpose_product,
};
use crate::resample::{Rng, Units, grouped_k_fold};
use microtome_core::{Error, Matrix, Result};

/// How to fit.
#[derive(Clone, Debug, PartialEq)]
pub struct RidgeOptions {
    /// Penalties, each above 0.
    pub alphas: Vec<f64>,
    /// Scale every feature to unit (weighted) variance of the training rows first. Features are centred anyway.
    pub standardise: bool,
}

impl Default for RidgeOptions {
    /// 10^-2 to 10^5 in half-decade steps, standardised.
    fn default() -> Self {
        Self { alphas: (-4..=10).map(|e| 10f64.powf(f64::from(e) / 2.0)).collect(), standardise: true }
    }
}

/// Fitted coefficients for every penalty: minimises `sum_i w_i |y_i - b - z_i c|^2 + alpha |c|^2` with `z` the
/// standardised features and the intercept unpenalised (scikit-learn's `StandardScaler` and `Ridge`).
#[derive(Clone, Debug, PartialEq)]
pub struct Ridge {
    alphas: Vec<f64>,
    n_targets: usize,
    centre: Vec<f64>,
    /// 1 / scale; 0 for a feature that does not vary.
    inverse_scale: Vec<f64>,
    intercept: Vec<f64>,
    /// One `[features, targets]` per penalty, in units of the standardised features.
    coefficients: Vec<Vec<f64>>,
}

impl Ridge {
    /// Fits targets `y [n, n_targets]` (row-major) on `x [n, d]`; the eigenproblem has the smaller of the two sizes.
    /// `weights` counts rows as copies (bootstrap multiplicities); `None` is one each.
    ///
    /// Errors on different lengths, NaN or infinity, penalties or weights out of range, or total weight 0.
    pub fn fit(
        x: &Matrix,
        y: &[f64],
        n_targets: usize,
        weights: Option<&[f64]>,
        options: &RidgeOptions,
    ) -> Result<Self> {
        let (n, d) = (x.rows(), x.cols());
        check_inputs(x, y, n_targets, weights, &options.alphas)?;
        let ones = vec![1.0; n];
        let weights = weights.unwrap_or(&ones);
        let total: f64 = weights.iter().sum();
        if total <= 0.0 {
            return Err(Error::mismatch("no rows to fit")
                .expected("a positive total weight")
                .found(total.to_string()));
        }
        let mut centre = vec![0.0; d];
        let mut intercept = vec![0.0; n_targets];
        for (i, &w) in weights.iter().enumerate() {
            centre.iter_mut().zip(x.row(i)).for_each(|(c, &v)| *c += w / total * f64::from(v));
            intercept.iter_mut().zip(&y[i * n_targets..]).for_each(|(c, v)| *c += w / total * v);
        }
        let inverse_scale = inverse_scale(x, weights, total, &centre, options.standardise);
        // Rows times the square root of their weight turn the weighted problem into a plain one.
        let mut z = vec![0.0; n * d];
        let mut t = vec![0.0; n * n_targets];
        for (i, &w) in weights.iter().enumerate() {
            let root = w.sqrt();
            for (j, &v) in x.row(i).iter().enumerate() {
                z[i * d + j] = root * (f64::from(v) - centre[j]) * inverse_scale[j];
            }
            for c in 0..n_targets {
                t[i * n_targets + c] = root * (y[i * n_targets + c] - intercept[c]);
            }
        }
        let coefficients = solve(&z, n, d, &t, n_targets, &options.alphas)?;
        Ok(Self { alphas: options.alphas.clone(), n_targets, centre, inverse_scale, intercept, coefficients })
    }

    /// The penalties.
    pub fn alphas(&self) -> &[f64] {
        &self.alphas
    }

    /// Coefficients `[features, targets]` in the features' own units, and intercepts, for penalty number `alpha`.
    /// Errors when there is no such penalty.
    pub fn coefficients(&self, alpha: usize) -> Result<(Vec<f64>, Vec<f64>)> {
        let mut coefficients = self.raw(alpha)?.clone();
        for (row, s) in coefficients.chunks_exact_mut(self.n_targets).zip(&self.inverse_scale) {
            row.iter_mut().for_each(|c| *c *= s);
        }
        let mut intercept = self.intercept.clone();
        for (row, m) in coefficients.chunks_exact(self.n_targets).zip(&self.centre) {
            intercept.iter_mut().zip(row).for_each(|(b, c)| *b -= c * m);
        }
        Ok((coefficients, intercept))
    }

    fn raw(&self, alpha: usize) -> Result<&Vec<f64>> {
        self.coefficients.get(alpha).ok_or_else(|| {
            Error::usage("no such penalty")
                .expected(format!("below {}", self.alphas.len()))
                .found(alpha.to_string())
        })
    }

    /// Predictions `[rows, targets]` for penalty number `alpha`. Errors when the width differs, a value is not
    /// finite, or there is no such penalty.
    pub fn predict(&self, x: &Matrix, alpha: usize) -> Result<Vec<f64>> {
        if x.cols() != self.centre.len() {
            return Err(Error::usage("rows to predict differ in width from the fitted ones")
                .expected(self.centre.len().to_string())
                .found(x.cols().to_string()));
        }
        check_finite_matrix(x, "features")?;
        let (n, d) = (x.rows(), x.cols());
        let coefficients = self.raw(alpha)?;
        let mut z = vec![0.0; n * d];
        for i in 0..n {
            for (j, &v) in x.row(i).iter().enumerate() {
                z[i * d + j] = (f64::from(v) - self.centre[j]) * self.inverse_scale[j];
            }
        }
        let mut out: Vec<f64> = (0..n).flat_map(|_| self.intercept.iter().copied()).collect();
        if d > 0 {
            let p = self.n_targets;
            add_product(&mut out, p, View::new(&z, n, d, d), View::new(coefficients, d, p, p), 1.0);
        }
        Ok(out)
    }
}

fn check_inputs(
    x: &Matrix,
    y: &[f64],
    n_targets: usize,
    weights: Option<&[f64]>,
    alphas: &[f64],
) -> Result<()> {
    if n_targets == 0 || x.rows().checked_mul(n_targets) != Some(y.len()) || x.rows() == 0 {
        return Err(Error::usage("features and targets do not fit together")
            .expected(format!("{} rows of {n_targets} targets, at least one of each", x.rows()))
            .found(format!("{} target values", y.len())));
    }
    check_finite_matrix(x, "features")?;
    check_finite(y.iter().copied(), "targets")?;
    if weights.is_some_and(|w| w.len() != x.rows() || w.iter().any(|w| !(w.is_finite() && *w >= 0.0))) {
        return Err(Error::usage("row weights must be finite and not negative, one per row")
            .expected(format!("{} weights of at least 0", x.rows()))
            .found(format!("{} weights", weights.map_or(0, <[f64]>::len))));
    }
    if alphas.is_empty() || alphas.iter().any(|a| !(a.is_finite() && *a > 0.0)) {
        return Err(Error::usage("ridge penalties must be above 0")
            .expected("one or more positive numbers")
            .found(format!("{alphas:?}")));
    }
    Ok(())
}

fn inverse_scale(x: &Matrix, weights: &[f64], total: f64, centre: &[f64], standardise: bool) -> Vec<f64> {
    let d = centre.len();
    let (mut squares, mut largest) = (vec![0.0; d], vec![0.0f64; d]);
    for (i, &w) in weights.iter().enumerate().filter(|(_, w)| **w > 0.0) {
        for (j, &v) in x.row(i).iter().enumerate() {
            squares[j] += w * (f64::from(v) - centre[j]).powi(2);
            largest[j] = largest[j].max(f64::from(v).abs());
        }
    }
    squares
        .iter()
        .zip(largest)
        .map(|(s, largest)| {
            let deviation = (s / total).sqrt();
            // What a constant column leaves behind is rounding of its mean.
            if deviation <= 10.0 * f64::EPSILON * largest {
                0.0
            } else if standardise {
                1.0 / deviation
            } else {
                1.0
            }
        })
        .collect()
}

/// Coefficients for every penalty from the eigenvectors of `z'z` or `zz'`, whichever is smaller.
fn solve(z: &[f64], n: usize, d: usize, t: &[f64], p: usize, alphas: &[f64]) -> Result<Vec<Vec<f64>>> {
    if d == 0 {
        return Ok(vec![vec![]; alphas.len()]);
    }
    let zv = View::new(z, n, d, d);
    let side = n.min(d);
    let primal = d <= n;
    let (values, vectors) = symmetric_eigen(&if primal { gram(zv) } else { gram_of_rows(zv) }, side)?;
    let q = View::new(&vectors, side, side, side);
    let tv = View::new(t, n, p, p);
    let right = if primal { transpose_product(zv, tv) } else { t.to_vec() };
    let rotated = transpose_product(q, View::new(&right, side, p, p));
    Ok(alphas
        .iter()
        .map(|alpha| {
            let mut scaled = rotated.clone();
            for (row, value) in scaled.chunks_exact_mut(p).zip(&values) {
                row.iter_mut().for_each(|v| *v /= value.max(0.0) + alpha);
            }
            let inner = product(q, View::new(&scaled, side, p, p));
            if primal { inner } else { transpose_product(zv, View::new(&inner, n, p, p)) }
        })
        .collect())
}

/// Mean squared error of every penalty on held-out units, each target divided by its variance over all rows, mean
/// over targets: `n_folds` grouped folds, standardised inside each. Targets that do not vary are left out.
///
/// Errors as [`Ridge::fit`], or with fewer units than folds.
pub fn cross_validated_error(
    x: &Matrix,
    y: &[f64],
    n_targets: usize,
    units: &Units,
    n_folds: usize,
    seed: u64,
    options: &RidgeOptions,
) -> Result<Vec<f64>> {
    check_inputs(x, y, n_targets, None, &options.alphas)?;
    if units.n_cells() != x.rows() {
        return Err(Error::usage("units and rows differ in number")
            .expected(x.rows().to_string())
            .found(units.n_cells().to_string()));
    }
    let n = x.rows() as f64;
    let variance: Vec<f64> = (0..n_targets)
        .map(|c| {
            let column = || y.iter().skip(c).step_by(n_targets);
            let mean = column().sum::<f64>() / n;
            column().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n
        })
        .collect();
    let n_varying = variance.iter().filter(|v| **v > 0.0).count();
    if n_varying == 0 {
        return Err(Error::mismatch("targets do not vary")
            .expected("at least one target with two values")
            .found("constants"));
    }
    let mut error = vec![0.0; options.alphas.len()];
    for fold in grouped_k_fold(units, n_folds, &mut Rng::new(seed))? {
        let pick = |rows: &[usize]| -> Vec<f64> {
            rows.iter().flat_map(|&r| y[r * n_targets..(r + 1) * n_targets].iter().copied()).collect()
        };
        let model = Ridge::fit(&x.select_rows(&fold.train), &pick(&fold.train), n_targets, None, options)?;
        let (test, truth) = (x.select_rows(&fold.test), pick(&fold.test));
        for (alpha, error) in error.iter_mut().enumerate() {
            let predicted = model.predict(&test, alpha)?;
            for (i, (p, t)) in predicted.iter().zip(&truth).enumerate() {
                let variance = variance[i % n_targets];
                if variance > 0.0 {
                    *error += (p - t) * (p - t) / (variance * n * n_varying as f64);
                }
            }
        }
    }
    Ok(error)
}

/// Chooses the penalty by [`cross_validated_error`] on these rows alone (the largest among equals), then fits all
/// of them. For a nested protocol give it the training rows of an outer fold. Returns the fit and the chosen number.
pub fn fit_nested(
    x: &Matrix,
    y: &[f64],
    n_targets: usize,
    units: &Units,
    n_folds: usize,
    seed: u64,
    options: &RidgeOptions,
) -> Result<(Ridge, usize)> {
    let error = cross_validated_error(x, y, n_targets, units, n_folds, seed, options)?;
    let chosen = (0..error.len())
        .min_by(|&a, &b| error[a].total_cmp(&error[b]).then(options.alphas[b].total_cmp(&options.alphas[a])))
        .unwrap_or(0);
    Ok((Ridge::fit(x, y, n_targets, None, options)?, chosen))
}
