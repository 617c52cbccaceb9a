//! What the family is.

use std::path::Path;

use microtome_core::{GeneNamespace, Organism, Result};

use super::{config, init, meta, model};
use crate::hugging_face::folder_of;
use crate::{Evidence, Family, LicenceInfo, Model, Variant};

/// Class defaults of the authors' code; the released file's `model_args` decide and could not be read. The vocabulary is that of the
/// class too.
pub(super) const VARIANTS: &[Variant] = &[Variant {
    id: "default",
    name: "defaults of the authors' code (the released model has 368 M parameters; its model_args are unverified)",
    n_blocks: 12,
    d_model: 768,
    n_heads: 12,
    d_mlp: 3072,
    max_tokens: 1000,
    d_vocab: 1011,
    n_parameters: 87_393_792,
}];

/// scMulan.
pub static FAMILY: Family = Family {
    id: "scmulan",
    name: "scMulan",
    about: "GPT without positions over a human cell's expressed genes with expression bins, asked for the cell's type; the published cell \
            vector takes up to three generated tokens",
    paper: "doi:10.1101/2024.01.25.577152",
    reference: "SuperBianC/scMulan@d64da5e",
    licence: LicenceInfo {
        code: "MIT",
        weights: "no separate terms published; distributed by the MIT-licensed project",
        non_commercial: false,
    },
    organisms: &[Organism::HomoSapiens],
    namespace: GeneNamespace::Symbol,
    norm_placement: "pre-LN, norm behind the last block",
    files: &["ckpt_scMulan.pt (or another .pt of that layout)", "meta_info.pt (from scMulan/utils of github SuperBianC/scMulan)"],
    variants: VARIANTS,
    evidence: Evidence::IndependentForward,
    verified: "tokens, bins, every site, generation, both cell vectors and both readouts against a NumPy forward pass made from the \
               specification, on a small checkpoint with random weights; the model_args of the release and the authors' mapping of 42,117 \
               symbols could not be checked (symbols are matched as they are, totals are over all genes of the data)",
    detect,
    open,
    init: init::init_preset,
    init_twin: init::init_twin,
};

/// A vocabulary of this family's name beside a checkpoint.
fn detect(path: &Path) -> bool {
    let folder = folder_of(path);
    folder.join(meta::FILE).is_file() && (config::is_ours(&folder) || !model::checkpoints(&folder).is_empty())
}

fn open(path: &Path) -> Result<Box<dyn Model>> {
    Ok(Box::new(model::ScMulan::open(path)?))
}
