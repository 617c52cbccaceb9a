//! Edges between genes, by row number.

use serde::{Deserialize, Serialize};

/// An ordered pair of genes, by row: who looks, at whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Edge {
    /// Row of the query gene.
    pub from: u32,
    /// Row of the key gene.
    pub to: u32,
}

impl Edge {
    /// From row `from` to row `to`.
    pub fn new(from: u32, to: u32) -> Self {
        Self { from, to }
    }

    /// True for a gene that looks at itself.
    pub fn is_self(self) -> bool {
        self.from == self.to
    }
}

/// An edge with its score.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoredEdge {
    /// The edge.
    #[serde(flatten)]
    pub edge: Edge,
    /// Its score, signed even where edges were ranked by magnitude.
    pub score: f32,
}
