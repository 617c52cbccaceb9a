//! What the family is.

use std::path::Path;

use microtome_core::{GeneNamespace, Organism, Result};

use super::{config, init, model, presets};
use crate::{Evidence, Family, LicenceInfo, Model};

/// scGPT.
pub static FAMILY: Family = Family {
    id: "scgpt",
    name: "scGPT",
    about: "post-LN encoder over a cell's expressed genes with expression binned by the cell's own quantiles; human",
    paper: "doi:10.1038/s41592-024-02201-0",
    reference: "bowang-lab/scGPT@cebd6fa (0.2.5), model class of @40d69ac for bn.* checkpoints",
    licence: LicenceInfo {
        code: "MIT",
        weights: "no separate terms published; distributed with the MIT-licensed repository",
        non_commercial: false,
    },
    organisms: &[Organism::HomoSapiens],
    namespace: GeneNamespace::Symbol,
    norm_placement: "post-LN, norms on the gene and value vectors, no final norm",
    files: &[
        "args.json",
        "best_model.pt",
        "vocab.json (from the same folder of the scGPT model zoo; the repository's default vocabularies lack the special tokens)",
        "gene_info.csv (optional: Ensembl ids to symbols)",
    ],
    variants: presets::VARIANTS,
    evidence: Evidence::AuthorsCode,
    verified: "every site, bins, cell and gene vectors, all readouts and the attention scores for gene regulation against the authors' \
               code on small checkpoints with random weights: pre-trained, legacy, bn and dsbn with batch labels",
    detect,
    open,
    init: init::init_preset,
    init_twin: init::init_twin,
};

fn detect(path: &Path) -> bool {
    let folder = config::folder_of(path);
    folder.join("vocab.json").is_file() && config::is_ours(&folder.join("args.json"))
}

fn open(path: &Path) -> Result<Box<dyn Model>> {
    Ok(Box::new(model::ScGpt::open(path)?))
}
