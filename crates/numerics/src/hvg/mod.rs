//! Highly variable genes: the five rules of scanpy 1.11.5, over all cells or batch by batch.

mod dispersion;
mod ranked;
mod variance;

pub use dispersion::normalised_dispersion;
pub use variance::{residual_variance, standardised_variance};

use crate::subset::{select_expressed, split_cells};
use microtome_core::{Counts, Error, Result};
use std::fmt;
use std::str::FromStr;

/// Which published rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flavour {
    /// Dispersion of un-logged values, z-scored in 20 equal-width bins of log mean (Satija et al. 2015; scanpy
    /// `flavor="seurat"`). Takes log1p data.
    #[default]
    Seurat,
    /// Dispersion of the values as they are, scaled by median and MAD within percentile bins of the mean (Zheng et
    /// al. 2017; scanpy `flavor="cell_ranger"`). Takes log1p data.
    CellRanger,
    /// Variance of counts standardised by a loess trend over the mean and clipped (Stuart et al. 2019; scanpy
    /// `flavor="seurat_v3"`). Takes raw counts. With batches: smallest median rank first.
    SeuratV3,
    /// The same with batches ordered as the paper says: genes that vary in most batches first (scanpy
    /// `flavor="seurat_v3_paper"`). Without batches it equals [`Flavour::SeuratV3`].
    SeuratV3Paper,
    /// Variance of clipped analytic Pearson residuals, theta 100 (Lause et al. 2021; scanpy
    /// `experimental.pp.highly_variable_genes`). Takes raw counts.
    PearsonResiduals,
}

/// The rules that bin by mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dispersion {
    /// [`Flavour::Seurat`].
    Seurat,
    /// [`Flavour::CellRanger`].
    CellRanger,
}

const WORDS: [(&str, Flavour); 5] = [
    ("seurat", Flavour::Seurat),
    ("cell_ranger", Flavour::CellRanger),
    ("seurat_v3", Flavour::SeuratV3),
    ("seurat_v3_paper", Flavour::SeuratV3Paper),
    ("pearson_residuals", Flavour::PearsonResiduals),
];

impl Flavour {
    /// Whether the rule takes raw counts rather than log-normalised values.
    pub fn takes_counts(self) -> bool {
        matches!(self, Self::SeuratV3 | Self::SeuratV3Paper | Self::PearsonResiduals)
    }
}

impl fmt::Display for Flavour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        WORDS.iter().filter(|(_, flavour)| flavour == self).try_for_each(|(word, _)| f.write_str(word))
    }
}

impl FromStr for Flavour {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        WORDS.iter().find(|(word, _)| *word == s).map(|w| w.1).ok_or_else(|| {
            Error::usage("unknown flavour of highly variable genes")
                .expected(format!("one of: {}", WORDS.map(|w| w.0).join(", ")))
                .found(format!("\"{s}\""))
        })
    }
}

/// [`highly_variable_by`] with scanpy's default rule, `seurat`.
pub fn highly_variable(log_normalised: &Counts, n_top: usize) -> Result<Vec<usize>> {
    highly_variable_by(log_normalised, n_top, Flavour::Seurat)
}

/// The most variable genes, ascending by gene, as scanpy 1.11.5 with `n_top_genes`.
///
/// `x` holds log-normalised values or raw counts, as [`Flavour::takes_counts`] says. With the two rules on dispersion
/// ties can make it more than `n_top`; genes of no variance never qualify there, so it can be fewer.
///
/// Errors when there are fewer than 2 cells, `n_top` is 0, a value is negative or not finite, or no gene varies.
pub fn highly_variable_by(x: &Counts, n_top: usize, flavour: Flavour) -> Result<Vec<usize>> {
    let found = match flavour {
        Flavour::Seurat => at_least_nth(&normalised_dispersion(x, Dispersion::Seurat)?, n_top),
        Flavour::CellRanger => at_least_nth(&normalised_dispersion(x, Dispersion::CellRanger)?, n_top),
        Flavour::SeuratV3 | Flavour::SeuratV3Paper | Flavour::PearsonResiduals => {
            let clip = (x.n_cells() as f64).sqrt();
            ranked::choose(&[counts_variance(x, flavour, clip)?], n_top, flavour)
        }
    };
    any(found, n_top)
}

/// The same chosen batch by batch and combined, as scanpy 1.11.5 with `batch_key`; `batches` holds one code per cell.
///
/// As in scanpy, residuals of every batch are clipped at the root of the number of cells of the *first* batch.
///
/// Errors as [`highly_variable_by`] in any batch, or when lengths differ.
pub fn highly_variable_in_batches(
    x: &Counts,
    n_top: usize,
    flavour: Flavour,
    batches: &[u32],
) -> Result<Vec<usize>> {
    let parts = split_cells(x, batches)?;
    let found = match flavour {
        Flavour::Seurat | Flavour::CellRanger => {
            let rule = if flavour == Flavour::Seurat { Dispersion::Seurat } else { Dispersion::CellRanger };
            let mut per_batch = Vec::with_capacity(parts.len());
            for part in &parts {
                let (expressed, genes) = select_expressed(part)?;
                let scores = normalised_dispersion(&expressed, rule)?;
                let chosen = at_least_nth(&scores, n_top);
                per_batch.push(ranked::BatchScores { genes, scores, chosen });
            }
            ranked::by_batches_then_dispersion(&per_batch, x.n_genes(), n_top)
        }
        _ => {
            let clip = parts.first().map_or(0.0, |p| (p.n_cells() as f64).sqrt());
            let variances =
                parts.iter().map(|p| counts_variance(p, flavour, clip)).collect::<Result<Vec<_>>>()?;
            ranked::choose(&variances, n_top, flavour)
        }
    };
    any(found, n_top)
}

fn counts_variance(x: &Counts, flavour: Flavour, clip: f64) -> Result<Vec<f64>> {
    match flavour {
        Flavour::PearsonResiduals => residual_variance(x, crate::residuals::THETA, clip),
        _ => standardised_variance(x),
    }
}

fn any(found: Vec<usize>, n_top: usize) -> Result<Vec<usize>> {
    if found.is_empty() {
        return Err(Error::mismatch("no highly variable genes")
            .expected("at least one gene that varies, and n_top of at least 1")
            .found(format!("no such gene, n_top = {n_top}")));
    }
    Ok(found)
}

/// Positions whose score reaches the `n_top`-th largest.
fn at_least_nth(scores: &[Option<f64>], n_top: usize) -> Vec<usize> {
    let mut sorted: Vec<f64> = scores.iter().flatten().copied().collect();
    if n_top == 0 || sorted.is_empty() {
        return vec![];
    }
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    let cut = sorted[n_top.min(sorted.len()) - 1];
    scores.iter().enumerate().filter(|(_, s)| s.is_some_and(|s| s >= cut)).map(|(g, _)| g).collect()
}
