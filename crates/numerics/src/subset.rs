//! Parts of a sparse matrix: genes, batches, the transpose.

use microtome_core::{Counts, Error, Result};

/// The given genes (ascending) of every cell.
///
/// Errors when a gene does not exist or the list does not ascend.
pub fn select_genes(x: &Counts, genes: &[usize]) -> Result<Counts> {
    if genes.windows(2).any(|w| w[0] >= w[1]) || genes.last().is_some_and(|&g| g >= x.n_genes()) {
        return Err(Error::usage("genes to select must ascend and exist")
            .expected(format!("ascending numbers below {}", x.n_genes())));
    }
    let mut place = vec![u32::MAX; x.n_genes()];
    genes.iter().enumerate().for_each(|(i, &g)| place[g] = i as u32);
    let (mut indptr, mut indices, mut values) = (vec![0], vec![], vec![]);
    for cell in 0..x.n_cells() {
        let (columns, row) = x.row(cell);
        for (&g, &v) in columns.iter().zip(row).filter(|(g, _)| place[**g as usize] != u32::MAX) {
            indices.push(place[g as usize]);
            values.push(v);
        }
        indptr.push(values.len());
    }
    Counts::new(genes.len(), indptr, indices, values)
}

/// The genes with a value above 0 in any cell, and which they are.
pub(crate) fn select_expressed(x: &Counts) -> Result<(Counts, Vec<usize>)> {
    let mut seen = vec![false; x.n_genes()];
    x.indices().iter().zip(x.values()).filter(|(_, v)| **v > 0.0).for_each(|(&g, _)| seen[g as usize] = true);
    let genes: Vec<usize> = (0..x.n_genes()).filter(|&g| seen[g]).collect();
    Ok((select_genes(x, &genes)?, genes))
}

/// The cells of every code, in the order of the codes. Errors when lengths differ.
pub(crate) fn split_cells(x: &Counts, codes: &[u32]) -> Result<Vec<Counts>> {
    if codes.len() != x.n_cells() {
        return Err(Error::usage("one batch per cell is needed")
            .expected(x.n_cells().to_string())
            .found(codes.len().to_string()));
    }
    let units = crate::resample::Units::new(codes);
    Ok((0..units.len()).map(|u| x.select_cells(units.members(u))).collect())
}

/// Genes as rows: row `g` of the result holds the cells with a stored value of gene `g`, ascending.
pub(crate) fn by_gene(x: &Counts) -> Columns {
    let mut start = vec![0; x.n_genes() + 1];
    x.indices().iter().for_each(|&g| start[g as usize + 1] += 1);
    for g in 0..x.n_genes() {
        start[g + 1] += start[g];
    }
    let mut next = start.clone();
    let (mut cells, mut values) = (vec![0; x.nnz()], vec![0.0; x.nnz()]);
    for cell in 0..x.n_cells() {
        let (genes, row) = x.row(cell);
        for (&g, &v) in genes.iter().zip(row) {
            let at = &mut next[g as usize];
            cells[*at] = cell as u32;
            values[*at] = v;
            *at += 1;
        }
    }
    Columns { start, cells, values }
}

/// A sparse matrix by column.
pub(crate) struct Columns {
    start: Vec<usize>,
    cells: Vec<u32>,
    values: Vec<f32>,
}

impl Columns {
    /// Cells and values of one gene.
    pub(crate) fn row(&self, gene: usize) -> (&[u32], &[f32]) {
        let range = self.start[gene]..self.start[gene + 1];
        (&self.cells[range.clone()], &self.values[range])
    }
}
