//! Classifiers made of class means: the nearest centroid, and the projection onto the means.

use crate::class_projection::ClassProjection;
use crate::dense::check_finite_matrix;
use microtome_core::{Error, Matrix, Result};

/// Means of the rows of every class.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassMeans {
    width: usize,
    /// Classes with rows.
    present: Vec<u32>,
    n_classes: usize,
    /// `[present class, feature]`.
    means: Vec<f64>,
}

impl ClassMeans {
    /// Means of `x [n, d]` by `classes [n]`, each below `n_classes`. Errors on different lengths, a class out of range, NaN
    /// or infinity, or no rows.
    pub fn new(x: &Matrix, classes: &[u32], n_classes: usize) -> Result<Self> {
        if classes.len() != x.rows() || classes.is_empty() {
            return Err(Error::usage("classes and rows differ in number, or there are none")
                .expected(x.rows().to_string())
                .found(classes.len().to_string()));
        }
        if let Some(bad) = classes.iter().find(|&&c| c as usize >= n_classes) {
            return Err(Error::usage("class out of range")
                .expected(format!("below {n_classes}"))
                .found(bad.to_string()));
        }
        check_finite_matrix(x, "values to learn from")?;
        let d = x.cols();
        let mut sizes = vec![0.0; n_classes];
        let mut sums = vec![0.0; n_classes * d];
        for (i, &c) in classes.iter().enumerate() {
            sizes[c as usize] += 1.0;
            let sum = &mut sums[c as usize * d..(c as usize + 1) * d];
            sum.iter_mut().zip(x.row(i)).for_each(|(s, &v)| *s += f64::from(v));
        }
        let present: Vec<u32> = (0..n_classes as u32).filter(|&c| sizes[c as usize] > 0.0).collect();
        let mean = |&c: &u32| {
            let c = c as usize;
            sums[c * d..(c + 1) * d].iter().map(|s| s / sizes[c]).collect::<Vec<f64>>()
        };
        Ok(Self { width: d, means: present.iter().flat_map(mean).collect(), present, n_classes })
    }

    /// Minus the squared Euclidean distance to every class's mean, `[row, n_classes]`; minus infinity for a class without
    /// rows.
    pub fn nearness(&self, x: &Matrix) -> Result<Vec<f64>> {
        self.check(x)?;
        self.scores(x, |row| {
            let distance = |mean: &[f64]| -> f64 {
                mean.iter().zip(row).map(|(m, &v)| (f64::from(v) - m).powi(2)).sum()
            };
            self.means.chunks_exact(self.width.max(1)).map(|m| -distance(m)).collect()
        })
    }

    /// Coefficients of every row as a least-squares mixture of the class means ([`ClassProjection`] on the means),
    /// `[row, n_classes]`; minus infinity for a class without rows.
    pub fn projection(&self, x: &Matrix) -> Result<Vec<f64>> {
        self.check(x)?;
        if self.width == 0 {
            return self.scores(x, |_| vec![0.0; self.present.len()]);
        }
        let basis: Vec<f32> = self.means.iter().map(|&m| m as f32).collect();
        let projection = ClassProjection::new(Matrix::new(self.present.len(), self.width, basis)?)?;
        let all = projection.scores_of(x)?;
        let mut rows = all.chunks_exact(self.present.len());
        self.scores(x, |_| rows.next().map_or_else(Vec::new, <[f64]>::to_vec))
    }

    fn check(&self, x: &Matrix) -> Result<()> {
        if x.cols() != self.width {
            return Err(Error::usage("the matrix has another width than the training rows")
                .expected(self.width.to_string())
                .found(x.cols().to_string()));
        }
        check_finite_matrix(x, "values to classify")
    }

    fn scores(&self, x: &Matrix, mut of_row: impl FnMut(&[f32]) -> Vec<f64>) -> Result<Vec<f64>> {
        let mut out = vec![f64::NEG_INFINITY; x.rows() * self.n_classes];
        for (i, out) in out.chunks_exact_mut(self.n_classes).enumerate() {
            self.present.iter().zip(of_row(x.row(i))).for_each(|(&c, s)| out[c as usize] = s);
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use std::f32::consts::FRAC_1_SQRT_2;

    use super::*;

    /// Golden g1-g3 of the parameter-free study: the basis and the least-squares scores of one rank-normalised cell.
    #[test]
    fn projection_of_the_worked_example() {
        let basis = [FRAC_1_SQRT_2, -FRAC_1_SQRT_2, 0.0, 0.0, -0.677_095, 0.677_095, -0.203_821, 0.203_821];
        let basis = Matrix::new(2, 4, basis.to_vec()).unwrap();
        let means = ClassMeans::new(&basis, &[0, 2], 3).unwrap();
        let cell = Matrix::new(1, 4, vec![-0.456_000, -0.456_000, 0.220_302, 0.731_844]).unwrap();
        let scores = means.projection(&cell).unwrap();
        assert!((scores[0] - 1.201_620).abs() < 2e-4 && (scores[2] - 1.254_882).abs() < 2e-4, "{scores:?}");
        assert_eq!(scores[1], f64::NEG_INFINITY);
    }

    #[test]
    fn means_project_onto_themselves_and_are_nearest_to_themselves() {
        let x = Matrix::new(4, 3, vec![1.0, 0.0, 2.0, 3.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 3.0, 1.0]).unwrap();
        let means = ClassMeans::new(&x, &[0, 0, 1, 1], 2).unwrap();
        let at = Matrix::new(2, 3, vec![2.0, 0.0, 1.0, 0.0, 2.0, 1.0]).unwrap();
        let p = means.projection(&at).unwrap();
        for (got, want) in p.iter().zip([1.0, 0.0, 0.0, 1.0]) {
            assert!((got - want).abs() < 1e-12, "{p:?}");
        }
        assert_eq!(means.nearness(&at).unwrap(), [0.0, -8.0, -8.0, 0.0]);
    }

    #[test]
    fn means_that_lie_on_one_line_are_no_trouble() {
        let x = Matrix::new(3, 1, vec![1.0, 2.0, 4.0]).unwrap();
        let means = ClassMeans::new(&x, &[0, 1, 2], 3).unwrap();
        assert!(means.projection(&x).unwrap().iter().all(|v| v.is_finite()));
        let none = Matrix::zeros(3, 0);
        assert!(
            ClassMeans::new(&none, &[0, 1, 2], 3)
                .unwrap()
                .projection(&none)
                .unwrap()
                .iter()
                .all(|v| *v == 0.0 || v.is_infinite())
        );
        assert!(ClassMeans::new(&x, &[0, 1], 3).is_err() && ClassMeans::new(&x, &[0, 1, 7], 3).is_err());
    }
}
