//! Taps listen to a forward pass.

use microtome_core::{Result, Site};

use crate::{AttentionView, Tokens};

/// What an attention map means, so that unlike maps are never compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MapKind {
    /// Every row sums to one (softmax).
    RowStochastic,
    /// Non-negative, not normalised.
    NonNegative,
    /// Signed and triangular (state-space models).
    SignedTriangular,
    /// Signed and unbounded: what a softmax is applied to.
    Logits,
}

/// A tensor offered at a site. Cells of a minibatch lie one after the other along the token axis, delimited by
/// [`Tokens::offsets`]; there is no padding.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum SiteData<'a> {
    /// `[token, width]` for all tokens of the minibatch.
    Tokens {
        /// Row-major values.
        data: &'a [f32],
        /// Width of a row.
        width: usize,
    },
    /// `[token, head, d_head]` for all tokens of the minibatch (in memory; the site's documented order is `[cell, head, token, d_head]`).
    Heads {
        /// Row-major values.
        data: &'a [f32],
        /// Attention heads.
        n_heads: usize,
        /// Width of a head.
        d_head: usize,
    },
    /// `[head, query, key]` of one cell; offered once per cell, scores and pattern of a cell together.
    Map {
        /// Index of the cell within the minibatch.
        cell: usize,
        /// Row-major values.
        data: &'a [f32],
        /// Attention heads.
        n_heads: usize,
        /// Tokens of the cell.
        n_tokens: usize,
        /// Meaning of the values.
        kind: MapKind,
    },
    /// Attention of all cells of the minibatch, to be asked about; offered at [`crate::attention_site`].
    Attention(AttentionView<'a>),
    /// `[cell, width]` for all cells of the minibatch.
    Cells {
        /// Row-major values.
        data: &'a [f32],
        /// Width of a row.
        width: usize,
    },
}

/// Listens to a forward pass. Says beforehand what it wants; nothing else is computed for it.
pub trait Tap {
    /// Whether this site is wanted. Asked once per site before a forward pass; must not change in between.
    fn wants(&self, site: &Site) -> bool;
    /// A wanted site, with the tokens of the minibatch it belongs to. Sites come in the order of the forward pass.
    fn offer(&mut self, site: &Site, tokens: &Tokens, data: SiteData<'_>) -> Result<()>;
}
