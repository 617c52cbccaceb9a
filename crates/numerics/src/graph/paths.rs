//! Shortest paths: the transparent pseudotime that needs no eigenvectors.

use super::Graph;
use crate::knn::Knn;
use microtome_core::{Error, Result};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The neighbour list as an undirected graph weighted by distance (an edge where either is a neighbour of the
/// other). Errors on non-finite distances or a list between two sets.
pub fn distance_graph(knn: &Knn) -> Result<Graph> {
    // Same checks as for kernel weights.
    super::gaussian_weights(knn)?;
    let directed: Vec<f64> = knn.distances.iter().map(|&d| f64::from(d)).collect();
    Ok(Graph::symmetrise(knn.n, knn.k, &knn.indices, &directed, f64::max))
}

/// Length of the shortest path from `root` to every vertex of a graph weighted by distance (Dijkstra); infinite
/// where there is no path. Errors when `root` is out of range.
pub fn shortest_paths(graph: &Graph, root: usize) -> Result<Vec<f64>> {
    if root >= graph.n() {
        return Err(Error::usage("root cell out of range")
            .expected(format!("below {}", graph.n()))
            .found(root.to_string()));
    }
    let mut length = vec![f64::INFINITY; graph.n()];
    length[root] = 0.0;
    // Lengths are never negative, so that their bit patterns order like the numbers.
    let mut queue = BinaryHeap::from([Reverse((0u64, root as u32))]);
    while let Some(Reverse((bits, i))) = queue.pop() {
        let reached = f64::from_bits(bits);
        if reached > length[i as usize] {
            continue;
        }
        let (columns, weights) = graph.row(i as usize);
        for (&j, &w) in columns.iter().zip(weights) {
            let through = reached + w;
            if through < length[j as usize] {
                length[j as usize] = through;
                queue.push(Reverse((through.to_bits(), j)));
            }
        }
    }
    Ok(length)
}
