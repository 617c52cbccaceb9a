//! Post-LN transformer block with every place offered.

use microtome_core::{BlockSite, Result, Site};
use microtome_kernels::{Activation, Mask, PostLnBlock, Rows, attention, attention_map};

use super::Wanted;
use crate::{MapKind, SiteData, Tap, Tokens};

/// Runs block `i` on the stream `x` (`[token, d]`), offering each wanted place but `resid_post`, which is the caller's.
/// With `stops`, nothing after the last wanted place of this block is computed and `x` is left as it was.
/// Same weights and same arithmetic as the fused path.
pub(crate) fn run_post_ln(
    block: &PostLnBlock,
    i: usize,
    x: &mut [f32],
    tokens: &Tokens,
    wanted: &Wanted,
    stops: bool,
    tap: &mut dyn Tap,
) -> Result<()> {
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
    let (n_heads, d_head) = (block.shape.n_heads, block.shape.d_head);
    for (part, place) in [BlockSite::Q, BlockSite::K, BlockSite::V].into_iter().enumerate() {
        if wanted.has_at(i, place) {
            let data: Vec<f32> =
                qkv.chunks_exact(3 * d).flat_map(|r| &r[part * d..(part + 1) * d]).copied().collect();
            tap.offer(&site(place), tokens, SiteData::Heads { data: &data, n_heads, d_head })?;
        }
    }
    if done(BlockSite::V) {
        return Ok(());
    }
    offer_maps(block, i, &qkv, tokens, wanted, tap)?;
    if done(BlockSite::Pattern) {
        return Ok(());
    }
    let mut z = vec![0.0; rows * d];
    let [q, k, v] = [0, 1, 2].map(|part| Rows::columns(&qkv, 3 * d, part * d));
    attention(q, k, v, &tokens.offsets, &block.shape, Mask::FULL, &mut z);
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

/// Attention maps, one cell at a time: memory is that of one cell's map.
fn offer_maps(
    block: &PostLnBlock,
    i: usize,
    qkv: &[f32],
    tokens: &Tokens,
    wanted: &Wanted,
    tap: &mut dyn Tap,
) -> Result<()> {
    let (with_scores, with_pattern) =
        (wanted.has_at(i, BlockSite::Scores), wanted.has_at(i, BlockSite::Pattern));
    if !with_scores && !with_pattern {
        return Ok(());
    }
    let d = block.out.n_out();
    let n_heads = block.shape.n_heads;
    let [q, k] = [0, 1].map(|part| Rows::columns(qkv, 3 * d, part * d));
    for cell in 0..tokens.n_cells() {
        let span = tokens.offsets[cell]..tokens.offsets[cell + 1];
        let n_tokens = span.len();
        let size = n_heads * n_tokens * n_tokens;
        let mut pattern = vec![0.0; size];
        let mut scores = with_scores.then(|| vec![0.0; size]);
        attention_map(q, k, &block.shape, Mask::FULL, span, scores.as_deref_mut(), &mut pattern);
        let maps = [
            (BlockSite::Scores, scores.as_deref(), MapKind::Logits),
            (BlockSite::Pattern, with_pattern.then_some(&pattern[..]), MapKind::RowStochastic),
        ];
        for (place, data, kind) in maps {
            let Some(data) = data else { continue };
            tap.offer(&Site::Block(i, place), tokens, SiteData::Map { cell, data, n_heads, n_tokens, kind })?;
        }
    }
    Ok(())
}
