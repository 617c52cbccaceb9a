//! What a representation holds beyond sequencing depth and the main directions of expression.

use microtome_core::{Error, Matrix, Result, Role};
use microtome_numerics::{Ridge, RidgeOptions};

use crate::{Representation, controls};

/// Why a representation has no score beyond covariates.
pub(crate) const JUDGED_BEYOND: &str = "it is what the others are judged beyond";
/// Penalty on standardised covariates: least squares that stays defined where covariates hold the same.
const PENALTY: f64 = 1e-6;
/// What is left of a column counts as rounding up to this share of it (root mean square).
const ROUNDING: f64 = 1e-5;
/// Columns that are explained at once, which bounds memory.
const BLOCK: usize = 512;

/// The baseline with this id, if it is among the representations.
pub(crate) fn baseline(representations: &[Representation], id: &str) -> Option<usize> {
    let is = |r: &Representation| {
        r.role == Role::Baseline && controls::of_model(&r.model).is_some_and(|c| c.id == id)
    };
    representations.iter().position(is)
}

/// Total counts, detected genes and principal components of expression, as far as they are among the baselines.
pub(crate) struct Covariates {
    /// One row per scored cell.
    matrix: Matrix,
    /// The baselines they are.
    baselines: Vec<usize>,
}

impl Covariates {
    /// Of these rows of the representations.
    ///
    /// # Errors
    /// Says which baselines are wanted where there is none of them.
    pub(crate) fn new(representations: &[Representation], rows: &[usize]) -> Result<Self, String> {
        let baselines: Vec<usize> = ["total_counts", "detected_genes", "pca"]
            .iter()
            .filter_map(|id| baseline(representations, id))
            .filter(|&r| representations[r].defect().is_none())
            .collect();
        let width = baselines.iter().map(|&r| representations[r].matrix.cols()).sum();
        if width == 0 {
            return Err("no baseline of depth or expression to look beyond".into());
        }
        let mut matrix = Matrix::zeros(rows.len(), width);
        for (to, &from) in rows.iter().enumerate() {
            let values = baselines.iter().flat_map(|&r| representations[r].matrix.row(from));
            matrix.row_mut(to).iter_mut().zip(values).for_each(|(m, &v)| *m = v);
        }
        Ok(Self { matrix, baselines })
    }

    /// The covariates of the scored cells, for a representation that is none of them.
    pub(crate) fn of(&self, representation: usize) -> Result<&Matrix, String> {
        if self.baselines.contains(&representation) { Err(JUDGED_BEYOND.into()) } else { Ok(&self.matrix) }
    }
}

/// Least-squares explanation of every column of a representation by covariates, learnt from some cells.
pub(crate) struct Explained {
    /// One per block of columns.
    fits: Vec<Ridge>,
    /// Columns of which nothing but rounding is left.
    wholly: Vec<bool>,
}

impl Explained {
    /// Learns from `x` and the covariates of the same cells. Errors as [`Ridge::fit`], when there are fewer than two cells per
    /// covariate, which then explain by chance, and when nothing of `x` is left.
    pub(crate) fn fit(x: &Matrix, covariates: &Matrix) -> Result<Self> {
        if x.rows() < 2 * covariates.cols() {
            return Err(Error::mismatch("too few cells to look beyond depth and expression")
                .expected(format!("two cells for each of {} covariates", covariates.cols()))
                .found(format!("{} cells to learn from", x.rows())));
        }
        let options = RidgeOptions { alphas: vec![PENALTY], standardise: true };
        let fit = |first: usize| {
            let last = (first + BLOCK).min(x.cols());
            let y: Vec<f64> =
                (0..x.rows()).flat_map(|i| x.row(i)[first..last].iter().map(|&v| f64::from(v))).collect();
            Ridge::fit(covariates, &y, last - first, None, &options)
        };
        let fits = (0..x.cols()).step_by(BLOCK).map(fit).collect::<Result<_>>()?;
        let mut out = Self { fits, wholly: vec![false; x.cols()] };
        let (before, after) = (squares(x), squares(&out.remainder(x, covariates)?));
        out.wholly = before.iter().zip(&after).map(|(b, a)| *a <= ROUNDING * ROUNDING * b).collect();
        if out.wholly.iter().all(|w| *w) {
            return Err(Error::mismatch("nothing is left of it: depth and expression explain all"));
        }
        Ok(out)
    }

    /// What is left of `x`, whose rows have these covariates. Errors as [`Ridge::predict`].
    pub(crate) fn remainder(&self, x: &Matrix, covariates: &Matrix) -> Result<Matrix> {
        let mut out = x.clone();
        for (block, ridge) in self.fits.iter().enumerate() {
            let first = block * BLOCK;
            let width = BLOCK.min(x.cols() - first);
            let explained = ridge.predict(covariates, 0)?;
            for (i, row) in explained.chunks_exact(width).enumerate() {
                let own = out.row_mut(i)[first..first + width].iter_mut();
                for ((v, e), wholly) in own.zip(row).zip(&self.wholly[first..]) {
                    *v = if *wholly { 0.0 } else { (f64::from(*v) - e) as f32 };
                }
            }
        }
        Ok(out)
    }
}

/// Sum of squares of every column.
fn squares(x: &Matrix) -> Vec<f64> {
    let mut out = vec![0.0; x.cols()];
    (0..x.rows()).for_each(|i| out.iter_mut().zip(x.row(i)).for_each(|(s, &v)| *s += f64::from(v).powi(2)));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use microtome_numerics::resample::Rng;

    #[test]
    fn what_covariates_explain_is_gone_on_other_cells_too_and_the_rest_stays() {
        let mut rng = Rng::new(2);
        let mut draw = |n: usize| {
            let (mut c, mut x, mut rest) = (Matrix::zeros(n, 3), Matrix::zeros(n, 700), vec![]);
            for i in 0..n {
                // The third covariate is the second once more.
                let (a, b) = (rng.normal() as f32, rng.normal() as f32);
                c.row_mut(i).copy_from_slice(&[a, b, b]);
                let own = rng.normal() as f32;
                rest.push(own);
                x.row_mut(i).iter_mut().enumerate().for_each(|(j, v)| {
                    *v = 2.0 * a - b * j as f32 / 100.0 + 5.0 + if j == 600 { own } else { 0.0 };
                });
            }
            (c, x, rest)
        };
        let (c, x, _) = draw(300);
        let fit = Explained::fit(&x, &c).unwrap();
        assert!(Explained::fit(&c, &c).err().unwrap().to_string().contains("nothing is left"));
        assert!(Explained::fit(&x.select_rows(&[0, 1]), &c.select_rows(&[0, 1])).is_err());
        let (c, x, rest) = draw(50);
        let left = fit.remainder(&x, &c).unwrap();
        for (i, rest) in rest.iter().enumerate() {
            assert_eq!((left.row(i)[0], left.row(i)[599]), (0.0, 0.0), "rounding does not count");
            assert!((left.row(i)[600] - rest).abs() < 0.5, "{} {rest}", left.row(i)[600]);
        }
    }

    #[test]
    fn covariates_are_the_baselines_that_are_there() {
        let simple = |name: &str, width: usize| {
            let x = Matrix::new(4, width, (0..4 * width).map(|v| v as f32).collect()).unwrap();
            Representation::simple(name, Role::Baseline, x)
        };
        let all = [simple("pca_seurat_v3_2_hvg_9", 2), simple("total_counts", 1), simple("pca_2_hvg_9", 2)];
        let c = Covariates::new(&all, &[3, 0]).unwrap();
        assert_eq!(c.of(0).unwrap().data(), [3.0, 6.0, 7.0, 0.0, 0.0, 1.0]);
        assert!(c.of(1).is_err() && c.of(2).is_err());
        assert!(Covariates::new(&all[..1], &[0]).is_err());
    }
}
