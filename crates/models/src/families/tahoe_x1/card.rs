//! What the family is.

use std::path::Path;

use microtome_core::{GeneNamespace, Organism, Result};

use super::{config, init, model, presets};
use crate::{Evidence, Family, LicenceInfo, Model};

/// Tahoe-x1.
pub static FAMILY: Family = Family {
    id: "tahoe_x1",
    name: "Tahoe-x1",
    about: "pre-LN encoder over a cell's expressed genes with binned expression, trained on perturbation data; human; 3B with a drug token",
    paper: "doi:10.1101/2025.10.23.683759",
    reference: "tahoebio/tahoe-x1@7dfe74f, llm-foundry 0.17.1",
    licence: LicenceInfo { code: "Apache-2.0", weights: "Apache-2.0", non_commercial: false },
    organisms: &[Organism::HomoSapiens],
    namespace: GeneNamespace::Ensembl,
    norm_placement: "pre-LN, norms on the gene and value vectors, final norm after the last block",
    files: &[
        "model_config.yml",
        "collator_config.yml",
        "model.safetensors or best-model.pt (Composer)",
        "vocab.json (from the same folder)",
        "drug_to_id_pad.json (3B, to name drugs; from the authors' bucket)",
    ],
    variants: presets::VARIANTS,
    evidence: Evidence::AuthorsCode,
    verified: "every site, bins, cell and gene vectors, readouts and the drug token against the authors' code on small 70M- and 3B-like \
               checkpoints with random weights; bins by float32 ranks against the operation sequence of earlier torch",
    detect,
    open,
    init: init::init_preset,
    init_twin: init::init_twin,
};

fn detect(path: &Path) -> bool {
    let folder = config::folder_of(path);
    folder.join(config::COLLATOR_CONFIG).is_file() && config::is_ours(&folder.join(config::MODEL_CONFIG))
}

fn open(path: &Path) -> Result<Box<dyn Model>> {
    Ok(Box::new(model::TahoeX1::open(path)?))
}
