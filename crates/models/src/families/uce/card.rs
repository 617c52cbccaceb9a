//! What the family is.

use std::path::Path;

use microtome_core::{GeneNamespace, Organism, Result};

use super::{init, model, presets, settings};
use crate::{Evidence, Family, LicenceInfo, Model};

/// UCE.
pub static FAMILY: Family = Family {
    id: "uce",
    name: "UCE",
    about: "post-LN encoder over a sample of a cell's expressed genes as protein vectors, grouped by chromosome; any of its species",
    paper: "doi:10.1101/2023.11.28.568918",
    reference: "snap-stanford/UCE@8ead6e0",
    licence: LicenceInfo {
        code: "MIT",
        weights: "no separate terms published; figshare record of the MIT-licensed repository",
        non_commercial: false,
    },
    organisms: &[Organism::HomoSapiens, Organism::MusMusculus],
    namespace: GeneNamespace::Symbol,
    norm_placement: "post-LN, no final norm",
    files: &[
        "4layer_model.torch or 33l_8ep_1024t_1280.torch",
        "species_chrom.csv",
        "species_offsets.pkl",
        "protein_embeddings/SPECIES.*.gene_symbol_to_embedding_ESM2.pt (at least one; human, mouse, frog, zebrafish, mouse_lemur, pig, \
         macaca_fascicularis, macaca_mulatta; unpack protein_embeddings.tar.gz)",
        "new_species_protein_embeddings.csv (optional: further species)",
        "all_tokens.torch (optional; needed for untrained models)",
        "uce_config.json (optional: heads, sample size, longest input and chromosome offset, where they are not the published ones)",
    ],
    variants: presets::VARIANTS,
    evidence: Evidence::AuthorsCode,
    verified: "every site, both readouts, the cell vector, the published sampling and its padding against the authors' code on small \
               checkpoints with random weights; the deterministic variant of helical 2.2.0 as well",
    detect,
    open,
    init: init::init_preset,
    init_twin: init::init_twin,
};

/// The tables of species, which no other family has, beside weights.
fn detect(path: &Path) -> bool {
    let folder = settings::folder_of(path);
    folder.join(settings::OFFSETS).is_file()
        && folder.join(settings::CHROMOSOMES).is_file()
        && settings::weights_file(path, &folder).is_ok()
}

fn open(path: &Path) -> Result<Box<dyn Model>> {
    Ok(Box::new(model::Uce::open(path)?))
}
