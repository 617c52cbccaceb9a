//! What the family is.

use std::path::Path;

use microtome_core::{GeneNamespace, Organism, Result};

use super::{config, init, model, presets};
use crate::hugging_face::folder_of;
use crate::tokenize::rank_files;
use crate::{Evidence, Family, LicenceInfo, Model};

/// Geneformer.
pub static FAMILY: Family = Family {
    id: "geneformer",
    name: "Geneformer",
    about: "BERT encoder over a cell's genes in order of expression relative to each gene's median; human, V1 and V2",
    paper: "doi:10.1038/s41586-023-06139-9",
    reference: "haroonshakeel/Geneformer@e534f69, transformers 4.46.3",
    licence: LicenceInfo { code: "Apache-2.0", weights: "Apache-2.0", non_commercial: false },
    organisms: &[Organism::HomoSapiens],
    namespace: GeneNamespace::Ensembl,
    norm_placement: "post-LN, norm on the embedding, no final norm",
    files: &[
        "config.json",
        "model.safetensors or pytorch_model.bin",
        "token_dictionary*.pkl",
        "gene_median_dictionary*.pkl",
        "ensembl_mapping_dict*.pkl (optional)",
        "gene_name_id_dict*.pkl (optional)",
    ],
    variants: presets::VARIANTS,
    evidence: Evidence::AuthorsCode,
    verified: "every site, tokens, cell and gene vectors and in-silico perturbation against the authors' code on small \
               V1 and V2 checkpoints with random weights; head count of 20l-95m unverified",
    detect,
    open,
    init: init::init_preset,
    init_twin: init::init_twin,
};

/// A BERT configuration with a Geneformer vocabulary: one of the published sizes, or the dictionaries at hand.
/// LangCell's cell tower is one as well, with another vocabulary; its folder is `cell_bert`.
fn detect(path: &Path) -> bool {
    let folder = folder_of(path);
    let near = || rank_files::any_near(&folder, &presets::PUBLISHED);
    !folder.ends_with("cell_bert")
        && config::Config::read(&folder.join("config.json"))
            .is_ok_and(|c| presets::is_published_vocabulary(c.bert.vocab_size) || near())
}

fn open(path: &Path) -> Result<Box<dyn Model>> {
    Ok(Box::new(model::Geneformer::open(path)?))
}
