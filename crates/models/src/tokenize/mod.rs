//! Tokenising schemes that several families share.

pub(crate) mod falling;
pub(crate) mod gene_list;
pub mod numba_argsort;
pub(crate) mod numpy_random;
pub mod quantile_bins;
pub mod rank;
pub(crate) mod rank_files;
pub(crate) mod rank_genes;
pub(crate) mod rank_vocabulary;
pub mod soft_bins;
pub(crate) mod subset;
pub(crate) mod symbols;
