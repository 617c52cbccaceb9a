//! Levels that make simulated cells look like those of a file: the same genes with their means, dispersions and depths.
//!
//! Programs, donors and batches spread expression before counts are drawn, and the dispersion of a file holds all of it.
//! So base expression is moved until the mean over the tree is that of the file, programs are weakened in genes that
//! vary less in the file than programs would make them, and only what is left is the dispersion of counts.

use microtome_core::{Error, Result};

use super::catalog::{self, Gene};
use super::levels::{Levels, MIN_DISPERSION, Moments, moments_over_tree};
use super::network::Network;
use super::options::SimulateOptions;
use super::statistics::{Description, Statistics};
use super::tree::Tree;

/// Fewest cells in which a gene has to be seen.
const MIN_CELLS: u64 = 3;
/// Most of a gene's dispersion in the file that programs may account for.
const PROGRAM_SHARE: f64 = 0.8;
/// Rounds of fitting; the changes of the last are below a thousandth.
const ROUNDS: usize = 8;
/// Points of the distribution of depth that are kept.
const DEPTH_POINTS: usize = 201;

/// What is taken from a file.
#[derive(Clone, Debug)]
pub struct Calibration {
    /// Ensembl id (empty where there is none) and symbol per gene, in the order of the file.
    names: Vec<(String, String)>,
    /// Expected share of counts per gene.
    share: Vec<f64>,
    dispersion: Vec<f64>,
    /// Evenly spaced quantiles of total counts per cell.
    depths: Vec<f64>,
    /// Positions of the genes among those of the file.
    pub(super) kept: Vec<usize>,
    /// Name of the file, for the truth.
    source: String,
    n_cells: usize,
}

impl Calibration {
    /// Of counts of a file whose genes are called `names` (Ensembl id, symbol); `most` keeps only as many genes, those of
    /// highest mean. Genes that fewer than three cells show are left out.
    ///
    /// # Errors
    /// When there are no counts, or no genes are left.
    pub fn new(
        statistics: &Statistics,
        names: &[(String, String)],
        most: Option<usize>,
        source: &str,
    ) -> Result<Self> {
        let described = statistics.describe()?;
        let mut kept: Vec<usize> =
            (0..names.len()).filter(|&g| statistics.detected()[g] >= MIN_CELLS).collect();
        if let Some(most) = most {
            kept.sort_by(|&a, &b| described.mean[b].total_cmp(&described.mean[a]));
            kept.truncate(most);
            kept.sort_unstable();
        }
        if kept.is_empty() {
            return Err(Error::mismatch("no gene is seen in three cells of the file")
                .remedy("calibrate on a file with more cells"));
        }
        let dispersion = described.smooth_dispersion();
        let total: f64 = kept.iter().map(|&g| described.share[g]).sum();
        let depth = |k: usize| described.depth_quantile(k as f64 / (DEPTH_POINTS - 1) as f64) * total;
        Ok(Self {
            names: kept.iter().map(|&g| names[g].clone()).collect(),
            share: kept.iter().map(|&g| described.share[g] / total).collect(),
            dispersion: kept.iter().map(|&g| dispersion[g]).collect(),
            depths: (0..DEPTH_POINTS).map(depth).collect(),
            kept,
            source: source.into(),
            n_cells: described.n_cells,
        })
    }

    /// The genes that are simulated, by position among those of the file.
    pub fn genes(&self) -> &[usize] {
        &self.kept
    }

    /// What the real cells look like, reduced to the genes that are simulated.
    pub fn reduced(&self, described: &Description) -> Description {
        let of = |v: &[f64]| self.kept.iter().map(|&g| v[g]).collect();
        Description {
            n_cells: described.n_cells,
            share: of(&described.share),
            mean: of(&described.mean),
            variance: of(&described.variance),
            dispersion: of(&described.dispersion),
            zeros: of(&described.zeros),
            depths: described.depths.clone(),
        }
    }

    pub(super) fn panel(&self, n_programs: usize) -> Result<Vec<Gene>> {
        catalog::of_file(&self.names, n_programs)
    }

    /// Total counts of a cell whose place in the distribution is the standard normal number `z`.
    pub(super) fn depth(&self, z: f64) -> f64 {
        let p = 0.5 * libm::erfc(-z / std::f64::consts::SQRT_2);
        let place = p * (DEPTH_POINTS - 1) as f64;
        let low = (place as usize).min(DEPTH_POINTS - 2);
        self.depths[low] + (self.depths[low + 1] - self.depths[low]) * (place - low as f64)
    }

    /// For the truth: where the numbers come from.
    pub(super) fn truth(&self) -> serde_json::Value {
        serde_json::json!({
            "file": self.source, "n_cells": self.n_cells, "n_genes": self.names.len(),
            "depth_quantiles": self.depths,
        })
    }

    /// Moves base expression, weights and dispersions until the cells of the tree are like those of the file.
    pub(super) fn fit(&self, o: &SimulateOptions, tree: &Tree, network: &mut Network, levels: &mut Levels) {
        let effects = libm::exp(o.batch_effect * o.batch_effect + o.donor_effect * o.donor_effect);
        levels.base = self.share.iter().map(|s| libm::log(*s)).collect();
        // (1 + own dispersion) is a product of 1 + squared coefficients of variation: of programs, nuisances, counts.
        let allowed: Vec<f64> = self.dispersion.iter().map(|d| PROGRAM_SHARE * d).collect();
        let mut moments = moments_over_tree(tree, network, &levels.base);
        for _ in 0..ROUNDS {
            for (g, allowed) in allowed.iter().enumerate() {
                let spread = moments.spread[g] + noise(o, network, g);
                if spread > *allowed {
                    network.weaken(g, libm::sqrt(allowed / spread));
                }
                levels.base[g] += libm::log(self.share[g] / moments.share(g).max(f64::MIN_POSITIVE));
            }
            moments = moments_over_tree(tree, network, &levels.base);
        }
        levels.dispersion =
            (0..self.share.len()).map(|g| self.left_over(o, network, &moments, effects, g)).collect();
        let median = self.depth(0.0);
        levels.mean = (0..self.share.len()).map(|g| moments.share(g) * median).collect();
    }

    fn left_over(&self, o: &SimulateOptions, network: &Network, m: &Moments, effects: f64, g: usize) -> f64 {
        let explained = (1.0 + m.spread[g]) * (1.0 + noise(o, network, g)) * effects;
        ((1.0 + self.dispersion[g]) / explained - 1.0).max(MIN_DISPERSION)
    }
}

/// Squared coefficient of variation that the noise of regulators brings to a gene.
fn noise(o: &SimulateOptions, network: &Network, gene: usize) -> f64 {
    let weights: f64 = match network.regulator_of[gene] {
        Some(r) => network.regulators[r].own_weight * network.regulators[r].own_weight,
        None => network.edges[gene].iter().map(|e| e.weight * e.weight).sum(),
    };
    libm::exp(weights * o.regulator_noise * o.regulator_noise) - 1.0
}
