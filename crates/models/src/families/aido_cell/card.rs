//! What the family is.

use std::path::Path;

use microtome_core::{GeneNamespace, Organism, Result};

use super::{config, init, model, presets};
use crate::tokenize::gene_list;
use crate::{Evidence, Family, LicenceInfo, Model};

/// AIDO.Cell.
pub static FAMILY: Family = Family {
    id: "aido_cell",
    name: "AIDO.Cell",
    about: "pre-LN encoder over all 19,264 protein-coding genes of a human cell at once, zeros included, with soft-binned expression",
    paper: "doi:10.1101/2024.11.28.625303",
    reference: "genbio-ai/ModelGenerator@c4d0121 (huggingface/aido.cell), transformers 4.38.0",
    licence: LicenceInfo {
        code: "GenBio AI Community License (the sub-package and file headers say Apache-2.0)",
        weights: "GenBio AI Community License",
        non_commercial: true,
    },
    organisms: &[Organism::HomoSapiens],
    namespace: GeneNamespace::Symbol,
    norm_placement: "pre-LN, final norm after the last block",
    files: &[
        "config.json",
        "model.safetensors or pytorch_model.bin",
        "OS_scRNA_gene_index.19264.tsv (from the aido.cell package or from scFoundation's repository)",
    ],
    variants: presets::VARIANTS,
    evidence: Evidence::AuthorsCode,
    verified: "every site, tokens, cell vector and masked readout against the authors' code on small checkpoints with \
               random weights, one of them over all 19,266 tokens",
    detect,
    open,
    init: init::init_preset,
    init_twin: init::init_twin,
};

fn detect(path: &Path) -> bool {
    config::is_ours(&gene_list::folder_of(path).join("config.json"))
}

fn open(path: &Path) -> Result<Box<dyn Model>> {
    Ok(Box::new(model::AidoCell::open(path)?))
}
