//! Baselines that correct for batches.

use microtome_core::{Result, Role};
use microtome_numerics::{HarmonyOptions, Version, harmony};

use super::expression::{Expression, pca};
use crate::Representation;

/// Components of the variable genes, corrected by the first algorithm of the name.
pub(super) fn harmony_v1(x: &Expression, batches: &[u32], seed: u64) -> Result<Representation> {
    corrected(Version::V1, x, batches, seed)
}

/// The same by the second.
pub(super) fn harmony_v2(x: &Expression, batches: &[u32], seed: u64) -> Result<Representation> {
    corrected(Version::V2, x, batches, seed)
}

fn corrected(version: Version, x: &Expression, batches: &[u32], seed: u64) -> Result<Representation> {
    let plain = pca(x, seed)?;
    let options = HarmonyOptions { seed, ..HarmonyOptions::new(version) };
    let found = harmony(&plain.matrix, batches, &options)?;
    let name = format!("harmony_{}_{}", version.word(), plain.model);
    Ok(Representation::simple(name, Role::Baseline, found.corrected))
}
