//! Features as regressions with a penalty want them: centred, scaled, and no wider than there are rows.

use crate::dense::{View, gram_of_rows, product, symmetric_eigen, transpose_product};
use microtome_core::{Matrix, Result};

/// Centre and unit variance (of the population) of every feature, as learnt from training rows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scale {
    centre: Vec<f64>,
    /// 1 / standard deviation; 0 for a feature that does not vary.
    inverse: Vec<f64>,
}

impl Scale {
    pub(crate) fn of(x: &Matrix) -> Self {
        let (n, d) = (x.rows().max(1) as f64, x.cols());
        let rows = || (0..x.rows()).map(|i| x.row(i));
        let mut centre = vec![0.0; d];
        rows().for_each(|row| centre.iter_mut().zip(row).for_each(|(m, &v)| *m += f64::from(v) / n));
        let mut variance = vec![0.0; d];
        for row in rows() {
            for ((s, &v), m) in variance.iter_mut().zip(row).zip(&centre) {
                *s += (f64::from(v) - m).powi(2) / n;
            }
        }
        // What rounding leaves of a constant feature is not variation.
        let flat = |v: f64, m: f64| v <= (m.abs() * 1e-7).powi(2);
        let inverse =
            variance.iter().zip(&centre).map(|(&v, &m)| if flat(v, m) { 0.0 } else { 1.0 / v.sqrt() });
        Self { inverse: inverse.collect(), centre }
    }

    /// Number of features.
    pub(crate) fn width(&self) -> usize {
        self.centre.len()
    }

    /// Scaled rows, `[n, d]`; `x` has as many features.
    pub(crate) fn apply(&self, x: &Matrix) -> Vec<f64> {
        let mut out = Vec::with_capacity(x.rows() * x.cols());
        for i in 0..x.rows() {
            let scaled = x.row(i).iter().zip(&self.centre).zip(&self.inverse);
            out.extend(scaled.map(|((&v, m), s)| (f64::from(v) - m) * s));
        }
        out
    }
}

/// Rows in the fewest coordinates that hold them: with fewer rows than features, rows are `U S V^T` and the best
/// coefficients under a squared penalty lie in the span of `V`, so `U S` is fitted in their stead.
pub(crate) struct Reduced {
    /// `[n, width]`.
    pub(crate) values: Vec<f64>,
    pub(crate) width: usize,
    /// `[n, d]` before, and `U / S` as `[n, width]`, where the coordinates are others.
    before: Option<(Vec<f64>, usize, Vec<f64>)>,
}

impl Reduced {
    /// Of scaled rows `z [n, d]`. Errors when the eigenproblem fails.
    pub(crate) fn new(z: Vec<f64>, n: usize, d: usize) -> Result<Self> {
        if n >= d {
            return Ok(Self { values: z, width: d, before: None });
        }
        let (values, vectors) = symmetric_eigen(&gram_of_rows(View::new(&z, n, d, d)), n)?;
        let largest = values.last().copied().unwrap_or(0.0);
        let kept: Vec<usize> = (0..n).filter(|&j| values[j] > largest * 1e-10).collect();
        if kept.is_empty() {
            // No feature varies: one column of zeros stands for all of them.
            return Ok(Self { values: vec![0.0; n], width: 1, before: Some((z, d, vec![0.0; n])) });
        }
        let (mut scores, mut span) = (Vec::with_capacity(n * kept.len()), Vec::with_capacity(n * kept.len()));
        for i in 0..n {
            scores.extend(kept.iter().map(|&j| vectors[i * n + j] * values[j].sqrt()));
            span.extend(kept.iter().map(|&j| vectors[i * n + j] / values[j].sqrt()));
        }
        Ok(Self { values: scores, width: kept.len(), before: Some((z, d, span)) })
    }

    /// Coefficients `[d, k]` of the features from those of the reduced rows, `[width, k]`.
    pub(crate) fn of_features(&self, own: &[f64], k: usize) -> Vec<f64> {
        match &self.before {
            None => own.to_vec(),
            // V = Z^T U / S.
            Some((z, d, span)) => {
                let n = span.len() / self.width;
                let along =
                    product(View::new(span, n, self.width, self.width), View::new(own, self.width, k, k));
                transpose_product(View::new(z, n, *d, *d), View::new(&along, n, k, k))
            }
        }
    }
}
