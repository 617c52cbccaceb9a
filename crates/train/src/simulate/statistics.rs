//! What counts look like: means, dispersions, zeros and depth, gathered in one pass over any number of cells.

use microtome_core::{Counts, Error, Result};

use super::levels::MIN_DISPERSION;

/// Sums over cells; [`Statistics::describe`] makes a [`Description`] of them.
#[derive(Clone, Debug, Default)]
pub struct Statistics {
    /// Of `count / total`.
    share: Vec<f64>,
    /// Of its square.
    share_squared: Vec<f64>,
    /// Cells in which a gene was seen.
    detected: Vec<u64>,
    /// Of `1 / total`.
    inverse: f64,
    /// Total of every cell that has counts: the only thing that grows with the cells, by four bytes each.
    depths: Vec<f32>,
}

/// What counts look like, gene by gene and over cells.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// Cells with counts.
    pub n_cells: usize,
    /// Share of all counts of a cell, mean over cells. One per gene, as the following.
    pub share: Vec<f64>,
    /// Mean count of cells brought to the mean depth.
    pub mean: Vec<f64>,
    /// Variance of the same.
    pub variance: Vec<f64>,
    /// `(variance - Poisson variance) / mean^2` by moments; NaN for a gene without counts.
    pub dispersion: Vec<f64>,
    /// Share of cells without a count of the gene.
    pub zeros: Vec<f64>,
    /// Total counts per cell, ascending.
    pub depths: Vec<f32>,
}

impl Statistics {
    /// For matrices with this many genes.
    pub fn new(n_genes: usize) -> Self {
        Self {
            share: vec![0.0; n_genes],
            share_squared: vec![0.0; n_genes],
            detected: vec![0; n_genes],
            ..Self::default()
        }
    }

    /// Adds cells `[cell, gene]`; cells without counts are left out.
    pub fn add(&mut self, counts: &Counts) {
        for cell in 0..counts.n_cells() {
            let total = counts.total(cell);
            if total <= 0.0 {
                continue;
            }
            let (genes, values) = counts.row(cell);
            for (&g, &v) in genes.iter().zip(values).filter(|(_, v)| **v > 0.0) {
                let share = f64::from(v) / total;
                self.share[g as usize] += share;
                self.share_squared[g as usize] += share * share;
                self.detected[g as usize] += 1;
            }
            self.inverse += 1.0 / total;
            self.depths.push(total as f32);
        }
    }

    /// Cells in which each gene was seen.
    pub fn detected(&self) -> &[u64] {
        &self.detected
    }

    /// What the cells look like.
    ///
    /// # Errors
    /// When no cell has counts.
    pub fn describe(&self) -> Result<Description> {
        let n_cells = self.depths.len();
        if n_cells == 0 {
            return Err(Error::unreadable("no cell has counts").expected("cells with raw counts"));
        }
        let n = n_cells as f64;
        let depth = self.depths.iter().map(|&d| f64::from(d)).sum::<f64>() / n;
        let share: Vec<f64> = self.share.iter().map(|s| s / n).collect();
        let of = |f: &dyn Fn(usize) -> f64| (0..share.len()).map(f).collect::<Vec<f64>>();
        let spread = of(&|g| (self.share_squared[g] / n - share[g] * share[g]).max(0.0));
        let poisson = self.inverse / n;
        let mut depths = self.depths.clone();
        depths.sort_by(f32::total_cmp);
        Ok(Description {
            n_cells,
            mean: of(&|g| share[g] * depth),
            variance: of(&|g| spread[g] * depth * depth),
            dispersion: of(&|g| (spread[g] - share[g] * poisson) / (share[g] * share[g])),
            zeros: of(&|g| 1.0 - self.detected[g] as f64 / n),
            share,
            depths,
        })
    }
}

impl Description {
    /// The total counts below which a share `p` of the cells lies.
    pub fn depth_quantile(&self, p: f64) -> f64 {
        quantile(&self.depths, p)
    }

    /// Dispersion per gene with the noise of rarely seen genes taken off: the own estimate and the median of genes of
    /// similar mean, mixed on the scale of logarithms by how many cells show the gene.
    pub(super) fn smooth_dispersion(&self) -> Vec<f64> {
        /// Genes on either side of a gene whose median is the trend.
        const REACH: usize = 50;
        /// Cells that weigh as much as the trend.
        const TREND_WEIGHT: f64 = 20.0;
        let seen = |g: usize| (1.0 - self.zeros[g]) * self.n_cells as f64;
        let mut order: Vec<usize> = (0..self.mean.len()).filter(|&g| self.mean[g] > 0.0).collect();
        order.sort_by(|&a, &b| self.mean[a].total_cmp(&self.mean[b]));
        let own = |g: usize| self.dispersion[g].max(MIN_DISPERSION);
        let mut out = vec![f64::NAN; self.mean.len()];
        for (at, &g) in order.iter().enumerate() {
            let near = &order[at.saturating_sub(REACH)..(at + REACH + 1).min(order.len())];
            let mut values: Vec<f64> = near.iter().map(|&g| own(g)).collect();
            values.sort_by(f64::total_cmp);
            let trend = libm::log(values[values.len() / 2]);
            let weight = seen(g) / (seen(g) + TREND_WEIGHT);
            out[g] = libm::exp(weight * libm::log(own(g)) + (1.0 - weight) * trend);
        }
        out
    }
}

/// Linear between the order statistics; 0 of no values.
fn quantile(sorted: &[f32], p: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let place = p.clamp(0.0, 1.0) * last as f64;
    let low = place as usize;
    let (a, b) = (f64::from(sorted[low]), f64::from(sorted[(low + 1).min(last)]));
    a + (b - a) * (place - low as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_depth_scaled_counts() {
        // Two cells of depth 4 and 8: shares 1/4 and 1/2 of gene 0, the rest of gene 2.
        let counts = Counts::new(3, vec![0, 2, 2, 4], vec![0, 2, 0, 2], vec![1.0, 3.0, 4.0, 4.0]).unwrap();
        let mut statistics = Statistics::new(3);
        statistics.add(&counts);
        let d = statistics.describe().unwrap();
        assert_eq!((d.n_cells, d.depths.clone()), (2, vec![4.0, 8.0]), "the empty cell does not count");
        assert!((d.mean[0] - 0.375 * 6.0).abs() < 1e-12);
        assert!((d.variance[0] - 0.125 * 0.125 * 36.0).abs() < 1e-12);
        assert_eq!((d.zeros[0], d.zeros[1], d.mean[1]), (0.0, 1.0, 0.0));
        assert!((d.dispersion[0] - (0.015625 - 0.375 * 0.1875) / 0.140625).abs() < 1e-12);
        assert!(d.dispersion[1].is_nan());
        assert_eq!(d.depth_quantile(0.5), 6.0);
        assert!(Statistics::new(3).describe().is_err());
    }
}
