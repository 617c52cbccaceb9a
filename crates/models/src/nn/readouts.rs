//! Readouts of expression and of cell labels that scGPT brought in and its descendants share.

use microtome_kernels::{Activation, LayerNorm, Linear};
use rayon::prelude::*;

use crate::Tokens;

/// Activation of a readout.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum ReadoutActivation {
    /// One of the kernels'.
    Kernel(Activation),
    /// `x` or `slope x` below zero.
    LeakyRelu(f32),
}

impl ReadoutActivation {
    fn apply(self, x: &mut [f32]) {
        match self {
            Self::Kernel(activation) => activation.apply(x),
            Self::LeakyRelu(slope) => {
                x.par_iter_mut().for_each(|v| *v = if *v < 0.0 { slope * *v } else { *v })
            }
        }
    }
}

/// Linear maps with an activation after each but the last, and a norm after the activation where there is one.
#[derive(Clone, Debug)]
pub(crate) struct LayeredReadout {
    pub(crate) layers: Vec<(Linear, Option<LayerNorm>)>,
    pub(crate) activation: ReadoutActivation,
    pub(crate) out: Linear,
}

impl LayeredReadout {
    /// `[rows, n_out]`.
    pub(crate) fn apply(&self, x: &[f32], rows: usize) -> Vec<f32> {
        let mut x = x.to_vec();
        for (linear, norm) in &self.layers {
            let mut y = vec![0.0; rows * linear.n_out()];
            linear.apply(&x, rows, Activation::None, &mut y);
            self.activation.apply(&mut y);
            match norm {
                Some(norm) => {
                    x.resize(y.len(), 0.0);
                    norm.apply(&y, rows, &mut x);
                }
                None => x = y,
            }
        }
        let mut out = vec![0.0; rows * self.out.n_out()];
        self.out.apply(&x, rows, Activation::None, &mut out);
        out
    }
}

/// Expression of a gene asked of the cell's vector: `W(act(query(gene))) . cell`, "masked value prediction for cell modelling".
#[derive(Clone, Debug)]
pub(crate) struct CellQueryReadout {
    pub(crate) query: Linear,
    pub(crate) activation: QueryActivation,
    /// As wide as the cell's vector.
    pub(crate) weight: Linear,
    /// Whether the product is divided by the root of the width of the gene vectors.
    pub(crate) scaled: bool,
}

/// Activation of the gene queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QueryActivation {
    Sigmoid,
    Tanh,
}

impl CellQueryReadout {
    /// One number per token; `genes` is `[token, d]`, `cells` is `[cell, weight.n_out]`.
    pub(crate) fn apply(&self, genes: &[f32], cells: &[f32], tokens: &Tokens) -> Vec<f32> {
        let rows = tokens.ids.len();
        let mut queries = vec![0.0; rows * self.query.n_out()];
        self.query.apply(genes, rows, Activation::None, &mut queries);
        let activation = self.activation;
        queries.par_iter_mut().for_each(|v| {
            *v = match activation {
                QueryActivation::Sigmoid => sigmoid(*v),
                QueryActivation::Tanh => v.tanh(),
            };
        });
        let width = self.weight.n_out();
        let mut asked = vec![0.0; rows * width];
        self.weight.apply(&queries, rows, Activation::None, &mut asked);
        let scale = if self.scaled { 1.0 / (self.query.n_in() as f32).sqrt() } else { 1.0 };
        let spans = tokens.offsets.windows(2).zip(cells.chunks_exact(width));
        let of_cell = spans.flat_map(|(span, cell)| (span[0]..span[1]).map(move |_| cell));
        let dot = |(a, b): (&[f32], &[f32])| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>() * scale;
        asked.chunks_exact(width).zip(of_cell).map(dot).collect()
    }
}

/// `1 / (1 + exp(-x))`.
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// Every row divided by its Euclidean length, as numpy does it in `f32`; a row of zeros becomes NaN as there.
pub(crate) fn unit_rows(rows: &[f32], width: usize) -> Vec<f32> {
    let unit = |row: &[f32]| {
        let length = row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt() as f32;
        row.iter().map(move |v| v / length).collect::<Vec<f32>>()
    };
    rows.chunks_exact(width.max(1)).flat_map(unit).collect()
}

/// Every row divided by its Euclidean length, or by 1e-12 where it is shorter, as torch's `F.normalize` does it.
pub(crate) fn normalised_rows(rows: &[f32], width: usize) -> Vec<f32> {
    let unit = |row: &[f32]| {
        let length = row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt() as f32;
        let length = if length < 1e-12 { 1e-12 } else { length };
        row.iter().map(move |v| v / length).collect::<Vec<f32>>()
    };
    rows.chunks_exact(width.max(1)).flat_map(unit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_answered_by_its_own_cell() {
        let mut tokens = Tokens::new();
        tokens.push(&[0, 1], &[0.0; 2], 0, 0);
        tokens.push(&[2], &[0.0], 0, 0);
        let identity = Linear::pack(&[1.0, 0.0, 0.0, 1.0], 2, 2, None);
        let mut readout = CellQueryReadout {
            query: identity.clone(),
            activation: QueryActivation::Tanh,
            weight: identity,
            scaled: false,
        };
        let genes = [0.5, 0.0, 0.0, 0.5, 0.5, 0.5];
        let got = readout.apply(&genes, &[1.0, 2.0, 10.0, 20.0], &tokens);
        let t = 0.5f32.tanh();
        for (g, e) in got.iter().zip([t, 2.0 * t, 30.0 * t]) {
            assert!((g - e).abs() < 1e-5, "{g} {e}");
        }
        readout.scaled = true;
        assert!((readout.apply(&genes, &[1.0, 2.0, 10.0, 20.0], &tokens)[0] - t / 2f32.sqrt()).abs() < 1e-6);
    }

    #[test]
    fn layers_norm_after_the_activation() {
        let readout = LayeredReadout {
            layers: vec![(Linear::pack(&[1.0, -1.0], 2, 1, None), None)],
            activation: ReadoutActivation::LeakyRelu(0.01),
            out: Linear::pack(&[1.0, 1.0], 1, 2, Some(&[0.5])),
        };
        let got = readout.apply(&[2.0, -3.0], 2);
        assert!((got[0] - 2.48).abs() < 1e-6 && (got[1] - 3.47).abs() < 1e-6, "{got:?}");
        assert!((sigmoid(0.0) - 0.5).abs() < 1e-7);
        assert_eq!(normalised_rows(&[3.0, 4.0, 0.0, 0.0], 2), [0.6, 0.8, 0.0, 0.0]);
        assert!(normalised_rows(&[f32::NAN, 1.0], 2).iter().all(|v| v.is_nan()));
        assert_eq!(unit_rows(&[3.0, 4.0, 0.0, 2.0], 2), [0.6, 0.8, 0.0, 1.0]);
    }
}
