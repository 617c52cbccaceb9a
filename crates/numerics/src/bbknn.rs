//! Batch-balanced neighbours (Polanski et al. 2020, Bioinformatics 36:964; bbknn 1.6.0): a graph, not coordinates.

use crate::graph::{Graph, umap_weights};
use crate::knn::{Knn, Metric, exact_knn, knn_between};
use crate::resample::Units;
use microtome_core::{Error, Matrix, Result};

/// Choices of [`bbknn`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BbknnOptions {
    /// Neighbours of a cell within every batch; the cell itself counts in its own, as published.
    pub within_batch: usize,
    /// Strongest edges kept per cell; `None`: ten times the neighbours of a cell.
    pub trim: Option<usize>,
}

impl Default for BbknnOptions {
    fn default() -> Self {
        Self { within_batch: 3, trim: None }
    }
}

/// Nearest cells of every cell in each batch separately (exact, Euclidean), as one fuzzy graph trimmed to the strongest
/// edges of either end. `x [cell, component]` is usually 50 principal components.
///
/// Errors when lengths differ, there is one batch only, a batch has fewer cells than `within_batch` (which must be at
/// least 2), or a value is not finite.
pub fn bbknn(x: &Matrix, batches: &[u32], options: &BbknnOptions) -> Result<Graph> {
    let n = x.rows();
    if batches.len() != n {
        return Err(Error::usage("one batch per cell is needed")
            .expected(n.to_string())
            .found(batches.len().to_string()));
    }
    let units = Units::new(batches);
    let smallest = (0..units.len()).map(|u| units.members(u).len()).min().unwrap_or(0);
    let k = options.within_batch;
    if units.len() < 2 || k < 2 || smallest < k {
        return Err(Error::mismatch("batch-balanced neighbours do not exist")
            .expected(format!("at least 2 batches of at least {} cells each", k.max(2)))
            .found(format!("{} batches, the smallest of {smallest} cells, {k} neighbours", units.len())));
    }
    let mut found: Vec<Vec<(f32, u32)>> = vec![Vec::with_capacity(k * units.len()); n];
    for u in 0..units.len() {
        let members = units.members(u);
        let reference = x.select_rows(members);
        let mut add = |cell: usize, indices: &[u32], distances: &[f32]| {
            let pairs = distances.iter().zip(indices).map(|(&d, &i)| (d, members[i as usize] as u32));
            found[cell].extend(pairs);
        };
        let own = exact_knn(&reference, k - 1, Metric::Euclidean)?;
        members.iter().enumerate().for_each(|(i, &cell)| add(cell, own.row(i).0, own.row(i).1));
        let others: Vec<usize> = (0..n).filter(|c| members.binary_search(c).is_err()).collect();
        let across = knn_between(&x.select_rows(&others), &reference, k, Metric::Euclidean)?;
        others.iter().enumerate().for_each(|(i, &cell)| add(cell, across.row(i).0, across.row(i).1));
    }
    for row in &mut found {
        row.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    }
    let knn = Knn {
        n,
        k: k * units.len() - 1,
        indices: found.iter().flatten().map(|p| p.1).collect(),
        distances: found.iter().flatten().map(|p| p.0).collect(),
    };
    trimmed(&umap_weights(&knn)?, options.trim.unwrap_or(10 * k * units.len()))
}

/// Keeps an edge that is among the `most` strongest of both of its ends; ties stay.
fn trimmed(graph: &Graph, most: usize) -> Result<Graph> {
    let threshold = |i: usize| {
        let mut weights = graph.row(i).1.to_vec();
        if most == 0 || weights.len() <= most {
            return 0.0;
        }
        weights.sort_unstable_by(|a, b| b.total_cmp(a));
        weights[most - 1]
    };
    let least: Vec<f64> = (0..graph.n()).map(threshold).collect();
    let (mut indptr, mut indices, mut weights) = (vec![0], vec![], vec![]);
    for i in 0..graph.n() {
        let (to, w) = graph.row(i);
        for (&j, &w) in to.iter().zip(w).filter(|(j, w)| **w >= least[i] && **w >= least[**j as usize]) {
            indices.push(j);
            weights.push(w);
        }
        indptr.push(weights.len());
    }
    Graph::new(indptr, indices, weights)
}
