//! Transformer block.

use candle_core::{Result, Tensor};

use super::ops::{self, Activation, AttentionShape};
use super::{Dropout, Linear, Norm, Ragged};

/// Where the norms of a block sit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormPlacement {
    /// On the input of attention and of the feed-forward part.
    Pre,
    /// On the residual sum behind attention and behind the feed-forward part.
    Post,
    /// As [`NormPlacement::Pre`], and what each part gives is added to its normed input: `norm(x) + f(norm(x))`.
    PreNormed,
}

/// Attention and feed-forward with residual sums and two norms. With a gate the feed-forward part is `down(act(gate(x)) * up(x))`
/// (Shazeer 2020), otherwise `down(act(up(x)))`.
#[derive(Clone, Debug)]
pub struct Block {
    /// Heads, width and mask of the attention.
    pub attention: AttentionShape,
    /// Query, key and value as one map, `[q | k | v, d]`.
    pub qkv: Linear,
    /// Projection of the heads, `[d, d]`.
    pub out: Linear,
    /// Norm of the attention.
    pub norm1: Norm,
    /// `[f, d]`, where the feed-forward part is gated.
    pub gate: Option<Linear>,
    /// `[f, d]`.
    pub up: Linear,
    /// Of the gate, otherwise between the two maps of the feed-forward part.
    pub activation: Activation,
    /// `[d, f]`.
    pub down: Linear,
    /// Norm of the feed-forward part.
    pub norm2: Norm,
    /// Where both norms sit.
    pub placement: NormPlacement,
}

impl Block {
    /// `[token, d]` to `[token, d]`.
    pub fn forward(&self, x: &Tensor, cells: &Ragged) -> Result<Tensor> {
        self.forward_with(x, cells, &mut Dropout::none())
    }

    /// [`Block::forward`] with dropout on what attention and the feed-forward part add to the stream.
    pub fn forward_with(&self, x: &Tensor, cells: &Ragged, dropout: &mut Dropout) -> Result<Tensor> {
        match self.placement {
            NormPlacement::Post => {
                let x = self.norm1.apply(&(x + dropout.apply(&self.attend(x, cells)?)?)?)?;
                self.norm2.apply(&(&x + dropout.apply(&self.feed_forward(&x)?)?)?)
            }
            NormPlacement::Pre => {
                let x = (x + dropout.apply(&self.attend(&self.norm1.apply(x)?, cells)?)?)?;
                &x + dropout.apply(&self.feed_forward(&self.norm2.apply(&x)?)?)?
            }
            NormPlacement::PreNormed => {
                let x = self.norm1.apply(x)?;
                let x = self.norm2.apply(&(&x + dropout.apply(&self.attend(&x, cells)?)?)?)?;
                &x + dropout.apply(&self.feed_forward(&x)?)?
            }
        }
    }

    fn attend(&self, x: &Tensor, cells: &Ragged) -> Result<Tensor> {
        let qkv = self.qkv.apply(x, Activation::None)?;
        let z = ops::attention(&qkv, cells, self.attention)?;
        self.out.apply(&z, Activation::None)
    }

    fn feed_forward(&self, x: &Tensor) -> Result<Tensor> {
        let hidden = match &self.gate {
            Some(gate) => (gate.apply(x, self.activation)? * self.up.apply(x, Activation::None)?)?,
            None => self.up.apply(x, self.activation)?,
        };
        self.down.apply(&hidden, Activation::None)
    }
}

/// The embedding `[token, d]` and the output of every block.
pub(super) fn states(
    blocks: &[Block],
    embedding: Tensor,
    cells: &Ragged,
    dropout: &mut Dropout,
) -> Result<Vec<Tensor>> {
    let mut states = vec![dropout.apply(&embedding)?];
    for (i, block) in blocks.iter().enumerate() {
        let next = block.forward_with(&states[i], cells, dropout)?;
        states.push(next);
    }
    Ok(states)
}
