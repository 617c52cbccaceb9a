//! Group means given dispersions, and contrasts between groups.

use super::{Design, PseudobulkFit};
use crate::resample::{benjamini_hochberg, normal_cdf};
use microtome_core::{Error, Result};
use rayon::prelude::*;

/// Penalty on coefficients, as published.
const RIDGE: f64 = 1e-6;
/// Means below this do not weaken the weight of a sample further while fitting.
const LEAST_MEAN: f64 = 0.5;

/// One gene between two groups.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// Log2 fold change.
    pub log2_fold: f64,
    /// Its standard error.
    pub se: f64,
    /// Wald statistic.
    pub z: f64,
    /// Two-sided p value.
    pub p: f64,
    /// Adjusted over genes (Benjamini and Hochberg 1995).
    pub q: f64,
}

/// All genes between two groups; `None` for a gene without counts.
pub type Contrast = Vec<Option<Change>>;

/// Log of the normalised mean and its information, `[group, gene]`, by reweighted least squares.
pub(super) fn fit(design: &Design<'_>, dispersions: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let genes = dispersions.len();
    let cells: Vec<Vec<(f64, f64)>> = (0..genes)
        .into_par_iter()
        .map(|g| {
            let y = design.column(g);
            design.members.iter().map(|m| group(&y, m, design.size, dispersions[g])).collect()
        })
        .collect();
    let pick = |f: fn(&(f64, f64)) -> f64| -> Vec<f64> {
        (0..design.members.len()).flat_map(|k| cells.iter().map(move |c| f(&c[k]))).collect()
    };
    (pick(|c| c.0), pick(|c| c.1))
}

fn group(y: &[f64], members: &[usize], size: &[f64], alpha: f64) -> (f64, f64) {
    if alpha.is_nan() {
        return (f64::NAN, f64::NAN);
    }
    let mean = members.iter().map(|&j| y[j] / size[j]).sum::<f64>() / members.len() as f64;
    let mut beta = mean.max(0.1).ln();
    for _ in 0..250 {
        let (mut weights, mut sum) = (0.0, 0.0);
        for &j in members {
            let mu = (size[j] * beta.exp()).max(LEAST_MEAN);
            let w = mu / (1.0 + alpha * mu);
            weights += w;
            sum += w * ((mu / size[j]).ln() + (y[j] - mu) / mu);
        }
        let next = sum / (weights + RIDGE);
        let moved = (next - beta).abs();
        beta = next;
        if moved < 1e-10 {
            break;
        }
    }
    let information = members.iter().map(|&j| size[j] * beta.exp()).map(|mu| mu / (1.0 + alpha * mu)).sum();
    (beta, information)
}

impl PseudobulkFit {
    /// Group `a` minus group `b`, gene by gene. Errors when a group does not exist.
    pub fn contrast(&self, a: usize, b: usize) -> Result<Contrast> {
        if a >= self.n_groups || b >= self.n_groups {
            return Err(Error::usage("no such group")
                .expected(format!("below {}", self.n_groups))
                .found(format!("{a} and {b}")));
        }
        let genes = self.means.len();
        let at = |group: usize, g: usize| group * genes + g;
        let mut out: Contrast = (0..genes)
            .map(|g| {
                let natural = self.log_means[at(a, g)] - self.log_means[at(b, g)];
                let variance = |k: usize| {
                    let i = self.information[at(k, g)];
                    i / ((i + RIDGE) * (i + RIDGE))
                };
                let se = (variance(a) + variance(b)).sqrt();
                let z = natural / se;
                z.is_finite().then(|| Change {
                    log2_fold: natural / std::f64::consts::LN_2,
                    se: se / std::f64::consts::LN_2,
                    z,
                    p: 2.0 * normal_cdf(-z.abs()),
                    q: 1.0,
                })
            })
            .collect();
        let known: Vec<usize> = (0..genes).filter(|&g| out[g].is_some()).collect();
        let p: Vec<f64> = known.iter().filter_map(|&g| out[g].map(|c| c.p)).collect();
        for (&g, q) in known.iter().zip(benjamini_hochberg(&p)?) {
            if let Some(change) = &mut out[g] {
                change.q = q;
            }
        }
        Ok(out)
    }
}
