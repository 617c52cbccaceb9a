//! What the family is.

use std::path::Path;

use microtome_core::{GeneNamespace, Organism, Result};

use super::{config, init, model, presets};
use crate::{Evidence, Family, LicenceInfo, Model};

/// TranscriptFormer.
pub static FAMILY: Family = Family {
    id: "transcriptformer",
    name: "TranscriptFormer",
    about: "causal transformer over expressed genes as protein vectors with counts in the attention; the order of genes matters and is \
            that of the vocabulary by default, that of the columns as published",
    paper: "doi:10.1101/2025.04.25.650731",
    reference: "PyPI transcriptformer 0.6.1",
    licence: LicenceInfo {
        code: "MIT",
        weights: "no separate terms published; distributed by the MIT-licensed project",
        non_commercial: false,
    },
    organisms: &[Organism::HomoSapiens, Organism::MusMusculus],
    namespace: GeneNamespace::Ensembl,
    norm_placement: "sub-layers are added to their normed input, no final norm",
    files: &[
        "config.json",
        "model_weights.pt",
        "vocabs/assay_vocab.json",
        "vocabs/SPECIES_gene.h5 (every file of esm2_mappings; all from the model's tar.gz)",
    ],
    variants: presets::VARIANTS,
    evidence: Evidence::AuthorsCode,
    verified: "tokens, every site, the cell and contextual gene vectors, and the readouts of the embedding and of the likelihood pass \
               against the authors' code on small checkpoints with random weights",
    detect,
    open,
    init: init::init_preset,
    init_twin: init::init_twin,
};

fn detect(path: &Path) -> bool {
    let folder = config::folder_of(path);
    folder.join(config::ASSAYS).is_file() && config::is_ours(&folder.join("config.json"))
}

fn open(path: &Path) -> Result<Box<dyn Model>> {
    Ok(Box::new(model::TranscriptFormer::open(path)?))
}
