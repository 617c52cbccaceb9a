//! scFoundation (xTrimoGene): an encoder over a cell's expressed genes and a Performer decoder over every gene.
//!
//! - Paper: Hao et al. 2024, doi:10.1038/s41592-024-02305-7; architecture: Gong et al. 2023, arXiv:2311.15156.
//! - Reference: biomap-research/scFoundation@d09626a, `model/get_embedding.py`, `model/load.py`, `model/pretrainmodels/`.
//! - Licence: Apache-2.0 for the code and the gene list; the weights are for non-commercial research only.
//! - Variants: one size, published as three sub-models in one file: `cell` (the default), `rde` (trained across read depths) and `gene`.
//!   Another one is opened as `models.ckpt#rde`. Only the sub-model at hand is read.
//! - Norm placement: encoder post-LN with a norm at the end; decoder pre-LN with two norms at the end.
//! - A gene's identity is its row in the list of 19,264 symbols. Two tokens follow the genes: T, the wished-for, and S, the
//!   present `log10` of the total count. The published cell vector is S | T | maximum over genes | mean over genes.

mod card;
mod config;
mod decoder;
mod files;
mod init;
mod kit;
mod model;
mod network;
#[cfg(test)]
mod tests;
mod tokens;

pub use card::FAMILY;
