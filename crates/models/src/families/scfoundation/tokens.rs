//! From counts to tokens: expressed genes with `log1p` of scaled counts, then the read-depth tokens T and S.
//!
//! Arithmetic of biomap-research/scFoundation@d09626a, `model/get_embedding.py`: in `f64`, rounded to `f32` at the network's input.

use microtome_core::{Counts, Error, Result};
use rayon::prelude::*;

use super::config::Config;
use crate::model::TokenizeOptions;
use crate::tokenize::rank::require_raw;
use crate::{GeneMatch, Tokens};

/// Counts per cell to which every cell is scaled.
const TARGET_SUM: f64 = 10_000.0;
/// Default of the reference.
pub(super) const DEFAULT_RECIPE: &str = "t4";

/// The wished-for read depth: the value of token T (`--tgthighres` of the reference).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Target {
    /// `tN`: N itself.
    Value(f64),
    /// `fN`: the total times N.
    Fold(f64),
    /// `aN`: N above the total, in powers of ten.
    Above(f64),
}

impl Target {
    fn parse(text: &str) -> Result<Self> {
        let wrong = || wrong_recipe(text);
        let mut letters = text.chars();
        let kind = letters.next().ok_or_else(wrong)?;
        let n: f64 = letters.as_str().parse().ok().filter(|n: &f64| n.is_finite()).ok_or_else(wrong)?;
        match kind {
            't' if n > 0.0 => Ok(Self::Value(n)),
            'f' if n > 0.0 => Ok(Self::Fold(n)),
            'a' => Ok(Self::Above(n)),
            _ => Err(wrong()),
        }
    }

    fn value(self, total: f64) -> f64 {
        match self {
            Self::Value(n) => n,
            Self::Fold(n) => (total * n).log10(),
            Self::Above(n) => total.log10() + n,
        }
    }
}

/// What the rows of the matrix are.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Input {
    SingleCell(Target),
    /// Scaled to a common total, then logarithms; both depth tokens are `log10` of their sum. Without a total given it is the median
    /// over the samples that are tokenised together, as published, so that results depend on the company.
    Bulk(Option<f64>),
}

/// The recipes of [`TokenizeOptions::recipe`]: a target of read depth (`t4` when none is named), `bulk`, or `bulk:TOTAL`.
fn input(recipe: Option<&str>) -> Result<Input> {
    let recipe = recipe.unwrap_or(DEFAULT_RECIPE);
    match recipe.strip_prefix("bulk") {
        Some("") => Ok(Input::Bulk(None)),
        Some(rest) => {
            let total = rest.strip_prefix(':').and_then(|t| t.parse().ok()).filter(|t: &f64| t.is_finite() && *t > 0.0);
            total.map(|t| Input::Bulk(Some(t))).ok_or_else(|| wrong_recipe(recipe))
        }
        None => Target::parse(recipe).map(Input::SingleCell),
    }
}

fn wrong_recipe(recipe: &str) -> Error {
    Error::usage("no such recipe of this family")
        .expected(
            "tN (T is N, the log10 of a total count), fN (N times the cell's total), aN (N powers of ten above it), as t4, f1, a5; \
             bulk, or bulk:TOTAL to scale every sample to TOTAL",
        )
        .found(format!("\"{recipe}\""))
}

/// Tokens of every cell, in the order of the gene list. A cell of which T or S is not above zero (no counts, or a single one) has no
/// published result: it gets no tokens at all, and its genes are counted as cut.
pub(super) fn tokenize(
    config: &Config,
    counts: &Counts,
    genes: &GeneMatch,
    options: &TokenizeOptions,
) -> Result<Tokens> {
    let input = input(options.recipe.as_deref())?;
    if genes.token_of_gene.len() != counts.n_genes() {
        return Err(Error::mismatch("the gene match belongs to another matrix")
            .expected(format!("{} genes", counts.n_genes()))
            .found(format!("{} genes", genes.token_of_gene.len())));
    }
    let cap = options.max_tokens.unwrap_or(config.n_rows()).min(config.n_rows());
    if cap < 3 {
        return Err(Error::usage("the cap on tokens per cell leaves no room for genes")
            .expected("at least 3 (this model adds T and S)")
            .found(cap.to_string()));
    }
    require_raw(counts)?;
    let aligned: Vec<Vec<(u32, f64)>> =
        (0..counts.n_cells()).into_par_iter().map(|cell| align(counts, cell, genes)).collect();
    let totals: Vec<f64> = aligned.iter().map(|c| c.iter().map(|(_, x)| x).sum()).collect();
    let bulk_total = match input {
        Input::Bulk(None) => median(&totals),
        Input::Bulk(Some(sum)) => sum,
        Input::SingleCell(_) => TARGET_SUM,
    };
    let mut out = Tokens::new();
    for (cell, total) in aligned.iter().zip(&totals) {
        let values: Vec<f64> = cell.iter().map(|(_, c)| (c / total * bulk_total).ln_1p()).collect();
        let (t, s) = match input {
            Input::SingleCell(target) => (target.value(*total), total.log10()),
            Input::Bulk(_) => {
                let depth = values.iter().sum::<f64>().log10();
                (depth, depth)
            }
        };
        push(config, cell, &values, [t, s], cap, &mut out)?;
    }
    Ok(out)
}

/// Matched counts of one cell by row, ascending; genes that share a row are added up.
fn align(counts: &Counts, cell: usize, genes: &GeneMatch) -> Vec<(u32, f64)> {
    let (columns, values) = counts.row(cell);
    let mut found: Vec<(u32, f64)> = columns
        .iter()
        .zip(values)
        .filter(|(_, v)| **v > 0.0)
        .filter_map(|(&g, &v)| genes.token_of_gene[g as usize].map(|row| (row, f64::from(v))))
        .collect();
    found.sort_by_key(|(row, _)| *row);
    found.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same {
            kept.1 += next.1;
        }
        same
    });
    found
}

/// Adds one cell; over the cap, the genes of greatest value stay, of equal ones the first in the list.
fn push(
    config: &Config,
    cell: &[(u32, f64)],
    values: &[f64],
    depth: [f64; 2],
    cap: usize,
    out: &mut Tokens,
) -> Result<()> {
    let depth = depth.map(|x| x as f32);
    if !depth.iter().all(|x| *x > 0.0 && x.is_finite()) {
        out.push(&[], &[], 0, cell.len() as u32);
        return Ok(());
    }
    if let Some(x) = depth.iter().find(|x| **x == config.mask_value || **x == config.pad_value) {
        return Err(Error::usage("this value of a depth token stands for masking or padding in the model")
            .at_key("recipe")
            .found(x.to_string())
            .remedy("choose another target of read depth"));
    }
    let mut kept: Vec<usize> = (0..cell.len()).collect();
    if kept.len() > cap - 2 {
        kept.sort_by(|&a, &b| values[b].total_cmp(&values[a]).then(a.cmp(&b)));
        kept.truncate(cap - 2);
        kept.sort_unstable();
    }
    let n = config.n_genes as u32;
    let ids: Vec<u32> = kept.iter().map(|&i| cell[i].0).chain([n, n + 1]).collect();
    let numbers: Vec<f32> = kept.iter().map(|&i| values[i] as f32).chain(depth).collect();
    out.push(&ids, &numbers, 0, (cell.len() - kept.len()) as u32);
    Ok(())
}

/// Median of the totals above zero, as scanpy takes it; 1 when there are none.
fn median(totals: &[f64]) -> f64 {
    let mut sorted: Vec<f64> = totals.iter().copied().filter(|t| *t > 0.0).collect();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len(), sorted.len() / 2) {
        (0, _) => 1.0,
        (n, half) if n % 2 == 1 => sorted[half],
        (_, half) => 0.5 * (sorted[half - 1] + sorted[half]),
    }
}
