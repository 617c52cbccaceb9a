//! What one representation says about perturbations.

use microtome_core::{Matrix, Result};

use super::design::Design;
use super::effects::{Effects, Rows, dot};
use super::energy::energies;

/// All readings of one representation.
pub(super) struct Reading {
    /// Similarities of pairs, `[split, half, pair]`.
    pub(super) pairs: Vec<f64>,
    /// Retrieval scores, `[query, candidate]`, mean over splits and directions.
    pub(super) retrieval: Vec<f64>,
    /// Product of the effects of both halves, mean over splits: the squared length of the effect without the part that
    /// is noise.
    pub(super) magnitude: Vec<f64>,
    pub(super) energy: Vec<f64>,
    /// Similarities of centroids that are not differenced from control, over all cells.
    pub(super) published: Vec<f64>,
    /// Rank correlation of the pair similarities of both halves, mean over splits.
    pub(super) reliability: Option<f64>,
}

/// Pair similarities in every half of every split, `[split, half, pair]`.
pub(super) fn halves(x: &dyn Rows, design: &Design) -> Vec<f64> {
    let one = |s: usize, h: u8| Effects::of_half(x, design, s, h).pair_similarities(design.len());
    (0..design.splits.len()).flat_map(|s| [one(s, 0), one(s, 1)]).flatten().collect()
}

/// Agreement of both halves, mean over splits where it is defined.
pub(super) fn reliability(pairs: &[f64], n_pairs: usize) -> Option<f64> {
    let found: Vec<f64> = pairs
        .chunks_exact(2 * n_pairs)
        .filter_map(|s| microtome_numerics::spearman(&s[..n_pairs], &s[n_pairs..]).ok().flatten())
        .collect();
    (!found.is_empty()).then(|| found.iter().sum::<f64>() / found.len() as f64)
}

pub(super) fn read(x: &Matrix, design: &Design, seed: u64) -> Result<Reading> {
    let n = design.len();
    let n_pairs = n * (n - 1) / 2;
    let (mut pairs, mut retrieval, mut magnitude) = (vec![], vec![0.0; n * n], vec![0.0; n]);
    let n_splits = design.splits.len();
    for s in 0..n_splits {
        let halves = [0, 1].map(|h| Effects::of_half(x, design, s, h));
        halves.iter().for_each(|h| pairs.extend(h.pair_similarities(n)));
        let effects = halves.map(|h| (0..n).map(|p| h.mean(p)).collect::<Vec<_>>());
        for (p, m) in magnitude.iter_mut().enumerate() {
            *m += dot(&effects[0][p], &effects[1][p]) / n_splits as f64;
        }
        for (query, candidates) in [(0, 1), (1, 0)] {
            add_retrieval(&effects[query], &effects[candidates], 0.5 / n_splits as f64, &mut retrieval);
        }
    }
    let reliability = reliability(&pairs, n_pairs);
    Ok(Reading {
        pairs,
        retrieval,
        magnitude,
        energy: energies(x, design, seed)?,
        published: uncentred(x, design),
        reliability,
    })
}

/// Adds `weight * (1 - rank / n)` of every candidate in every query's order of falling cosine, ranks from 0, ties shared.
fn add_retrieval(queries: &[Vec<f64>], candidates: &[Vec<f64>], weight: f64, to: &mut [f64]) {
    let n = queries.len();
    let lengths: Vec<f64> = candidates.iter().map(|c| dot(c, c).sqrt()).collect();
    for (p, query) in queries.iter().enumerate() {
        // The query's own length changes no order.
        let near: Vec<f64> = candidates
            .iter()
            .zip(&lengths)
            .map(|(c, l)| if *l > 0.0 { dot(query, c) / l } else { 0.0 })
            .collect();
        for q in 0..n {
            let above = near.iter().filter(|v| **v > near[q]).count() as f64;
            let tied = near.iter().filter(|v| **v == near[q]).count() as f64 - 1.0;
            to[p * n + q] += weight * (1.0 - (above + 0.5 * tied) / n as f64);
        }
    }
}

/// Cosine of plain centroids, pair by pair.
fn uncentred(x: &Matrix, design: &Design) -> Vec<f64> {
    let centroid = |cells: &Vec<usize>| {
        let mut mean = vec![0.0; x.cols()];
        cells.iter().for_each(|&i| Rows::add(x, i, 1.0 / cells.len() as f64, &mut mean));
        mean
    };
    let rows: Vec<Vec<f64>> = design.cells.iter().map(centroid).collect();
    let lengths: Vec<f64> = rows.iter().map(|r| dot(r, r).sqrt()).collect();
    let cosine = |p: usize, q: usize| {
        let scale = lengths[p] * lengths[q];
        if scale > 0.0 { dot(&rows[p], &rows[q]) / scale } else { 0.0 }
    };
    (0..rows.len()).flat_map(|p| (p + 1..rows.len()).map(move |q| (p, q))).map(|(p, q)| cosine(p, q)).collect()
}
