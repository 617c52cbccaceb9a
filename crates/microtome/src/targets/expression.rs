//! What expression alone says: strata of like genes, and co-expression as the simple baseline.

use microtome_core::{Counts, Result};
use microtome_numerics::normalise::log1p_cp10k;
use microtome_numerics::ranks::pearson;
use microtome_numerics::resample::Rng;
use rayon::prelude::*;

use super::network::Network;

/// Groups of mean expression that targets and others are matched by.
const GROUPS: usize = 5;

/// Log-normalised expression, gene by gene.
pub(super) struct Expression {
    /// `[gene][cell]`.
    columns: Vec<Vec<f32>>,
}

impl Expression {
    /// Of cells x genes; memory is their product, so that callers bound the cells.
    pub(super) fn new(counts: &Counts) -> Result<Self> {
        let normal = log1p_cp10k(counts)?.counts;
        let mut columns = vec![vec![0.0; normal.n_cells()]; normal.n_genes()];
        let mut place = |cell: usize| {
            let (genes, values) = normal.row(cell);
            genes.iter().zip(values).for_each(|(&g, &v)| columns[g as usize][cell] = v);
        };
        (0..normal.n_cells()).for_each(&mut place);
        Ok(Self { columns })
    }

    fn column(&self, gene: usize) -> Vec<f64> {
        self.columns[gene].iter().map(|v| f64::from(*v)).collect()
    }

    /// Stratum of every gene: fifth of mean expression among the genes with a token, and number of regulators (0, 1, 2-3, 4-7, ...);
    /// `within` splits further.
    pub(super) fn strata(&self, known: &[bool], network: &Network, within: Option<&[u32]>) -> Vec<u32> {
        let mean = |c: &Vec<f32>| c.iter().map(|v| f64::from(*v)).sum::<f64>() / c.len().max(1) as f64;
        let means: Vec<f64> = self.columns.iter().map(mean).collect();
        let mut order: Vec<usize> = (0..means.len()).filter(|&g| known[g] && means[g] > 0.0).collect();
        order.sort_by(|&a, &b| means[a].total_cmp(&means[b]).then(a.cmp(&b)));
        let mut group = vec![0; means.len()];
        for (place, &g) in order.iter().enumerate() {
            group[g] = place * GROUPS / order.len();
        }
        let degrees = network.in_degrees(means.len());
        let degree = |g: usize| (degrees[g] + 1).ilog2();
        let stratum = |g: usize| {
            let own = group[g] as u32 + GROUPS as u32 * degree(g);
            within.map_or(own, |w| own + 1000 * w[g])
        };
        (0..means.len()).map(stratum).collect()
    }

    /// Correlation of every regulator with every gene over the cells, `[regulator][gene]`; NaN where either does not vary.
    pub(super) fn correlations(&self, regulators: &[usize]) -> Result<Vec<Vec<f64>>> {
        let own: Vec<Vec<f64>> = regulators.iter().map(|&r| self.column(r)).collect();
        let of_gene = |gene: usize| {
            let column = self.column(gene);
            own.iter().map(|r| Ok(pearson(r, &column)?.unwrap_or(f64::NAN))).collect::<Result<Vec<f64>>>()
        };
        let by_gene: Vec<Vec<f64>> =
            (0..self.columns.len()).into_par_iter().map(of_gene).collect::<Result<_>>()?;
        Ok((0..regulators.len()).map(|r| by_gene.iter().map(|g| g[r]).collect()).collect())
    }
}

/// The negative control: numbers that mean nothing.
pub(super) fn random(n_regulators: usize, n_genes: usize, seed: u64) -> Vec<Vec<f64>> {
    let row = |r: usize| {
        let mut rng = Rng::stream(seed, r as u64);
        (0..n_genes).map(|_| rng.normal()).collect()
    };
    (0..n_regulators).map(row).collect()
}
