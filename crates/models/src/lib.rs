//! Model families, tokenisers, shared network blocks and taps.

mod model;
mod tap;
mod tokens;

pub use model::{
    CellRule, Family, GeneMatch, LicenceInfo, Model, ModelInfo, Overlap, SiteInfo, TokenizeOptions, Variant,
};
pub use tap::{MapKind, SiteData, Tap};
pub use tokens::Tokens;
