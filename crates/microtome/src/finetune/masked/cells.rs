//! The cells in memory, as training takes them.

use microtome_core::{Error, Progress, Result};
use microtome_models::Model;
use microtome_train::pretrain::{Cell, Cells};

use crate::data::Data;
use crate::pretrain::cells::Sources;

/// Cells that are tokenised together.
const CHUNK: usize = 512;

/// Tokenised cells.
pub(super) struct Held {
    pub(super) cells: Vec<Cell>,
}

impl Held {
    /// Tokenises the cells; those with fewer than two genes of the vocabulary are taken out of the data. Errors when none is left.
    pub(super) fn new(
        data: &mut Data,
        model: &dyn Model,
        with_values: bool,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let all: Vec<usize> = (0..data.cells.len()).collect();
        let (mut cells, mut kept) = (vec![], vec![]);
        {
            let sources = Sources::new(std::slice::from_ref(data), model, with_values, None)?;
            progress.begin("tokens", all.len() as u64, "cells");
            for some in all.chunks(CHUNK) {
                progress.check()?;
                for (position, cell) in some.iter().zip(sources.read(some)?) {
                    if cell.is_gene.iter().filter(|g| **g).count() >= 2 {
                        kept.push(data.cells[*position]);
                        cells.push(cell);
                    }
                }
                progress.advance(some.len() as u64);
            }
            progress.end();
        }
        if cells.is_empty() {
            return Err(Error::mismatch("no cell expresses two genes of the model's vocabulary")
                .in_file(data.dataset.path())
                .remedy("see doctor for how the genes of the data meet the vocabulary"));
        }
        if kept.len() < all.len() {
            let n = all.len() - kept.len();
            data.notes.push(format!("{n} cells with fewer than two genes of the vocabulary are left out"));
        }
        data.cells = kept;
        Ok(Self { cells })
    }

    pub(super) fn len(&self) -> usize {
        self.cells.len()
    }

    /// Copies of some cells.
    pub(super) fn some(&self, cells: &[usize]) -> Vec<Cell> {
        cells.iter().map(|&c| self.cells[c].clone()).collect()
    }
}

impl Cells for Held {
    fn n_cells(&self) -> usize {
        self.len()
    }

    fn read(&self, positions: &[usize]) -> Result<Vec<Cell>> {
        Ok(self.some(positions))
    }
}
