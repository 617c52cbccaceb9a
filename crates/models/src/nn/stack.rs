//! Stacks of blocks, run no further than somebody wants.

use microtome_core::{BlockSite, Result, Site};

use microtome_kernels::{Mask, PostLnBlock, Scratch};

use super::{Attend, PreLnBlock, PreLnScratch, Wanted, run_post_ln};
use crate::{SiteData, Tap, Tokens};

/// Runs `blocks` in place over the stream `x` (`[token, d]`), offering every wanted place of every block.
/// `beyond` says that something after the last block is wanted; otherwise nothing after the last wanted place is computed, `x` is
/// left unfinished and the answer is false.
pub(crate) fn run_stack(
    blocks: &[PreLnBlock],
    x: &mut [f32],
    tokens: &Tokens,
    attend: Attend<'_>,
    wanted: &Wanted,
    beyond: bool,
    tap: &mut dyn Tap,
) -> Result<bool> {
    run_stack_with(blocks, x, tokens, |_| attend, wanted, beyond, tap)
}

/// [`run_stack`] with attention that differs from block to block.
pub(crate) fn run_stack_with<'a>(
    blocks: &[PreLnBlock],
    x: &mut [f32],
    tokens: &Tokens,
    attend: impl Fn(usize) -> Attend<'a>,
    wanted: &Wanted,
    beyond: bool,
    tap: &mut dyn Tap,
) -> Result<bool> {
    let needed = needed(blocks.len(), wanted, beyond);
    let mut scratch = PreLnScratch::default();
    for (i, block) in blocks.iter().enumerate().take(needed) {
        let output = wanted.has_at(i, BlockSite::ResidPost);
        if wanted.inside(i) || wanted.has_at(i, BlockSite::ResidPre) {
            let stops = !beyond && i + 1 == needed && !output;
            block.run(i, x, tokens, attend(i), wanted, stops, tap)?;
            if stops {
                return Ok(false);
            }
        } else {
            block.forward(x, &tokens.offsets, attend(i), &mut scratch);
        }
        if output {
            let width = x.len() / tokens.ids.len().max(1);
            tap.offer(&Site::resid_post(i), tokens, SiteData::Tokens { data: x, width })?;
        }
    }
    Ok(beyond)
}

/// [`run_stack`] for post-LN blocks.
pub(crate) fn run_post_ln_stack(
    blocks: &[PostLnBlock],
    x: &mut [f32],
    tokens: &Tokens,
    mask: Mask<'_>,
    wanted: &Wanted,
    beyond: bool,
    tap: &mut dyn Tap,
) -> Result<bool> {
    let needed = needed(blocks.len(), wanted, beyond);
    let mut scratch = Scratch::default();
    for (i, block) in blocks.iter().enumerate().take(needed) {
        let output = wanted.has_at(i, BlockSite::ResidPost);
        if wanted.inside(i) || wanted.has_at(i, BlockSite::ResidPre) {
            let stops = !beyond && i + 1 == needed && !output;
            run_post_ln(block, i, x, tokens, mask, wanted, stops, tap)?;
            if stops {
                return Ok(false);
            }
        } else {
            block.forward(x, &tokens.offsets, mask, &mut scratch);
        }
        if output {
            let width = x.len() / tokens.ids.len().max(1);
            tap.offer(&Site::resid_post(i), tokens, SiteData::Tokens { data: x, width })?;
        }
    }
    Ok(beyond)
}

/// Blocks to run, the last one perhaps in part.
fn needed(n_blocks: usize, wanted: &Wanted, beyond: bool) -> usize {
    let last = (0..n_blocks).rev().find(|&i| wanted.last_in(i).is_some());
    if beyond { n_blocks } else { last.map_or(0, |i| i + 1) }
}
