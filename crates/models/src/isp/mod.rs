//! In-silico perturbation: take a gene's token out of a cell or move it to the front, run the model again, and measure
//! how far the cell moved.
//!
//! Rules follow the Geneformer authors' `InSilicoPerturber` (haroonshakeel/Geneformer@e534f69); they need only what every
//! rank-based [`crate::Model`] says of itself, so they are not tied to that family.

mod edit;
mod readout;
mod shift;

pub use edit::{Edit, Truncation, delete, delete_each, overexpress, overexpress_each};
pub use readout::{Hidden, MaskedReadout};
pub use shift::{Effect, effects, goal_shifts};
