//! GeneRAIN-GPT: a GPT-2 over a sample's genes in the order of their expression relative to a corpus, gene by gene.
//!
//! - Paper: Su et al. 2024, "Multifaceted representation of genes via deep learning of gene expression networks",
//!   doi:10.1101/2024.03.07.583777.
//! - Reference: suzheng/GeneRAIN@f50e70e (`src/models/GeneExprTransformer.py`, `src/data/GetBinsByGeneForNewSamples.py`,
//!   `src/data/GN_Dataset.py`, `jsons/`).
//! - Licence: CC BY-NC 4.0 (code); the weights are on Zenodo.
//! - Variants: see [`FAMILY`].
//! - Norm placement: pre-LN with a norm behind the last block.
//! - Values are bins of a gene's rank within a reference of the corpus ("Binning-By-Gene"); they decide the order and are then dropped.
//!   The authors bin five samples at a time, so that a sample's bins depend on its neighbours; here every sample is binned alone.
//! - There is no published cell vector: the mean of `final_norm` over the genes is a convention of ours.
//!
//! Unverified against reference: there is no kit by the authors' code. The network is Hugging Face's own `GPT2LMHeadModel`, which made
//! the kit of the repository; bins and order are from the specification. The z-score and BERT models of the authors are refused.

mod bins;
mod card;
mod config;
mod files;
mod init;
mod model;
#[cfg(test)]
mod tests;
mod tokens;

pub use bins::expression;
pub use card::FAMILY;
pub use init::{Reference, write_untrained};
