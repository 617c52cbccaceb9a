//! The attention matrix of one cell, written out on request.

use std::ops::Range;

use rayon::prelude::*;

use super::input::{AttentionShape, Mask, Rows, Scoring, check_input};
use super::softmax::{score, softmax_row};
use crate::buffer::with_buffers;
use crate::gemm::{BLOCK_ROWS, Epilogue, Format, Out, Packed, Product, copy_rows, gemm, left_len};
use crate::isa::Isa;

/// Writes scores and softmax pattern of one cell, `[head, query, key]`.
///
/// `q` and `k` hold the whole minibatch, of which the cell is the tokens `cell`; `mask` is indexed by tokens of the minibatch too.
/// Scores are after scale, key bias, soft cap and mask (hidden keys are `-inf`); the pattern is their softmax over keys.
///
/// # Panics
/// When an array is too short for the cell, or an output is not `n_heads x len x len`.
pub fn attention_map(
    q: Rows<'_>,
    k: Rows<'_>,
    shape: &AttentionShape,
    mask: Mask<'_>,
    cell: Range<usize>,
    scores: Option<&mut [f32]>,
    pattern: &mut [f32],
) {
    let n_tokens = mask.key_bias.map(<[_]>::len).or(mask.visible.map(<[_]>::len)).unwrap_or(cell.end);
    assert!(
        cell.start <= cell.end && cell.end <= n_tokens,
        "attention_map: the cell is beyond the minibatch"
    );
    check_input(&[("q", q, shape.n_heads), ("k", k, shape.n_kv_heads)], &[0, n_tokens], shape, &mask);
    let len = cell.len();
    let size = shape.n_heads * len * len;
    assert!(pattern.len() == size, "attention_map: pattern has {} numbers, expected {size}", pattern.len());
    if let Some(scores) = &scores {
        assert!(scores.len() == size, "attention_map: scores has {} numbers, expected {size}", scores.len());
    }
    if size == 0 {
        return;
    }
    let isa = Isa::current();
    let scoring = Scoring::of_cell(&mask, shape.soft_cap, cell.clone());
    let group = shape.n_heads / shape.n_kv_heads;
    pattern.par_chunks_mut(len * len).enumerate().for_each(|(head, pattern)| {
        let mut keys = Packed::default();
        keys.pack_transposed(
            isa,
            k.at(cell.start, head / group * shape.d_head),
            k.stride(),
            len,
            shape.d_head,
            Format::best(isa, shape.precision, shape.d_head),
        );
        pattern.par_chunks_mut(BLOCK_ROWS * len).enumerate().for_each(|(block, pattern)| {
            let (first, rows) = (block * BLOCK_ROWS, pattern.len() / len);
            with_buffers([left_len(isa, rows, &keys)], |[a]| {
                let queries = q.at(cell.start + first, head * shape.d_head);
                copy_rows(isa, queries, q.stride(), rows, &keys, shape.scale, a);
                gemm(isa, &Product::whole(rows, &keys, Epilogue::STORE), a, &mut Out::new(pattern, len));
            });
            for (i, row) in pattern.chunks_exact_mut(len).enumerate() {
                score(isa, row, &scoring, first + i, 0);
            }
        });
    });
    if let Some(scores) = scores {
        scores.copy_from_slice(pattern);
    }
    pattern.par_chunks_mut(len).for_each(|row| softmax_row(isa, row));
}

/// Attention of some queries of one cell, mean over heads: `[query, key]`, softmax over all keys of the cell. The map of all queries
/// is never made.
///
/// Arguments as in [`attention_map`]; `queries` are counted within the cell.
///
/// # Panics
/// When an array is too short for the cell, a query is beyond it, or `out` is not `queries x len`.
pub fn attention_rows(
    q: Rows<'_>,
    k: Rows<'_>,
    shape: &AttentionShape,
    mask: Mask<'_>,
    cell: Range<usize>,
    queries: &[usize],
    out: &mut [f32],
) {
    let n_tokens = mask.key_bias.map(<[_]>::len).or(mask.visible.map(<[_]>::len)).unwrap_or(cell.end);
    assert!(
        cell.start <= cell.end && cell.end <= n_tokens,
        "attention_rows: the cell is beyond the minibatch"
    );
    check_input(&[("q", q, shape.n_heads), ("k", k, shape.n_kv_heads)], &[0, n_tokens], shape, &mask);
    let (len, d) = (cell.len(), shape.d_head);
    assert!(queries.iter().all(|&i| i < len), "attention_rows: a query is beyond the cell");
    assert!(
        out.len() == queries.len() * len,
        "attention_rows: out has {} numbers, expected {} x {len}",
        out.len(),
        queries.len()
    );
    out.fill(0.0);
    if out.is_empty() {
        return;
    }
    let isa = Isa::current();
    let scoring = Scoring::of_cell(&mask, shape.soft_cap, cell.clone());
    let group = shape.n_heads / shape.n_kv_heads;
    let share = 1.0 / shape.n_heads as f32;
    let mut keys = Packed::default();
    for head in 0..shape.n_heads {
        if head % group == 0 {
            let format = Format::best(isa, shape.precision, d);
            keys.pack_transposed(isa, k.at(cell.start, head / group * d), k.stride(), len, d, format);
        }
        let rows: Vec<f32> =
            queries.iter().flat_map(|&i| &q.at(cell.start + i, head * d)[..d]).copied().collect();
        let blocks = out.par_chunks_mut(BLOCK_ROWS * len).zip(queries.par_chunks(BLOCK_ROWS));
        blocks.zip(rows.par_chunks(BLOCK_ROWS * d.max(1))).for_each(|((out, queries), rows)| {
            let n = queries.len();
            with_buffers([left_len(isa, n, &keys), n * len], |[a, scores]| {
                copy_rows(isa, rows, d, n, &keys, shape.scale, a);
                gemm(isa, &Product::whole(n, &keys, Epilogue::STORE), a, &mut Out::new(scores, len));
                let scores = scores[..n * len].chunks_exact_mut(len);
                for ((row, &query), out) in scores.zip(queries).zip(out.chunks_exact_mut(len)) {
                    score(isa, row, &scoring, query, 0);
                    softmax_row(isa, row);
                    out.iter_mut().zip(row.iter()).for_each(|(o, p)| *o += share * p);
                }
            });
        });
    }
}
