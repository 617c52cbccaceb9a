//! The bundled model: pretrained on simulated cells by `demo_model/recipe.sh`, and part of the program.

use std::path::Path;

use microtome_core::{Error, Result};

use crate::output::write_atomic;

/// Every file of the checkpoint; `config.json` last, because a folder without it is not taken for a checkpoint.
const FILES: [(&str, &[u8]); 7] = [
    ("model.safetensors", include_bytes!("../demo_model/model.safetensors")),
    ("token_dictionary.pkl", include_bytes!("../demo_model/token_dictionary.pkl")),
    ("gene_median_dictionary.pkl", include_bytes!("../demo_model/gene_median_dictionary.pkl")),
    ("ensembl_mapping_dict.pkl", include_bytes!("../demo_model/ensembl_mapping_dict.pkl")),
    ("gene_name_id_dict.pkl", include_bytes!("../demo_model/gene_name_id_dict.pkl")),
    ("pretrain.json", include_bytes!("../demo_model/pretrain.json")),
    ("config.json", include_bytes!("../demo_model/config.json")),
];

/// Seed of the tissue whose cells it was trained on.
pub(crate) const TISSUE: u64 = 0;

/// Writes the checkpoint into a folder.
pub(crate) fn write(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)
        .map_err(|e| Error::output("cannot make the folder").in_file(folder).caused_by(e))?;
    FILES.iter().try_for_each(|(name, bytes)| write_atomic(&folder.join(name), bytes))
}
