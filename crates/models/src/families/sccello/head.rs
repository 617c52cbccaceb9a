//! The head that scCello has twice: over genes (`cls`) and over the cell (`cell_cls`).

use microtome_core::Result;
use microtome_kernels::{Activation, LayerNorm, Linear};
use microtome_weights::Loader;

use crate::nn::bert::BertConfig;
use crate::nn::stored;

/// `dense_2(act(norm(dense_1(x))))`; the norm comes before the activation.
pub(super) struct Head {
    pub(super) dense1: Linear,
    pub(super) norm: LayerNorm,
    pub(super) activation: Activation,
    dense2: Linear,
}

impl Head {
    /// Reads `NAME.predictions.*`. The bias of the second map is registered under two names, of which a file may hold one or both.
    pub(super) fn load(loader: &Loader<'_>, name: &str, config: &BertConfig) -> Result<Self> {
        let d = config.d_model;
        let p = format!("{name}.predictions");
        let (long, short) = (format!("{p}.dense_2.bias"), format!("{p}.bias"));
        let bias = if loader.has(&short) {
            loader.tied(&long, &short)?;
            loader.f32(&short, &[d])?
        } else {
            loader.f32(&long, &[d])?
        };
        let weight = loader.f32(&format!("{p}.dense_2.weight"), &[d, d])?;
        Ok(Self {
            dense1: stored::linear(loader, &format!("{p}.dense_1"), d, d)?,
            norm: stored::layer_norm(loader, &format!("{p}.layer_norm"), d, config.layer_norm_eps)?,
            activation: config.activation,
            dense2: Linear::pack(&weight, d, d, Some(&bias)),
        })
    }

    /// `[rows, d]`.
    pub(super) fn apply(&self, x: &[f32], rows: usize) -> Vec<f32> {
        let mut hidden = vec![0.0; rows * self.dense1.n_out()];
        self.dense1.apply(x, rows, Activation::None, &mut hidden);
        let mut normed = vec![0.0; hidden.len()];
        self.norm.apply(&hidden, rows, &mut normed);
        self.activation.apply(&mut normed);
        self.dense2.apply(&normed, rows, Activation::None, &mut hidden);
        hidden
    }
}
