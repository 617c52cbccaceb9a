//! The normed inputs of both sub-layers, which are the bases of their residual sums and so sites of their own.

use microtome_core::{BlockSite, Result, Site};

use super::model::extra;
use crate::nn::PreLnBlock;
use crate::{SiteData, Tap, Tokens};

/// The site of a block's first or second norm.
pub(super) fn norm_site(block: usize, which: usize) -> Site {
    extra(&format!("blocks.{block}.norm{which}"))
}

/// The norm that follows a place of a block.
fn follows(site: &Site) -> Option<(usize, usize)> {
    match site {
        Site::Block(i, BlockSite::ResidPre) => Some((*i, 1)),
        Site::Block(i, BlockSite::ResidMid) => Some((*i, 2)),
        _ => None,
    }
}

/// Listens on behalf of another tap and makes the norms for it.
pub(super) struct NormTap<'a, 't> {
    pub(super) tap: &'t mut dyn Tap,
    pub(super) blocks: &'a [PreLnBlock],
}

impl Tap for NormTap<'_, '_> {
    fn wants(&self, site: &Site) -> bool {
        self.tap.wants(site) || follows(site).is_some_and(|(i, which)| self.tap.wants(&norm_site(i, which)))
    }

    fn offer(&mut self, site: &Site, tokens: &Tokens, data: SiteData<'_>) -> Result<()> {
        if self.tap.wants(site) {
            self.tap.offer(site, tokens, data)?;
        }
        let (Some((i, which)), SiteData::Tokens { data, width }) = (follows(site), data) else {
            return Ok(());
        };
        let own = norm_site(i, which);
        if self.tap.wants(&own) {
            let norm = if which == 1 { &self.blocks[i].norm1 } else { &self.blocks[i].norm2 };
            let mut out = vec![0.0; data.len()];
            norm.apply(data, data.len() / width.max(1), &mut out);
            self.tap.offer(&own, tokens, SiteData::Tokens { data: &out, width })?;
        }
        Ok(())
    }
}
