//! scCello: a BERT over ranked genes, trained with contrasts along the Cell Ontology.
//!
//! - Paper: Yuan et al. 2024, NeurIPS, arXiv:2408.12373.
//! - Reference: DeepGraphLearning/scCello@767585b, read and not run: `model_prototype_contrastive` (network, heads), `data_proc`
//!   (tokens), `run_cell_type_clustering` (cell vector).
//! - Licence: MIT by the README's badge; there is no licence file. The weights' terms are not stated.
//! - Norm placement: post-LN, a norm on the embedding, none after the last block.
//! - Differences from the first Geneformer, whose dictionaries it uses: `<cls>` (the next free number) in front; totals over the
//!   genes of the dictionary only; three one-row tables in place of token types; readouts with the norm before the activation.
//! - The published cell vector is `<cls>` after the last block. The vector that the contrasts were trained on (`cell_cls`, unit length)
//!   is a site of its own.

mod card;
mod config;
mod head;
mod init;
mod model;
mod network;
#[cfg(test)]
mod tests;

pub use card::FAMILY;
