//! What an attention layer attends to, head by head, without ever holding its matrix.

use std::ops::Range;

use rayon::prelude::*;

use super::input::{AttentionShape, Mask, Rows, Scoring, check_input};
use super::softmax::{RowState, score_row, softmax_step};
use crate::buffer::with_buffers;
use crate::elementary::exp;
use crate::gemm::{
    BLOCK_ROWS, DEPTH, Epilogue, Format, Out, PANEL, Packed, Product, STRIDE, copy_rows, gemm, left_len,
    strided_len,
};
use crate::isa::{Isa, dispatch};
use crate::simd::Simd;

/// Statistics of the attention pattern `p[query, key]`, each `[token, head]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AttentionStatistics {
    /// Entropy of what a query attends to, `-sum_key p ln p`, in nats.
    pub entropy: Vec<f32>,
    /// Attention a key receives, `sum_query p`. The mean over a cell is one.
    pub received: Vec<f32>,
    /// Share of a query's attention on the keys it attends to most.
    pub top: Vec<f32>,
}

/// Entropy, received attention and the share of the `n_top` greatest entries, for every cell and head.
///
/// Arguments as in [`attention`](crate::attention). Costs about as much as `attention` itself (the scores are computed twice);
/// memory is linear in tokens.
///
/// # Panics
/// When `offsets` is not `0 = o[0] <= o[1] <= ...`, or an array is too short for the last offset.
pub fn attention_statistics(
    q: Rows<'_>,
    k: Rows<'_>,
    offsets: &[usize],
    shape: &AttentionShape,
    mask: Mask<'_>,
    n_top: usize,
) -> AttentionStatistics {
    let n_tokens = check_input(&[("q", q, shape.n_heads), ("k", k, shape.n_kv_heads)], offsets, shape, &mask);
    let isa = Isa::current();
    let n_heads = shape.n_heads;
    let group = n_heads / shape.n_kv_heads;
    let cells = offsets.len() - 1;
    let parts: Vec<HeadStatistics> = (0..cells * n_heads)
        .into_par_iter()
        .map(|task| {
            let (cell, head) = (task / n_heads, task % n_heads);
            let (start, end) = (offsets[cell], offsets[cell + 1]);
            let d = shape.d_head;
            let mut keys = Packed::default();
            if start < end {
                keys.pack_transposed(
                    isa,
                    k.at(start, head / group * d),
                    k.stride(),
                    end - start,
                    d,
                    Format::best(isa, shape.precision, shape.d_head),
                );
            }
            let scoring = Scoring::of_cell(&mask, shape.soft_cap, start..end);
            let mut part = HeadStatistics::new(end - start, n_top);
            for first in (0..end - start).step_by(BLOCK_ROWS) {
                let rows = BLOCK_ROWS.min(end - start - first);
                let lens = [left_len(isa, rows, &keys), strided_len(rows)];
                with_buffers(lens, |[a, scores]| {
                    copy_rows(isa, q.at(start + first, head * d), q.stride(), rows, &keys, shape.scale, a);
                    part.add_queries(isa, first..first + rows, &keys, a, scores, &scoring);
                });
            }
            part
        })
        .collect();
    let mut all = AttentionStatistics {
        entropy: vec![0.0; n_tokens * n_heads],
        received: vec![0.0; n_tokens * n_heads],
        top: vec![0.0; n_tokens * n_heads],
    };
    for (task, part) in parts.iter().enumerate() {
        let (cell, head) = (task / n_heads, task % n_heads);
        for (i, token) in (offsets[cell]..offsets[cell + 1]).enumerate() {
            let at = token * n_heads + head;
            all.entropy[at] = part.entropy[i];
            all.received[at] = part.received[i] as f32;
            all.top[at] = part.top[i];
        }
    }
    all
}

/// Statistics of one head of one cell.
struct HeadStatistics {
    n_top: usize,
    entropy: Vec<f32>,
    received: Vec<f64>,
    top: Vec<f32>,
}

/// One query row while its keys pass by.
#[derive(Clone, Default)]
struct QueryStatistics {
    entropy: f32,
    /// The greatest probabilities so far, greatest first.
    greatest: Vec<f32>,
}

impl HeadStatistics {
    fn new(len: usize, n_top: usize) -> Self {
        Self { n_top: n_top.min(len), entropy: vec![0.0; len], received: vec![0.0; len], top: vec![0.0; len] }
    }

    /// Adds some queries: one pass over the keys for maximum and sum, one for the statistics.
    fn add_queries(
        &mut self,
        isa: Isa,
        queries: Range<usize>,
        keys: &Packed,
        a: &[f32],
        scores: &mut [f32],
        scoring: &Scoring<'_>,
    ) {
        let (first, rows) = (queries.start, queries.len());
        let seen = if scoring.causal { first + rows } else { keys.n() };
        let blocks = || (0..seen).step_by(DEPTH).map(|start| start..(start + DEPTH).min(seen));
        let product = |range: &Range<usize>| Product {
            panels: range.start / PANEL..range.end.div_ceil(PANEL),
            ..Product::whole(rows, keys, Epilogue::STORE)
        };
        let mut state = [RowState::EMPTY; BLOCK_ROWS];
        let state = &mut state[..rows];
        for range in blocks() {
            gemm(isa, &product(&range), a, &mut Out::new(scores, STRIDE));
            softmax_step(isa, scores, range, scoring, first, state, None);
        }
        let mut queries = vec![QueryStatistics::default(); rows];
        for range in blocks() {
            gemm(isa, &product(&range), a, &mut Out::new(scores, STRIDE));
            let mut columns = [0.0; DEPTH];
            let columns = &mut columns[..range.len()];
            for (i, (query, state)) in queries.iter_mut().zip(&*state).enumerate() {
                let row = &mut scores[i * STRIDE..][..range.len()];
                query.entropy += row_statistics(isa, row, scoring, first + i, range.start, *state, columns);
                query.keep_greatest(row, self.n_top);
            }
            for (total, part) in self.received[range].iter_mut().zip(columns) {
                *total += f64::from(*part);
            }
        }
        for (i, query) in queries.iter().enumerate() {
            self.entropy[first + i] = query.entropy;
            self.top[first + i] = query.greatest.iter().sum();
        }
    }
}

impl QueryStatistics {
    fn keep_greatest(&mut self, row: &[f32], n: usize) {
        for &p in row {
            if self.greatest.len() < n || self.greatest.last().is_some_and(|&least| p > least) {
                let at = self.greatest.partition_point(|&g| g >= p);
                self.greatest.insert(at, p);
                self.greatest.truncate(n);
            }
        }
    }
}

dispatch! {
    /// Turns a row of raw scores into probabilities, adds them to the columns, and returns their part of the entropy.
    fn row_statistics(
        row: &mut [f32],
        scoring: &Scoring<'_>,
        query: usize,
        first_key: usize,
        state: RowState,
        columns: &mut [f32],
    ) -> f32 = row_statistics_simd
}

#[inline(always)]
fn row_statistics_simd<S: Simd>(
    s: S,
    row: &mut [f32],
    scoring: &Scoring<'_>,
    query: usize,
    first_key: usize,
    state: RowState,
    columns: &mut [f32],
) -> f32 {
    score_row(s, row, scoring, query, first_key);
    let log_sum = s.splat(if state.sum == 0.0 { 0.0 } else { state.sum.ln() });
    let (reference, factor) = (s.splat(state.reference()), s.splat(state.factor()));
    let mut entropy = s.splat(0.0);
    let mut i = 0;
    while i < row.len() {
        // Hidden keys are at -inf; the limit keeps 0 * inf out of the entropy, and their exponential is 0 all the same.
        let x = s.sub(s.load_part(&row[i..], f32::NEG_INFINITY), reference);
        let x = s.max(s.splat(-200.0), x);
        let p = s.mul(exp(s, x), factor);
        // -p ln p, a sum of terms that are not negative.
        entropy = s.mul_add(p, s.sub(log_sum, x), entropy);
        let column = s.add(s.load_part(&columns[i..], 0.0), p);
        s.store_part(&mut columns[i..], column);
        s.store_part(&mut row[i..], p);
        i += S::LANES;
    }
    s.sum(entropy)
}
