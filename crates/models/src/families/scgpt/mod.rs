//! scGPT: a post-LN encoder over a cell's expressed genes with binned expression.
//!
//! - Paper: Cui et al. 2024, doi:10.1038/s41592-024-02201-0.
//! - Reference: bowang-lab/scGPT@cebd6fa (0.2.5), modules `model.model`, `tasks.cell_emb`, `data_collator`, `preprocess`,
//!   `tokenizer.gene_tokenizer`; `model.model` of 40d69ac for checkpoints with `bn.*`; `Tutorial_Attention_GRN` for regulation scores.
//! - Licence: MIT (code); no separate terms are published for the weights.
//! - Variants: those of the card, [`FAMILY`].
//! - Norm placement: post-LN (after each residual sum), norms on the gene and value vectors, none after the last block.
//! - The published cell vector is the last block's output at `<cls>`, divided by its length.

mod batch_norm;
mod card;
mod config;
mod genes;
mod grn;
mod heads;
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
pub use init::write_untrained;
pub use tokens::N_BINS;
