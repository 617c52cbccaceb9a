//! Tahoe-x1: a pre-LN encoder over a cell's expressed genes with binned expression and, in the 3B model, a drug token.
//!
//! - Paper: Gandhi et al. 2025, doi:10.1101/2025.10.23.683759.
//! - Reference: tahoebio/tahoe-x1@7dfe74f, modules `model`, `blocks`, `collator`, `dataloader`, `gene_tokenizer`, `util`, script
//!   `predict_embeddings`; attention of llm-foundry 0.17.1.
//! - Licence: Apache-2.0 for code and weights.
//! - Variants: those of the card, [`FAMILY`].
//! - Norm placement: pre-LN with a norm after the last block, norms on the gene, value and drug vectors.
//! - The published cell vector is the final norm's output at `<cls>`, divided by its length.

mod card;
mod config;
mod genes;
mod init;
mod kit;
mod model;
mod network;
mod presets;
#[cfg(test)]
mod tests;
mod tokens;
mod vocabulary;

pub use card::FAMILY;
