//! The real data set that simulated cells are calibrated on.

use std::path::{Path, PathBuf};

use microtome_core::{Progress, Result};
use microtome_train::{Calibration, Description, Statistics};

use crate::data::{Data, DataOptions};

/// Cells that are read at a time.
const CHUNK: usize = 2048;

/// A real data set, reduced to what it looks like.
pub(super) struct Real {
    pub(super) path: PathBuf,
    /// Name of the data set.
    pub(super) name: String,
    pub(super) calibration: Calibration,
    /// Of the genes that are simulated.
    pub(super) description: Description,
}

impl Real {
    /// Reads the counts once, chunk by chunk.
    pub(super) fn read(path: &Path, most: Option<usize>, progress: &dyn Progress) -> Result<Self> {
        let data = Data::open(&DataOptions { path: path.to_path_buf(), ..DataOptions::default() })?;
        let mut statistics = Statistics::new(data.genes.names.len());
        let n = data.cells.len();
        progress.begin("calibrating", n as u64, "cells");
        for start in (0..n).step_by(CHUNK) {
            progress.check()?;
            let counts = data.counts(start..(start + CHUNK).min(n))?;
            statistics.add(&counts);
            progress.advance(counts.n_cells() as u64);
        }
        progress.end();
        let genes = &data.genes;
        let of = |column: &Option<Vec<String>>, g: usize| {
            column.as_ref().map(|c| c[g].clone()).unwrap_or_default()
        };
        let names: Vec<(String, String)> = (0..genes.names.len())
            .map(|g| match (of(&genes.ensembl, g), of(&genes.symbols, g)) {
                (id, symbol) if id.is_empty() && symbol.is_empty() => (genes.names[g].clone(), String::new()),
                known => known,
            })
            .collect();
        let name = data.name();
        let calibration = Calibration::new(&statistics, &names, most, &name).map_err(|e| e.in_file(path))?;
        let described = statistics.describe().map_err(|e| e.in_file(path))?;
        Ok(Self { path: path.to_path_buf(), name, description: calibration.reduced(&described), calibration })
    }
}
