//! A stack of post-LN blocks, run no further than somebody wants.

use microtome_core::{BlockSite, Result, Site};
use microtome_kernels::{Mask, PostLnBlock, Scratch};

use super::{Wanted, run_post_ln};
use crate::{SiteData, Tap, Tokens};

/// Runs `blocks` in place over the stream `x` (`[token, d]`), offering every wanted place of every block.
/// `beyond` says that something after the last block is wanted; otherwise nothing after the last wanted place is computed, `x` is
/// left unfinished and the answer is false.
pub(crate) fn run_post_stack(
    blocks: &[PostLnBlock],
    x: &mut [f32],
    tokens: &Tokens,
    mask: Mask<'_>,
    wanted: &Wanted,
    beyond: bool,
    tap: &mut dyn Tap,
) -> Result<bool> {
    let last = (0..blocks.len()).rev().find(|&i| wanted.last_in(i).is_some());
    let needed = if beyond { blocks.len() } else { last.map_or(0, |i| i + 1) };
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
            let width = block.out.n_out();
            tap.offer(&Site::resid_post(i), tokens, SiteData::Tokens { data: x, width })?;
        }
    }
    Ok(beyond)
}
