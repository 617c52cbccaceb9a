//! Ridge regression onto one number from sums over rows, for rows that are too many to keep.

use crate::dense::{View, add_product, check_finite, product, symmetric_eigen, transpose_product};
use microtome_core::{Error, Result};

/// Sums over rows `x [d]` with a number `y` each. Sums of parts add up to those of the whole, so that any choice of parts can be fitted
/// and judged without going through the rows again.
#[derive(Clone, Debug, PartialEq)]
pub struct Sums {
    d: usize,
    n: f64,
    x: Vec<f64>,
    y: f64,
    /// `[d, d]`.
    xx: Vec<f64>,
    xy: Vec<f64>,
    yy: f64,
}

/// `intercept + coefficients x`.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearFit {
    /// `[d]`.
    pub coefficients: Vec<f64>,
    /// Added to it.
    pub intercept: f64,
}

impl LinearFit {
    /// The number for one row.
    pub fn predict(&self, row: &[f32]) -> f64 {
        self.intercept + self.coefficients.iter().zip(row).map(|(c, x)| c * f64::from(*x)).sum::<f64>()
    }
}

impl Sums {
    /// No row yet.
    pub fn new(d: usize) -> Self {
        Self { d, n: 0.0, x: vec![0.0; d], y: 0.0, xx: vec![0.0; d * d], xy: vec![0.0; d], yy: 0.0 }
    }

    /// Adds rows `x [n, d]` (row-major) and their numbers `y [n]`. Errors on other lengths, NaN or infinity.
    pub fn add_rows(&mut self, x: &[f32], y: &[f32]) -> Result<()> {
        if Some(x.len()) != y.len().checked_mul(self.d) {
            return Err(Error::usage("rows and numbers do not fit together")
                .expected(format!("{} values", y.len() * self.d))
                .found(x.len().to_string()));
        }
        let (rows, numbers): (Vec<f64>, Vec<f64>) =
            (x.iter().map(|v| f64::from(*v)).collect(), y.iter().map(|v| f64::from(*v)).collect());
        check_finite(rows.iter().copied(), "features")?;
        check_finite(numbers.iter().copied(), "targets")?;
        let (n, d) = (numbers.len(), self.d);
        for (row, y) in rows.chunks_exact(d.max(1)).zip(&numbers) {
            self.x.iter_mut().zip(row).for_each(|(s, v)| *s += v);
            self.xy.iter_mut().zip(row).for_each(|(s, v)| *s += v * y);
            (self.y, self.yy) = (self.y + y, self.yy + y * y);
        }
        self.n += n as f64;
        let own = transpose_product(View::new(&rows, n, d, d), View::new(&rows, n, d, d));
        self.xx.iter_mut().zip(own).for_each(|(s, v)| *s += v);
        Ok(())
    }

    /// Adds the sums of other rows. Errors when they are of another width.
    pub fn add(&mut self, other: &Self) -> Result<()> {
        if other.d != self.d {
            return Err(Error::usage("sums of rows of another width")
                .expected(self.d.to_string())
                .found(other.d.to_string()));
        }
        let add = |to: &mut [f64], more: &[f64]| to.iter_mut().zip(more).for_each(|(a, b)| *a += b);
        add(&mut self.x, &other.x);
        add(&mut self.xx, &other.xx);
        add(&mut self.xy, &other.xy);
        (self.n, self.y, self.yy) = (self.n + other.n, self.y + other.y, self.yy + other.yy);
        Ok(())
    }

    /// Rows so far.
    pub fn n(&self) -> f64 {
        self.n
    }

    /// The minimum of `sum (y - b - z c)^2 + alpha |c|^2` for every penalty, `z` the features in units of their standard deviation, as
    /// [`crate::ridge::Ridge`]. Errors when there is no row, or a penalty is not above 0.
    pub fn fit(&self, alphas: &[f64]) -> Result<Vec<LinearFit>> {
        let d = self.d;
        if self.n < 1.0 || alphas.iter().any(|a| !(a.is_finite() && *a > 0.0)) {
            return Err(Error::usage("a ridge regression needs rows, and penalties above 0")
                .found(format!("{} rows, penalties {alphas:?}", self.n)));
        }
        let mean: Vec<f64> = self.x.iter().map(|s| s / self.n).collect();
        let y = self.y / self.n;
        let inverse: Vec<f64> = (0..d)
            .map(|j| {
                let (square, centre) = (self.xx[j * d + j] / self.n, mean[j] * mean[j]);
                let variance = square - centre;
                // What a constant column leaves behind is rounding of the difference.
                if variance <= 1e-12 * square { 0.0 } else { variance.sqrt().recip() }
            })
            .collect();
        let mut gram = vec![0.0; d * d];
        for (i, row) in gram.chunks_exact_mut(d.max(1)).enumerate() {
            for (j, g) in row.iter_mut().enumerate() {
                *g = (self.xx[i * d + j] - self.n * mean[i] * mean[j]) * inverse[i] * inverse[j];
            }
        }
        let right: Vec<f64> = (0..d).map(|j| (self.xy[j] - self.n * mean[j] * y) * inverse[j]).collect();
        let (values, vectors) = if d > 0 { symmetric_eigen(&gram, d)? } else { (vec![], vec![]) };
        let q = View::new(&vectors, d, d, d);
        let rotated = transpose_product(q, View::new(&right, d, 1, 1));
        let solve = |alpha: &f64| {
            let scaled: Vec<f64> =
                rotated.iter().zip(&values).map(|(r, v)| r / (v.max(0.0) + alpha)).collect();
            let mut coefficients = product(q, View::new(&scaled, d, 1, 1));
            coefficients.iter_mut().zip(&inverse).for_each(|(c, s)| *c *= s);
            let intercept = y - coefficients.iter().zip(&mean).map(|(c, m)| c * m).sum::<f64>();
            LinearFit { coefficients, intercept }
        };
        Ok(alphas.iter().map(solve).collect())
    }

    /// Sum over the rows of the squared distance of the number from a fit.
    pub fn squared_error(&self, fit: &LinearFit) -> f64 {
        let (c, b, d) = (&fit.coefficients, fit.intercept, self.d);
        let dot = |a: &[f64]| a.iter().zip(c).map(|(a, c)| a * c).sum::<f64>();
        let mut through = vec![0.0; d];
        add_product(&mut through, 1, View::new(&self.xx, d, d, d), View::new(c, d, 1, 1), 1.0);
        let explained = self.n * b * b + 2.0 * b * dot(&self.x) + dot(&through);
        (self.yy - 2.0 * (b * self.y + dot(&self.xy)) + explained).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resample::Rng;
    use crate::ridge::{Ridge, RidgeOptions};
    use microtome_core::Matrix;

    #[test]
    fn sums_of_parts_give_the_fit_and_the_error_of_the_rows() {
        let (n, d) = (60, 4);
        let mut rng = Rng::new(3);
        // A column that follows another one, and a constant one.
        let x: Vec<f32> = (0..n)
            .flat_map(|_| {
                let (a, b) = (rng.normal() as f32, rng.normal() as f32);
                [a, 3.0 + b, a + 0.1 * b, 7.0]
            })
            .collect();
        let y: Vec<f32> = x.chunks(d).map(|r| 2.0 * r[0] - r[1] + 0.3 * rng.normal() as f32).collect();
        let mut all = Sums::new(d);
        for (x, y) in x.chunks(20 * d).zip(y.chunks(20)) {
            let mut part = Sums::new(d);
            part.add_rows(x, y).unwrap();
            all.add(&part).unwrap();
        }
        let options = RidgeOptions::default();
        let matrix = Matrix::new(n, d, x.clone()).unwrap();
        let numbers: Vec<f64> = y.iter().map(|v| f64::from(*v)).collect();
        let whole = Ridge::fit(&matrix, &numbers, 1, None, &options).unwrap();
        for (i, fit) in all.fit(&options.alphas).unwrap().iter().enumerate() {
            let (coefficients, intercept) = whole.coefficients(i).unwrap();
            let off =
                coefficients.iter().zip(&fit.coefficients).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(off < 1e-6 && (intercept[0] - fit.intercept).abs() < 1e-5, "{i}: {off}");
            let error: f64 = x.chunks(d).zip(&numbers).map(|(row, y)| (y - fit.predict(row)).powi(2)).sum();
            assert!((error - all.squared_error(fit)).abs() < 1e-6 * (1.0 + error));
        }
        assert!(Sums::new(2).fit(&[1.0]).is_err() && all.fit(&[0.0]).is_err());
        assert!(all.add(&Sums::new(2)).is_err() && all.add_rows(&[f32::NAN; 4], &[0.0]).is_err());
    }
}
