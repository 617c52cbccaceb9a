//! Attention after softmax: whole rows of every head, a few rows at a time, never n x n.

use crate::tiles::{COLS, Tile};
use microtome_core::{Matrix, Result};
use microtome_numerics::products::cross;

/// Scaled queries and keys of every head, `[n, d_head]` each.
#[derive(Clone, Debug)]
pub(super) struct Heads {
    queries: Vec<Matrix>,
    keys: Vec<Matrix>,
}

/// Scratch of one thread.
#[derive(Default)]
pub(super) struct Stripe {
    tile: Vec<f32>,
    head: Vec<f32>,
    entropies: Vec<f64>,
}

impl Heads {
    pub(super) fn new(queries: Vec<Matrix>, keys: Vec<Matrix>) -> Self {
        Self { queries, keys }
    }

    pub(super) fn len(&self) -> usize {
        self.queries.len()
    }

    /// Head mean of the row softmax over all keys, into `out`. `each(head, probabilities, entropies)` sees every head's
    /// rows on the way, with the entropy of each row in nats.
    pub(super) fn mean(
        &self,
        tile: &Tile,
        stripe: &mut Stripe,
        out: &mut Vec<f32>,
        mut each: impl FnMut(usize, &[f32], &[f64]),
    ) -> Result<()> {
        let n = tile.cols;
        out.clear();
        out.resize(tile.rows * n, 0.0);
        stripe.head.resize(tile.rows * n, 0.0);
        let share = 1.0 / self.len() as f32;
        for (index, (q, k)) in self.queries.iter().zip(&self.keys).enumerate() {
            let d = q.cols();
            for col in (0..n).step_by(COLS) {
                let part = Tile { col, cols: COLS.min(n - col), ..*tile };
                stripe.tile.resize(part.rows * part.cols, 0.0);
                cross(&q.data()[part.row_range(d)], &k.data()[part.col_range(d)], d, &mut stripe.tile)?;
                for (row, values) in stripe.tile.chunks_exact(part.cols).enumerate() {
                    stripe.head[row * n + col..][..part.cols].copy_from_slice(values);
                }
            }
            stripe.entropies.clear();
            stripe.entropies.extend(stripe.head.chunks_exact_mut(n).map(softmax));
            each(index, &stripe.head, &stripe.entropies);
            out.iter_mut().zip(&stripe.head).for_each(|(m, p)| *m += p * share);
        }
        Ok(())
    }
}

/// Softmax in place; returns the entropy of the row in nats.
///
/// Sums run in lanes of `f32` over 256 values and then in `f64`, since 20,000 small terms meet one large total.
fn softmax(row: &mut [f32]) -> f64 {
    let largest = row.iter().fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a });
    let (mut total, mut weighted) = (0.0f64, 0.0f64);
    for chunk in row.chunks_mut(256) {
        let (mut sum, mut product) = ([0.0f32; 8], [0.0f32; 8]);
        for values in chunk.chunks_mut(8) {
            for ((v, s), p) in values.iter_mut().zip(&mut sum).zip(&mut product) {
                let x = *v - largest;
                *v = exp(x);
                *s += *v;
                *p += *v * x;
            }
        }
        total += sum.iter().map(|&v| f64::from(v)).sum::<f64>();
        weighted += product.iter().map(|&v| f64::from(v)).sum::<f64>();
    }
    let scale = (1.0 / total) as f32;
    row.iter_mut().for_each(|v| *v *= scale);
    // -sum p ln p with ln p = x - ln total.
    (total.ln() - weighted / total).max(0.0)
}

/// `e^x` for `x <= 0`, to about one unit in the last place, in operations that compilers vectorise: `2^n e^r` with `n` the
/// nearest whole number to `x / ln 2` and a Taylor polynomial of degree 7 in `|r| <= ln 2 / 2`. 0 below -87.
fn exp(x: f32) -> f32 {
    const MAGIC: f32 = 12_582_912.0; // 1.5 * 2^23: adding it rounds to a whole number.
    let kept = if x < -87.0 { -87.0 } else { x };
    let shifted = kept * std::f32::consts::LOG2_E + MAGIC;
    let n = shifted - MAGIC;
    // ln 2 in two parts, the first exact in few bits.
    let r = (kept - n * 0.693_359_4) + n * 2.121_944_4e-4;
    let p = 1.0 / 5040.0;
    let p = p * r + 1.0 / 720.0;
    let p = p * r + 1.0 / 120.0;
    let p = p * r + 1.0 / 24.0;
    let p = p * r + 1.0 / 6.0;
    let p = p * r + 0.5;
    let p = (p * r) * r + r + 1.0;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0f32.to_bits()));
    if x < -87.0 { 0.0 } else { p * power }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponential_is_good_to_rounding() {
        let mut worst = 0.0f64;
        for i in 0..1_000_000 {
            let x = -87.0 * (i as f32) / 1e6;
            let (got, want) = (f64::from(exp(x)), f64::from(x).exp());
            worst = worst.max((got / want - 1.0).abs());
        }
        assert!(worst < 2.5e-7, "{worst:e}");
        assert_eq!((exp(0.0), exp(-100.0)), (1.0, 0.0));
    }

    #[test]
    fn rows_sum_to_one_and_know_their_entropy() {
        let mut row: Vec<f32> = (0..1000).map(|i| ((i * 37 % 101) as f32) / 20.0 - 300.0).collect();
        let wide: Vec<f64> = row.iter().map(|&v| f64::from(v)).collect();
        let total: f64 = wide.iter().map(|v| (v + 300.0).exp()).sum();
        let entropy = softmax(&mut row);
        let mut want = 0.0;
        for (p, v) in row.iter().zip(&wide) {
            let q = (v + 300.0).exp() / total;
            assert!((f64::from(*p) - q).abs() < 1e-8);
            want -= q * q.ln();
        }
        assert!((entropy - want).abs() < 1e-5, "{entropy} {want}");
        assert!((row.iter().map(|&v| f64::from(v)).sum::<f64>() - 1.0).abs() < 1e-6);
        let mut flat = [5.0f32; 64];
        assert!((softmax(&mut flat) - 64f64.ln()).abs() < 1e-6);
    }
}
