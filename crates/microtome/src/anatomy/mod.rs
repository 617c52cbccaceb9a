//! `anatomy`: what models do with genes, block by block: vectors per category, geometry, routing, agreement, grounding.

mod analyse;
mod categories;
mod cell_view;
mod exact;
mod expression;
mod extract;
mod figures;
mod geometry;
mod grounding;
mod medians;
mod networks;
mod options;
mod order;
mod page;
mod parts;
mod routes;
mod run;
mod sentences;
mod shared;
mod subject;
mod weights;

pub use extract::extract;
pub use geometry::Rotations;
pub use options::{
    AnatomyOptions, AnatomyReport, ExtractOptions, ExtractReport, Quirk, RoutingChoice, RoutingMode,
};
pub use run::anatomy;
pub(crate) use weights::norm_of;
