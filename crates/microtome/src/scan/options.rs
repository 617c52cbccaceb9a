//! What a scan is asked to do.

use std::path::PathBuf;

use microtome_core::Summary;
use microtome_models::taps::Pooling;
use serde::Serialize;

use crate::budget::RunOptions;
use crate::data::DataOptions;

/// The main job.
#[derive(Clone, Debug)]
pub struct ScanOptions {
    /// Cells.
    pub data: DataOptions,
    /// Checkpoints.
    pub models: Vec<PathBuf>,
    /// Task ids.
    pub tasks: Vec<String>,
    /// Column of `obs` with the time.
    pub time: Option<String>,
    /// Name of the root cell.
    pub root: Option<String>,
    /// Column of `obs` to colour the map with.
    pub label: Option<String>,
    /// Column of `obs` with the independent unit.
    pub unit: Option<String>,
    /// Neighbours in the graph.
    pub neighbors: usize,
    /// Bootstrap replicates.
    pub n_bootstrap: usize,
    /// How tokens become one vector per cell.
    pub pooling: Pooling,
    /// Precision and memory.
    pub run: RunOptions,
    /// Folder for the result.
    pub out: PathBuf,
    /// Go on with an unfinished run.
    pub resume: bool,
    /// Replace an earlier result.
    pub overwrite: bool,
    /// The command line, for the run card and the report.
    pub command: Vec<String>,
}

/// What came out.
#[derive(Clone, Debug, Serialize)]
pub struct ScanReport {
    /// Folder with the result.
    pub out: PathBuf,
    /// The page to look at.
    pub report: PathBuf,
    /// The answers.
    pub summaries: Vec<Summary>,
    /// Wall seconds in all.
    pub seconds: f64,
}
