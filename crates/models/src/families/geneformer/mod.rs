//! Geneformer: a BERT encoder over genes ranked by expression.
//!
//! - Paper: Theodoris et al. 2023, doi:10.1038/s41586-023-06139-9 (V1); Chen et al. 2024,
//!   doi:10.1101/2024.08.16.608180 (V2).
//! - Reference: haroonshakeel/Geneformer@e534f69 (mirror of Hugging Face ctheodoris/Geneformer), modules `tokenizer`,
//!   `emb_extractor`, `perturber_utils`, `in_silico_perturber`; network: transformers 4.46 `BertForMaskedLM`.
//! - Licence: Apache-2.0 for code and weights.
//! - Variants: see `FAMILY.variants` and `presets.rs`.
//! - Norm placement: post-LN (after each residual sum), a norm on the embedding, none after the last block.
//! - The published cell vector pools the output of the *second-to-last* block: the mean over genes for V1, the `<cls>`
//!   token for V2.

mod card;
mod config;
mod init;
mod model;
mod network;
mod presets;
#[cfg(test)]
mod tests;

pub use card::FAMILY;
pub use init::{GeneformerGene, GeneformerShape, write_untrained, write_untrained_over};
pub use presets::Generation;
