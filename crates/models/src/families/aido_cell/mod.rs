//! AIDO.Cell: a pre-LN encoder over every gene of the human list at once.
//!
//! - Paper: Ho et al. 2024, doi:10.1101/2024.11.28.625303.
//! - Reference: genbio-ai/ModelGenerator@c4d0121, `huggingface/aido.cell` (package aido-cell 0.1.0), transformers 4.38.0.
//! - Licence: GenBio AI Community License for the weights (non-commercial); the code's headers contradict it (Apache-2.0).
//! - Variants: see [`FAMILY`].
//! - Norm placement: pre-LN (LayerNorm, or RMSNorm by configuration), a norm after the last block.
//! - Every cell is all genes of the list in its order, absent ones as zeros, then two depth tokens. Attention sees all of them; the
//!   published cell vector is the mean of the final norm over the genes that the data names and both depth tokens.

mod card;
mod config;
mod init;
mod model;
mod network;
mod presets;
#[cfg(test)]
mod tests;

pub use card::FAMILY;
pub use init::write_untrained;
