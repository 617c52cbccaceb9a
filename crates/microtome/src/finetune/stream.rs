//! The stream of cells that enters the first trained block, from the engine.

use std::sync::OnceLock;

use microtome_core::{BlockSite, Error, Result, Site};
use microtome_models::taps::{Recorded, Recorder};
use microtome_models::{GENE_MASK, Model, Tokens};
use microtome_train::finetune::{Batch, Examples};

/// Tokens of a cell that stand for its genes, counted within it: what the mean of a frozen representation is over.
pub(super) fn gene_places(model: &dyn Model, tokens: &Tokens, cell: usize) -> Vec<u32> {
    match tokens.column(GENE_MASK, cell) {
        Some(marks) => (0..).zip(marks).filter(|(_, mark)| **mark != 0.0).map(|(place, _)| place).collect(),
        None => model.gene_tokens(tokens.len_of(cell)).map(|place| place as u32).collect(),
    }
}

/// Most bytes of the stream that are kept between epochs; of more cells it is made again every time.
const KEPT: usize = 1 << 30;

/// Cells by position. The blocks before the first trained one never change: what they give is kept where memory allows, otherwise the
/// engine runs them when they are asked for.
pub(super) struct Stream<'a> {
    model: &'a dyn Model,
    tokens: &'a Tokens,
    /// Position among the tokens of every example.
    cells: &'a [usize],
    /// First block that is trained.
    first: usize,
    /// Stream of every example that was asked for; none where there are too many.
    kept: Option<Vec<OnceLock<Vec<f32>>>>,
}

impl<'a> Stream<'a> {
    /// The stream that enters block `first`.
    pub(super) fn new(model: &'a dyn Model, tokens: &'a Tokens, cells: &'a [usize], first: usize) -> Self {
        let n_tokens: usize = cells.iter().map(|&c| tokens.len_of(c)).sum();
        let fits = n_tokens.saturating_mul(model.info().d_model * 4) <= KEPT;
        let kept = fits.then(|| cells.iter().map(|_| OnceLock::new()).collect());
        Self { model, tokens, cells, first, kept }
    }

    /// Rows of these examples, one after the other.
    fn run(&self, cells: &[usize]) -> Result<Vec<f32>> {
        let positions: Vec<usize> = cells.iter().map(|&c| self.cells[c]).collect();
        let site = Site::Block(self.first, BlockSite::ResidPre);
        let mut recorder = Recorder::new([site.clone()]);
        self.model.forward(&self.tokens.select(&positions), &mut recorder)?;
        match recorder.take(&site) {
            Some(Recorded::Tokens { data, .. }) => Ok(data),
            _ => Err(Error::unsupported("the model does not offer the stream").at_key(site.to_string())),
        }
    }
}

impl Examples for Stream<'_> {
    fn n_tokens(&self, cell: usize) -> usize {
        self.tokens.len_of(self.cells[cell])
    }

    fn batch(&self, cells: &[usize]) -> Result<Batch> {
        let lengths: Vec<usize> = cells.iter().map(|&c| self.n_tokens(c)).collect();
        let positions: Vec<usize> = cells.iter().map(|&c| self.cells[c]).collect();
        let pooled = positions.iter().map(|&p| gene_places(self.model, self.tokens, p)).collect();
        let key_bias = self.model.key_bias(&self.tokens.select(&positions)).unwrap_or_default();
        let batch = Batch { lengths, pooled, key_bias, ..Batch::default() };
        let Some(kept) = &self.kept else { return Ok(Batch { stream: self.run(cells)?, ..batch }) };
        let new: Vec<usize> = cells.iter().copied().filter(|&c| kept[c].get().is_none()).collect();
        if !new.is_empty() {
            let d = self.model.info().d_model;
            let rows = self.run(&new)?;
            let mut rest = &rows[..];
            for c in new {
                let (own, others) = rest.split_at(self.n_tokens(c) * d);
                // Another part may have been first, with the same numbers.
                kept[c].get_or_init(|| own.to_vec());
                rest = others;
            }
        }
        let stream = cells.iter().filter_map(|&c| kept[c].get()).flatten().copied().collect();
        Ok(Batch { stream, ..batch })
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
            pooled: vec![vec![0]; cells.len()],
            ..Batch::default()
        })
    }
}
