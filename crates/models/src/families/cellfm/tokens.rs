//! From counts to the cell token and the expressed genes with their log-normalised counts.

use microtome_core::{Counts, Error, Result};
use rayon::prelude::*;

use crate::tokenize::rank::require_raw;
use crate::tokenize::subset::{cell_rng, uniform};
use crate::{GeneMatch, TokenizeOptions, Tokens};

/// Genes of a cell at most, as published.
pub(super) const MAX_GENES: usize = 2048;
/// Counts per cell to which every cell is scaled.
const TARGET_SUM: f32 = 10_000.0;
/// Cells with more counts than this are scaled down to it first.
const MOST_COUNTS: f32 = 100_000.0;

/// One cell: tokens and values in the order of symbols.
struct Cell {
    ids: Vec<u32>,
    values: Vec<f32>,
    n_cut: u32,
}

/// Tokens of every cell behind the cell token `cls`; `order[token]` is the place of a gene among the sorted symbols.
/// A cell that expresses no gene of the list has no tokens.
pub(super) fn tokens(
    counts: &Counts,
    genes: &GeneMatch,
    order: &[u32],
    cls: u32,
    options: &TokenizeOptions,
) -> Result<Tokens> {
    require_raw(counts)?;
    let room = options.max_tokens.unwrap_or(MAX_GENES + 1).min(MAX_GENES + 1).saturating_sub(1);
    if room == 0 {
        return Err(Error::usage("no gene fits behind the cell token").expected("at least 2 tokens"));
    }
    let cells: Vec<Cell> = (0..counts.n_cells())
        .into_par_iter()
        .map(|cell| one_cell(counts, cell, genes, order, room, options))
        .collect();
    let mut out = Tokens::new();
    for cell in cells {
        if cell.ids.is_empty() {
            out.push(&[], &[], 0, 0);
        } else {
            let ids: Vec<u32> = [cls].into_iter().chain(cell.ids).collect();
            let values: Vec<f32> = [0.0].into_iter().chain(cell.values).collect();
            out.push(&ids, &values, 0, cell.n_cut);
        }
    }
    Ok(out)
}

fn one_cell(
    counts: &Counts,
    cell: usize,
    genes: &GeneMatch,
    order: &[u32],
    room: usize,
    options: &TokenizeOptions,
) -> Cell {
    let (columns, values) = counts.row(cell);
    let total = values.iter().map(|&v| f64::from(v)).sum::<f64>() as f32;
    let factor = (total / MOST_COUNTS).max(1.0);
    let mut found: Vec<(u32, f32)> = columns
        .iter()
        .zip(values)
        .filter_map(|(&g, &v)| Some((genes.token_of_gene[g as usize]?, (v / factor).round_ties_even())))
        .filter(|(_, x)| *x != 0.0)
        .collect();
    found.sort_unstable_by_key(|(token, _)| order[*token as usize]);
    let known = found.iter().map(|(_, x)| f64::from(*x)).sum::<f64>() as f32;
    let n_cut = found.len().saturating_sub(room);
    if n_cut > 0 {
        found = some_of(found, room, options);
    }
    let scale = known / TARGET_SUM;
    Cell {
        ids: found.iter().map(|(token, _)| *token).collect(),
        values: found.iter().map(|(_, x)| (x / scale).ln_1p()).collect(),
        n_cut: n_cut as u32,
    }
}

/// The genes that stay of a cell with too many: those with the most counts (of equal ones the first by symbol). As published they are
/// drawn without replacement with probabilities proportional to `log1p` of the counts (by the keys of Efraimidis and Spirakis 2006).
fn some_of(found: Vec<(u32, f32)>, room: usize, options: &TokenizeOptions) -> Vec<(u32, f32)> {
    let mut keyed: Vec<(f64, usize)> = if options.as_published {
        let (ids, values): (Vec<u32>, Vec<f32>) = found.iter().copied().unzip();
        let mut rng = cell_rng(options.seed, &ids, &values);
        let key = |v: &f32| (1.0 - uniform(&mut rng)).ln() / f64::from(v.ln_1p());
        values.iter().map(key).zip(0..).collect()
    } else {
        found.iter().map(|(_, v)| f64::from(*v)).zip(0..).collect()
    };
    keyed.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut places: Vec<usize> = keyed[..room].iter().map(|(_, place)| *place).collect();
    places.sort_unstable();
    places.into_iter().map(|p| found[p]).collect()
}
