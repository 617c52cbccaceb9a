//! Network blocks that several families share, over the kernels.

mod masked_head;
mod offer;
mod pooling;
mod post_ln;

pub(crate) use masked_head::MaskedHead;
pub(crate) use offer::{Wanted, offer_cells};
pub(crate) use pooling::pool_cell;
pub(crate) use post_ln::run_post_ln;
