//! Stores of Napistu-Torch 0.4.0 (`FoundationModelStore`), written and read.
//!
//! ```text
//! weights.npz             static_gene_embeddings [gene, d]; attention_weights: pickled {"layer_00": {W_q, W_k, W_v, W_o}, ...}
//! metadata.json           model_metadata, gene_annotations, static_gene_embeddings
//! residuals_index.yaml    datasets -> data set -> category -> stem
//! residuals/STEM.npz, residuals/STEM_metadata.json    layer_0, layer_1, ...: the stream that enters each block
//! ```
//!
//! Layout and rules: `napistu_torch/foundation_models/foundation_models.py`, napistu-torch 0.4.0. Its loader sorts the keys of
//! `attention_weights` as text, so they are written with zeros in front (`layer_02`); keys of residuals are looked up by number and
//! have none. Biases and norms, which the format does not know, go along as further arrays of `weights.npz`, which it tolerates.

mod export;
mod import;
mod json;
mod pages;

pub use export::{ExportReport, export};
pub use import::{ImportReport, import};

/// Files of a store.
pub(crate) const WEIGHTS: &str = "weights.npz";
pub(crate) const METADATA: &str = "metadata.json";
pub(crate) const INDEX: &str = "residuals_index.yaml";
pub(crate) const RESIDUALS: &str = "residuals";
