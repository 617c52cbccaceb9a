//! `simulate`: cells with known truth, streamed to a file.

use std::path::{Path, PathBuf};

use microtome_core::{Progress, Result};
use microtome_h5ad::Writer;
use microtome_train::{SimulateOptions, Simulator};
use serde::Serialize;

use crate::card::VERSION;
use crate::output;

/// What was written.
#[derive(Clone, Debug, Serialize)]
pub struct SimulateReport {
    /// Output file.
    pub out: PathBuf,
    /// Cells.
    pub n_cells: usize,
    /// Genes.
    pub n_genes: usize,
    /// Stored counts.
    pub n_values: u64,
}

const CHUNK: usize = 2048;

/// Writes simulated cells; the truth goes to `obs`, `var` and `uns["simulation"]`.
pub fn simulate(options: &SimulateOptions, out: &Path, progress: &dyn Progress) -> Result<SimulateReport> {
    output::check_writable(out)?;
    let simulator = Simulator::new(options)?;
    let obs = simulator.obs(0..options.n_cells)?;
    let mut writer = Writer::create(out, &obs, &simulator.var())?;
    writer.begin_x(options.n_genes)?;
    progress.begin("simulating", options.n_cells as u64, "cells");
    let mut n_values = 0;
    for start in (0..options.n_cells).step_by(CHUNK) {
        progress.check()?;
        let cells = simulator.chunk(start..(start + CHUNK).min(options.n_cells))?;
        n_values += cells.counts.nnz() as u64;
        writer.append_x(&cells.counts)?;
        progress.advance(cells.counts.n_cells() as u64);
    }
    progress.end();
    writer.set_uns(
        &serde_json::json!({ "simulation": simulator.truth(), "microtome": { "microtome": VERSION } }),
    )?;
    writer.finish()?;
    Ok(SimulateReport {
        out: out.to_path_buf(),
        n_cells: options.n_cells,
        n_genes: options.n_genes,
        n_values,
    })
}
