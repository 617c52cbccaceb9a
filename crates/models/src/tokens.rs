//! Ragged tokens of a minibatch of cells: no padding anywhere.

use std::collections::BTreeMap;

use microtome_core::{Error, Result};

/// Name of the token column that marks what the published cell vector pools ([`crate::CellRule::Marked`]): 1 or 0 per token.
pub const POOL_MASK: &str = "pool_mask";

/// Name of the token column that marks the genes of a cell, for families whose padding is part of the published arithmetic: 1 or 0
/// per token. Where it is there, [`crate::taps::Pooling::Mean`] is over the marked tokens.
pub const GENE_MASK: &str = "gene_mask";

/// Value of a masked token in families that read out masked genes: the network gets the mask in place of the number.
pub const MASKED: f32 = -1.0;

/// Tokens of some cells, one cell after the other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tokens {
    /// `n_cells + 1` offsets into `ids` and `values`.
    pub offsets: Vec<usize>,
    /// Token ids, as the model's embedding table counts them.
    pub ids: Vec<u32>,
    /// The value that goes with each token (expression, bin, or for rank models the value that was ranked).
    pub values: Vec<f32>,
    /// Per cell: how many neighbouring tokens had exactly equal ranking values, so that their order is a convention.
    pub n_ties: Vec<u32>,
    /// Per cell: how many expressed known genes did not fit into the model's maximum length.
    pub n_cut: Vec<u32>,
    /// Further numbers per token that a family's network or readout needs, by name; each as long as `ids`.
    pub per_token: BTreeMap<&'static str, Vec<f32>>,
    /// Further numbers per cell, by name.
    pub per_cell: BTreeMap<&'static str, Vec<f32>>,
}

impl Tokens {
    /// No cells yet.
    pub fn new() -> Self {
        Self { offsets: vec![0], ..Self::default() }
    }

    /// Number of cells.
    pub fn n_cells(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Number of tokens of one cell.
    pub fn len_of(&self, cell: usize) -> usize {
        self.offsets[cell + 1] - self.offsets[cell]
    }

    /// Token ids and values of one cell.
    pub fn cell(&self, cell: usize) -> (&[u32], &[f32]) {
        let range = self.offsets[cell]..self.offsets[cell + 1];
        (&self.ids[range.clone()], &self.values[range])
    }

    /// A further column of one cell; `None` when these tokens have no such column.
    pub fn column(&self, name: &str, cell: usize) -> Option<&[f32]> {
        self.per_token.get(name)?.get(self.offsets[cell]..self.offsets[cell + 1])
    }

    /// Fails on a token outside of a vocabulary of `d_vocab` entries, and on a cell of more than `longest` tokens.
    pub(crate) fn check(&self, d_vocab: usize, longest: usize) -> Result<()> {
        if let Some(&id) = self.ids.iter().find(|&&id| id as usize >= d_vocab) {
            return Err(Error::mismatch("a token is not in the model's vocabulary")
                .expected(format!("below {d_vocab}"))
                .found(id.to_string()));
        }
        let found = (0..self.n_cells()).map(|c| self.len_of(c)).max().unwrap_or(0);
        if found > longest {
            return Err(Error::mismatch("a cell is longer than the model's positions")
                .expected(format!("at most {longest} tokens"))
                .found(found.to_string()));
        }
        Ok(())
    }

    /// Adds one cell. Further columns are the caller's to extend.
    pub fn push(&mut self, ids: &[u32], values: &[f32], n_ties: u32, n_cut: u32) {
        self.ids.extend_from_slice(ids);
        self.values.extend_from_slice(values);
        self.n_ties.push(n_ties);
        self.n_cut.push(n_cut);
        self.offsets.push(self.ids.len());
    }

    /// The given cells in the given order. Panics when an index is out of range.
    pub fn select(&self, cells: &[usize]) -> Self {
        let mut out = Self::new();
        for &c in cells {
            let (ids, values) = self.cell(c);
            out.push(ids, values, self.n_ties[c], self.n_cut[c]);
        }
        for (name, column) in &self.per_token {
            let parts = cells.iter().flat_map(|&c| &column[self.offsets[c]..self.offsets[c + 1]]);
            out.per_token.insert(name, parts.copied().collect());
        }
        for (name, column) in &self.per_cell {
            out.per_cell.insert(name, cells.iter().map(|&c| column[c]).collect());
        }
        out
    }
}
