//! UCE: a post-LN encoder over a sample of a cell's expressed genes, each a protein language model's vector, grouped by chromosome.
//!
//! - Paper: Rosen et al. 2023, doi:10.1101/2023.11.28.568918.
//! - Reference: snap-stanford/UCE@8ead6e0, `model.py`, `eval_data.py`, `evaluate.py`, `data_proc/data_utils.py`,
//!   `data_proc/gene_embeddings.py`.
//! - Licence: MIT (code); the weights are a figshare record without separate terms.
//! - Variants: see [`FAMILY`].
//! - Norm placement: post-LN (after each residual sum), none after the last block.
//! - The published cell vector is the decoder's output at `[CLS]`, divided by its length.
//! - The published code draws genes with an unseeded generator and adds one to the scores of padding instead of hiding it, so that a cell
//!   depends on the longest of its batch. Here genes are taken deterministically and there is no padding, unless asked for.

mod card;
mod genes;
mod init;
mod kit;
mod model;
mod network;
mod presets;
mod sentence;
mod settings;
mod species;
#[cfg(test)]
mod tests;
mod tokens;

pub use card::FAMILY;
