//! Kits whose tokens hold genes that the authors' code drew at random.

use std::collections::BTreeSet;

use microtome_core::{Error, Result};
use microtome_weights::Checkpoint;

use super::KitCells;
use super::actual::{Array, Values};
use crate::model::Model;
use crate::{GeneMatch, TokenizeOptions, Tokens};

/// Gene tokens of every cell as a kit lists them (`tokens.ids`), and nothing else of it.
fn listed(model: &dyn Model, kit: &Checkpoint, n_cells: usize) -> Result<Option<Vec<Vec<u32>>>> {
    let names = ["tokens.ids", "tokens.len"];
    if names.iter().any(|n| kit.info(n).is_none()) {
        return Ok(None);
    }
    let [ids, lengths] = names.map(|n| Array::read(kit, n));
    let (ids, lengths) = (ids?, lengths?);
    let (Values::Int(values), Values::Int(lengths)) = (&ids.values, &lengths.values) else { return Ok(None) };
    let &[rows, width] = &ids.shape[..] else { return Ok(None) };
    if rows != n_cells || lengths.len() != n_cells {
        return Ok(None);
    }
    let cell = |c: usize| -> Option<Vec<u32>> {
        let n = usize::try_from(lengths[c]).ok().filter(|&n| n <= width)?;
        let row = &values[c * width..c * width + n];
        model.gene_tokens(n).map(|i| u32::try_from(row[i]).ok()).collect()
    };
    Ok((0..n_cells).map(cell).collect())
}

/// Tokens for a kit: those of the model's own rule where they are the kit's; otherwise, for families that take any choice of genes, the
/// kit's genes. Then the expressed genes of every cell must still be those that the model's rule selects at the kit's length: only
/// genes without counts, and the order, are taken from the kit. Says whether they were.
pub(super) fn tokens(
    model: &dyn Model,
    cells: &KitCells<'_>,
    genes: &GeneMatch,
    kit: &Checkpoint,
    own: Tokens,
) -> Result<(Tokens, bool)> {
    let Some(listed) = listed(model, kit, own.n_cells())? else { return Ok((own, false)) };
    let genes_of = |t: &Tokens, c: usize| t.cell(c).0[model.gene_tokens(t.len_of(c))].to_vec();
    if (0..own.n_cells()).all(|c| genes_of(&own, c) == listed[c]) {
        return Ok((own, false));
    }
    let Ok(given) = model.tokenize_genes(cells.counts, genes, &listed) else { return Ok((own, false)) };
    let n_special =
        own.n_cells().checked_sub(1).map_or(0, |c| own.len_of(c) - model.gene_tokens(own.len_of(c)).len());
    let longest = listed.iter().map(Vec::len).max().unwrap_or(0);
    let options = TokenizeOptions { max_tokens: Some(longest + n_special), ..TokenizeOptions::default() };
    let own = model.tokenize(cells.counts, cells.totals, genes, &options)?;
    for cell in 0..own.n_cells() {
        let expressed = |t: &Tokens| -> BTreeSet<u32> {
            let counts = t.column("counts", cell).unwrap_or_default();
            let ids = t.cell(cell).0;
            let range = model.gene_tokens(ids.len());
            range.filter(|&i| counts.get(i).is_some_and(|&c| c > 0.0)).map(|i| ids[i]).collect()
        };
        if expressed(&own) != expressed(&given) {
            return Err(Error::mismatch("the kit's choice of expressed genes is not the model's")
                .at_key(format!("tokens.ids, cell {cell}"))
                .expected("the expressed genes with the highest counts, and any others without counts"));
        }
    }
    Ok((given, true))
}
