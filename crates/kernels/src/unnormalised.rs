//! Attention without a softmax or any other row norm: linear in the number of tokens.

use std::ops::Range;

use rayon::prelude::*;

use crate::attention::Rows;

/// Cells whose sums exist at one time, so that memory does not grow with the number of cells.
const CELLS: usize = 64;

/// `out_i = scale * q_i (sum_j k_j^T v_j)` per cell and head, for `[token, head * d_head]` rows of a ragged minibatch; the same as
/// `scale * sum_j (q_i . k_j) v_j`. Sums are kept in `f64` in the order of the tokens, so that a result depends on its own cell alone.
///
/// # Panics
/// When `out` does not fit `offsets` and the heads.
#[allow(clippy::too_many_arguments, reason = "three inputs, the cells they belong to, and the heads")]
pub fn unnormalised_attention(
    q: Rows<'_>,
    k: Rows<'_>,
    v: Rows<'_>,
    offsets: &[usize],
    n_heads: usize,
    d_head: usize,
    scale: f32,
    out: &mut [f32],
) {
    let (n_cells, n_tokens) = (offsets.len().saturating_sub(1), offsets.last().copied().unwrap_or(0));
    let width = n_heads * d_head;
    assert!(offsets.is_sorted(), "unnormalised_attention: offsets go backwards");
    assert!(
        Some(out.len()) == n_tokens.checked_mul(width),
        "unnormalised_attention: out has {} numbers, expected {n_tokens} x {width}",
        out.len()
    );
    if out.is_empty() {
        return;
    }
    let mut rest = out;
    for first in (0..n_cells).step_by(CELLS) {
        let cells = first..(first + CELLS).min(n_cells);
        let tokens = offsets[cells.start]..offsets[cells.end];
        let (part, after) = rest.split_at_mut(tokens.len() * width);
        rest = after;
        let sums: Vec<Vec<f64>> = (0..cells.len() * n_heads)
            .into_par_iter()
            .map(|task| {
                let (cell, head) = (cells.start + task / n_heads, task % n_heads);
                sum(k, v, offsets[cell]..offsets[cell + 1], head * d_head, d_head)
            })
            .collect();
        let mut cell_of = Vec::with_capacity(tokens.len());
        for cell in cells.clone() {
            cell_of.resize(offsets[cell + 1] - tokens.start, cell - cells.start);
        }
        part.par_chunks_exact_mut(width).enumerate().for_each(|(i, out)| {
            for (head, out) in out.chunks_exact_mut(d_head).enumerate() {
                let query = &q.at(tokens.start + i, head * d_head)[..d_head];
                read(query, &sums[cell_of[i] * n_heads + head], scale, out);
            }
        });
    }
}

/// `sum_j k_j^T v_j` of one cell and head, `[d_head, d_head]`.
fn sum(k: Rows<'_>, v: Rows<'_>, tokens: Range<usize>, column: usize, d_head: usize) -> Vec<f64> {
    let mut out = vec![0.0f64; d_head * d_head];
    for token in tokens {
        let (key, value) = (&k.at(token, column)[..d_head], &v.at(token, column)[..d_head]);
        for (row, &a) in out.chunks_exact_mut(d_head).zip(key) {
            // Features behind a ReLU are often exactly zero.
            if a != 0.0 {
                row.iter_mut().zip(value).for_each(|(s, &b)| *s += f64::from(a) * f64::from(b));
            }
        }
    }
    out
}

/// `out = scale * query sum`.
fn read(query: &[f32], sum: &[f64], scale: f32, out: &mut [f32]) {
    let mut total = vec![0.0f64; out.len()];
    for (&a, row) in query.iter().zip(sum.chunks_exact(out.len())) {
        if a != 0.0 {
            total.iter_mut().zip(row).for_each(|(t, &s)| *t += f64::from(a) * s);
        }
    }
    out.iter_mut().zip(&total).for_each(|(o, t)| *o = (t * f64::from(scale)) as f32);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_the_sum_over_pairs_in_double_precision() {
        let (heads, d, offsets) = (3, 4, [0usize, 5, 5, 42]);
        let (n, w) = (42, heads * d);
        let wave = |a: f32| -> Vec<f32> { (0..n * w).map(|i| (i as f32 * a).sin().max(-0.4)).collect() };
        let (q, k, v) = (wave(0.7), wave(1.3), wave(2.9));
        let mut got = vec![0.0; n * w];
        let rows = |x| Rows::dense(x, w);
        unnormalised_attention(rows(&q), rows(&k), rows(&v), &offsets, heads, d, 0.25, &mut got);
        let at = |x: &[f32], t: usize, h: usize, i: usize| f64::from(x[t * w + h * d + i]);
        for cell in offsets.windows(2) {
            for i in cell[0]..cell[1] {
                for h in 0..heads {
                    for c in 0..d {
                        let expected: f64 = (cell[0]..cell[1])
                            .map(|j| {
                                (0..d).map(|a| at(&q, i, h, a) * at(&k, j, h, a)).sum::<f64>()
                                    * at(&v, j, h, c)
                            })
                            .sum();
                        assert!((at(&got, i, h, c) - 0.25 * expected).abs() < 1e-6);
                    }
                }
            }
        }
        // More cells than are summed at one time.
        let offsets: Vec<usize> = (0..=2 * CELLS + 5).map(|c| c.saturating_sub(CELLS).min(n)).collect();
        let mut single = vec![0.0; n * w];
        unnormalised_attention(rows(&q), rows(&k), rows(&v), &offsets, heads, d, 1.0, &mut single);
        let own: f64 = (0..d).map(|a| at(&q, 41, 2, a) * at(&k, 41, 2, a)).sum::<f64>() * at(&v, 41, 2, 3);
        assert!((at(&single, 41, 2, 3) - own).abs() < 1e-6);
        // A cell alone gives the same bits as in company.
        let mut alone = vec![0.0; 37 * w];
        let tail = |x| Rows::dense(x, w);
        unnormalised_attention(
            tail(&q[5 * w..]),
            tail(&k[5 * w..]),
            tail(&v[5 * w..]),
            &[0, 37],
            heads,
            d,
            0.25,
            &mut alone,
        );
        assert_eq!(alone, got[5 * w..]);
    }
}
