//! Variances of raw counts: standardised by a trend over the mean, or of Pearson residuals.

use crate::loess::loess;
use crate::residuals::{Margins, check_counts};
use crate::subset::by_gene;
use microtome_core::{Counts, Error, Result};
use rayon::prelude::*;

/// Share of the genes in one local fit of the trend.
const SPAN: f64 = 0.3;

fn at_least_two(n: usize) -> Result<()> {
    if n < 2 {
        return Err(Error::mismatch("variance needs cells")
            .expected("at least 2 cells")
            .found(n.to_string()));
    }
    Ok(())
}

/// Variance of counts over the variance expected at their mean, counts clipped at `sqrt(n)` expected standard
/// deviations above the mean (Stuart et al. 2019). One value per gene, 0 for a gene without variance.
///
/// Errors when there are fewer than 2 cells or a value is negative or not finite.
pub fn standardised_variance(counts: &Counts) -> Result<Vec<f64>> {
    check_counts(counts)?;
    at_least_two(counts.n_cells())?;
    let n = counts.n_cells() as f64;
    let n_genes = counts.n_genes();
    let (mut sum, mut squares) = (vec![0.0f64; n_genes], vec![0.0f64; n_genes]);
    for (&g, &v) in counts.indices().iter().zip(counts.values()) {
        sum[g as usize] += f64::from(v);
        squares[g as usize] += f64::from(v) * f64::from(v);
    }
    let mean: Vec<f64> = sum.iter().map(|s| s / n).collect();
    let variance: Vec<f64> =
        mean.iter().zip(&squares).map(|(m, s)| ((s / n - m * m) * (n / (n - 1.0))).max(0.0)).collect();
    let varying: Vec<usize> = (0..n_genes).filter(|&g| variance[g] > 0.0 && mean[g] > 0.0).collect();
    let log = |v: &[f64]| -> Vec<f64> { varying.iter().map(|&g| v[g].log10()).collect() };
    let fitted = loess(&log(&mean), &log(&variance), SPAN)?;
    let mut deviation = vec![1.0; n_genes];
    varying.iter().zip(&fitted).for_each(|(&g, f)| deviation[g] = 10f64.powf(*f).sqrt());
    let (mut clipped, mut clipped_squares) = (vec![0.0f64; n_genes], vec![0.0f64; n_genes]);
    for (&g, &v) in counts.indices().iter().zip(counts.values()) {
        let g = g as usize;
        let v = f64::from(v).min(deviation[g] * n.sqrt() + mean[g]);
        clipped[g] += v;
        clipped_squares[g] += v * v;
    }
    let mut out = vec![0.0; n_genes];
    for &g in &varying {
        let about_mean = n * mean[g] * mean[g] + clipped_squares[g] - 2.0 * clipped[g] * mean[g];
        out[g] = about_mean / ((n - 1.0) * deviation[g] * deviation[g]);
    }
    Ok(out)
}

/// Population variance of the analytic Pearson residuals of every gene, clipped at `-clip..clip`; 0 for a gene
/// without counts.
///
/// Errors when there are fewer than 2 cells or a value is negative or not finite.
pub fn residual_variance(counts: &Counts, theta: f64, clip: f64) -> Result<Vec<f64>> {
    check_counts(counts)?;
    at_least_two(counts.n_cells())?;
    let margins = Margins::of(counts);
    let genes = by_gene(counts);
    let n = counts.n_cells();
    Ok((0..counts.n_genes())
        .into_par_iter()
        .map(|g| {
            if margins.genes[g] == 0.0 {
                return 0.0;
            }
            let (cells, values) = genes.row(g);
            let mut x = vec![0.0; n];
            cells.iter().zip(values).for_each(|(&c, &v)| x[c as usize] = f64::from(v));
            let residual = |c: usize| margins.residual(x[c], c, g, theta).clamp(-clip, clip);
            let mean = (0..n).map(residual).sum::<f64>() / n as f64;
            (0..n).map(|c| (residual(c) - mean).powi(2)).sum::<f64>() / n as f64
        })
        .collect())
}
