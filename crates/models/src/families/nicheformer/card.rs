//! What the family is.

use std::path::Path;

use microtome_core::{GeneNamespace, Organism, Result};

use super::{init, model, presets};
use crate::json::JsonConfig;
use crate::{Evidence, Family, LicenceInfo, Model};

/// Nicheformer.
pub static FAMILY: Family = Family {
    id: "nicheformer",
    name: "Nicheformer",
    about: "post-LN encoder over ranked genes of dissociated and spatial cells, behind tokens for species, assay and modality; human and mouse",
    paper: "doi:10.1101/2024.04.15.589472",
    reference: "theislab/nicheformer@485cadb, helicalAI/helical@f798a96 (Hugging Face remote code), helical 2.2.0",
    licence: LicenceInfo {
        code: "BSD-3-Clause",
        weights: "not stated in the files at hand; see the model's page",
        non_commercial: false,
    },
    organisms: &[Organism::HomoSapiens, Organism::MusMusculus],
    namespace: GeneNamespace::Ensembl,
    norm_placement: "post-LN, no norm on the embedding, no final norm",
    files: &[
        "nicheformer.ckpt, or config.json with model.safetensors",
        "vocab.json or model.h5ad (data/model_means of github theislab/nicheformer)",
        "*_mean_script.npy (technology means, same place; without them genes are ranked by count alone)",
    ],
    variants: presets::VARIANTS,
    evidence: Evidence::AuthorsCode,
    verified: "every site, tokens, cell vectors and readout of 3 kits against the authors' code on small checkpoints with random \
               weights: Hugging Face with three paddings, Lightning with the notebooks' and the dataset class's ranking",
    detect,
    open,
    init: init::init_preset,
    init_twin: init::init_twin,
};

/// A configuration of this model type, or a Lightning checkpoint that is called so or lies beside gene lists of this family.
fn detect(path: &Path) -> bool {
    let folder = model::folder_of(path);
    let config = JsonConfig::read(&folder.join("config.json"));
    if config.is_ok_and(|c| c.one_of("model_type", &["nicheformer"]).is_ok()) {
        return true;
    }
    let Some(file) = model::lightning(path) else { return false };
    let name = file.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_lowercase();
    let beside = || {
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        entries.filter_map(|e| e.file_name().into_string().ok()).any(|n| n.ends_with("_mean_script.npy"))
    };
    name.contains("nicheformer") || beside()
}

fn open(path: &Path) -> Result<Box<dyn Model>> {
    Ok(Box::new(model::Nicheformer::open(path)?))
}
