//! The gene vectors of a model: `--sites gene_embedding`.

use microtome_core::{Matrix, Progress, Result, Site};
use microtome_models::taps::{Averaged, GeneMeanTap};
use microtome_models::{GeneMatch, Model, minibatches};

use crate::budget::Budget;
use crate::data::Data;

/// `[gene of the data, d]`: the published table of gene vectors where the family has one (`gene_table`), otherwise the mean, over the cells that hold the gene, of its vector at the site that the published cell
/// embedding pools; NaN for genes that no cell shows to the model. One pass over the cells of its own, in bounded memory.
pub(crate) fn gene_vectors(
    data: &Data,
    model: &dyn Model,
    genes: &GeneMatch,
    budget: &Budget,
    progress: &dyn Progress,
) -> Result<Matrix> {
    if let Some(table) = model.gene_table() {
        return rows_of(&table, data, genes, |token| Some(token as usize));
    }
    let (_, site): (_, Site) = model.cell_rule();
    let mut tap = GeneMeanTap::new(model, &[site], Averaged::All);
    let (n, chunk) = (data.cells.len(), budget.chunk);
    progress.begin("gene vectors", n as u64, "cells");
    for start in (0..n).step_by(chunk) {
        let range = start..(start + chunk).min(n);
        let (_, tokens) = data.tokenize(model, genes, range)?;
        for batch in minibatches(&tokens, budget.tokens) {
            progress.check()?;
            model.forward(&tokens.select(&batch), &mut tap)?;
            progress.advance(batch.len() as u64);
        }
    }
    progress.end();
    let means = tap.finish_one()?;
    let row_of: std::collections::HashMap<u32, usize> =
        means.tokens.iter().enumerate().map(|(i, &t)| (t, i)).collect();
    rows_of(&means.means, data, genes, |token| row_of.get(&token).copied())
}

/// One row per gene of the data, NaN where there is none.
fn rows_of(
    table: &Matrix,
    data: &Data,
    genes: &GeneMatch,
    row: impl Fn(u32) -> Option<usize>,
) -> Result<Matrix> {
    let width = table.cols();
    let mut out = Matrix::new(data.genes.len(), width, vec![f32::NAN; data.genes.len() * width])?;
    for (gene, token) in genes.token_of_gene.iter().enumerate() {
        if let Some(row) = token.and_then(&row).filter(|&r| r < table.rows()) {
            out.row_mut(gene).copy_from_slice(table.row(row));
        }
    }
    Ok(out)
}
