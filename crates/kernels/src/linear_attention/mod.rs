//! Attention through positive random features (FAVOR+, Choromanski et al. 2021, arXiv:2009.14794): linear in the number of tokens.
//!
//! With a feature map `phi`, `out_i = phi(q_i) (sum_j phi(k_j) v_j^T) / (phi(q_i) . sum_j phi(k_j))`. The sums are gathered once per
//! cell and head, in spans of fixed length that are added up in `f64` in their order, so that results depend neither on threads nor
//! on other cells. Working memory is a few row blocks per thread and `features x d_head` numbers per span.

mod features;
mod rows;

use std::ops::Range;

use rayon::prelude::*;

use crate::attention::Rows;
use crate::buffer::with_buffers;
use crate::gemm::{
    BLOCK_ROWS, DEPTH, Epilogue, Format, Out, PANEL, Packed, Product, STRIDE, copy_rows, gemm, strided_len,
};
use crate::isa::Isa;

pub use features::{FeatureMap, KeyMaximum, RandomFeatures, Side};
pub use rows::linear_attention_rows;

/// Tokens whose features exist at one time in one task: one depth block of the product that sums them up.
const CHUNK: usize = DEPTH;
/// Tokens per partial sum.
const SPAN: usize = 4 * CHUNK;

/// Kernelised attention of a ragged minibatch. `q`, `k` and `v` are `[token, head * d_head]`; `maxima` is what
/// [`RandomFeatures::key_maxima`] gives for `k`. Writes `[token, head * d_head]`.
///
/// # Panics
/// When an array does not fit `offsets`, `n_heads` and the features.
#[allow(
    clippy::too_many_arguments,
    reason = "three inputs, the cells they belong to, and how they are compared"
)]
pub fn linear_attention(
    q: Rows<'_>,
    k: Rows<'_>,
    v: Rows<'_>,
    offsets: &[usize],
    n_heads: usize,
    features: &RandomFeatures,
    maxima: &[f32],
    out: &mut [f32],
) {
    let n_cells = offsets.len().saturating_sub(1);
    let n_tokens = offsets.last().copied().unwrap_or(0);
    let width = n_heads * features.d_head();
    assert!(offsets.is_sorted(), "linear_attention: offsets go backwards");
    assert!(maxima.len() == n_cells, "linear_attention: {} maxima for {n_cells} cells", maxima.len());
    assert!(
        Some(out.len()) == n_tokens.checked_mul(width),
        "linear_attention: out has {} numbers, expected {n_tokens} x {width}",
        out.len()
    );
    if out.is_empty() {
        return;
    }
    let isa = Isa::current();
    let cells: Vec<Range<usize>> = offsets.windows(2).map(|w| w[0]..w[1]).collect();
    let sums = sums(isa, k, v, &cells, n_heads, features, maxima);
    let mut rest = &mut *out;
    let mut tasks = vec![];
    for (cell, tokens) in cells.iter().enumerate() {
        let (part, after) = rest.split_at_mut(tokens.len() * width);
        rest = after;
        let first = tokens.start;
        let blocks = part.chunks_mut(BLOCK_ROWS * width).enumerate();
        tasks.extend(blocks.map(|(b, out)| (cell, first + b * BLOCK_ROWS, out)));
    }
    tasks.into_par_iter().for_each(|(cell, first, out)| {
        let sums = &sums[cell * n_heads..(cell + 1) * n_heads];
        read(isa, q, first, features, sums, out);
    });
}

/// `[phi(k)^T (v | 1)]^T` per cell and head, packed for the product with the queries' features.
fn sums(
    isa: Isa,
    k: Rows<'_>,
    v: Rows<'_>,
    cells: &[Range<usize>],
    n_heads: usize,
    features: &RandomFeatures,
    maxima: &[f32],
) -> Vec<Packed> {
    let (m, rows) = (features.n_features(), features.d_head() + 1);
    let spans = |tokens: &Range<usize>| tokens.len().div_ceil(SPAN).max(1);
    let tasks: Vec<(usize, usize, Range<usize>)> = cells
        .iter()
        .enumerate()
        .flat_map(|(cell, tokens)| {
            (0..n_heads).flat_map(move |head| {
                (0..spans(tokens)).map(move |s| {
                    let first = tokens.start + s * SPAN;
                    (cell, head, first..(first + SPAN).min(tokens.end))
                })
            })
        })
        .collect();
    let parts: Vec<Vec<f32>> = tasks
        .into_par_iter()
        .map(|(cell, head, tokens)| span_sum(isa, k, v, tokens, head, features, maxima[cell]))
        .collect();
    let mut parts = parts.into_iter();
    let mut out = Vec::with_capacity(cells.len() * n_heads);
    let mut total = vec![0.0f64; rows * m];
    let mut rounded = vec![0.0f32; rows * m];
    for tokens in cells {
        for _ in 0..n_heads {
            total.fill(0.0);
            for part in parts.by_ref().take(spans(tokens)) {
                total.iter_mut().zip(&part).for_each(|(t, p)| *t += f64::from(*p));
            }
            rounded.iter_mut().zip(&total).for_each(|(r, t)| *r = *t as f32);
            let mut packed = Packed::default();
            packed.pack_transposed(isa, &rounded, m, rows, m, Format::Single);
            out.push(packed);
        }
    }
    out
}

/// `[d_head + 1, features]`: values summed with the features of their keys as weights, and the weights alone in the last row.
fn span_sum(
    isa: Isa,
    k: Rows<'_>,
    v: Rows<'_>,
    tokens: Range<usize>,
    head: usize,
    features: &RandomFeatures,
    maximum: f32,
) -> Vec<f32> {
    let (d, m) = (features.d_head(), features.n_features());
    let mut sum = vec![0.0; (d + 1) * m];
    let mut packed = Packed::default();
    let sizes = [CHUNK * m, strided_len(d + 1)];
    with_buffers(sizes, |[phi, columns]| {
        for first in tokens.clone().step_by(CHUNK) {
            let n = CHUNK.min(tokens.end - first);
            features.rows(isa, k, first..first + n, head, Side::Key { maximum }, &mut phi[..n * m]);
            packed.pack(isa, phi, m, n, m, Format::Single);
            for i in 0..n {
                let row = &v.at(first + i, head * d)[..d];
                for (c, &x) in row.iter().enumerate() {
                    columns[c * STRIDE + i] = x;
                }
                columns[d * STRIDE + i] = 1.0;
            }
            gemm(isa, &Product::whole(d + 1, &packed, Epilogue::ADD), columns, &mut Out::new(&mut sum, m));
        }
    });
    sum
}

/// Output rows of some queries of one cell, from the sums of all its heads.
fn read(isa: Isa, q: Rows<'_>, first: usize, features: &RandomFeatures, sums: &[Packed], out: &mut [f32]) {
    let (d, m) = (features.d_head(), features.n_features());
    let width = sums.len() * d;
    let n = out.len() / width;
    let stride = (d + 1).next_multiple_of(PANEL);
    let n_blocks = sums.first().map_or(1, Packed::n_blocks);
    with_buffers([n * m, n_blocks * strided_len(n), n * stride], |[phi, a, z]| {
        for (head, sums) in sums.iter().enumerate() {
            features.rows(isa, q, first..first + n, head, Side::Query, phi);
            copy_rows(isa, phi, m, n, sums, 1.0, a);
            gemm(isa, &Product::whole(n, sums, Epilogue::STORE), a, &mut Out::new(z, stride));
            for (out, z) in out.chunks_exact_mut(width).zip(z.chunks_exact(stride)) {
                let factor = 1.0 / z[d];
                for (o, z) in out[head * d..(head + 1) * d].iter_mut().zip(z) {
                    *o = z * factor;
                }
            }
        }
    });
}
