//! The gene vectors of a model: `--sites gene_embedding`.

use microtome_core::{Error, Matrix, Progress, Result, Site};
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
    if let Some(table) = gene_table(data, model, genes)? {
        return Ok(table);
    }
    let (_, site): (_, Site) = model.cell_rule();
    let mut found = gene_vectors_at(data, model, genes, &[site], budget, progress)?;
    found.pop().ok_or_else(|| Error::usage("no site to take gene vectors from"))
}

/// Bytes of sums that are held at once; more sites than fit are taken in several passes over the cells.
const SUM_BYTES: usize = 1 << 30;

/// Bytes of the vectors of `n_sites` sites and of the sums they are made from.
pub(crate) fn gene_vector_bytes(data: &Data, model: &dyn Model, genes: &GeneMatch, n_sites: usize) -> u64 {
    let width = model.info().d_model.max(1);
    let sums = genes.token_of_gene.iter().flatten().count() * width * 8 * n_sites;
    (sums.min(SUM_BYTES) + 4 * data.genes.len() * width * n_sites) as u64
}

/// `[gene of the data, d]` per token site: the mean, over the cells that hold the gene, of its vector there; NaN for genes
/// that no cell shows to the model. As many passes over the cells as the sums need to stay within a gigabyte.
pub(crate) fn gene_vectors_at(
    data: &Data,
    model: &dyn Model,
    genes: &GeneMatch,
    sites: &[Site],
    budget: &Budget,
    progress: &dyn Progress,
) -> Result<Vec<Matrix>> {
    let (n, chunk) = (data.cells.len(), budget.chunk);
    let n_tokens = genes.token_of_gene.iter().flatten().count().max(1);
    let at_once = (SUM_BYTES / (n_tokens * model.info().d_model.max(1) * 8)).max(1);
    let passes = sites.len().div_ceil(at_once);
    progress.begin("gene vectors", (n * passes) as u64, "cells");
    let mut out = Vec::with_capacity(sites.len());
    for sites in sites.chunks(at_once) {
        let mut tap = GeneMeanTap::new(model, sites, Averaged::All);
        for start in (0..n).step_by(chunk) {
            let range = start..(start + chunk).min(n);
            let (_, tokens) = data.tokenize(model, genes, range)?;
            for batch in minibatches(&tokens, budget.tokens) {
                progress.check()?;
                model.forward(&tokens.select(&batch), &mut tap)?;
                progress.advance(batch.len() as u64);
            }
        }
        for means in tap.finish()? {
            let row_of: std::collections::HashMap<u32, usize> =
                means.tokens.iter().enumerate().map(|(i, &t)| (t, i)).collect();
            out.push(rows_of(&means.means, data, genes, |token| row_of.get(&token).copied())?);
        }
    }
    progress.end();
    Ok(out)
}

/// The published table of gene vectors, `[gene of the data, d]`, where the family has one.
pub(crate) fn gene_table(data: &Data, model: &dyn Model, genes: &GeneMatch) -> Result<Option<Matrix>> {
    let table = model.gene_table();
    table.map(|t| rows_of(&t, data, genes, |token| Some(token as usize))).transpose()
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
