//! Edge weights from neighbour lists.

use super::Graph;
use crate::knn::Knn;
use microtome_core::{Error, Result};
use rayon::prelude::*;

fn check(knn: &Knn) -> Result<()> {
    if knn.k == 0 || knn.indices.len() != knn.n * knn.k || knn.distances.len() != knn.n * knn.k {
        return Err(Error::usage("not a neighbour list")
            .expected(format!("{} rows of at least one neighbour", knn.n))
            .found(format!("{} neighbours, {} distances", knn.indices.len(), knn.distances.len())));
    }
    if let Some(d) = knn.distances.iter().find(|d| !(d.is_finite() && **d >= 0.0)) {
        return Err(Error::mismatch("neighbour distances must be finite and not negative")
            .expected("0 or more")
            .found(d.to_string()));
    }
    let own = |i: usize| knn.row(i).0.iter().any(|&j| j as usize == i || j as usize >= knn.n);
    if (0..knn.n).any(own) {
        return Err(Error::usage("a graph needs neighbours among the same rows, without the row itself")
            .expected(format!("other rows below {}", knn.n))
            .found("a neighbour list between two sets, or with self"));
    }
    Ok(())
}

/// Gaussian kernel with a width per cell (Haghverdi et al. 2016), as scanpy's `method="gauss"` with
/// `n_neighbors = k + 1`: sigma_i^2 is the median squared distance to the neighbours,
/// `w_ij = sqrt(2 s_i s_j / (s_i^2 + s_j^2)) exp(-d^2 / (s_i^2 + s_j^2))` wherever one is a neighbour of the other.
///
/// Where scanpy divides 0 by 0 (both widths 0, cells with many duplicates) the limit is taken: 1 at distance 0,
/// else 0. Errors on a list that is not within one set of rows, or on non-finite distances.
pub fn gaussian_weights(knn: &Knn) -> Result<Graph> {
    check(knn)?;
    let widths: Vec<f64> = (0..knn.n)
        .into_par_iter()
        .map(|i| {
            let mut squares: Vec<f64> = knn.row(i).1.iter().map(|&d| f64::from(d) * f64::from(d)).collect();
            squares.sort_unstable_by(f64::total_cmp);
            let middle = squares.len() / 2;
            if squares.len() % 2 == 1 {
                squares[middle]
            } else {
                0.5 * (squares[middle - 1] + squares[middle])
            }
        })
        .collect();
    let directed: Vec<f64> = (0..knn.n)
        .flat_map(|i| knn.row(i).0.iter().zip(knn.row(i).1).map(move |(&j, &d)| (i, j as usize, d)))
        .map(|(i, j, d)| {
            let squared = f64::from(d) * f64::from(d);
            let sum = widths[i] + widths[j];
            if sum > 0.0 {
                (2.0 * (widths[i] * widths[j]).sqrt() / sum).sqrt() * (-squared / sum).exp()
            } else {
                f64::from(u8::from(squared == 0.0))
            }
        })
        .collect();
    // The formula is symmetric; either direction carries the weight, the larger one where rounding differs.
    Ok(Graph::symmetrise(knn.n, knn.k, &knn.indices, &directed, f64::max))
}

/// UMAP's fuzzy simplicial set (McInnes et al. 2018), as umap-learn 0.5 and scanpy's `method="umap"` with
/// `n_neighbors = k + 1`, local connectivity 1, fuzzy union `a + b - ab`.
///
/// Errors on a list that is not within one set of rows, or on non-finite distances.
pub fn umap_weights(knn: &Knn) -> Result<Graph> {
    check(knn)?;
    // The published code counts the cell itself, at distance 0, among its neighbours: in the target and in means.
    let target = ((knn.k + 1) as f64).log2();
    let overall =
        knn.distances.iter().map(|&d| f64::from(d)).sum::<f64>() / (knn.n * (knn.k + 1)).max(1) as f64;
    let directed: Vec<f64> = (0..knn.n)
        .into_par_iter()
        .flat_map_iter(|i| {
            let distances = knn.row(i).1;
            let nearest = distances.iter().copied().find(|&d| d > 0.0).unwrap_or(0.0);
            let excess: Vec<f64> = distances.iter().map(|&d| f64::from(d - nearest)).collect();
            let mean = distances.iter().map(|&d| f64::from(d)).sum::<f64>() / (knn.k + 1) as f64;
            let least = 1e-3 * if nearest > 0.0 { mean } else { overall };
            let sigma = smooth_width(&excess, target).max(least);
            excess.into_iter().map(move |e| if e <= 0.0 || sigma == 0.0 { 1.0 } else { (-e / sigma).exp() })
        })
        .collect();
    Ok(Graph::symmetrise(knn.n, knn.k, &knn.indices, &directed, |a, b| a + b - a * b))
}

/// Bisection for the width at which the memberships sum to `target`.
fn smooth_width(excess: &[f64], target: f64) -> f64 {
    let (mut low, mut high, mut width) = (0.0, f64::INFINITY, 1.0);
    for _ in 0..64 {
        let sum: f64 = excess.iter().map(|&e| if e > 0.0 { (-e / width).exp() } else { 1.0 }).sum();
        if (sum - target).abs() < 1e-5 {
            break;
        }
        if sum > target {
            high = width;
            width = 0.5 * (low + high);
        } else {
            low = width;
            width = if high.is_infinite() { 2.0 * width } else { 0.5 * (low + high) };
        }
    }
    width
}
