//! Network blocks that several families share.

mod pooling;

pub(crate) use pooling::pool_cell;
