//! What the family is.

use std::path::Path;

use microtome_core::{GeneNamespace, Organism, Result};

use super::{files, init, model};
use crate::{Evidence, Family, LicenceInfo, Model, Variant};

/// The published size.
pub(super) const VARIANTS: &[Variant] = &[Variant {
    id: "panglao",
    name: "scBERT (panglao_pretrain)",
    n_blocks: 6,
    d_model: 200,
    n_heads: 10,
    d_mlp: 800,
    max_tokens: 16_907,
    d_vocab: 7,
    n_parameters: 8_388_607,
}];

/// scBERT.
pub static FAMILY: Family = Family {
    id: "scbert",
    name: "scBERT",
    about: "Performer over all 16,906 genes of a human cell at once, with binned expression and gene2vec positions",
    paper: "doi:10.1038/s42256-022-00534-z",
    reference: "TencentAILabHealthcare/scBERT@262fd4b",
    licence: LicenceInfo { code: "GPL-3.0", weights: "GPL-3.0", non_commercial: false },
    organisms: &[Organism::HomoSapiens],
    namespace: GeneNamespace::Symbol,
    norm_placement: "pre-LN, final norm",
    files: &[
        "panglao_pretrain.pth, or a fine-tuned *.pth",
        "panglao_10000.h5ad (its var_names are the order of the genes) or gene_order.txt",
        "label_dict (fine-tuned classifiers, optional)",
    ],
    variants: VARIANTS,
    evidence: Evidence::AuthorsCode,
    verified: "tokens, every site, pre-training and classifier heads and the published attention sum against the authors' code on \
               three small checkpoints with random weights; the cell vector is a convention, there is no published one",
    detect,
    open,
    init: init::init_preset,
    init_twin: init::init_twin,
};

fn detect(path: &Path) -> bool {
    files::is_ours(path)
}

fn open(path: &Path) -> Result<Box<dyn Model>> {
    Ok(Box::new(model::ScBert::open(path)?))
}
