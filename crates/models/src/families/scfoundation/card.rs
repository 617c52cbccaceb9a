//! What the family is.

use std::path::Path;

use microtome_core::{GeneNamespace, Organism, Result};

use super::{files, init, model};
use crate::{Evidence, Family, LicenceInfo, Model, Variant};

/// The published size, of which the file holds three.
pub(super) const VARIANTS: &[Variant] = &[Variant {
    id: "01b",
    name: "scFoundation 0.1B (01B-resolution)",
    n_blocks: 12,
    d_model: 768,
    n_heads: 12,
    d_mlp: 3072,
    max_tokens: 19_266,
    d_vocab: 19_266,
    n_parameters: 119_252_285,
}];

/// scFoundation.
pub static FAMILY: Family = Family {
    id: "scfoundation",
    name: "scFoundation",
    about: "encoder over a cell's expressed genes with soft-binned expression and read-depth tokens, Performer decoder over all \
            19,264 human genes",
    paper: "doi:10.1038/s41592-024-02305-7",
    reference: "biomap-research/scFoundation@d09626a",
    licence: LicenceInfo {
        code: "Apache-2.0",
        weights: "scFoundation model licence: non-commercial research, no redistribution",
        non_commercial: true,
    },
    organisms: &[Organism::HomoSapiens],
    namespace: GeneNamespace::Symbol,
    norm_placement: "encoder post-LN, final norm; decoder pre-LN, two final norms",
    files: &[
        "models.ckpt (holds the sub-models cell, rde and gene; name one as models.ckpt#rde)",
        "OS_scRNA_gene_index.19264.tsv (from github biomap-research/scFoundation)",
    ],
    variants: VARIANTS,
    evidence: Evidence::AuthorsCode,
    verified: "tokens, every site of encoder and decoder, cell and gene vectors, masked and batch readouts of all three sub-models \
               against the authors' code on two small checkpoints with random weights, one of them over all 19,264 genes",
    detect,
    open,
    init: init::init_preset,
    init_twin: init::init_twin,
};

fn detect(path: &Path) -> bool {
    files::is_ours(path)
}

fn open(path: &Path) -> Result<Box<dyn Model>> {
    Ok(Box::new(model::ScFoundation::open(path)?))
}
