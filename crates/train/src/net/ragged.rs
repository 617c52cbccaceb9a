//! Cells of different length, one after the other.

use std::sync::Arc;

use candle_core::{Result, bail};

/// Where the cells of a minibatch lie along the token axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Ragged {
    offsets: Vec<usize>,
    key_bias: Option<Arc<[f32]>>,
}

impl Ragged {
    /// From `n_cells + 1` offsets that start at 0 and do not decrease.
    pub fn new(offsets: Vec<usize>) -> Result<Self> {
        if offsets.first() != Some(&0) || offsets.windows(2).any(|w| w[0] > w[1]) {
            bail!("offsets of cells must start at 0 and must not decrease");
        }
        Ok(Self { offsets, key_bias: None })
    }

    /// From the number of tokens of each cell.
    pub fn of_lengths(lengths: impl IntoIterator<Item = usize>) -> Self {
        let mut offsets = vec![0];
        let mut end = 0;
        for n in lengths {
            end += n;
            offsets.push(end);
        }
        Self { offsets, key_bias: None }
    }

    /// The same cells, whose tokens as keys add these numbers to the scores of attention, one per token; `-inf` hides a token.
    pub fn with_key_bias(self, bias: Vec<f32>) -> Result<Self> {
        if bias.len() != self.n_tokens() {
            bail!("{} numbers do not go with {} keys", bias.len(), self.n_tokens());
        }
        Ok(Self { key_bias: Some(bias.into()), ..self })
    }

    /// What every token adds to the scores as a key, where anything.
    pub fn key_bias(&self) -> Option<&[f32]> {
        self.key_bias.as_deref()
    }

    /// Tokens of all cells.
    pub fn n_tokens(&self) -> usize {
        self.offsets.last().copied().unwrap_or(0)
    }

    /// Cells.
    pub fn n_cells(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Tokens of every cell, empty cells included.
    pub fn cells(&self) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
        self.offsets.windows(2).map(|w| w[0]..w[1])
    }

    /// Place of every token within its cell.
    pub fn places(&self) -> Vec<u32> {
        self.cells().flat_map(|r| 0..r.len() as u32).collect()
    }
}
