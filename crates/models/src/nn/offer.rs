//! What a tap wants of a forward pass, asked once.

use std::collections::HashSet;
use std::ops::Range;

use microtome_core::{BlockSite, Result, Site};

use super::attend::block_extras;
use crate::{CellRule, POOL_MASK, SiteData, Tap, Tokens, attention_site};

/// The wanted sites among those a model offers.
pub(crate) struct Wanted(HashSet<Site>);

impl Wanted {
    pub(crate) fn ask(tap: &dyn Tap, sites: impl IntoIterator<Item = Site>) -> Self {
        let views = |site: &Site| match site {
            Site::Block(i, BlockSite::Pattern) => Some(attention_site(*i)),
            _ => None,
        };
        Self(
            sites.into_iter().flat_map(|s| [views(&s), Some(s)]).flatten().filter(|s| tap.wants(s)).collect(),
        )
    }

    /// Of a pass whose places nobody listens to.
    pub(crate) fn nothing() -> Self {
        Self(HashSet::new())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn has(&self, site: &Site) -> bool {
        self.0.contains(site)
    }

    pub(crate) fn has_at(&self, block: usize, place: BlockSite) -> bool {
        self.0.contains(&Site::Block(block, place))
    }

    /// The last wanted place of a block in the order of the forward pass.
    pub(crate) fn last_in(&self, block: usize) -> Option<BlockSite> {
        let extras = block_extras(block);
        let viewed = self.has(&attention_site(block));
        let at = |p: &BlockSite| {
            self.has_at(block, *p)
                || (viewed && *p == BlockSite::Pattern)
                || extras.iter().any(|(s, before)| before == p && self.has(s))
        };
        BlockSite::ALL.into_iter().rev().find(at)
    }

    /// Whether anything but the block's input and output is wanted.
    pub(crate) fn inside(&self, block: usize) -> bool {
        BlockSite::ALL
            .into_iter()
            .any(|p| !matches!(p, BlockSite::ResidPre | BlockSite::ResidPost) && self.has_at(block, p))
            || block_extras(block).iter().any(|(s, _)| self.has(s))
            || self.has(&attention_site(block))
    }
}

/// Pools `[token, width]` rows per cell and offers the result. A cell without a token to pool gets a row of NaN.
pub(crate) fn offer_cells(
    tap: &mut dyn Tap,
    site: &Site,
    tokens: &Tokens,
    rows: &[f32],
    width: usize,
    rule: CellRule,
    gene_tokens: impl Fn(usize) -> Range<usize>,
) -> Result<()> {
    let data = pool_cells(tokens, rows, width, rule, gene_tokens);
    tap.offer(site, tokens, SiteData::Cells { data: &data, width: rule.width(width) })
}

/// `[token, width]` rows pooled per cell. A cell without a token to pool gets a row of NaN.
pub(crate) fn pool_cells(
    tokens: &Tokens,
    rows: &[f32],
    width: usize,
    rule: CellRule,
    gene_tokens: impl Fn(usize) -> Range<usize>,
) -> Vec<f32> {
    let pooled = rule.width(width);
    let mut data = vec![0.0; tokens.n_cells() * pooled];
    for (cell, out) in data.chunks_exact_mut(pooled).enumerate() {
        let rows = &rows[tokens.offsets[cell] * width..tokens.offsets[cell + 1] * width];
        let (genes, marks) = (gene_tokens(tokens.len_of(cell)), tokens.column(POOL_MASK, cell));
        super::pool_cell(rows, width, rule, genes, marks, out);
    }
    data
}
