//! From counts to tokens: every gene of the list in its order, as a bin of log2 expression, and one token behind them.
//!
//! TencentAILabHealthcare/scBERT@262fd4b, `preprocess.py` and `predict.py`.

use microtome_core::{Counts, Error, Result};
use rayon::prelude::*;

use crate::model::TokenizeOptions;
use crate::tokenize::rank::require_raw;
use crate::{GeneMatch, Tokens};

/// Counts per cell to which every cell is scaled.
const TARGET_SUM: f64 = 10_000.0;
/// Recipe that leaves out cells with few genes, as the published preprocessing does.
pub(super) const FILTERED: &str = "preprocess.py";
/// Fewest expressed genes of a cell that the published preprocessing keeps.
pub(super) const MIN_GENES: usize = 200;

/// Tokens of every cell; under the recipe `preprocess.py` a cell with fewer than 200 expressed genes of the list gets none.
/// The highest bin is `top`: higher values are cut to it, fractions are dropped.
pub(super) fn tokenize(
    n_genes: usize,
    top: u32,
    counts: &Counts,
    genes: &GeneMatch,
    options: &TokenizeOptions,
) -> Result<Tokens> {
    let filtered = match options.recipe.as_deref() {
        None | Some("all-cells") => false,
        Some(FILTERED) => true,
        Some(other) => {
            return Err(Error::usage("no such recipe of this family")
                .expected(format!("all-cells, or {FILTERED} to leave out cells with fewer than {MIN_GENES} genes"))
                .found(format!("\"{other}\"")));
        }
    };
    if let Some(cap) = options.max_tokens.filter(|&m| m < n_genes + 1) {
        return Err(Error::usage("this model takes every gene of its list; its cells cannot be cut short")
            .expected(format!("{} tokens or no cap", n_genes + 1))
            .found(cap.to_string()));
    }
    if genes.token_of_gene.len() != counts.n_genes() {
        return Err(Error::mismatch("the gene match belongs to another matrix")
            .expected(format!("{} genes", counts.n_genes()))
            .found(format!("{} genes", genes.token_of_gene.len())));
    }
    require_raw(counts)?;
    let cells: Vec<(Vec<u32>, Vec<f32>)> = (0..counts.n_cells())
        .into_par_iter()
        .map(|cell| {
            let aligned = align(n_genes, counts, cell, genes);
            if filtered && aligned.iter().filter(|c| **c > 0.0).count() < MIN_GENES {
                return (vec![], vec![]);
            }
            let total: f64 = aligned.iter().sum();
            let factor = TARGET_SUM / if total > 0.0 { total } else { 1.0 };
            // The last token stands behind the genes and is always the bin of zero.
            let values: Vec<f32> =
                aligned.iter().map(|c| (c * factor).ln_1p() / std::f64::consts::LN_2).chain([0.0]).map(|v| v as f32).collect();
            (values.iter().map(|v| v.min(top as f32) as u32).collect(), values)
        })
        .collect();
    let mut out = Tokens::new();
    for (ids, values) in &cells {
        out.push(ids, values, 0, 0);
    }
    Ok(out)
}

/// Counts in the order of the list, absent genes as zeros; columns with one symbol are added up.
fn align(n_genes: usize, counts: &Counts, cell: usize, genes: &GeneMatch) -> Vec<f64> {
    let mut out = vec![0.0; n_genes];
    let (columns, values) = counts.row(cell);
    for (&g, &v) in columns.iter().zip(values) {
        if let Some(token) = genes.token_of_gene[g as usize] {
            out[token as usize] += f64::from(v);
        }
    }
    out
}
