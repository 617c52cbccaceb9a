//! `anatomy`: what models do with genes, block by block: vectors per category, geometry, routing, agreement, grounding.

mod analyse;
mod categories;
mod exact;
mod extract;
mod figures;
mod grounding;
mod medians;
mod networks;
mod options;
mod run;
mod sentences;
mod shared;
mod subject;
mod weights;

pub use extract::extract;
pub use options::{AnatomyOptions, AnatomyReport, ExtractOptions, ExtractReport};
pub use run::anatomy;
pub(crate) use weights::norm_of;
