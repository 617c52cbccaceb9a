//! Untrained twins: the same shape, the same vocabulary, random weights.

use std::path::Path;

use microtome_core::{Error, Result};

use crate::open::OpenModel;

/// Name of a model's untrained twin in records.
pub(crate) fn name_of(model: &str) -> String {
    format!("{model} (untrained twin)")
}

/// Writes the twin into `folder` unless it is there; beside its place first, so that a killed run never leaves half a model.
pub(crate) fn ensure(of: &OpenModel, seed: u64, folder: &Path) -> Result<()> {
    if folder.exists() {
        return Ok(());
    }
    let begun = folder.with_extension("begun");
    let failed =
        |e: std::io::Error| Error::output("cannot write the untrained twin").in_file(folder).caused_by(e);
    if begun.exists() {
        std::fs::remove_dir_all(&begun).map_err(failed)?;
    }
    (of.model.family().init_twin)(&of.path, seed, &begun)?;
    std::fs::rename(&begun, folder).map_err(failed)
}
