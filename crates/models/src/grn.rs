//! Gene networks from attention: the attention of mean queries and keys (scPRINT, `GNInfer`).
//!
//! Rows attend, columns are attended to: entry `[i, j]` is how much gene `i` looks at gene `j`. The authors' benchmarks transpose the
//! network before they read rows as regulators.

use microtome_core::Matrix;
use rayon::prelude::*;

use crate::taps::MeanQueryKey;

impl MeanQueryKey {
    /// `softmax(q k^T / sqrt(d_head))` of one head of one block over all tokens, `[token, token]`.
    pub fn head_attention(&self, block: usize, head: usize) -> Matrix {
        let (t, h, d) = (self.tokens.len(), self.n_heads, self.d_head);
        let scale = 1.0 / (d as f64).sqrt();
        let row = |values: &[f32], token: usize| -> Vec<f64> {
            let at = (token * h + head) * d;
            values[at..at + d].iter().map(|&v| f64::from(v)).collect()
        };
        let keys: Vec<Vec<f64>> = (0..t).map(|i| row(&self.keys[block], i)).collect();
        let mut out = Matrix::zeros(t, t);
        out.data_mut().par_chunks_mut(t.max(1)).enumerate().for_each(|(i, out)| {
            let q = row(&self.queries[block], i);
            let scores: Vec<f64> =
                keys.iter().map(|k| scale * q.iter().zip(k).map(|(a, b)| a * b).sum::<f64>()).collect();
            let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = scores.iter().map(|s| (s - top).exp()).sum();
            for (o, s) in out.iter_mut().zip(&scores) {
                *o = ((s - top).exp() / sum) as f32;
            }
        });
        out
    }

    /// Mean of [`MeanQueryKey::head_attention`] over all heads of all blocks.
    pub fn mean_attention(&self) -> Matrix {
        let t = self.tokens.len();
        let mut sums = vec![0.0f64; t * t];
        let mut n = 0.0;
        for block in 0..self.queries.len() {
            for head in 0..self.n_heads {
                for (s, &v) in sums.iter_mut().zip(self.head_attention(block, head).data()) {
                    *s += f64::from(v);
                }
                n += 1.0;
            }
        }
        let mut out = Matrix::zeros(t, t);
        for (o, s) in out.data_mut().iter_mut().zip(&sums) {
            *o = (s / n) as f32;
        }
        out
    }
}

/// The published network: entries below `1 / t` are zero, `t` counting all tokens; then only the tokens of `genes` are kept.
pub fn thresholded(attention: &Matrix, genes: std::ops::Range<usize>) -> Matrix {
    let threshold = 1.0 / attention.rows() as f32;
    let mut out = Matrix::zeros(genes.len(), genes.len());
    for (i, gene) in genes.clone().enumerate() {
        for (o, &v) in out.row_mut(i).iter_mut().zip(&attention.row(gene)[genes.clone()]) {
            *o = if v < threshold { 0.0 } else { v };
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_sum_to_one_and_follow_the_formula() {
        let m = MeanQueryKey {
            tokens: vec![1, 2],
            n_cells: 1,
            n_heads: 1,
            d_head: 4,
            queries: vec![vec![1.0, 0.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0]],
            keys: vec![vec![1.0, 1.0, 0.0, 0.0, 3.0, 0.0, 0.0, 0.0]],
        };
        let a = m.mean_attention();
        let first = 1.0 / (1.0 + 1f64.exp());
        assert!((f64::from(a.row(0)[0]) - first).abs() < 1e-6);
        assert!((f64::from(a.row(1)[1]) - first).abs() < 1e-6);
        assert!(a.row(1).iter().sum::<f32>() - 1.0 < 1e-6);
        let network = thresholded(&a, 1..2);
        assert_eq!(network.data(), [0.0]);
        assert_eq!(thresholded(&a, 0..2).row(1)[0], a.row(1)[0]);
    }
}
