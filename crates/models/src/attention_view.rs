//! Attention of a minibatch that can be asked about without being written out.

use microtome_core::Site;
use microtome_kernels::{
    AttentionShape, AttentionStatistics, Mask, Rows, attention_rows, attention_statistics,
};

/// Queries and keys of a minibatch with everything that makes them attention: heads, scale, cap, mask and biases of keys.
#[derive(Clone, Copy, Debug)]
pub struct AttentionView<'a> {
    pub(crate) q: Rows<'a>,
    pub(crate) k: Rows<'a>,
    pub(crate) shape: &'a AttentionShape,
    pub(crate) mask: Mask<'a>,
}

impl AttentionView<'_> {
    /// Query heads.
    pub fn n_heads(&self) -> usize {
        self.shape.n_heads
    }

    /// Entropy, received attention and share of the `n_top` greatest keys for every token and head; `offsets` are those of the minibatch.
    pub fn statistics(&self, offsets: &[usize], n_top: usize) -> AttentionStatistics {
        attention_statistics(self.q, self.k, offsets, self.shape, self.mask, n_top)
    }

    /// Attention of some queries of the cell whose tokens are `cell`, mean over heads: `[query, key]`. `queries` are counted within it.
    pub fn mean_rows(&self, cell: std::ops::Range<usize>, queries: &[usize]) -> Vec<f32> {
        let mut out = vec![0.0; queries.len() * cell.len()];
        attention_rows(self.q, self.k, self.shape, self.mask, cell, queries, &mut out);
        out
    }
}

/// Where block `i` offers its [`AttentionView`] to those who want it. Only blocks with softmax attention do. It is no tensor, and so
/// not among [`crate::Model::sites`].
pub fn attention_site(i: usize) -> Site {
    Site::Extra(format!("blocks.{i}.attn.view"))
}
