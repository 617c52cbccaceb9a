//! Attention routing: which gene looks at which, block by block, without ever holding an n x n matrix.
//!
//! Edges run from the query gene to the key gene, as rows and columns of an attention matrix.

mod accumulate;
mod agreement;
mod consensus;
mod edges;
mod heads;
mod rank;
mod route;
mod scores;
mod softmax;
mod source;
mod top;
mod values;

pub use accumulate::{EdgeSums, TopCandidates};
pub use agreement::{RankAgreement, union_spearman};
pub use consensus::Consensus;
pub use edges::{Edge, ScoredEdge};
pub use heads::{Head, heads};
pub use rank::{RankRule, edge_ranks, edge_scores};
pub use route::{AtK, EdgeSet, Routing, RoutingOptions, SetAgreement, SetsOf, route};
pub use scores::{ScoreOptions, Scores, Scoring};
pub use source::{MeanStream, Overlay, ScoreSource, string_sorted_blocks};
pub use top::{Ties, TopOptions, top_edges};
pub use values::value_norms;
