//! Value embedding by soft bins: a number becomes a mixture of bin vectors (scFoundation, AIDO.Cell).

use microtome_kernels::{Activation, Linear};
use rayon::prelude::*;

/// `softmax(W2 h + b2 + alpha h) table` with `h = leaky_relu(W1 v + b1)`, over `n_bins` bins
/// (Hao et al. 2024, "auto-discretization").
#[derive(Clone, Debug)]
pub(crate) struct SoftBins {
    /// `[n_bins]`: the first map takes one number.
    pub(crate) weight1: Vec<f32>,
    /// `[n_bins]`.
    pub(crate) bias1: Vec<f32>,
    /// Slope of the activation below zero.
    pub(crate) slope: f32,
    /// `n_bins -> n_bins`, with its bias.
    pub(crate) mix: Linear,
    /// Factor of the skip connection around `mix`.
    pub(crate) alpha: f32,
    /// `n_bins -> d`: the bin vectors as a map, without bias.
    pub(crate) table: Linear,
}

/// Rows whose bin weights exist at one time.
const ROWS: usize = 2048;

impl SoftBins {
    /// `[value, d]` vectors of the values; `out` must be of that size. A value's vector depends on the value alone.
    pub(crate) fn apply(&self, values: &[f32], out: &mut [f32]) {
        let d = self.table.n_out();
        assert!(out.len() == values.len() * d, "one row of {d} per value is needed");
        for (values, out) in values.chunks(ROWS).zip(out.chunks_mut(ROWS * d.max(1))) {
            self.table.apply(&self.bin_weights(values), values.len(), Activation::None, out);
        }
    }

    /// `[value, bin]`: how much of each bin a value takes.
    pub(crate) fn bin_weights(&self, values: &[f32]) -> Vec<f32> {
        let n = self.weight1.len();
        let mut hidden = vec![0.0; values.len() * n];
        let mut bins = vec![0.0; values.len() * n];
        hidden.par_chunks_mut(n).zip(values).for_each(|(h, &v)| self.first(v, h));
        self.mix.apply(&hidden, values.len(), Activation::None, &mut bins);
        bins.par_chunks_mut(n).zip(hidden.par_chunks(n)).for_each(|(bins, h)| self.weights(h, bins));
        bins
    }

    fn first(&self, value: f32, out: &mut [f32]) {
        for ((o, w), b) in out.iter_mut().zip(&self.weight1).zip(&self.bias1) {
            let h = value * w + b;
            *o = if h < 0.0 { h * self.slope } else { h };
        }
    }

    /// Logits to weights of the bins, with the usual maximum taken out.
    fn weights(&self, h: &[f32], bins: &mut [f32]) {
        let mut top = f32::NEG_INFINITY;
        for (b, h) in bins.iter_mut().zip(h) {
            *b += self.alpha * h;
            top = top.max(*b);
        }
        let mut sum = 0.0f64;
        for b in bins.iter_mut() {
            *b = (*b - top).exp();
            sum += f64::from(*b);
        }
        let factor = (1.0 / sum) as f32;
        bins.iter_mut().for_each(|b| *b *= factor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(n: usize, a: f32) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * a + 0.3).sin()).collect()
    }

    fn example(n: usize, d: usize) -> (SoftBins, [Vec<f32>; 3]) {
        let (w2, b2, table) = (wave(n * n, 0.7), wave(n, 1.9), wave(n * d, 2.3));
        let columns: Vec<f32> = (0..d * n).map(|i| table[(i % n) * d + i / n]).collect();
        let bins = SoftBins {
            weight1: wave(n, 1.1),
            bias1: wave(n, 0.4),
            slope: 0.1,
            mix: Linear::pack(&w2, n, n, Some(&b2)),
            alpha: 0.8,
            table: Linear::pack(&columns, d, n, None),
        };
        (bins, [w2, b2, table])
    }

    #[test]
    fn follows_the_formula_in_double_precision() {
        let (n, d) = (7, 3);
        let (bins, [w2, b2, table]) = example(n, d);
        let values: Vec<f32> = (0..ROWS + 5).map(|i| (i % 41) as f32 / 5.0 - 2.0).collect();
        let mut got = vec![0.0; values.len() * d];
        bins.apply(&values, &mut got);
        for (v, got) in values.iter().zip(got.chunks_exact(d)) {
            let h: Vec<f64> = (0..n)
                .map(|j| f64::from(*v) * f64::from(bins.weight1[j]) + f64::from(bins.bias1[j]))
                .map(|h| if h < 0.0 { 0.1 * h } else { h })
                .collect();
            let logits: Vec<f64> = (0..n)
                .map(|i| {
                    let mix: f64 = (0..n).map(|j| f64::from(w2[i * n + j]) * h[j]).sum();
                    mix + f64::from(b2[i]) + 0.8 * h[i]
                })
                .collect();
            let sum: f64 = logits.iter().map(|l| l.exp()).sum();
            for (o, got) in got.iter().enumerate() {
                let e: f64 = (0..n).map(|j| logits[j].exp() / sum * f64::from(table[j * d + o])).sum();
                assert!((f64::from(*got) - e).abs() < 2e-6, "{got} {e}");
            }
        }
    }

    #[test]
    fn a_value_gives_the_same_bits_alone_and_in_company() {
        let (bins, _) = example(9, 4);
        let values: Vec<f32> = (0..3000).map(|i| (i % 97) as f32 * 0.11).collect();
        let mut all = vec![0.0; values.len() * 4];
        bins.apply(&values, &mut all);
        for i in [0, 1, 2047, 2048, 2999] {
            let mut one = vec![0.0; 4];
            bins.apply(&values[i..=i], &mut one);
            assert_eq!(one, all[i * 4..(i + 1) * 4]);
        }
    }

    #[test]
    fn nothing_in_gives_nothing_out_and_nan_stays_nan() {
        let (bins, _) = example(5, 2);
        bins.apply(&[], &mut []);
        let mut out = [0.0; 2];
        bins.apply(&[f32::NAN], &mut out);
        assert!(out.iter().all(|v| v.is_nan()));
    }
}
