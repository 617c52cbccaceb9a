//! Differential expression of pseudobulks: a negative binomial model with shrunken dispersions (Love, Huber and Anders
//! 2014, Genome Biol. 15:550), one factor.
//!
//! Counts of sample `j` and gene `i` have mean `s_j q_ig` and variance `mu + a_i mu^2`. Size factors `s` are medians of
//! ratios; dispersions `a` are fitted gene by gene, drawn towards a trend over the mean, and used to fit one mean per
//! group. All groups share the dispersions, so a screen of many perturbations is fitted once and contrasted cheaply.
//!
//! Differences from DESeq2 and pydeseq2 0.5.4: outliers are not replaced (Cook's distance), p values are not filtered by
//! mean, and the dispersion likelihood is maximised on a grid that is then refined, not from one start.

mod dispersion;
mod groups;
mod size_factors;
mod trend;

pub use groups::{Change, Contrast};
pub use size_factors::median_of_ratios;

use crate::dense::check_finite_matrix;
use microtome_core::{Error, Matrix, Result};
use rayon::prelude::*;

/// Least dispersion; also the value of genes that vary less than Poisson.
pub(super) const LEAST: f64 = 1e-8;

/// A fitted screen.
#[derive(Clone, Debug)]
pub struct PseudobulkFit {
    /// Per sample.
    pub size_factors: Vec<f64>,
    /// Mean of the normalised counts per gene.
    pub means: Vec<f64>,
    /// Dispersion fitted to each gene alone; NaN for a gene without counts.
    pub genewise: Vec<f64>,
    /// Value of the trend at the gene's mean.
    pub trend: Vec<f64>,
    /// Dispersion that is used: the posterior mode, or the gene's own where it lies far above the trend.
    pub dispersions: Vec<f64>,
    /// Whether the trend is `a1 / mean + a0`; otherwise it is the mean of all dispersions, because that curve did not
    /// fit.
    pub parametric_trend: bool,
    n_groups: usize,
    /// Log of the normalised group mean and its information, `[group, gene]`.
    log_means: Vec<f64>,
    information: Vec<f64>,
}

/// Samples of one group by gene.
pub(super) struct Design<'a> {
    pub(super) counts: &'a Matrix,
    pub(super) size: &'a [f64],
    /// Samples of every group.
    pub(super) members: Vec<Vec<usize>>,
}

impl Design<'_> {
    pub(super) fn column(&self, gene: usize) -> Vec<f64> {
        (0..self.counts.rows()).map(|j| f64::from(self.counts.row(j)[gene])).collect()
    }

    /// Fitted mean of every sample from the group means of normalised counts, at least half a count.
    pub(super) fn fitted(&self, y: &[f64]) -> Vec<f64> {
        let mut mu = vec![0.0; y.len()];
        for members in &self.members {
            let mean = members.iter().map(|&j| y[j] / self.size[j]).sum::<f64>() / members.len() as f64;
            members.iter().for_each(|&j| mu[j] = (mean * self.size[j]).max(0.5));
        }
        mu
    }
}

/// Fits `counts [sample, gene]` of `groups` (one code per sample, below `n_groups`, each with at least one sample).
///
/// Errors when counts are not whole numbers of 0 or more, no group has two samples (nothing then shows how samples
/// vary), a group is empty, or no gene is expressed in a way that size factors exist.
pub fn fit_pseudobulk(counts: &Matrix, groups: &[u32], n_groups: usize) -> Result<PseudobulkFit> {
    check_finite_matrix(counts, "pseudobulk counts")?;
    if let Some(bad) = counts.data().iter().find(|v| **v < 0.0 || v.fract() != 0.0) {
        return Err(Error::mismatch("pseudobulks need raw counts")
            .expected("whole numbers of 0 or more")
            .found(bad.to_string()));
    }
    let mut members = vec![vec![]; n_groups];
    for (j, &g) in groups.iter().enumerate() {
        members
            .get_mut(g as usize)
            .ok_or_else(|| {
                Error::usage("group code out of range")
                    .expected(format!("below {n_groups}"))
                    .found(g.to_string())
            })?
            .push(j);
    }
    let n = counts.rows();
    if groups.len() != n || members.iter().any(Vec::is_empty) || n <= n_groups {
        return Err(Error::mismatch("these pseudobulks cannot be compared")
            .expected("one group per sample, no empty group, at least one group of two samples")
            .found(format!("{n} samples, {} codes, {n_groups} groups", groups.len()))
            .remedy("give more replicates (donor, guide, lane) per group"));
    }
    let size = median_of_ratios(counts)?;
    let design = Design { counts, size: &size, members };
    let means = normalised_means(counts, &size);
    let most = (n as f64).max(10.0);
    let genewise: Vec<f64> = (0..counts.cols())
        .into_par_iter()
        .map(|g| if means[g] > 0.0 { dispersion::own(&design, g, most) } else { f64::NAN })
        .collect();
    let (trend, parametric_trend) = trend::fit(&means, &genewise)?;
    let prior = trend::prior(&genewise, &trend, n - n_groups);
    let dispersions: Vec<f64> = (0..counts.cols())
        .into_par_iter()
        .map(|g| {
            let far = genewise[g].ln() > trend[g].ln() + 2.0 * prior.residual_sd;
            match means[g] > 0.0 {
                false => f64::NAN,
                true if far => genewise[g],
                true => dispersion::shrunken(&design, g, most, trend[g], prior.variance),
            }
        })
        .collect();
    let (log_means, information) = groups::fit(&design, &dispersions);
    Ok(PseudobulkFit {
        size_factors: size,
        means,
        genewise,
        trend,
        dispersions,
        parametric_trend,
        n_groups,
        log_means,
        information,
    })
}

fn normalised_means(counts: &Matrix, size: &[f64]) -> Vec<f64> {
    let mut out = vec![0.0; counts.cols()];
    for (j, s) in size.iter().enumerate() {
        out.iter_mut().zip(counts.row(j)).for_each(|(o, &v)| *o += f64::from(v) / s);
    }
    out.iter_mut().for_each(|o| *o /= size.len() as f64);
    out
}
