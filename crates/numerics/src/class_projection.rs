//! Classification by projection on class means: the least-squares coefficients of a cell on one column per class.
//!
//! Yampolskaya et al. 2023 (scTOP) and Souza and Mehta 2026 (arXiv 2602.16696), usable on any representation.

use crate::dense::{View, check_finite, check_finite_matrix, gram_of_rows, symmetric_eigen};
use crate::rank_normal::rank_normal;
use crate::residuals::check_counts;
use microtome_core::{Counts, Error, Matrix, Result};

/// Eigenvalues of the classes' Gram matrix below this share of the largest are taken for zero.
const SINGULAR: f64 = 1e-12;

/// Class columns and the inverse of their Gram matrix.
#[derive(Clone, Debug)]
pub struct ClassProjection {
    basis: Matrix,
    /// `(B B')^-1`, row-major, pseudo-inverse where classes are not independent.
    inverse: Vec<f64>,
    /// Ratio of the largest to the smallest eigenvalue of the Gram matrix; infinite where classes are not independent.
    /// Above about 1e8 the scores of similar classes are noise.
    pub condition: f64,
}

impl ClassProjection {
    /// From one row per class, `[class, feature]`. Errors when there is no class or a value is not finite.
    pub fn new(basis: Matrix) -> Result<Self> {
        check_finite_matrix(&basis, "class columns")?;
        let (k, d) = (basis.rows(), basis.cols());
        if k == 0 || d == 0 {
            return Err(Error::mismatch("a projection needs classes and features")
                .expected("at least one of each")
                .found(format!("{k} classes, {d} features")));
        }
        let wide: Vec<f64> = basis.data().iter().map(|&v| f64::from(v)).collect();
        let gram = gram_of_rows(View::new(&wide, k, d, d));
        let (values, vectors) = symmetric_eigen(&gram, k)?;
        let top = values[k - 1];
        let mut inverse = vec![0.0; k * k];
        for (j, &value) in values.iter().enumerate().filter(|(_, v)| **v > SINGULAR * top) {
            for a in 0..k {
                (0..k).for_each(|b| inverse[a * k + b] += vectors[a * k + j] * vectors[b * k + j] / value);
            }
        }
        let least = values[0];
        let condition = if least > SINGULAR * top { top / least } else { f64::INFINITY };
        Ok(Self { basis, inverse, condition })
    }

    /// Class columns, `[class, feature]`.
    pub fn basis(&self) -> &Matrix {
        &self.basis
    }

    /// Scores from the products of cells with the class columns, `[cell, class]` in and out.
    ///
    /// Errors when the number of values is not a multiple of the classes or a value is not finite.
    pub fn scores(&self, products: &[f64]) -> Result<Vec<f64>> {
        let k = self.basis.rows();
        if !products.len().is_multiple_of(k) {
            return Err(Error::usage("products do not fill whole rows")
                .expected(format!("a multiple of {k}"))
                .found(products.len().to_string()));
        }
        check_finite(products.iter().copied(), "products with class columns")?;
        let row =
            |p: &[f64], a: usize| self.inverse[a * k..(a + 1) * k].iter().zip(p).map(|(i, p)| i * p).sum();
        Ok(products.chunks_exact(k).flat_map(|p| (0..k).map(move |a| row(p, a))).collect())
    }

    /// Scores of dense cells, `[cell, class]`. Errors when widths differ or a value is not finite.
    pub fn scores_of(&self, x: &Matrix) -> Result<Vec<f64>> {
        if x.cols() != self.basis.cols() {
            return Err(Error::usage("cells differ in width from the classes")
                .expected(self.basis.cols().to_string())
                .found(x.cols().to_string()));
        }
        let product = |i: usize, c: usize| -> f64 {
            x.row(i).iter().zip(self.basis.row(c)).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        let products: Vec<f64> = (0..x.rows())
            .flat_map(|i| (0..self.basis.rows()).map(move |c| (i, c)))
            .map(|(i, c)| product(i, c))
            .collect();
        self.scores(&products)
    }
}

/// One rank-normal column per class: the mean over its cells of their shares of counts, ranked. `[class, gene]`;
/// `codes` at or above `n_classes` take no part, classes without cells are rows of zeros.
///
/// Errors when lengths differ or on negative or non-finite values.
pub fn class_columns(counts: &Counts, codes: &[u32], n_classes: usize) -> Result<Matrix> {
    check_counts(counts)?;
    if codes.len() != counts.n_cells() {
        return Err(Error::usage("one class per cell is needed")
            .expected(counts.n_cells().to_string())
            .found(codes.len().to_string()));
    }
    let g = counts.n_genes();
    let mut sums = vec![0.0f64; n_classes * g];
    for (cell, &class) in codes.iter().enumerate().filter(|(_, c)| (**c as usize) < n_classes) {
        let total = counts.total(cell);
        let scale = if total > 0.0 { 1.0 / total } else { 1.0 };
        let row = &mut sums[class as usize * g..(class as usize + 1) * g];
        let (genes, values) = counts.row(cell);
        genes.iter().zip(values).for_each(|(&g, &v)| row[g as usize] += f64::from(v) * scale);
    }
    // A sum ranks as its mean does.
    let (mut indptr, mut indices, mut values) = (vec![0], vec![], vec![]);
    for row in sums.chunks(g.max(1)).take(n_classes) {
        for (gene, &v) in row.iter().enumerate().filter(|(_, v)| **v > 0.0) {
            indices.push(gene as u32);
            values.push(v as f32);
        }
        indptr.push(values.len());
    }
    Ok(rank_normal(&Counts::new(g, indptr, indices, values)?)?.dense())
}

#[cfg(test)]
mod tests {
    use std::f64::consts::FRAC_1_SQRT_2;

    use super::*;

    #[test]
    fn goldens_g2_and_g3() {
        // Means 5,0,1,1 and 0,4,1,2 as single cells; shares have the same ranks.
        let cells = Counts::new(4, vec![0, 3, 6], vec![0, 2, 3, 1, 2, 3], vec![5.0, 1.0, 1.0, 4.0, 1.0, 2.0])
            .unwrap();
        let basis = class_columns(&cells, &[0, 1], 2).unwrap();
        let want = [FRAC_1_SQRT_2, -FRAC_1_SQRT_2, 0.0, 0.0, -0.677095, 0.677095, -0.203821, 0.203821];
        for (a, b) in basis.data().iter().zip(want) {
            assert!((f64::from(*a) - b).abs() < 1e-6, "{basis:?}");
        }
        let query = rank_normal(&Counts::new(4, vec![0, 2], vec![2, 3], vec![1.0, 3.0]).unwrap()).unwrap();
        let projection = ClassProjection::new(basis).unwrap();
        let sparse = projection.scores(&query.products(projection.basis()).unwrap()).unwrap();
        let dense = projection.scores_of(&query.dense()).unwrap();
        for scores in [sparse, dense] {
            assert!((scores[0] - 1.201620).abs() < 1e-5 && (scores[1] - 1.254882).abs() < 1e-5, "{scores:?}");
        }
    }

    #[test]
    fn dependent_classes_are_said_to_be_so() {
        let p = ClassProjection::new(Matrix::new(2, 2, vec![1.0, 0.0, 2.0, 0.0]).unwrap()).unwrap();
        assert!(p.condition.is_infinite());
        assert!(p.scores(&[1.0, 2.0]).unwrap().iter().all(|s| s.is_finite()));
        assert!(ClassProjection::new(Matrix::zeros(0, 3)).is_err());
        assert!(p.scores(&[1.0]).is_err() && p.scores_of(&Matrix::zeros(1, 3)).is_err());
    }
}
