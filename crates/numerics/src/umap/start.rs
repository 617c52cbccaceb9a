//! Where the optimiser starts.

use crate::graph::{Graph, components};
use crate::krylov::{Which, leading};
use crate::resample::Rng;
use microtome_core::Result;

/// Leading non-trivial eigenvectors of the normalised adjacency, each component on its own, components side by
/// side on a grid. Coordinates span about 20, with a little noise against points on top of each other.
pub(super) fn spectral(graph: &Graph, seed: u64, rng: &mut Rng) -> Result<Vec<[f64; 2]>> {
    let parts = components(graph);
    let mut members: Vec<Vec<usize>> = vec![vec![]; parts.n()];
    parts.labels.iter().enumerate().for_each(|(i, &l)| members[l as usize].push(i));
    let side = (parts.n() as f64).sqrt().ceil().max(1.0);
    let cell = 20.0 / side;
    let mut points = vec![[0.0; 2]; graph.n()];
    for (c, members) in members.iter().enumerate() {
        let centre =
            [((c as f64 % side) + 0.5) * cell - 10.0, ((c as f64 / side).floor() + 0.5) * cell - 10.0];
        let local = embed(graph, members, seed)?;
        let reach = local.iter().flatten().fold(0.0f64, |a, v| a.max(v.abs()));
        let scale = if reach > 0.0 { 0.4 * cell / reach } else { 0.0 };
        let scale = if parts.n() == 1 { scale * 1.25 } else { scale };
        for (&i, p) in members.iter().zip(local) {
            for axis in 0..2 {
                points[i][axis] = centre[axis] + scale * p[axis] + 1e-4 * rng.normal();
            }
        }
    }
    Ok(points)
}

fn embed(graph: &Graph, members: &[usize], seed: u64) -> Result<Vec<[f64; 2]>> {
    let n = members.len();
    if n < 4 {
        return Ok((0..n).map(|i| [i as f64, 0.5 * (i % 2) as f64]).collect());
    }
    let mut local = vec![u32::MAX; graph.n()];
    members.iter().enumerate().for_each(|(l, &i)| local[i] = l as u32);
    // Members ascend, so local columns ascend too.
    let (mut indptr, mut indices, mut weights) = (vec![0], vec![], vec![]);
    for &i in members {
        let (columns, row) = graph.row(i);
        for (&j, &w) in columns.iter().zip(row).filter(|(j, _)| local[**j as usize] != u32::MAX) {
            indices.push(local[j as usize]);
            weights.push(w);
        }
        indptr.push(indices.len());
    }
    let part = Graph { indptr, indices, weights };
    let roots: Vec<f64> = part.degrees().iter().map(|d| d.sqrt()).collect();
    let normalised = part.map(|i, j, w| w / (roots[i] * roots[j]));
    let length = roots.iter().map(|r| r * r).sum::<f64>().sqrt();
    let trivial: Vec<f64> = roots.iter().map(|r| r / length).collect();
    let pairs = leading(&normalised, 2, Which::LargestAlgebraic, 1e-5, seed, &trivial)?;
    Ok(pairs.vectors.chunks_exact(2).map(|v| [v[0], v[1]]).collect())
}
