//! What a task hands back.

use microtome_core::{Record, Summary};

/// Pseudotime of every cell on one representation.
#[derive(Clone, Debug, PartialEq)]
pub struct Pseudotime {
    /// Model, baseline or control name.
    pub model: String,
    /// Site, for a network.
    pub site: Option<String>,
    /// Pooling, for a network.
    pub pooling: Option<String>,
    /// One value per cell of the data set, 0..1; infinite where no root reaches the cell.
    pub values: Vec<f64>,
}

/// Score of one representation on the cells of one independent unit.
#[derive(Clone, Debug, PartialEq)]
pub struct UnitScore {
    /// Model, baseline or control name.
    pub model: String,
    /// Site, for a network.
    pub site: Option<String>,
    /// Pooling, for a network.
    pub pooling: Option<String>,
    /// Metric id.
    pub metric: String,
    /// Name of the unit.
    pub unit: String,
    /// Its cells that were scored.
    pub n_cells: usize,
    /// The score, or `None` where it is undefined (for instance all cells at one time).
    pub value: Option<f64>,
}

/// Everything one task found out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskOutcome {
    /// One row per representation, metric and split.
    pub records: Vec<Record>,
    /// One answer per model and pooling.
    pub summaries: Vec<Summary>,
    /// Pseudotime per representation, in the order the representations were given.
    pub pseudotimes: Vec<Pseudotime>,
    /// Headline score per representation and unit; empty where cells are the unit.
    pub unit_scores: Vec<UnitScore>,
    /// What a reader must know, for instance dropped cells and the choice of roots.
    pub notes: Vec<String>,
    /// Every choice that could have been different, by name, for the run card.
    pub choices: serde_json::Map<String, serde_json::Value>,
}
