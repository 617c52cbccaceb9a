//! The stream of cells that enters the first trained block, from the engine.

use microtome_core::{BlockSite, Error, Result, Site};
use microtome_models::taps::{Recorded, Recorder};
use microtome_models::{Model, Tokens};
use microtome_train::finetune::{Batch, Examples};

/// Cells by position, run through the engine when they are asked for: only tokens are held in memory.
pub(super) struct Stream<'a> {
    pub(super) model: &'a dyn Model,
    pub(super) tokens: &'a Tokens,
    /// Position among the tokens of every example.
    pub(super) cells: &'a [usize],
    /// First block that is trained.
    pub(super) first: usize,
}

impl Examples for Stream<'_> {
    fn n_tokens(&self, cell: usize) -> usize {
        self.tokens.len_of(self.cells[cell])
    }

    fn batch(&self, cells: &[usize]) -> Result<Batch> {
        let positions: Vec<usize> = cells.iter().map(|&c| self.cells[c]).collect();
        let tokens = self.tokens.select(&positions);
        let site = Site::Block(self.first, BlockSite::ResidPre);
        let mut recorder = Recorder::new([site.clone()]);
        self.model.forward(&tokens, &mut recorder)?;
        match recorder.take(&site) {
            Some(Recorded::Tokens { data, .. }) => {
                let lengths: Vec<usize> = (0..tokens.n_cells()).map(|c| tokens.len_of(c)).collect();
                let pooled = lengths.iter().map(|&n| self.model.gene_tokens(n)).collect();
                Ok(Batch { stream: data, lengths, pooled })
            }
            _ => Err(Error::unsupported("the model does not offer the stream").at_key(site.to_string())),
        }
    }
}

/// Rows of a matrix, as cells of one token: what a probe learns from.
pub(super) struct Rows<'a> {
    pub(super) matrix: &'a microtome_core::Matrix,
    /// Row of every example.
    pub(super) rows: &'a [usize],
}

impl Examples for Rows<'_> {
    fn n_tokens(&self, _: usize) -> usize {
        1
    }

    fn batch(&self, cells: &[usize]) -> Result<Batch> {
        Ok(Batch {
            stream: cells.iter().flat_map(|&c| self.matrix.row(self.rows[c]).iter().copied()).collect(),
            lengths: vec![1; cells.len()],
            pooled: vec![0..1; cells.len()],
        })
    }
}
