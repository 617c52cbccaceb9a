//! Blocks as a checkpoint has them.

use microtome_core::{Error, Result};

use crate::net::ops::{Activation, AttentionShape};
use crate::net::{NamedTensor, NormPlacement};

/// The maps of a block that are adapted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Queries.
    Q,
    /// Keys.
    K,
    /// Values.
    V,
    /// Output of the attention.
    Out,
    /// First map of the feed-forward part.
    Up,
    /// Second map of it.
    Down,
    /// The map whose activation is multiplied with the first, where the feed-forward part is gated.
    Gate,
}

impl Part {
    /// All of them, in the order of [`BlockWeights::maps`].
    pub const ALL: [Self; 7] = [Self::Q, Self::K, Self::V, Self::Out, Self::Up, Self::Down, Self::Gate];

    /// Word in the names of tensors.
    pub fn word(self) -> &'static str {
        match self {
            Self::Q => "attn.q",
            Self::K => "attn.k",
            Self::V => "attn.v",
            Self::Out => "attn.out",
            Self::Up => "mlp.up",
            Self::Down => "mlp.down",
            Self::Gate => "mlp.gate",
        }
    }
}

/// An affine map as the checkpoint has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    /// `[n_out, n_in]`.
    pub weight: Vec<f32>,
    /// `[n_out]`; none where the map has none.
    pub bias: Option<Vec<f32>>,
    /// Outputs.
    pub n_out: usize,
    /// Inputs.
    pub n_in: usize,
}

/// A norm as the checkpoint has it.
#[derive(Clone, Debug, PartialEq)]
pub struct NormWeights {
    /// `[d]`.
    pub weight: Vec<f32>,
    /// `[d]`; none where the norm has none.
    pub bias: Option<Vec<f32>>,
}

/// A block as the checkpoint has it.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockWeights {
    /// Heads, score function and mask.
    pub attention: AttentionShape,
    /// In the order of [`Part::ALL`]; the gate only where the feed-forward part is gated.
    pub maps: Vec<Map>,
    /// Of the attention and of the feed-forward part.
    pub norms: [NormWeights; 2],
    /// Added to variances, or to mean squares.
    pub eps: f32,
    /// Whether norms take the mean off (layer norm) or not (RMS norm).
    pub centres: bool,
    /// Of the gate, otherwise between the two maps of the feed-forward part.
    pub activation: Activation,
    /// Where the norms sit.
    pub placement: NormPlacement,
}

impl BlockWeights {
    /// Errors unless there are the maps of a plain or gated block.
    pub(super) fn check(&self) -> Result<()> {
        if self.maps.len() == Part::ALL.len() || self.maps.len() + 1 == Part::ALL.len() {
            return Ok(());
        }
        Err(Error::unreadable("a block has another number of maps")
            .expected("6, or 7 with a gate")
            .found(self.maps.len().to_string()))
    }

    /// All weights under the names that full fine-tuning trains them by.
    pub(super) fn named(&self, i: usize) -> Vec<NamedTensor> {
        let mut out = vec![];
        let mut add = |name: String, shape: Vec<usize>, values: &[f32]| {
            out.push(NamedTensor { name, shape, values: values.to_vec() });
        };
        for (part, m) in Part::ALL.iter().zip(&self.maps) {
            let name = format!("blocks.{i}.{}", part.word());
            add(format!("{name}.weight"), vec![m.n_out, m.n_in], &m.weight);
            if let Some(bias) = &m.bias {
                add(format!("{name}.bias"), vec![m.n_out], bias);
            }
        }
        for (k, norm) in self.norms.iter().enumerate() {
            let name = format!("blocks.{i}.norm{}", k + 1);
            add(format!("{name}.weight"), vec![norm.weight.len()], &norm.weight);
            if let Some(bias) = &norm.bias {
                add(format!("{name}.bias"), vec![bias.len()], bias);
            }
        }
        out
    }
}
