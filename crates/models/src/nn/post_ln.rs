//! Post-LN transformer block with every place offered.

use microtome_core::{BlockSite, Result, Site};
use microtome_kernels::{Activation, Mask, PostLnBlock};

use super::Wanted;
use super::attend::{Attend, Qkv};
use crate::{SiteData, Tap, Tokens};

/// Runs block `i` on the stream `x` (`[token, d]`), offering each wanted place but `resid_post`, which is the caller's.
/// With `stops`, nothing after the last wanted place of this block is computed and `x` is left as it was.
/// Same weights and same arithmetic as the fused path.
#[allow(clippy::too_many_arguments, reason = "the stream, what it belongs to, and who listens")]
pub(crate) fn run_post_ln(
    block: &PostLnBlock,
    i: usize,
    x: &mut [f32],
    tokens: &Tokens,
    mask: Mask<'_>,
    wanted: &Wanted,
    stops: bool,
    tap: &mut dyn Tap,
) -> Result<()> {
    let attend = Attend::Softmax(mask);
    let rows = tokens.ids.len();
    let d = block.out.n_out();
    let last = wanted.last_in(i);
    let done = |place: BlockSite| stops && last.is_none_or(|l| l <= place);
    let site = |place: BlockSite| Site::Block(i, place);
    let offer = |tap: &mut dyn Tap, place: BlockSite, data: &[f32]| {
        if wanted.has_at(i, place) {
            tap.offer(&site(place), tokens, SiteData::Tokens { data, width: d })?;
        }
        Ok::<(), microtome_core::Error>(())
    };

    offer(tap, BlockSite::ResidPre, x)?;
    if done(BlockSite::ResidPre) {
        return Ok(());
    }
    let mut qkv = vec![0.0; rows * 3 * d];
    block.qkv.apply(x, rows, Activation::None, &mut qkv);
    let qkv = Qkv { data: &qkv, shape: &block.shape };
    qkv.offer(i, tokens, wanted, tap)?;
    if done(BlockSite::V) {
        return Ok(());
    }
    qkv.offer_maps(i, attend, tokens, wanted, tap)?;
    if done(BlockSite::Pattern) {
        return Ok(());
    }
    let mut z = vec![0.0; rows * d];
    qkv.attend(attend, &tokens.offsets, &mut z);
    let (n_heads, d_head) = (block.shape.n_heads, block.shape.d_head);
    if wanted.has_at(i, BlockSite::Z) {
        tap.offer(&site(BlockSite::Z), tokens, SiteData::Heads { data: &z, n_heads, d_head })?;
    }
    if done(BlockSite::Z) {
        return Ok(());
    }
    let mut attn_out = vec![0.0; rows * d];
    block.out.apply(&z, rows, Activation::None, &mut attn_out);
    offer(tap, BlockSite::AttnOut, &attn_out)?;
    let mut mid = z;
    block.norm1.apply_residual(&attn_out, x, rows, &mut mid);
    offer(tap, BlockSite::ResidMid, &mid)?;
    if done(BlockSite::ResidMid) {
        return Ok(());
    }
    let mut hidden = vec![0.0; rows * block.up.n_out()];
    block.up.apply(&mid, rows, block.activation, &mut hidden);
    let mut mlp_out = attn_out;
    block.down.apply(&hidden, rows, Activation::None, &mut mlp_out);
    offer(tap, BlockSite::MlpOut, &mlp_out)?;
    if done(BlockSite::MlpOut) {
        return Ok(());
    }
    block.norm2.apply_residual(&mlp_out, &mid, rows, x);
    Ok(())
}
