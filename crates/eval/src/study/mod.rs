//! The parameter-free study (Souza and Mehta 2026, arXiv 2602.16696): its pipelines by name, and every classifier on every
//! representation, because a projection on one side and nearest neighbours on the other compare classifiers, not
//! representations.
//!
//! * [`cell_type()`]: the released pipeline for Tabula Sapiens, on random splits of cells. Optimistic where cells of one donor
//!   are on both sides; `scan --task annotation` holds donors out.
//! * [`clustered()`]: the released pipeline for infected cells, clusters first and a classifier within each.
//! * [`transfer()`]: from one data set (species) to another over orthologs, every ordered pair, the diagonal apart.

mod cell_type;
mod classify;
mod clustered;
mod orthologs;
mod transfer;

use microtome_core::{Counts, Error, Result};

pub use cell_type::{CellTypeOptions, SplitScore, cell_type};
pub use classify::{CLASSIFIERS, Classifier};
pub use clustered::{ClusteredOptions, FoldScore, clustered};
pub use orthologs::{Orthologs, Rule};
pub use transfer::{REPRESENTATIONS, TransferOptions, TransferScore, transfer};

use crate::Groups;

/// Cells with labels.
#[derive(Clone, Debug)]
pub struct Labelled<'a> {
    /// Name of the data set or species.
    pub name: String,
    /// Raw counts.
    pub counts: &'a Counts,
    /// Label of every cell.
    pub labels: Groups,
}

impl Labelled<'_> {
    /// Cells of every label with at least `min_cells`, by label.
    fn by_label(&self, min_cells: usize) -> Vec<(String, Vec<usize>)> {
        let mut cells = vec![vec![]; self.labels.names.len()];
        for (i, &c) in self.labels.codes.iter().enumerate().filter(|(_, c)| **c != Groups::MISSING) {
            cells[c as usize].push(i);
        }
        let named = self.labels.names.iter().cloned().zip(cells);
        named.filter(|(_, cells)| cells.len() >= min_cells.max(1)).collect()
    }
}

/// Most values of a matrix that is written out.
const MAX_VALUES: usize = 500_000_000;

/// Refuses cells whose genes cannot be written out in memory.
fn check_size(x: &Labelled<'_>) -> Result<()> {
    let n = x.counts.n_cells().saturating_mul(x.counts.n_genes());
    if x.labels.codes.len() != x.counts.n_cells() {
        return Err(Error::usage("a label must be given, or be missing, for every cell")
            .expected(x.counts.n_cells().to_string())
            .found(x.labels.codes.len().to_string()));
    }
    if n > MAX_VALUES {
        return Err(Error::unsupported("the pipeline writes out all genes of all cells, which is too much")
            .at_key(x.name.clone())
            .expected(format!("at most {MAX_VALUES} values"))
            .found(format!("{} cells x {} genes", x.counts.n_cells(), x.counts.n_genes()))
            .remedy("use fewer cells with --max-cells"));
    }
    Ok(())
}
