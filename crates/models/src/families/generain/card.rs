//! What the family is.

use std::path::Path;

use microtome_core::{GeneNamespace, Organism, Result};

use super::{files, init, model};
use crate::hugging_face::folder_of;
use crate::{Evidence, Family, LicenceInfo, Model, Variant};

/// Published sizes; the numbers of genes of the vocabularies are not in the repository and were not seen.
pub(super) const VARIANTS: &[Variant] = &[Variant {
    id: "gpt-binning-by-gene",
    name: "GeneRAIN-GPT Binning-By-Gene (exp2; exp7 over 38,960 coding and lncRNA genes has the same blocks; d_vocab is that of gene2vec, unverified)",
    n_blocks: 6,
    d_model: 200,
    n_heads: 4,
    d_mlp: 800,
    max_tokens: 2048,
    d_vocab: 24_450,
    n_parameters: 8_195_600,
}];

/// GeneRAIN.
pub static FAMILY: Family = Family {
    id: "generain",
    name: "GeneRAIN",
    about: "GPT-2 over a human sample's genes in the order of their rank within a reference corpus, gene by gene",
    paper: "doi:10.1101/2024.03.07.583777",
    reference: "suzheng/GeneRAIN@f50e70e",
    licence: LicenceInfo {
        code: "CC BY-NC 4.0",
        weights: "not stated apart from the code's; on Zenodo",
        non_commercial: true,
    },
    organisms: &[Organism::HomoSapiens],
    namespace: GeneNamespace::Symbol,
    norm_placement: "pre-LN, norm behind the last block",
    files: &[
        "a .pth, or model.safetensors",
        "exp2_GPT_Binning_By_Gene.param_config.json or exp7 (from jsons/ of github suzheng/GeneRAIN; states heads and eps)",
        "gene2vec_gene_to_idx.json or coding_lncrna_gene_to_idx.json (vocabulary)",
        "*_subsampled.npy and *_subsampled.gene_symbols.txt (reference of the bins; needed to tokenise)",
    ],
    variants: VARIANTS,
    evidence: Evidence::IndependentForward,
    verified: "bins, tokens, every site and logits against Hugging Face's own GPT-2 behind bins made from the specification, on a small \
               checkpoint with random weights; names of the released files unverified; the cell vector is a convention, there is no published \
               one; bins of five samples together (as published), z-score models and BERT models are not offered",
    detect,
    open,
    init: init::init_preset,
    init_twin: init::init_twin,
};

/// Training parameters of this family beside its vocabulary.
fn detect(path: &Path) -> bool {
    files::Files::find(&folder_of(path)).is_ok_and(|f| files::is_ours(&f.params))
}

fn open(path: &Path) -> Result<Box<dyn Model>> {
    Ok(Box::new(model::GeneRain::open(path)?))
}
