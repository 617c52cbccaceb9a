//! TranscriptFormer: a causal transformer over a cell's expressed genes as protein vectors, with the counts in the attention.
//!
//! - Paper: Pearce et al. 2025, doi:10.1101/2025.04.25.650731.
//! - Reference: PyPI transcriptformer 0.6.1 (czi-ai/transcriptformer), `model/model.py`, `layers.py`, `masks.py`, `losses.py`,
//!   `data/dataloader.py`, `tokenizer/vocab.py`.
//! - Licence: MIT (code); the weights are distributed by the same project without separate terms.
//! - Variants: see [`FAMILY`].
//! - Norm placement: sub-layers are added to their normed input, not to the stream; no final norm.
//! - The published cell vector is the sum of the last block's output over `[START]` and the genes, divided by the window of the model.
//! - Attention is causal, so the order of genes matters. The published order is that of the data's columns; here it is that of the
//!   vocabulary, unless asked for.

mod card;
mod config;
mod genes;
mod init;
mod kit;
mod likelihood;
mod model;
mod network;
mod norms;
mod presets;
mod readouts;
#[cfg(test)]
mod tests;
mod tokens;
mod vocabulary;

pub use card::FAMILY;
