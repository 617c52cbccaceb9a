//! Pre-LN block with a gated feed-forward part and without biases.

use candle_core::{Result, Tensor};

use super::ops::{self, Activation, AttentionShape};
use super::{Dropout, Linear, Norm, Ragged};

/// `x + attention(norm(x))`, then `x + down(silu(gate(y)) * up(y))` with `y = norm(x)` (Shazeer 2020, SwiGLU).
#[derive(Clone, Debug)]
pub(super) struct GatedBlock {
    pub(super) attention: AttentionShape,
    pub(super) qkv: Linear,
    pub(super) out: Linear,
    pub(super) norm1: Norm,
    pub(super) gate: Linear,
    pub(super) up: Linear,
    pub(super) down: Linear,
    pub(super) norm2: Norm,
}

impl GatedBlock {
    /// `[token, d]` to `[token, d]`.
    pub(super) fn forward(&self, x: &Tensor, cells: &Ragged, dropout: &mut Dropout) -> Result<Tensor> {
        let qkv = self.qkv.apply(&self.norm1.apply(x)?, Activation::None)?;
        let z = ops::attention(&qkv, cells, self.attention)?;
        let x = (x + dropout.apply(&self.out.apply(&z, Activation::None)?)?)?;
        let y = self.norm2.apply(&x)?;
        let gate = self.gate.apply(&y, Activation::Silu)?;
        let hidden = (gate * self.up.apply(&y, Activation::None)?)?;
        &x + dropout.apply(&self.down.apply(&hidden, Activation::None)?)?
    }
}
