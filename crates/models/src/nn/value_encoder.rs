//! Encoder of one number per token: two linear maps with an activation between them, then a norm.

use microtome_kernels::{Activation, LayerNorm, Linear};

/// `norm(linear2(act(linear1(min(v, max)))))`. There is no lower bound: the values of masks and special tokens pass through.
#[derive(Clone, Debug)]
pub(crate) struct ValueEncoder {
    pub(crate) max: f32,
    pub(crate) linear1: Linear,
    pub(crate) activation: Activation,
    pub(crate) linear2: Linear,
    pub(crate) norm: Option<LayerNorm>,
}

impl ValueEncoder {
    /// `[token, d]` of one value per token.
    pub(crate) fn apply(&self, values: &[f32]) -> Vec<f32> {
        let rows = values.len();
        let clamped: Vec<f32> = values.iter().map(|v| v.min(self.max)).collect();
        let mut hidden = vec![0.0; rows * self.linear1.n_out()];
        self.linear1.apply(&clamped, rows, self.activation, &mut hidden);
        let mut out = vec![0.0; rows * self.linear2.n_out()];
        self.linear2.apply(&hidden, rows, Activation::None, &mut out);
        let Some(norm) = &self.norm else { return out };
        let mut normed = hidden;
        normed.resize(out.len(), 0.0);
        norm.apply(&out, rows, &mut normed);
        normed
    }
}
