//! `anatomy`: what models do with genes, block by block: vectors per category, geometry, routing, agreement, grounding.

mod categories;
mod extract;
mod options;
mod subject;

pub use extract::extract;
pub use options::{ExtractOptions, ExtractReport};
