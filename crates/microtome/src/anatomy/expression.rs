//! Expression of the cells that were drawn, which every claim about edges is compared with.

use std::collections::HashMap;

use microtome_core::{Matrix, Result};

use super::categories::{self, Category};
use super::options::ExtractOptions;
use crate::data::{Data, DataOptions};
use crate::gene_store::GeneStore;

/// Counts per cell are scaled to this total before the logarithm.
const TOTAL: f64 = 1e4;

/// The cells of an extraction, read again.
pub(super) struct Cells {
    pub(super) data: Data,
    pub(super) drawn: Vec<Category>,
    /// Row of the table of genes per gene of the data.
    row_of_gene: Vec<Option<usize>>,
}

impl Cells {
    pub(super) fn open(options: &ExtractOptions, store: &GeneStore) -> Result<Self> {
        let mut data = Data::open(&DataOptions { max_cells: None, ..options.data.clone() })?;
        let (most, seed) = (options.max_cells, options.data.seed);
        let drawn = categories::draw(&mut data, &options.categories, options.min_cells, most, seed)?;
        data.cells = drawn.iter().flat_map(|c| c.cells.iter().copied()).collect();
        let row_of_name: HashMap<&str, usize> =
            store.genes().genes.iter().enumerate().map(|(row, g)| (g.var_name.as_str(), row)).collect();
        let row_of_gene = data.genes.names.iter().map(|n| row_of_name.get(n.as_str()).copied()).collect();
        Ok(Self { data, drawn, row_of_gene })
    }

    /// Places of a category's cells among those of `data`.
    pub(super) fn range(&self, category: &str) -> std::ops::Range<usize> {
        let mut first = 0;
        for c in &self.drawn {
            let range = first..first + c.cells.len();
            if c.entry.name == category {
                return range;
            }
            first = range.end;
        }
        0..0
    }

    /// `ln(1 + counts per 10,000)` of these rows of the table of genes in the cells of a category, `[gene, cell]`.
    pub(super) fn expression(&self, category: &str, genes: &[usize]) -> Result<Matrix> {
        let range = self.range(category);
        let place: HashMap<usize, usize> = genes.iter().enumerate().map(|(i, &g)| (g, i)).collect();
        let mut out = Matrix::zeros(genes.len(), range.len());
        let first = range.start;
        for start in range.clone().step_by(1000) {
            let counts = self.data.counts(start..(start + 1000).min(range.end))?;
            for cell in 0..counts.n_cells() {
                let total = counts.total(cell);
                let (indices, values) = counts.row(cell);
                for (&gene, &v) in indices.iter().zip(values) {
                    let row = self.row_of_gene[gene as usize].and_then(|row| place.get(&row));
                    if let Some(&row) = row.filter(|_| total > 0.0) {
                        out.row_mut(row)[start - first + cell] =
                            (f64::from(v) * TOTAL / total).ln_1p() as f32;
                    }
                }
            }
        }
        Ok(out)
    }
}
