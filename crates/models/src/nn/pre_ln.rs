//! Pre-LN transformer block: one fast pass, and one with every place offered.

use microtome_core::{BlockSite, Result, Site};
use microtome_kernels::{Activation, Activations, AttentionShape, Linear, add_assign};

use super::attend::{Attend, Qkv, norm_site};
use super::{Mlp, Norm, Wanted};
use crate::{SiteData, Tap, Tokens};

/// What a sub-layer's output is added to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Residual {
    /// The stream before the norm, as usual: `x + f(norm(x))`.
    Stream,
    /// The normed stream: `norm(x) + f(norm(x))`.
    Normed,
}

/// `x = x + out(attention(qkv(norm1(x))))`, then `x = x + mlp(norm2(x))` (Xiong et al. 2020).
#[derive(Clone, Debug)]
pub(crate) struct PreLnBlock {
    pub(crate) norm1: Norm,
    pub(crate) shape: AttentionShape,
    /// Outputs `q | k | v`; keys and values may have fewer heads than queries.
    pub(crate) qkv: Linear,
    pub(crate) out: Linear,
    pub(crate) norm2: Norm,
    pub(crate) mlp: Mlp,
    pub(crate) residual: Residual,
}

/// Buffers of a forward pass, kept from block to block.
#[derive(Debug, Default)]
pub(crate) struct PreLnScratch {
    normed: Activations,
    qkv: Activations,
    z: Activations,
    part: Activations,
    hidden: Activations,
}

impl PreLnScratch {
    fn resize(&mut self, block: &PreLnBlock, rows: usize) {
        let d = block.out.n_out();
        self.normed.resize(rows * d);
        self.part.resize(rows * d);
        self.qkv.resize(rows * Qkv::width(&block.shape));
        self.z.resize(rows * block.out.n_in());
    }
}

impl PreLnBlock {
    /// Runs the block in place over `x` `[token, d]` when only its output is wanted.
    pub(crate) fn forward(
        &self,
        x: &mut [f32],
        offsets: &[usize],
        attend: Attend<'_>,
        scratch: &mut PreLnScratch,
    ) {
        let rows = x.len() / self.out.n_out();
        scratch.resize(self, rows);
        let PreLnScratch { normed, qkv, z, part, hidden } = scratch;
        self.norm1.apply(x, rows, normed);
        self.qkv.apply(normed, rows, Activation::None, qkv);
        Qkv { data: qkv, shape: &self.shape }.attend(attend, offsets, z);
        self.out.apply(z, rows, Activation::None, part);
        match self.residual {
            Residual::Stream => self.norm2.add_then_apply(x, part, rows, normed),
            Residual::Normed => {
                add_assign(part, normed);
                self.norm2.apply(part, rows, normed);
            }
        }
        self.mlp.apply(normed, rows, hidden, part);
        if self.residual == Residual::Normed {
            x.copy_from_slice(normed);
        }
        add_assign(x, part);
    }

    /// Runs block `i` on the stream `x`, offering each wanted place but `resid_post`, which is the caller's. With `stops`, nothing
    /// after the last wanted place of this block is computed and `x` is left unfinished. Bit for bit what [`Self::forward`] gives.
    #[allow(clippy::too_many_arguments, reason = "the stream, what it belongs to, and who listens")]
    pub(crate) fn run(
        &self,
        i: usize,
        x: &mut [f32],
        tokens: &Tokens,
        attend: Attend<'_>,
        wanted: &Wanted,
        stops: bool,
        tap: &mut dyn Tap,
    ) -> Result<()> {
        let (rows, d) = (tokens.ids.len(), self.out.n_out());
        let last = wanted.last_in(i);
        let done = |place: BlockSite| stops && last.is_none_or(|l| l <= place);
        let offer = |tap: &mut dyn Tap, place: BlockSite, data: &[f32]| {
            if wanted.has_at(i, place) {
                tap.offer(&Site::Block(i, place), tokens, SiteData::Tokens { data, width: d })?;
            }
            Ok::<(), microtome_core::Error>(())
        };

        let offer_norm = |which: usize, tap: &mut dyn Tap, data: &[f32]| {
            let site = norm_site(i, which);
            if wanted.has(&site) {
                tap.offer(&site, tokens, SiteData::Tokens { data, width: d })?;
            }
            Ok::<(), microtome_core::Error>(())
        };

        offer(tap, BlockSite::ResidPre, x)?;
        if done(BlockSite::ResidPre) {
            return Ok(());
        }
        let mut scratch = PreLnScratch::default();
        scratch.resize(self, rows);
        let PreLnScratch { normed, qkv, z, part, hidden } = &mut scratch;
        self.norm1.apply(x, rows, normed);
        offer_norm(1, tap, normed)?;
        self.qkv.apply(normed, rows, Activation::None, qkv);
        let qkv = Qkv { data: qkv, shape: &self.shape };
        qkv.offer(i, tokens, wanted, tap)?;
        if done(BlockSite::V) {
            return Ok(());
        }
        qkv.offer_maps(i, attend, tokens, wanted, tap)?;
        if done(BlockSite::Pattern) {
            return Ok(());
        }
        qkv.attend(attend, &tokens.offsets, z);
        if wanted.has_at(i, BlockSite::Z) {
            let (n_heads, d_head) = (self.shape.n_heads, self.shape.d_head);
            tap.offer(&Site::Block(i, BlockSite::Z), tokens, SiteData::Heads { data: z, n_heads, d_head })?;
        }
        if done(BlockSite::Z) {
            return Ok(());
        }
        self.out.apply(z, rows, Activation::None, part);
        offer(tap, BlockSite::AttnOut, part)?;
        if done(BlockSite::AttnOut) {
            return Ok(());
        }
        if self.residual == Residual::Normed {
            x.copy_from_slice(normed);
        }
        add_assign(x, part);
        offer(tap, BlockSite::ResidMid, x)?;
        if done(BlockSite::ResidMid) {
            return Ok(());
        }
        self.norm2.apply(x, rows, normed);
        offer_norm(2, tap, normed)?;
        self.mlp.apply(normed, rows, hidden, part);
        offer(tap, BlockSite::MlpOut, part)?;
        if self.residual == Residual::Normed {
            x.copy_from_slice(normed);
        }
        add_assign(x, part);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
