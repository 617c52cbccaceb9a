//! scPRINT: a pre-LN encoder over a cell's genes and one token per predicted class.
//!
//! - Paper: Kalfon et al. 2025, doi:10.1038/s41467-025-58699-1.
//! - Reference: cantinilab/scPRINT@4acc1a4 (2.3.8) with simpler-flash 1.0.7 and scdataloader 2.1.3; jkobject/scPRINT@edf7e8b (1.1.3)
//!   with scDataLoader 1.1.3.
//! - Licence: contradictory. The LICENSE file is GPL-3.0, the package metadata says MIT, the model card of the weights Apache-2.0.
//! - Variants: see [`FAMILY`].
//! - Norm placement: pre-LN with a carried residual. A block returns two tensors, and the stream is their **sum**; a norm follows the
//!   last block.
//! - Cell tokens go first: base token, depth or metacell token where the file has them, one token per class. The published cell
//!   vector is the mean of the final norm over the class tokens that `pred_embedding` names.

mod card;
mod encoder;
mod genes;
mod hyper;
mod init;
mod kit;
mod layout;
mod model;
mod network;
mod ontology;
mod presets;
mod readout;
#[cfg(test)]
mod tests;
mod tokenise;

pub use card::FAMILY;
