//! What the family is.

use std::path::Path;

use microtome_core::{GeneNamespace, Organism, Result};

use super::{files, init, model};
use crate::{Evidence, Family, LicenceInfo, Model, Variant};

/// The published size.
pub(super) const VARIANTS: &[Variant] = &[Variant {
    id: "langcell",
    name: "LangCell cell_bert (size unverified: presumed that of Geneformer 12L, which it started from)",
    n_blocks: 12,
    d_model: 512,
    n_heads: 8,
    d_mlp: 1024,
    max_tokens: 2048,
    d_vocab: 25_427,
    // Embeddings, 12 blocks and the projection; no pooler and no masked-gene head.
    n_parameters: 39_433_984,
}];

/// LangCell.
pub static FAMILY: Family = Family {
    id: "langcell",
    name: "LangCell",
    about: "BERT encoder over ranked genes behind <cls>, aligned with descriptions of cell types; human; the text encoder is not read",
    paper: "arXiv:2405.06708",
    reference: "PharMolix/LangCell@69e41ef",
    licence: LicenceInfo {
        code: "MIT",
        weights: "no separate terms published; distributed by the MIT-licensed repository",
        non_commercial: false,
    },
    organisms: &[Organism::HomoSapiens],
    namespace: GeneNamespace::Ensembl,
    norm_placement: "post-LN, norm on the embedding, no final norm",
    files: &[
        "cell_bert/config.json",
        "cell_bert/pytorch_model.bin or model.safetensors",
        "cell_proj.bin",
        "token_dictionary.pkl and gene_median_dictionary.pkl (geneformer_001/geneformer of github PharMolix/LangCell)",
        "gene_name_id_dict.pkl (optional: symbols)",
    ],
    variants: VARIANTS,
    evidence: Evidence::IndependentForward,
    verified: "every site, tokens, cell vectors and gene table of one small checkpoint with random weights against Hugging Face's encoder \
               and a projection written from the description; size of the published cell_bert unverified",
    detect,
    open,
    init: init::init_preset,
    init_twin: init::init_twin,
};

fn detect(path: &Path) -> bool {
    files::root_of(path).is_some()
}

fn open(path: &Path) -> Result<Box<dyn Model>> {
    Ok(Box::new(model::LangCell::open(path)?))
}
