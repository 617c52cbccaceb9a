//! The readings: diffusion pseudotime, shortest paths, nearest neighbours, ridge, proportional odds.

use microtome_core::{Error, Matrix, Result};
use microtome_numerics::resample::Units as Groups;
use microtome_numerics::ordinal::{self, OrdinalOptions};
use microtome_numerics::ridge::{RidgeOptions, fit_nested};
use microtome_numerics::graph::{distance_graph, shortest_paths};
use microtome_numerics::{
    Metric, diffusion_map, exact_knn, gaussian_weights, knn_between, pseudotime, umap_weights,
};

use super::{GraphWeights, TrajectoryOptions};
use crate::assess::Learner;
use crate::protocol::Units;

/// Folds inside the training cells on which the ridge penalty is chosen.
const PENALTY_FOLDS: usize = 3;

/// Pseudotime of all cells of the data set.
pub(super) struct Dpt {
    /// Median over the roots; infinite where fewer than half of the roots reach the cell.
    pub(super) pseudotime: Vec<f64>,
    /// Pseudotime from every root.
    pub(super) by_root: Vec<Vec<f64>>,
    /// Connected components of the neighbour graph.
    pub(super) n_components: usize,
}

/// Exact Euclidean neighbours, weights, diffusion map, pseudotime from every root.
pub(super) fn dpt(x: &Matrix, roots: &[usize], options: &TrajectoryOptions, seed: u64) -> Result<Dpt> {
    // `k` counts the cell itself, as scanpy's `n_neighbors` does.
    let knn = exact_knn(x, options.k - 1, Metric::Euclidean)?;
    let graph = match options.weights {
        GraphWeights::Umap => umap_weights(&knn)?,
        GraphWeights::Gaussian => gaussian_weights(&knn)?,
    };
    let map = diffusion_map(&graph, options.n_comps, seed)?;
    let n_components = map.components.n();
    if n_components >= options.n_dcs {
        // Every component that pseudotime would use is then stationary and holds no order of cells.
        return Err(Error::mismatch(format!(
            "the neighbour graph falls into {n_components} parts, too many for {} diffusion components",
            options.n_dcs
        )));
    }
    let by_root: Vec<Vec<f64>> =
        roots.iter().map(|&r| pseudotime(&map, r, options.n_dcs)).collect::<Result<_>>()?;
    Ok(Dpt { pseudotime: over_roots(&by_root, x.rows()), by_root, n_components })
}

/// Shortest path from every root along the neighbour graph, the median over roots; infinite where fewer than half of
/// the roots reach the cell.
pub(super) fn paths(x: &Matrix, roots: &[usize], k: usize) -> Result<Vec<f64>> {
    let graph = distance_graph(&exact_knn(x, k - 1, Metric::Euclidean)?)?;
    let by_root: Vec<Vec<f64>> = roots.iter().map(|&r| shortest_paths(&graph, r)).collect::<Result<_>>()?;
    Ok(over_roots(&by_root, x.rows()))
}

/// Median over roots, cell by cell.
fn over_roots(by_root: &[Vec<f64>], n: usize) -> Vec<f64> {
    let median = |cell: usize| {
        let mut values: Vec<f64> = by_root.iter().map(|p| p[cell]).collect();
        values.sort_by(f64::total_cmp);
        let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
        if low == high { low } else { (low + high) / 2.0 }
    };
    (0..n).map(median).collect()
}

/// A reading that learns from the time of training cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Supervised {
    /// Mean time of the `k` nearest training cells.
    Knn,
    /// Ridge regression, penalty chosen by grouped folds inside the training cells.
    Ridge,
    /// Proportional-odds regression of ordered stages, penalty chosen likewise.
    Ordinal,
}

/// Every reading by the id that metrics name, with what it learns.
pub(super) const READINGS: [(&str, Option<Supervised>); 6] = [
    ("dpt", None),
    ("shortest_path", None),
    ("palantir", None),
    ("knn_time", Some(Supervised::Knn)),
    ("ridge_time", Some(Supervised::Ridge)),
    ("ordinal_time", Some(Supervised::Ordinal)),
];

/// Representation, times and units of the scored cells.
pub(super) struct TimeLearner<'a> {
    pub(super) reading: Supervised,
    pub(super) x: &'a Matrix,
    pub(super) time: &'a [f64],
    pub(super) units: &'a Units,
    pub(super) k: usize,
    pub(super) seed: u64,
}

impl Learner for TimeLearner<'_> {
    fn predict(&self, train: &[usize], test: &[usize]) -> Result<Vec<f64>> {
        let (from, to) = (self.units.cells_of(train), self.units.cells_of(test));
        let times: Vec<f64> = from.iter().map(|&c| self.time[c]).collect();
        let (x, query) = (self.x.select_rows(&from), self.x.select_rows(&to));
        match self.reading {
            Supervised::Knn => {
                let knn = knn_between(&query, &x, self.k, Metric::Euclidean)?;
                let mean = |i: usize| {
                    let near = knn.row(i).0;
                    near.iter().map(|&j| times[j as usize]).sum::<f64>() / near.len() as f64
                };
                Ok((0..to.len()).map(mean).collect())
            }
            Supervised::Ridge => {
                let (units, folds) = self.inner(train);
                let o = RidgeOptions::default();
                let (ridge, alpha) = fit_nested(&x, &times, 1, &units, folds, self.seed, &o)?;
                ridge.predict(&query, alpha)
            }
            Supervised::Ordinal => {
                let mut stages = times.clone();
                stages.sort_by(f64::total_cmp);
                stages.dedup();
                let levels: Vec<u32> =
                    times.iter().map(|t| stages.partition_point(|s| s < t) as u32).collect();
                let (units, folds) = self.inner(train);
                let o = OrdinalOptions::default();
                let (model, alpha) =
                    ordinal::fit_nested(&x, &levels, stages.len(), &units, folds, self.seed, &o)?;
                // The expected time, which unlike a latent score means the same in every fold.
                let expected = |p: &[f64]| p.iter().zip(&stages).map(|(p, t)| p * t).sum::<f64>();
                Ok(model.probabilities(&query, alpha)?.chunks_exact(stages.len()).map(expected).collect())
            }
        }
    }
}

impl TimeLearner<'_> {
    /// Units of the training cells, in the order of `cells_of`, and the folds on which a penalty is chosen.
    fn inner(&self, train: &[usize]) -> (Groups, usize) {
        let codes: Vec<u32> = train
            .iter()
            .enumerate()
            .flat_map(|(i, &u)| std::iter::repeat_n(i as u32, self.units.members[u].len()))
            .collect();
        (Groups::new(&codes), PENALTY_FOLDS.min(train.len()))
    }
}
