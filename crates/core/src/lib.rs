//! The words of Microtome: counts, genes, sites, records, run cards, errors and progress.
//!
//! This crate does no I/O and no linear algebra; everything else depends on it.

mod cells;
mod counts;
mod error;
mod genes;
mod matrix;
mod progress;
mod record;
mod run_card;
mod site;
mod suggest;
mod summary;

pub use cells::{Column, Table};
pub use counts::{CountCheck, Counts};
pub use error::{Error, ErrorKind, Result};
pub use genes::{GeneColumn, GeneNamespace, GeneTable, Organism, strip_version};
pub use matrix::Matrix;
pub use progress::{Progress, Silent};
pub use record::{Direction, Record, Role};
pub use run_card::{InputFile, RunCard};
pub use site::{Axis, BlockSite, Site, SitePattern};
pub use suggest::closest;
pub use summary::{Estimate, Gain, Summary, Verdict};
