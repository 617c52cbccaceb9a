//! What a task hands back.

use microtome_core::{Column, Record, Summary};

/// What one representation says about every cell: a pseudotime, a predicted label.
#[derive(Clone, Debug, PartialEq)]
pub struct CellColumn {
    /// Model, baseline or control name.
    pub model: String,
    /// Site, for a network.
    pub site: Option<String>,
    /// Pooling, for a network.
    pub pooling: Option<String>,
    /// Name for a column of `obs`, `[a-z0-9_]+`.
    pub id: &'static str,
    /// What it is, for a reader.
    pub words: &'static str,
    /// One value per cell of the data set.
    pub values: Column,
}

/// A table about the run, for a reader.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutcomeTable {
    /// Heading.
    pub title: String,
    /// One sentence on how to read it.
    pub note: String,
    /// Column names.
    pub header: Vec<String>,
    /// Cells as text, row by row.
    pub rows: Vec<Vec<String>>,
}

impl OutcomeTable {
    /// A table without rows yet.
    pub fn new(title: impl Into<String>, note: impl Into<String>, header: &[&str]) -> Self {
        let header = header.iter().map(ToString::to_string).collect();
        Self { title: title.into(), note: note.into(), header, rows: vec![] }
    }
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
    /// What representations say about every cell, in the order the representations were given.
    pub columns: Vec<CellColumn>,
    /// Further tables: left-out labels, scores per class.
    pub tables: Vec<OutcomeTable>,
    /// Headline score per representation and unit; empty where cells are the unit.
    pub unit_scores: Vec<UnitScore>,
    /// What a reader must know, for instance dropped cells and the choice of roots.
    pub notes: Vec<String>,
    /// Every choice that could have been different, by name, for the run card.
    pub choices: serde_json::Map<String, serde_json::Value>,
}
