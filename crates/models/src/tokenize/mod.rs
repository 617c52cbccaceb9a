//! Tokenising schemes that several families share.

pub mod rank;
