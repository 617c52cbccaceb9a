//! Row passes of attention: score function, running softmax, normalisation.

use std::ops::Range;

use super::input::Scoring;
use crate::elementary::{exp, tanh};
use crate::gemm::{Out, STRIDE};
use crate::isa::dispatch;
use crate::simd::Simd;

/// Greatest score so far and the sum of exponentials relative to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowState {
    pub(crate) max: f32,
    pub(crate) sum: f32,
}

impl RowState {
    pub(crate) const EMPTY: Self = Self { max: f32::NEG_INFINITY, sum: 0.0 };

    /// What exponentials are taken relative to. With no key seen yet there is nothing to subtract.
    pub(crate) fn reference(self) -> f32 {
        if self.max == f32::NEG_INFINITY { 0.0 } else { self.max }
    }

    /// Factor of the final normalisation; zero for a query that saw no key.
    pub(crate) fn factor(self) -> f32 {
        if self.sum == 0.0 { 0.0 } else { 1.0 / self.sum }
    }
}

dispatch! {
    /// Turns a block of raw scores (rows [`STRIDE`] apart, the given keys) into exponentials relative to the running maximum, updates
    /// the row states, and scales what was accumulated under an older maximum.
    fn softmax_step(
        scores: &mut [f32],
        keys: Range<usize>,
        scoring: &Scoring<'_>,
        first_query: usize,
        state: &mut [RowState],
        accumulated: Option<&mut [f32]>,
    ) = softmax_step_simd
}

#[inline(always)]
fn softmax_step_simd<S: Simd>(
    s: S,
    scores: &mut [f32],
    keys: Range<usize>,
    scoring: &Scoring<'_>,
    first_query: usize,
    state: &mut [RowState],
    mut accumulated: Option<&mut [f32]>,
) {
    let rows = state.len();
    for (i, state) in state.iter_mut().enumerate() {
        let row = &mut scores[i * STRIDE..][..keys.len()];
        score_row(s, row, scoring, first_query + i, keys.start);
        let old = *state;
        // A NaN among the scores may or may not win here; it reaches the sum through its own exponential.
        state.max = old.max.max(greatest(s, row));
        let sum = exponentials(s, row, state.reference());
        if old.max == f32::NEG_INFINITY || old.max == state.max {
            state.sum = old.sum + sum;
            continue;
        }
        let decay = (old.max - state.reference()).exp();
        state.sum = old.sum * decay + sum;
        if let Some(acc) = accumulated.as_deref_mut()
            && decay != 1.0
        {
            let d = acc.len() / rows;
            scale(s, &mut acc[i * d..][..d], decay);
        }
    }
}

dispatch! {
    /// Applies the score function to one row of raw scores that begins at key `first_key`.
    fn score(row: &mut [f32], scoring: &Scoring<'_>, query: usize, first_key: usize) = score_row
}

/// Bias, cap and mask of one row.
#[inline(always)]
pub(crate) fn score_row<S: Simd>(
    s: S,
    row: &mut [f32],
    scoring: &Scoring<'_>,
    query: usize,
    first_key: usize,
) {
    if let Some(bias) = scoring.key_bias {
        let earlier = query.saturating_sub(first_key).min(row.len());
        let (biased, rest) = row.split_at_mut(if scoring.bias_earlier_only { earlier } else { row.len() });
        let (of_biased, of_rest) = bias[first_key..].split_at(biased.len());
        for (x, b) in biased.iter_mut().zip(of_biased) {
            *x += b;
        }
        for (x, b) in rest.iter_mut().zip(of_rest) {
            if *b == f32::NEG_INFINITY {
                *x = f32::NEG_INFINITY;
            }
        }
    }
    if let Some(cap) = scoring.soft_cap {
        soft_cap(s, row, cap);
        // A hidden key stays hidden: the cap would make a finite number of it.
        for (x, b) in row.iter_mut().zip(scoring.key_bias.map_or(&[][..], |b| &b[first_key..])) {
            if *b == f32::NEG_INFINITY {
                *x = f32::NEG_INFINITY;
            }
        }
    }
    if let Some(visible) = scoring.visible {
        for (j, x) in row.iter_mut().enumerate() {
            let key = first_key + j;
            if !visible[key] && key != query {
                *x = f32::NEG_INFINITY;
            }
        }
    }
    if scoring.causal {
        let seen = (query + 1).saturating_sub(first_key).min(row.len());
        row[seen..].fill(f32::NEG_INFINITY);
    }
}

#[inline(always)]
fn soft_cap<S: Simd>(s: S, row: &mut [f32], cap: f32) {
    let (cap, inverse) = (s.splat(cap), s.splat(1.0 / cap));
    let whole = row.len() - row.len() % S::LANES;
    let mut i = 0;
    while i < whole {
        let v = s.mul(cap, tanh(s, s.mul(s.load(row, i), inverse)));
        s.store(row, i, v);
        i += S::LANES;
    }
    let v = s.mul(cap, tanh(s, s.mul(s.load_part(&row[whole..], 0.0), inverse)));
    s.store_part(&mut row[whole..], v);
}

#[inline(always)]
fn greatest<S: Simd>(s: S, row: &[f32]) -> f32 {
    let low = s.splat(f32::NEG_INFINITY);
    let mut max = [low; 4];
    let step = 4 * S::LANES;
    let whole = row.len() - row.len() % step;
    let mut i = 0;
    while i < whole {
        for (chain, max) in max.iter_mut().enumerate() {
            *max = s.max(s.load(row, i + chain * S::LANES), *max);
        }
        i += step;
    }
    while i < row.len() {
        max[0] = s.max(s.load_part(&row[i..], f32::NEG_INFINITY), max[0]);
        i += S::LANES;
    }
    s.greatest(s.max(s.max(max[0], max[1]), s.max(max[2], max[3])))
}

/// Replaces each number by its exponential relative to `reference`; returns the sum.
#[inline(always)]
fn exponentials<S: Simd>(s: S, row: &mut [f32], reference: f32) -> f32 {
    let m = s.splat(reference);
    let mut sum = [s.splat(0.0); 2];
    let step = 2 * S::LANES;
    let whole = row.len() - row.len() % step;
    let mut i = 0;
    while i < whole {
        for (chain, sum) in sum.iter_mut().enumerate() {
            let at = i + chain * S::LANES;
            let e = exp(s, s.sub(s.load(row, at), m));
            s.store(row, at, e);
            *sum = s.add(*sum, e);
        }
        i += step;
    }
    while i < row.len() {
        let e = exp(s, s.sub(s.load_part(&row[i..], f32::NEG_INFINITY), m));
        s.store_part(&mut row[i..], e);
        sum[0] = s.add(sum[0], e);
        i += S::LANES;
    }
    s.sum(s.add(sum[0], sum[1]))
}

#[inline(always)]
fn scale<S: Simd>(_s: S, row: &mut [f32], factor: f32) {
    for x in row {
        *x *= factor;
    }
}

dispatch! {
    /// Softmax of one row of finished scores, in place.
    fn softmax_row(row: &mut [f32]) = softmax_row_simd
}

#[inline(always)]
fn softmax_row_simd<S: Simd>(s: S, row: &mut [f32]) {
    let mut state = RowState { max: greatest(s, row), sum: 0.0 };
    state.sum = exponentials(s, row, state.reference());
    scale(s, row, state.factor());
}

dispatch! {
    /// Writes accumulated rows, normalised, to the output.
    fn finish_rows(acc: &[f32], state: &[RowState], out: &mut Out<'_>) = finish_rows_simd
}

#[inline(always)]
fn finish_rows_simd<S: Simd>(_s: S, acc: &[f32], state: &[RowState], out: &mut Out<'_>) {
    let d = acc.len() / state.len();
    for (i, (acc, state)) in acc.chunks_exact(d).zip(state).enumerate() {
        let factor = state.factor();
        for (out, x) in out.row(i, d).iter_mut().zip(acc) {
            *out = x * factor;
        }
    }
}
