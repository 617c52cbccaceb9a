//! CellFM: gated linear attention without decay or softmax (the file calls it retention), in DeepNorm blocks.
//!
//! - Paper: Zeng et al. 2025, doi:10.1038/s41467-025-59926-5.
//! - Reference: biomed-AI/CellFM@7655797 (`retention.py`, `model.py`, the annotation tutorial's `Backbone`).
//! - Licence: CC BY-NC-ND 4.0, non-commercial.
//! - Variants: see `presets.rs`.
//! - Norm placement: DeepNorm, `LN(alpha x + f(x))` twice per block with `alpha = (2 n_blocks)^(1/4)`; no final norm.
//! - Evidence is weaker than for other families: MindSpore, which the authors use, was replaced by a small stand-in for its operators
//!   to make the expected values. Its constants (LayerNorm epsilon 1e-7, LeakyReLU slope 0.2) come from its documentation. The
//!   authors' PyTorch port differs in both.

mod card;
mod config;
mod gene_list;
mod genes;
mod init;
mod kit;
mod model;
mod network;
mod presets;
mod retention;
#[cfg(test)]
mod tests;
mod tokens;

pub use card::FAMILY;
