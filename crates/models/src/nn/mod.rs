//! Network blocks that several families share, over the kernels.

mod attend;
mod attention_weights;
pub(crate) mod bert;
pub(crate) mod gpt;
mod masked_head;
mod mlp;
mod norm;
mod offer;
mod performer;
mod pooling;
mod post_ln;
mod pre_ln;
mod readouts;
mod soft_bins;
mod stack;
pub(crate) mod stored;
mod value_encoder;

pub(crate) use attend::{Attend, block_extras};
pub(crate) use attention_weights::post_ln_weights;
pub(crate) use masked_head::MaskedHead;
pub(crate) use mlp::Mlp;
pub(crate) use norm::Norm;
pub(crate) use offer::{Wanted, offer_cells, pool_cells};
pub(crate) use performer::{Performer, PerformerShape};
pub(crate) use pooling::pool_cell;
pub(crate) use post_ln::run_post_ln;
pub(crate) use pre_ln::{PreLnBlock, PreLnScratch, Residual};
pub(crate) use readouts::{
    CellQueryReadout, LayeredReadout, QueryActivation, ReadoutActivation, normalised_rows, sigmoid, unit_rows,
};
pub(crate) use soft_bins::SoftBins;
pub(crate) use stack::{run_post_ln_stack, run_stack, run_stack_with};
pub(crate) use value_encoder::ValueEncoder;
