//! Analytic Pearson residuals of a negative binomial null model (Lause, Berens and Kobak 2021, Genome Biol. 22:258).

use microtome_core::{Counts, Error, Matrix, Result};
use rayon::prelude::*;

/// Overdispersion of the published recipe.
pub const THETA: f64 = 100.0;

/// Totals of cells and genes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Margins {
    pub(crate) cells: Vec<f64>,
    pub(crate) genes: Vec<f64>,
    total: f64,
}

impl Margins {
    pub(crate) fn of(counts: &Counts) -> Self {
        let cells = crate::normalise::totals(counts);
        let mut genes = vec![0.0; counts.n_genes()];
        for (&g, &v) in counts.indices().iter().zip(counts.values()) {
            genes[g as usize] += f64::from(v);
        }
        let total = cells.iter().sum();
        Self { cells, genes, total }
    }

    /// `(x - mu) / sqrt(mu + mu^2 / theta)` with `mu = cell total * gene total / total`; 0 where nothing is expected.
    pub(crate) fn residual(&self, x: f64, cell: usize, gene: usize, theta: f64) -> f64 {
        let mu = self.cells[cell] * self.genes[gene] / self.total;
        if mu > 0.0 { (x - mu) / (mu + mu * mu / theta).sqrt() } else { 0.0 }
    }
}

/// Errors unless all values are finite and not negative.
pub(crate) fn check_counts(counts: &Counts) -> Result<()> {
    let check = counts.check_raw();
    if check.n_negative > 0 || check.n_non_finite > 0 {
        return Err(Error::mismatch("this computation needs counts")
            .expected("finite values of at least 0")
            .found(format!("{} negative, {} not finite", check.n_negative, check.n_non_finite))
            .remedy("name the slot that holds raw counts"));
    }
    Ok(())
}

/// Dense residuals `[cell, gene]`, clipped at `-clip..clip` (`None`: the square root of the number of cells). Zeros for
/// empty cells and for genes without counts, where the published formula is 0/0. `theta` may be infinite (Poisson).
///
/// Errors on negative or non-finite values, or when `theta` or `clip` is not positive.
pub fn pearson_residuals(counts: &Counts, theta: f64, clip: Option<f64>) -> Result<Matrix> {
    check_counts(counts)?;
    let clip = clip.unwrap_or_else(|| (counts.n_cells() as f64).sqrt());
    // NaN fails both.
    if !(theta > 0.0 && clip > 0.0) {
        return Err(Error::usage("Pearson residuals need a positive overdispersion and clip")
            .expected("theta > 0 and clip > 0")
            .found(format!("theta = {theta}, clip = {clip}")));
    }
    let margins = Margins::of(counts);
    let mut out = Matrix::zeros(counts.n_cells(), counts.n_genes());
    let width = counts.n_genes().max(1);
    out.data_mut().par_chunks_exact_mut(width).enumerate().for_each(|(cell, row)| {
        let mut x = vec![0.0; width];
        let (genes, values) = counts.row(cell);
        genes.iter().zip(values).for_each(|(&g, &v)| x[g as usize] = f64::from(v));
        for (g, out) in row.iter_mut().enumerate() {
            *out = margins.residual(x[g], cell, g, theta).clamp(-clip, clip) as f32;
        }
    });
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_g4() {
        let counts =
            Counts::new(3, vec![0, 2, 4, 6], vec![0, 2, 0, 1, 1, 2], vec![1.0, 2.0, 3.0, 4.0, 1.0, 1.0])
                .unwrap();
        let r = pearson_residuals(&counts, 100.0, None).unwrap();
        let want = [0.0, -1.111111, 1.437993, 0.431431, 0.625282, -1.311450, -0.813788, 0.181818, 0.705346];
        for (a, b) in r.data().iter().zip(want) {
            assert!((f64::from(*a) - b).abs() < 1e-6, "{a} {b}");
        }
        let clipped = pearson_residuals(&counts, 100.0, Some(1.0)).unwrap();
        assert_eq!((clipped.row(0)[1], clipped.row(0)[2]), (-1.0, 1.0));
    }

    #[test]
    fn empty_cells_and_genes_are_zero() {
        let counts = Counts::new(2, vec![0, 1, 1], vec![0], vec![4.0]).unwrap();
        let r = pearson_residuals(&counts, f64::INFINITY, None).unwrap();
        assert!(r.data().iter().all(|v| *v == 0.0), "{r:?}");
        assert!(pearson_residuals(&counts, 0.0, None).is_err());
        assert!(pearson_residuals(&counts, 1.0, Some(f64::NAN)).is_err());
    }
}
