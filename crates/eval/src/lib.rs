//! Tasks, metrics, controls, baselines and the statistics that hold them together.
//!
//! Everything that is scored is a [`Representation`]: one matrix with a row per cell and a name. Nothing in
//! this crate can tell a network from a principal component analysis, which is what makes the comparison fair.
//!
//! * [`tasks`]: what is asked of a representation. A [`tasks::Task`] cannot be written down without its negative
//!   control, its positive control and its baselines.
//! * [`metrics`]: how an answer becomes one number.
//! * [`controls`]: the simple methods and the emptied inputs that stand beside every model.
//! * [`protocol`]: units, folds, bootstrap, bands, nested choice of depth, permutation nulls.
//! * [`verdict`]: the rules that turn intervals into words.
//! * [`study`]: the pipelines of the parameter-free study.
//! * [`targets`]: whether rankings of genes find the known targets of regulators.

mod assess;
pub mod calibration;
mod cells;
pub mod controls;
mod held_out;
mod losses;
pub mod metrics;
mod outcome;
pub mod protocol;
mod representation;
pub mod study;
pub mod table;
pub mod targets;
pub mod tasks;
pub mod transforms;
pub mod verdict;

pub use cells::{Cells, Groups};
pub use held_out::{Compared, HeldOut};
pub use losses::UnitLosses;
pub use outcome::{CellColumn, OutcomeTable, TaskOutcome, UnitScore};
pub use protocol::Protocol;
pub use representation::{GENES_PERMUTED, Representation, WEIGHTS_SHUFFLED};
