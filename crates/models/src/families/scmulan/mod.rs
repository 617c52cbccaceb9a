//! scMulan: a GPT without positions over a cell's expressed genes and their expression bins, asked for the cell's type.
//!
//! - Paper: Bian et al. 2024, "scMulan: a multitask generative pre-trained language model for single-cell analysis",
//!   doi:10.1101/2024.01.25.577152.
//! - Reference: SuperBianC/scMulan@d64da5e (`scMulan/scMulan.py`, `scMulan/model/model.py`).
//! - Licence: MIT (code); the weights are shared by the same project without separate terms.
//! - Variants: see [`FAMILY`].
//! - Norm placement: pre-LN with a norm behind the last block.
//! - The published cell vector needs generation: the cell is continued greedily by at most three tokens (coarse type, fine type, end)
//!   and the vector is `ln_f` of the last pass at its last position but one. `cell_embedding.task_token` is a cheap variant of ours,
//!   labelled non-reference: `ln_f` at the task token `<PCT>`, without generation.
//!
//! Unverified against reference: there is no kit by the authors' code. The kit of the repository is a NumPy forward pass made from
//! the specification.

mod card;
mod config;
mod generate;
mod init;
mod meta;
mod model;
mod network;
#[cfg(test)]
mod tests;
mod tokens;

pub use card::FAMILY;
