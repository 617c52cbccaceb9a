//! Tokenising schemes that several families share.

pub mod rank;
pub mod soft_bins;
