//! What a checkpoint is.

use std::path::Path;

use microtome_core::Result;
use microtome_models::{Evidence, Family, LicenceInfo, ModelInfo, Precision, SiteInfo};
use microtome_weights::Audit;
use serde::Serialize;

use crate::open::open_model;

/// Everything known about a checkpoint without running it.
#[derive(Debug, Serialize)]
pub struct Inspection {
    /// Published name of the family.
    pub family_name: &'static str,
    /// Paper.
    pub paper: &'static str,
    /// Licences.
    pub licence: LicenceInfo,
    /// Where the norm sits.
    pub norm_placement: &'static str,
    /// What the implementation was held against.
    pub evidence: Evidence,
    /// What was compared with it, and what was not.
    pub verified: &'static str,
    /// Dimensions, files, choices.
    pub info: ModelInfo,
    /// What became of every tensor.
    pub audit: Audit,
    /// Sites on offer.
    pub sites: Vec<SiteInfo>,
}

/// Opens a checkpoint (strictly: a missing or unexpected tensor is an error) and describes it.
pub fn inspect(path: &Path) -> Result<Inspection> {
    let model = open_model(path, Precision::F32)?;
    let family = model.family();
    Ok(Inspection {
        family_name: family.name,
        paper: family.paper,
        licence: family.licence.clone(),
        norm_placement: family.norm_placement,
        evidence: family.evidence,
        verified: family.verified,
        info: model.info().clone(),
        audit: model.audit().clone(),
        sites: model.sites(),
    })
}

/// All families this program knows.
pub fn models() -> &'static [&'static Family] {
    microtome_models::families()
}
