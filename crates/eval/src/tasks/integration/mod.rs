//! Are batches mixed while cell types stay apart?
//!
//! The headline is read from exact nearest neighbours, one number per cell: of a cell's neighbours, the share that is of
//! its own type *and* from another batch, over the share that perfect mixing of its type would give (at most 1), mean over
//! types. An embedding that ignores its input mixes batches perfectly and scores only the share of the type; one that
//! keeps batches apart scores 0; only keeping types together *and* batches mixed scores near 1. Its two halves (own type
//! among neighbours; other batches among the neighbours of the own type) are recorded beside it. The definition is ours;
//! it is the headline because it is a mean over cells, so that units can be resampled and a depth chosen on some units
//! and judged on others.
//!
//! The headline is also read in what total counts, detected genes and the principal components of expression do not explain
//! of a representation (least squares on all cells; no label takes part).
//!
//! The metrics of the field (scIB's with the corrections of scib-metrics, BRAS, CiLISI, kBET without the order bug, scGraph) are
//! recorded for every representation without an interval: they are not means over cells, and a cell drawn twice would be
//! its own neighbour. scIB's total is kept for comparability alone: it averages what has opposite failures. Batch-balanced
//! neighbours (BBKNN) are a baseline without coordinates and have those of the metrics that a graph has.
//!
//! What the intervals cover: units (and cells within them) are resampled with the neighbours they already have.

mod field;
mod mixing;
mod options;
mod run;
mod tables;

pub use options::IntegrationOptions;
pub use run::run;

use crate::controls;
use crate::metrics;
use crate::tasks::Task;

/// The task.
pub static TASK: Task = Task {
    id: "integration",
    version: 1,
    words: "are batches mixed while cell types stay apart?",
    metrics: &[
        &metrics::MIXED_NEIGHBOURS,
        &metrics::NEIGHBOUR_LABELS,
        &metrics::NEIGHBOUR_BATCHES,
        &metrics::MIXED_NEIGHBOURS_BEYOND,
    ],
    negative_control: &controls::RANDOM_EMBEDDING,
    positive_control: &controls::NOISY_CLASSES,
    baselines: &[
        &controls::LOG_NORMALISED,
        &controls::PCA,
        &controls::RANDOM_PROJECTION,
        &controls::TOTAL_COUNTS,
        &controls::DETECTED_GENES,
    ],
};
