//! Records: one row per dataset x model x site x pooling x transform x metric x split.

use serde::{Deserialize, Serialize};

/// What a representation stands for in a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A model under test.
    Model,
    /// An untrained, shuffled or otherwise emptied twin.
    Control,
    /// A simple method without a model.
    Baseline,
}

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Larger is better.
    Higher,
    /// Smaller is better.
    Lower,
}

/// One score with its uncertainty and its origin. Missing values are null and `reason` says why.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Data set name.
    pub dataset: String,
    /// Model, baseline or control name.
    pub model: String,
    /// Family id, where there is one.
    pub family: Option<String>,
    /// Role in the comparison.
    pub role: Option<Role>,
    /// Site name, or null for a representation that is not a network's.
    pub site: Option<String>,
    /// Block index.
    pub block: Option<usize>,
    /// Depth 0..1.
    pub depth: Option<f64>,
    /// How tokens became one vector per cell.
    pub pooling: Option<String>,
    /// Transform of the representation before scoring.
    pub transform: String,
    /// Task id.
    pub task: String,
    /// Version of the task's definition.
    pub task_version: u32,
    /// Metric id.
    pub metric: String,
    /// Version of the metric's definition.
    pub metric_version: u32,
    /// Point estimate.
    pub value: Option<f64>,
    /// Lower end of the interval.
    pub ci_low: Option<f64>,
    /// Upper end of the interval.
    pub ci_high: Option<f64>,
    /// How the interval was made.
    pub ci_method: Option<String>,
    /// P value.
    pub p: Option<f64>,
    /// P value adjusted for the number of depths.
    pub p_adj: Option<f64>,
    /// Independent units.
    pub n_units: Option<usize>,
    /// Cells used.
    pub n_cells: Option<usize>,
    /// What the unit is.
    pub unit: Option<String>,
    /// Split of the data the score belongs to (`all`, `outer`, ...).
    pub split: String,
    /// Whether larger is better.
    pub higher_is_better: bool,
    /// Seed of everything random behind the value.
    pub seed: u64,
    /// Hash of the run card.
    pub run_card: String,
    /// Why a value is missing, or what to keep in mind reading it.
    pub reason: Option<String>,
}
