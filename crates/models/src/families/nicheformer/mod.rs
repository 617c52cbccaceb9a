//! Nicheformer: a post-LN encoder over ranked genes of dissociated and spatial cells, behind tokens for species, assay and modality.
//!
//! - Paper: Schaar et al. 2024, doi:10.1101/2024.04.15.589472.
//! - Reference: theislab/nicheformer@485cadb (training code, packaged dataset, notebooks); the remote code of Hugging Face
//!   theislab/Nicheformer as copied in helicalAI/helical@f798a96; PyPI helical 2.2.0.
//! - Licence: BSD-3-Clause for the code; the weights are published without a restriction on use that is known here.
//! - Variants: one, see `presets.rs`.
//! - Norm placement: post-LN, no norm on the embedding, none after the last block.
//! - Padding is part of the published arithmetic: cells are filled up to the context length, pads are hidden as keys, but are
//!   queries and enter the mean that is the cell vector.

mod card;
mod config;
mod contexts;
mod genes;
mod init;
mod kit;
mod model;
mod network;
mod presets;
mod recipe;
#[cfg(test)]
mod tests;
mod tokens;
mod vocabulary;

pub use card::FAMILY;
pub use init::write_untrained;
pub use tokens::ATTENTION_MASK;
