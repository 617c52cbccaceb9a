//! Does the representation order cells along time?
//!
//! Readings of every representation:
//!
//! * `dpt`: diffusion pseudotime on the exact nearest-neighbour graph, from root cells at the earliest time. It
//!   never sees the time of any other cell, so it shows whether the *geometry* follows time.
//! * `shortest_path`: length of the shortest path from the root along the same graph, which needs no eigenvectors.
//! * `palantir`: Palantir's pseudotime, where it is asked for.
//! * `knn_time`: mean time of the nearest cells of other units. Local, supervised.
//! * `ridge_time`: ridge regression of time, penalty chosen inside the training units. Global, supervised: it
//!   shows whether the *information* is present in linear form, whatever the geometry.
//! * `ordinal_time`: proportional-odds regression of ordered stages, penalty chosen likewise. It needs no distances
//!   between stages; what is compared is the expected stage.
//!
//! Where clones are given, every reading is also asked for the order within them: of two sister cells of different time,
//! is the later one later? Descent, not a model of expression, vouches for that order. Units are the named ones, otherwise
//! the clones, and readings that learn never see a cell of a unit they are asked about.
//!
//! Roughness of time (ROGI, ROGI-XD, the error of the nearest cells) and how far neighbours and distances are those of principal
//! components are recorded without an interval, because published tables hold them; none of them decides.
//!
//! Held-out predictions are compared with time over all cells together, but a prediction never uses the time of a
//! cell of the same fold. A representation that holds nothing may then score a little below zero; the control
//! `random_embedding` shows how much.
//!
//! What the intervals cover: units (and cells within them) are resampled and scored again with the pseudotime
//! they already have. The neighbour graph is not built again in a replicate and the regressions are not fitted
//! again, so the variability of graph and fit themselves is not in the interval.

mod clonal;
mod field;
mod further;
mod halves;
mod held_out;
mod judge;
mod notes;
mod options;
mod readings;
mod root;
mod run;

pub use options::{GraphWeights, Root, TrajectoryOptions};
pub use run::run;

use crate::controls;
use crate::metrics::{self, Metric};
use crate::tasks::Task;

/// The task.
pub static TASK: Task = Task {
    id: "trajectory",
    version: 1,
    words: "does the representation order cells along time?",
    metrics: &[
        &metrics::DPT_SPEARMAN,
        &metrics::DPT_KENDALL,
        &metrics::DPT_PARTIAL,
        &metrics::PATH_SPEARMAN,
        &metrics::PALANTIR_SPEARMAN,
        &metrics::KNN_TIME_SPEARMAN,
        &metrics::KNN_TIME_KENDALL,
        &metrics::RIDGE_TIME_SPEARMAN,
        &metrics::RIDGE_TIME_KENDALL,
        &metrics::ORDINAL_TIME_SPEARMAN,
        &metrics::ORDINAL_TIME_KENDALL,
        &metrics::DPT_CLONAL_ORDER,
        &metrics::PATH_CLONAL_ORDER,
        &metrics::PALANTIR_CLONAL_ORDER,
        &metrics::KNN_TIME_CLONAL_ORDER,
        &metrics::RIDGE_TIME_CLONAL_ORDER,
        &metrics::ORDINAL_TIME_CLONAL_ORDER,
    ],
    negative_control: &controls::RANDOM_EMBEDDING,
    positive_control: &controls::NOISY_TRUTH,
    baselines: &[
        &controls::LOG_NORMALISED,
        &controls::PCA,
        &controls::PCA_SEURAT_V3,
        &controls::PEARSON_RESIDUALS,
        &controls::RANK_NORMAL,
        &controls::RANK_NORMAL_PCA,
        &controls::RANDOM_PROJECTION,
        &controls::TOTAL_COUNTS,
        &controls::DETECTED_GENES,
    ],
};

/// Whether a metric asks for the order within clones, which only some data sets have.
fn is_clonal(metric: &Metric) -> bool {
    metric.id.ends_with("_clonal_order")
}
