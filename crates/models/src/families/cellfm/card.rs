//! What the family is.

use std::path::Path;

use microtome_core::{GeneNamespace, Organism, Result};

use super::{gene_list, init, model, presets};
use crate::json::JsonConfig;
use crate::{Evidence, Family, LicenceInfo, Model};

/// CellFM.
pub static FAMILY: Family = Family {
    id: "cellfm",
    name: "CellFM",
    about: "gated linear attention in DeepNorm blocks over a human cell's expressed genes with soft-binned expression",
    paper: "doi:10.1038/s41467-025-59926-5",
    reference: "biomed-AI/CellFM@7655797",
    licence: LicenceInfo { code: "CC BY-NC-ND 4.0", weights: "CC BY-NC-ND 4.0", non_commercial: true },
    organisms: &[Organism::HomoSapiens],
    namespace: GeneNamespace::Symbol,
    norm_placement: "DeepNorm post-norm, LN(alpha x + f(x)), no final norm",
    files: &[
        "CellFM_80M_weight.ckpt or another MindSpore .ckpt",
        "expand_gene_info.csv (80M) or gene_info.csv (800M), from csv/ of github biomed-AI/CellFM",
    ],
    variants: presets::VARIANTS,
    evidence: Evidence::ReDerived,
    verified: "every site, tokens, cell vector and readouts of one kit that the authors' Python code made on a numpy \
               stand-in for MindSpore, whose constants come from its documentation; never compared with MindSpore itself",
    detect,
    open,
    init: init::init_preset,
    init_twin: init::init_twin,
};

/// A configuration of this model type, or a `.ckpt` that is called so or lies beside a gene list of this family.
fn detect(path: &Path) -> bool {
    let folder = gene_list::folder_of(path);
    let config = folder.join("config.json");
    if config.is_file() {
        return JsonConfig::read(&config).is_ok_and(|c| c.one_of("model_type", &["cellfm"]).is_ok());
    }
    let files = if path.is_file() { vec![path.to_path_buf()] } else { model::checkpoints(&folder) };
    let named = |p: &Path| {
        p.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.to_lowercase().contains("cellfm"))
    };
    let beside = gene_list::NAMES.iter().any(|n| folder.join(n).is_file());
    files.iter().any(|f| f.extension().is_some_and(|e| e == "ckpt") && (beside || named(f)))
}

fn open(path: &Path) -> Result<Box<dyn Model>> {
    Ok(Box::new(model::CellFm::open(path)?))
}
