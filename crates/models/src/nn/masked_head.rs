//! Readout of masked-token models: dense, activation, norm, then a decoder tied to the word table.

use std::sync::OnceLock;

use microtome_kernels::{Activation, LayerNorm, Linear};

/// `decoder(norm(act(dense(x)))) + bias`.
pub(crate) struct MaskedHead {
    pub(crate) dense: Linear,
    pub(crate) activation: Activation,
    pub(crate) norm: LayerNorm,
    /// Bias of the decoder, one per vocabulary entry.
    pub(crate) bias: Vec<f32>,
    /// The word table packed for multiplication; made on first use, since most runs never read out.
    pub(crate) decoder: OnceLock<Linear>,
}

impl MaskedHead {
    /// `[rows, d]` of the transformed stream.
    pub(crate) fn transform(&self, x: &[f32], rows: usize) -> Vec<f32> {
        let mut hidden = vec![0.0; rows * self.dense.n_out()];
        self.dense.apply(x, rows, self.activation, &mut hidden);
        let mut out = vec![0.0; hidden.len()];
        self.norm.apply(&hidden, rows, &mut out);
        out
    }

    /// `[rows, vocab]` logits of transformed rows; `words` is the tied `[vocab, d]` table.
    pub(crate) fn logits(&self, transformed: &[f32], rows: usize, words: &[f32]) -> Vec<f32> {
        let decoder = self
            .decoder
            .get_or_init(|| Linear::pack(words, self.bias.len(), self.dense.n_out(), Some(&self.bias)));
        let mut out = vec![0.0; rows * decoder.n_out()];
        decoder.apply(transformed, rows, Activation::None, &mut out);
        out
    }
}
