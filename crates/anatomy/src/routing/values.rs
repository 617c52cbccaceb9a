//! Attention weighted by what it moves: the length of the vector that a key adds to a query's stream.

use super::edges::Edge;
use super::scores::{ScoreOptions, Scores, Scoring};
use super::softmax::Stripe;
use crate::input::AttentionWeights;
use crate::tiles::stripes;
use microtome_core::{Error, Matrix, Progress, Result};
use microtome_numerics::products::linear;
use rayon::prelude::*;

/// For every edge the length of `sum over heads of a_h(i, j) W_o,h (W_v,h x_j + b_v,h)` (Kobayashi et al. 2020, EMNLP,
/// arXiv 2004.10102), with softmax attention of the mean stream. A key that receives much attention but has a short value
/// vector (a sink) scores low.
///
/// `edges` must rise. Errors when value or output weights are missing, edges do not exist, or when stopped.
pub fn value_norms(
    stream: &Matrix,
    weights: &AttentionWeights,
    edges: &[Edge],
    progress: &dyn Progress,
) -> Result<Vec<f32>> {
    let (Some(w_v), Some(w_o)) = (&weights.w_v, &weights.w_o) else {
        return Err(Error::usage("value-weighted attention needs value and output weights")
            .expected("w_v and w_o")
            .found("attention weights without them"));
    };
    let n = stream.rows();
    if !edges.is_sorted() || edges.iter().any(|e| e.from as usize >= n || e.to as usize >= n) {
        return Err(Error::usage("edges to look up are not in order or do not exist")
            .expected(format!("rising pairs of rows below {n}")));
    }
    let options = ScoreOptions { scoring: Scoring::Softmax, ..ScoreOptions::mean_stream() };
    let scores = Scores::new(stream, weights, &options)?;
    let h = weights.n_heads;
    let attention = per_head(&scores, edges, progress)?;
    let normed = weights.norm.as_ref().map(|norm| norm.apply(stream)).transpose()?;
    let values = linear(normed.as_ref().unwrap_or(stream), w_v, weights.b_v.as_deref())?;
    let shared = h / weights.n_kv_heads;
    let d = w_v.rows() / weights.n_kv_heads;

    // Per key: the Gram matrix of what its heads would add, so that a length costs heads^2.
    let mut by_key: Vec<usize> = (0..edges.len()).collect();
    by_key.sort_unstable_by_key(|&e| (edges[e].to, e));
    let groups: Vec<&[usize]> = by_key.chunk_by(|&a, &b| edges[a].to == edges[b].to).collect();
    let parts: Vec<Vec<(usize, f32)>> = groups
        .par_iter()
        .map(|group| {
            let key = edges[group[0]].to as usize;
            let added: Vec<Vec<f64>> = (0..h)
                .map(|head| {
                    let v = &values.row(key)[head / shared * d..][..d];
                    let weight = |row: usize| &w_o.row(row)[head * d..][..d];
                    (0..w_o.rows()).map(|row| dot(weight(row), v)).collect()
                })
                .collect();
            let gram: Vec<f64> = (0..h * h)
                .map(|i| added[i / h].iter().zip(&added[i % h]).map(|(a, b)| a * b).sum())
                .collect();
            group
                .iter()
                .map(|&e| {
                    let a = &attention[e * h..(e + 1) * h];
                    let square: f64 =
                        (0..h * h).map(|i| f64::from(a[i / h]) * f64::from(a[i % h]) * gram[i]).sum();
                    (e, square.max(0.0).sqrt() as f32)
                })
                .collect()
        })
        .collect();
    let mut out = vec![0.0; edges.len()];
    parts.into_iter().flatten().for_each(|(e, v)| out[e] = v);
    Ok(out)
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum()
}

/// Softmax attention of rising `edges` per head, `[edge, head]`.
fn per_head(scores: &Scores, edges: &[Edge], progress: &dyn Progress) -> Result<Vec<f32>> {
    let Some(heads) = scores.heads() else { return Ok(Vec::new()) };
    let (n, h) = (scores.n_genes(), heads.len());
    let parts: Vec<Vec<f32>> = stripes(n)
        .par_iter()
        .map_init(
            || (Stripe::default(), Vec::new()),
            |(stripe, mean), tile| {
                progress.check()?;
                let first = edges.partition_point(|e| (e.from as usize) < tile.row);
                let end = edges.partition_point(|e| (e.from as usize) < tile.row + tile.rows);
                let here = &edges[first..end];
                let mut out = vec![0.0; here.len() * h];
                if !here.is_empty() {
                    heads.mean(tile, stripe, mean, |head, values, _| {
                        for (i, edge) in here.iter().enumerate() {
                            out[i * h + head] =
                                values[(edge.from as usize - tile.row) * n + edge.to as usize];
                        }
                    })?;
                }
                progress.advance((tile.rows * tile.cols) as u64);
                Ok(out)
            },
        )
        .collect::<Result<_>>()?;
    Ok(parts.into_iter().flatten().collect())
}
