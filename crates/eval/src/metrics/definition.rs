//! How a metric is described: beside its function, in the same file.

use microtome_core::Direction;

/// What a metric is computed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// One vector per cell, or nearest neighbours in it.
    Embedding,
    /// A second embedding of the same cells, before integration or the original space.
    Reference,
    /// Known group of every cell.
    Labels,
    /// Batch of every cell.
    Batches,
    /// Predicted labels, or found clusters.
    Predictions,
    /// Scores per class.
    ClassScores,
    /// A number per cell.
    Property,
    /// Terms of an ontology and their parents.
    Ontology,
    /// Predicted and measured response to perturbations.
    Responses,
    /// Predicted and measured populations of cells.
    Populations,
}

/// A metric of the library: what it is, where it comes from and where it departs from that.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Definition {
    /// Id in records, `[a-z0-9_]+`; scib-metrics' name where it has one.
    pub id: &'static str,
    /// Version of the definition; rises when the numbers can change.
    pub version: u32,
    /// Which way is better.
    pub direction: Direction,
    /// Smallest and largest possible value.
    pub range: (f64, f64),
    /// What it is computed from.
    pub needs: &'static [Need],
    /// What it is, for a reader.
    pub words: &'static str,
    /// Paper, or repository@commit.
    pub citation: &'static str,
    /// Where the number differs from the cited one, and why; empty where it does not.
    pub deviations: &'static str,
}
