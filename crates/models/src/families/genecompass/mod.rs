//! GeneCompass: a BERT over ranked genes whose vectors are mixed of identity, expression and four kinds of prior knowledge.
//!
//! - Paper: Yang et al. 2024, doi:10.1038/s41422-024-01034-y.
//! - Reference: xCompass-AI/GeneCompass@8323757, read and not run: `knowledge_embeddings` (embedding), `modeling_bert_modified`
//!   (species token, heads), `preprocess` (tokens).
//! - Licence: no licence file was found, neither for code nor for weights.
//! - Norm placement: post-LN, a norm on the embedding, none after the last block.
//! - Embedding of a gene: `P2 quick_gelu(LN(P1 [word; value; priors]))` plus token type and position, then a norm. The species token
//!   is put in front of the result, without norm or position.
//! - Read here: human cells, priors as stored in the checkpoint. Refused: mouse cells (how their homologous genes were numbered before
//!   training is not in the published script), checkpoints without their priors, and the two variants of the value embedding that the
//!   code has but no published checkpoint is known to use.

mod card;
mod config;
mod embedding;
mod files;
mod init;
mod model;
mod network;
#[cfg(test)]
mod tests;

pub use card::FAMILY;
