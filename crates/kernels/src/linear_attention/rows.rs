//! Rows of the attention matrix that linear attention never forms.

use std::ops::Range;

use rayon::prelude::*;

use super::CHUNK;
use super::features::{RandomFeatures, Side};
use crate::attention::Rows;
use crate::buffer::with_buffers;
use crate::gemm::{BLOCK_ROWS, Epilogue, Format, Out, Packed, Product, copy_rows, gemm, left_len};
use crate::isa::Isa;

/// Weights that some queries of one cell give to all its keys: `phi(q_i) . phi(k_j)`, divided by their sum over `j`.
///
/// `q` and `k` hold the whole minibatch, of which the cell is the tokens `cell`; `queries` count from the cell's first token;
/// `maximum` is the cell's own of [`RandomFeatures::key_maxima`]. Writes `[head, query, key]`.
///
/// # Panics
/// When an array is too short, a query is beyond the cell, or `out` is not `n_heads x queries x keys`.
#[allow(
    clippy::too_many_arguments,
    reason = "two inputs, the part of them that is meant, and how they are compared"
)]
pub fn linear_attention_rows(
    q: Rows<'_>,
    k: Rows<'_>,
    cell: Range<usize>,
    queries: &[usize],
    n_heads: usize,
    features: &RandomFeatures,
    maximum: f32,
    out: &mut [f32],
) {
    let len = cell.len();
    let size = n_heads * queries.len() * len;
    assert!(out.len() == size, "linear_attention_rows: out has {} numbers, expected {size}", out.len());
    assert!(queries.iter().all(|&i| i < len), "linear_attention_rows: a query is beyond the cell");
    if out.is_empty() {
        return;
    }
    let isa = Isa::current();
    out.par_chunks_mut(queries.len() * len).enumerate().for_each(|(head, out)| {
        one_head(isa, q, k, &cell, queries, head, features, maximum, out);
    });
}

#[allow(clippy::too_many_arguments, reason = "as above")]
fn one_head(
    isa: Isa,
    q: Rows<'_>,
    k: Rows<'_>,
    cell: &Range<usize>,
    queries: &[usize],
    head: usize,
    features: &RandomFeatures,
    maximum: f32,
    out: &mut [f32],
) {
    let (m, len) = (features.n_features(), cell.len());
    let mut of_queries = vec![0.0; queries.len() * m];
    for (phi, &i) in of_queries.chunks_exact_mut(m).zip(queries) {
        let token = cell.start + i;
        features.rows(isa, q, token..token + 1, head, Side::Query, phi);
    }
    let mut packed = Packed::default();
    for first in (0..len).step_by(CHUNK) {
        let n = CHUNK.min(len - first);
        with_buffers([n * m], |[phi]| {
            let tokens = cell.start + first..cell.start + first + n;
            features.rows(isa, k, tokens, head, Side::Key { maximum }, phi);
            packed.pack_transposed(isa, phi, m, n, m, Format::Single);
        });
        let blocks = of_queries.chunks(BLOCK_ROWS * m).zip(out.chunks_mut(BLOCK_ROWS * len));
        for (phi, out) in blocks {
            let rows = phi.len() / m;
            with_buffers([left_len(isa, rows, &packed)], |[a]| {
                copy_rows(isa, phi, m, rows, &packed, 1.0, a);
                let product = Product::whole(rows, &packed, Epilogue::STORE);
                gemm(isa, &product, a, &mut Out::new(&mut out[first..], len));
            });
        }
    }
    for row in out.chunks_exact_mut(len) {
        let sum: f64 = row.iter().map(|&x| f64::from(x)).sum();
        let factor = (1.0 / sum) as f32;
        row.iter_mut().for_each(|x| *x *= factor);
    }
}
