//! What the family is.

use std::path::Path;

use microtome_core::{GeneNamespace, Organism, Result};

use super::{init, layout, model, presets};
use crate::{Evidence, Family, LicenceInfo, Model};

/// scPRINT.
pub static FAMILY: Family = Family {
    id: "scprint",
    name: "scPRINT",
    about: "pre-LN encoder over a cell's genes with protein embeddings, genome positions and one token per predicted class; human and mouse",
    paper: "doi:10.1038/s41467-025-58699-1",
    reference: "cantinilab/scPRINT@4acc1a4 (2.3.8), jkobject/scPRINT@edf7e8b (1.1.3)",
    licence: LicenceInfo {
        code: "contradictory: LICENSE file GPL-3.0, package metadata MIT",
        weights: "Apache-2.0 by the model card (the repository says GPL-3.0)",
        non_commercial: false,
    },
    organisms: &[Organism::HomoSapiens, Organism::MusMusculus],
    namespace: GeneNamespace::Ensembl,
    norm_placement: "pre-LN with carried residual (the stream is the sum of a block's two outputs), final norm",
    files: &[
        "*.ckpt (Lightning; genes and classes are inside)",
        "ontology_genes.csv (optional: ensembl_gene_id,symbol,organism of every gene that counts towards a cell's depth)",
    ],
    variants: presets::VARIANTS,
    evidence: Evidence::AuthorsCode,
    verified: "every site, cell vector, readout, denoising and gene network against the authors' code (1.1.3 and 2.3.8) on small \
               checkpoints with random weights; head counts of the published files unverified",
    detect,
    open,
    init: init::init_preset,
    init_twin: init::init_twin,
};

fn detect(path: &Path) -> bool {
    layout::find(path).is_ok_and(|files| !files.is_empty())
}

fn open(path: &Path) -> Result<Box<dyn Model>> {
    Ok(Box::new(model::ScPrint::open(path)?))
}
