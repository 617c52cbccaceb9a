//! Several models side by side: their shared genes, and the edges that several of them find.

mod align;
mod recovered;

pub use align::{Alignment, GeneLoss, align};
pub use recovered::{Recovered, RecoveredOptions, recovered};
