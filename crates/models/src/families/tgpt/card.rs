//! What the family is.

use std::path::Path;

use microtome_core::{GeneNamespace, Organism, Result};

use super::{config, init, model, vocabulary};
use crate::hugging_face::folder_of;
use crate::{Evidence, Family, LicenceInfo, Model, Variant};

/// Published sizes.
pub(super) const VARIANTS: &[Variant] = &[Variant {
    id: "1024-8-16-64",
    name: "transcriptome-gpt-1024-8-16-64",
    n_blocks: 8,
    d_model: 1024,
    n_heads: 16,
    d_mlp: 4096,
    max_tokens: 1024,
    d_vocab: 21_150,
    n_parameters: 123_478_016,
}];

/// tGPT.
pub static FAMILY: Family = Family {
    id: "tgpt",
    name: "tGPT",
    about: "GPT-2 over the symbols of a human cell's 62 most expressed genes, in falling order of counts",
    paper: "doi:10.1016/j.isci.2023.106536",
    reference: "deeplearningplus/tGPT@9714a98",
    licence: LicenceInfo {
        code: "GPL-3.0",
        weights: "none stated (Hugging Face lixiangchun/transcriptome-gpt-1024-8-16-64)",
        non_commercial: false,
    },
    organisms: &[Organism::HomoSapiens],
    namespace: GeneNamespace::Symbol,
    norm_placement: "pre-LN, norm behind the last block",
    files: &["config.json", "tokenizer.json", "pytorch_model.bin or model.safetensors"],
    variants: VARIANTS,
    evidence: Evidence::IndependentForward,
    verified: "tokens, every site, cell vector and logits against Hugging Face's own GPT-2 and tokeniser on a small checkpoint with random \
               weights; how the authors made the text of a cell (ties, genes outside the vocabulary) is from their description and example",
    detect,
    open,
    init: init::init_preset,
    init_twin: init::init_twin,
};

/// A GPT-2 configuration beside a word-level tokeniser with the markers of this family.
fn detect(path: &Path) -> bool {
    let folder = folder_of(path);
    config::is_ours(&folder.join("config.json")) && vocabulary::Vocabulary::read(&folder.join("tokenizer.json")).is_ok()
}

fn open(path: &Path) -> Result<Box<dyn Model>> {
    Ok(Box::new(model::Tgpt::open(path)?))
}
