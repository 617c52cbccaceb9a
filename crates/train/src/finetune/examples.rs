//! What is learnt from: the stream of every cell, and what is true of it.

use microtome_core::Result;

/// Some cells as they enter the first trained block, one after the other without padding.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// `[token, d]`.
    pub stream: Vec<f32>,
    /// Tokens of each cell.
    pub lengths: Vec<usize>,
    /// Tokens of each cell, counted within it, whose mean stands for the cell; not empty.
    pub pooled: Vec<Vec<u32>>,
    /// What every token adds as a key to the scores of attention (`-inf` hides it), one per token; empty where nothing.
    pub key_bias: Vec<f32>,
}

/// Cells by number.
pub trait Examples: Sync {
    /// Tokens of a cell.
    fn n_tokens(&self, cell: usize) -> usize;
    /// The stream of some cells, in this order.
    ///
    /// # Errors
    /// When the model cannot be run.
    fn batch(&self, cells: &[usize]) -> Result<Batch>;
}

/// What is true of every cell, as the head predicts it.
#[derive(Clone, Debug, PartialEq)]
pub enum Targets {
    /// A class below `n` per cell.
    Classes {
        /// Class of every cell.
        codes: Vec<u32>,
        /// Classes.
        n: usize,
    },
    /// A finite number per cell.
    Numbers(Vec<f64>),
}

impl Targets {
    /// Numbers that the head gives per cell.
    pub fn width(&self) -> usize {
        match self {
            Self::Classes { n, .. } => *n,
            Self::Numbers(_) => 1,
        }
    }
}

/// Cuts cells into parts of at most `tokens` tokens, or of one cell, in order.
pub(super) fn parts<'a>(examples: &dyn Examples, cells: &'a [usize], tokens: usize) -> Vec<&'a [usize]> {
    crate::pretrain::gradient::parts(cells, tokens, |&c| examples.n_tokens(c))
}
