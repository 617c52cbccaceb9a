//! The contextual gene vectors of a model, averaged over cells: `--sites gene_embedding`.

use microtome_core::{Matrix, Progress, Result, Site};
use microtome_models::taps::GeneMeanTap;
use microtome_models::{GeneMatch, Model, minibatches};

use crate::data::Data;
use crate::represent::{TOKEN_BUDGET, chunk_size};

/// `[gene of the data, d]`: mean, over the cells that hold the gene, of its vector at the site that the published cell
/// embedding pools; NaN for genes that no cell shows to the model. One pass over the cells of its own, in bounded memory.
pub(crate) fn gene_vectors(
    data: &Data,
    model: &dyn Model,
    genes: &GeneMatch,
    progress: &dyn Progress,
) -> Result<Matrix> {
    let (_, site): (_, Site) = model.cell_rule();
    let mut tap = GeneMeanTap::new(site);
    let (n, chunk) = (data.cells.len(), chunk_size(model));
    progress.begin("gene vectors", n as u64, "cells");
    for start in (0..n).step_by(chunk) {
        let range = start..(start + chunk).min(n);
        let (_, tokens) = data.tokenize(model, genes, range)?;
        for batch in minibatches(&tokens, TOKEN_BUDGET) {
            progress.check()?;
            model.forward(&tokens.select(&batch), &mut tap)?;
            progress.advance(batch.len() as u64);
        }
    }
    progress.end();
    let means = tap.finish()?;
    let width = means.means.cols();
    let row_of: std::collections::HashMap<u32, usize> =
        means.tokens.iter().enumerate().map(|(i, &t)| (t, i)).collect();
    let mut out = Matrix::new(data.genes.len(), width, vec![f32::NAN; data.genes.len() * width])?;
    for (gene, token) in genes.token_of_gene.iter().enumerate() {
        if let Some(&row) = token.and_then(|t| row_of.get(&t)) {
            out.row_mut(gene).copy_from_slice(means.means.row(row));
        }
    }
    Ok(out)
}
