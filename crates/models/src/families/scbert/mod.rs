//! scBERT: a Performer over every gene of a fixed list, with binned expression.
//!
//! - Paper: Yang et al. 2022, doi:10.1038/s42256-022-00534-z.
//! - Reference: TencentAILabHealthcare/scBERT@262fd4b, `performer_pytorch/`, `preprocess.py`, `predict.py`.
//! - Licence: GPL-3.0 for code and, by its header, for the weights.
//! - Variants: one published pre-trained size; fine-tuned classifiers have the same network under another head.
//! - Norm placement: pre-LN with a norm at the end.
//! - Tokens are expression bins, positions are genes (gene2vec). One token follows the genes. Attention is through random features
//!   whose keys share one maximum per cell; the reference runs cells one by one.
//! - There is no published cell vector without fine-tuning: the mean over genes of the final norm is a convention.

mod card;
mod files;
mod init;
mod kit;
mod model;
mod network;
#[cfg(test)]
mod tests;
mod tokens;

pub use card::FAMILY;
