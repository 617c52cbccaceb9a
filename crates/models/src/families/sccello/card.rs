//! What the family is.

use std::path::Path;

use microtome_core::{GeneNamespace, Organism, Result};

use super::{config, init, model};
use crate::hugging_face::folder_of;
use crate::{Evidence, Family, LicenceInfo, Model, Variant};

/// The published size.
pub(super) const VARIANTS: &[Variant] = &[Variant {
    id: "zeroshot",
    name: "scCello-zeroshot",
    n_blocks: 6,
    d_model: 256,
    n_heads: 4,
    d_mlp: 512,
    max_tokens: 2048,
    d_vocab: 25_427,
    // Embeddings, 6 blocks and both heads; prototypes and other tensors of training are not counted.
    n_parameters: 10_461_696,
}];

/// scCello.
pub static FAMILY: Family = Family {
    id: "sccello",
    name: "scCello",
    about: "BERT encoder over ranked genes behind <cls>, trained with contrasts along the Cell Ontology; human",
    paper: "arXiv:2408.12373",
    reference: "DeepGraphLearning/scCello@767585b",
    licence: LicenceInfo {
        code: "MIT by the README's badge, no licence file",
        weights: "no separate terms found; see Hugging Face katarinayuan/scCello-zeroshot",
        non_commercial: false,
    },
    organisms: &[Organism::HomoSapiens],
    namespace: GeneNamespace::Ensembl,
    norm_placement: "post-LN, norm on the embedding, no final norm",
    files: &[
        "config.json",
        "model.safetensors or pytorch_model.bin",
        "token_dictionary.pkl and gene_median_dictionary.pkl (data/token_vocabulary of github DeepGraphLearning/scCello)",
        "vocab_id2name.csv (optional: symbols; same place)",
    ],
    variants: VARIANTS,
    evidence: Evidence::IndependentForward,
    verified: "every site, tokens, cell vectors, gene table and both readouts of one small checkpoint with random weights against Hugging \
               Face's encoder and heads written from the description; tensor names are those of the published modules, never seen in a file",
    detect,
    open,
    init: init::init_preset,
    init_twin: init::init_twin,
};

fn detect(path: &Path) -> bool {
    config::is_ours(&folder_of(path).join("config.json"))
}

fn open(path: &Path) -> Result<Box<dyn Model>> {
    Ok(Box::new(model::ScCello::open(path)?))
}
