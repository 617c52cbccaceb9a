//! What the family is.

use std::path::Path;

use microtome_core::{GeneNamespace, Organism, Result};

use super::{config, init, model};
use crate::hugging_face::folder_of;
use crate::{Evidence, Family, LicenceInfo, Model, Variant};

const fn variant(id: &'static str, name: &'static str, n_blocks: usize) -> Variant {
    let (d, f, vocabulary, positions) = (768, 3072, 50_558, 2048);
    let n_parameters = parameters([n_blocks, d, f, vocabulary, positions], &[768; 4]);
    let (max_tokens, d_vocab) = (positions + 1, vocabulary + 1);
    Variant { id, name, n_blocks, d_model: d, n_heads: 12, d_mlp: f, max_tokens, d_vocab, n_parameters }
}

/// Parameters of the tensors in use, matrices of prior knowledge (of these widths) among them.
pub(super) const fn parameters(
    [n_blocks, d, f, vocabulary, positions]: [usize; 5],
    priors: &[usize],
) -> u64 {
    let norm = 2 * d;
    let embedding = (vocabulary + positions + 2 + 2) * d + norm;
    let mut knowledge = 0;
    let mut i = 0;
    while i < priors.len() {
        knowledge += vocabulary * priors[i] + d * priors[i] + d;
        i += 1;
    }
    let mixture = d * ((1 + priors.len()) * d + 1) + d + norm + d * d + d;
    let block = 4 * (d * d + d) + (f * d + f) + (d * f + d) + 2 * norm;
    let transform = d * d + d + norm;
    let heads = (transform + vocabulary) + (transform + d + 1);
    (embedding + knowledge + mixture + n_blocks * block + heads) as u64
}

/// The published sizes.
pub(super) const VARIANTS: &[Variant] =
    &[variant("base", "GeneCompass_Base", 12), variant("small", "GeneCompass_Small", 6)];

/// GeneCompass.
pub static FAMILY: Family = Family {
    id: "genecompass",
    name: "GeneCompass",
    about: "BERT encoder over ranked genes with expression values and four kinds of prior knowledge per gene; human cells (mouse refused)",
    paper: "doi:10.1038/s41422-024-01034-y",
    reference: "xCompass-AI/GeneCompass@8323757",
    licence: LicenceInfo {
        code: "no licence file found: all rights reserved unless the authors say otherwise",
        weights: "not stated in the files at hand; see the model's page",
        non_commercial: false,
    },
    organisms: &[Organism::HomoSapiens],
    namespace: GeneNamespace::Ensembl,
    norm_placement: "post-LN, norm on the embedding of genes (not on the species token), no final norm",
    files: &[
        "config.json",
        "pytorch_model.bin or model.safetensors (with the *_knowledge buffers)",
        "human_mouse_tokens.pickle and human_gene_median_after_filter.pickle (in the folder, dict/ or prior_knowledge/)",
        "Gene_id_name_dict*.pickle (optional: symbols)",
    ],
    variants: VARIANTS,
    evidence: Evidence::IndependentForward,
    verified: "every site, tokens, cell vectors, gene table and both readouts of one small checkpoint with random weights and priors against \
               Hugging Face's encoder and an embedding written from the description; unverified: that published files hold the priors, \
               which cells were filtered before training (no filter is applied here), mouse (refused)",
    detect,
    open,
    init: init::init_preset,
    init_twin: init::init_twin,
};

fn detect(path: &Path) -> bool {
    config::is_ours(&folder_of(path).join("config.json"))
}

fn open(path: &Path) -> Result<Box<dyn Model>> {
    Ok(Box::new(model::GeneCompass::open(path)?))
}
