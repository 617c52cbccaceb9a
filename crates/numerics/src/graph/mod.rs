//! Weighted graphs of cells.

mod components;
mod paths;
mod weights;

pub use components::{Components, components};
pub use paths::{distance_graph, shortest_paths};
pub use weights::{gaussian_weights, umap_weights};

use crate::dense::sparse_row;
use microtome_core::{Error, Result};
use rayon::prelude::*;

/// Symmetric sparse weights in CSR form, columns ascending, no diagonal.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    pub(crate) indptr: Vec<usize>,
    pub(crate) indices: Vec<u32>,
    pub(crate) weights: Vec<f64>,
}

impl Graph {
    /// Checks and wraps CSR parts. Errors unless columns rise within a row, weights are finite and not negative,
    /// the diagonal is empty and the matrix is symmetric.
    pub fn new(indptr: Vec<usize>, indices: Vec<u32>, weights: Vec<f64>) -> Result<Self> {
        let bad = |what: &str, found: String| {
            Err(Error::usage("not a symmetric graph").expected(what).found(found))
        };
        let n = indptr.len().saturating_sub(1);
        if indptr.first() != Some(&0) || indptr.windows(2).any(|w| w[0] > w[1]) {
            return bad("row pointers from 0, never falling", format!("{} row pointers", indptr.len()));
        }
        if indices.len() != indptr[n] || weights.len() != indptr[n] {
            return bad(
                "as many columns and weights as the last row pointer says",
                indices.len().to_string(),
            );
        }
        let graph = Self { indptr, indices, weights };
        for i in 0..n {
            let (columns, weights) = graph.row(i);
            if columns.windows(2).any(|w| w[0] >= w[1]) || columns.last().is_some_and(|&j| j as usize >= n) {
                return bad("rising columns below the number of rows", format!("row {i}"));
            }
            if let Some(w) = weights.iter().find(|w| !(w.is_finite() && **w >= 0.0)) {
                return bad("finite weights of at least 0", format!("{w} in row {i}"));
            }
            for (&j, &w) in columns.iter().zip(weights) {
                if j as usize == i || graph.weight(j as usize, i) != Some(w) {
                    return bad("equal weights both ways and no self loop", format!("edge {i} - {j}"));
                }
            }
        }
        Ok(graph)
    }

    /// Number of vertices.
    pub fn n(&self) -> usize {
        self.indptr.len() - 1
    }

    /// Number of stored entries; every edge counts twice.
    pub fn nnz(&self) -> usize {
        self.indices.len()
    }

    /// Neighbours (ascending) and weights of one vertex.
    pub fn row(&self, i: usize) -> (&[u32], &[f64]) {
        let range = self.indptr[i]..self.indptr[i + 1];
        (&self.indices[range.clone()], &self.weights[range])
    }

    /// Weight of one edge, `None` where there is none.
    pub fn weight(&self, i: usize, j: usize) -> Option<f64> {
        let (columns, weights) = self.row(i);
        columns.binary_search(&u32::try_from(j).ok()?).ok().map(|p| weights[p])
    }

    /// Sum of weights of every vertex.
    pub fn degrees(&self) -> Vec<f64> {
        (0..self.n()).map(|i| self.row(i).1.iter().sum()).collect()
    }

    /// The graph with every weight replaced by `f(i, j, weight)`, which must be symmetric in `i` and `j`.
    pub(crate) fn map(&self, f: impl Fn(usize, usize, f64) -> f64) -> Self {
        let weights = (0..self.n())
            .flat_map(|i| {
                let (columns, weights) = self.row(i);
                columns.iter().zip(weights).map(move |(&j, &w)| (i, j as usize, w))
            })
            .map(|(i, j, w)| f(i, j, w))
            .collect();
        Self { indptr: self.indptr.clone(), indices: self.indices.clone(), weights }
    }

    /// `out = W x` for `width` row-major vectors.
    pub(crate) fn apply(&self, x: &[f64], width: usize, out: &mut [f64]) {
        out.par_chunks_mut(width * 256).enumerate().for_each(|(chunk, out)| {
            for (r, out) in out.chunks_exact_mut(width).enumerate() {
                let (columns, weights) = self.row(chunk * 256 + r);
                sparse_row(columns, weights, x, out);
            }
        });
    }

    /// Joins directed weights `[n, k]` with their transpose: `combine(w_ij, w_ji)`, 0 where a direction is absent.
    pub(crate) fn symmetrise(
        n: usize,
        k: usize,
        targets: &[u32],
        directed: &[f64],
        combine: impl Fn(f64, f64) -> f64,
    ) -> Self {
        let mut rows: Vec<Vec<(u32, f64, f64)>> = vec![Vec::with_capacity(2 * k); n];
        for i in 0..n {
            for (&j, &w) in targets[i * k..(i + 1) * k].iter().zip(&directed[i * k..(i + 1) * k]) {
                rows[i].push((j, w, 0.0));
                rows[j as usize].push((i as u32, 0.0, w));
            }
        }
        let (mut indptr, mut indices, mut weights) = (vec![0], Vec::new(), Vec::new());
        for mut row in rows {
            row.sort_unstable_by_key(|e| e.0);
            let mut at = 0;
            while at < row.len() {
                let (j, mut forward, mut backward) = row[at];
                at += 1;
                if at < row.len() && row[at].0 == j {
                    forward += row[at].1;
                    backward += row[at].2;
                    at += 1;
                }
                indices.push(j);
                weights.push(combine(forward, backward));
            }
            indptr.push(indices.len());
        }
        Self { indptr, indices, weights }
    }
}
