//! Anatomy of single-cell foundation models: layer-wise geometry, attention routing, agreement across models and
//! grounding in networks and gene sets, at 20,000 genes in bounded memory.
//!
//! No file is read here and no network is run: inputs are plain matrices (the residual stream of every block, averaged
//! over the cells of one category), projection weights, edge lists and gene sets; results are plain structs that say
//! what they were computed over and why a value is missing.
//!
//! No n x n matrix is ever held. Everything that looks at all gene pairs does so tile by tile, and results do not depend
//! on the number of threads.

mod buckets;
mod input;
mod outcome;
mod tiles;

pub mod geometry;
pub mod grounding;
pub mod models;
pub mod nulls;
pub mod routing;

pub use input::{AttentionWeights, Blocks, Norm, NormKind};
pub use outcome::{Estimated, Pairwise, over_categories};
