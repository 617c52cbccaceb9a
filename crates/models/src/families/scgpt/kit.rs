//! Parity kits of this family: bins with their recorded draws, masked inputs, both values of `<cls>`.

use std::collections::BTreeSet;

use microtome_core::{Error, Result};

use super::grn::rank_intervals;
use super::model::{ScGpt, extra, names};
use super::tokens::{Cell, Draws, N_BINS};
use crate::parity::{KitCase, KitPlan, padded_per_token};
use crate::tokenize::quantile_bins::{Admissible, numpy_edges};
use crate::taps::{Recorded, Recorder};
use crate::{GeneMatch, Model, TokenizeOptions, Tokens};

/// Genes with fewer counts over all cells are left out by the fine-tuning recipes.
const MIN_COUNTS: f64 = 3.0;

pub(super) fn plan(model: &ScGpt, case: &KitCase<'_>) -> Result<KitPlan> {
    let steps = &case.manifest["tokenisation"];
    let path = steps["path"].as_str().unwrap_or_default();
    let fine_tuning = path.starts_with("fine-tuning");
    let no_log = steps["steps"].as_array().is_some_and(|s| s.iter().any(|s| s.as_str().is_some_and(|s| s.contains("no log1p"))));
    let recipe = match (fine_tuning, no_log) {
        (false, _) => "zero-shot",
        (true, false) => "fine-tuning",
        (true, true) => "fine-tuning-no-log",
    };
    let batches = if case.has("batch.codes") { Some(ranks(&case.obs_texts("batch")?)) } else { None };
    let options = TokenizeOptions { recipe: Some(recipe.into()), batches, ..TokenizeOptions::default() };
    let genes = if fine_tuning { with_enough_counts(case) } else { case.genes.clone() };
    let (shape, draws) = case.read_floats("bins.u")?;
    let &[_, width] = &shape[..] else {
        return Err(Error::unreadable("the recorded draws are not per cell and token").at_key("bins.u"));
    };
    let draws = Draws::Given { values: &draws, width };

    let tokenizer = |options| Ok::<_, Error>(super::tokens::Tokenizer { draws, ..model.tokenizer(options)? });
    let plain = tokenizer(&options)?;
    let cells = plain.cells(case.cells.counts, &genes)?;
    let tokens = plain.tokens(&cells)?;
    let mut plan = KitPlan::new(tokens.clone());
    add_bins(&mut plan, &tokens, &cells, width)?;
    plan.skip("bins.u", "the recorded random draws, which are read rather than computed");
    if let Some(batches) = &options.batches {
        plan.ints("batch.codes", vec![batches.len()], batches.iter().map(|&b| i64::from(b)).collect());
    }
    add_masked(&mut plan, model, &tokens, &cells, width);
    if case.has("cls0.tokens.values") {
        let options = TokenizeOptions { recipe: Some("zero-shot-cls-0".into()), ..options.clone() };
        let other = tokenizer(&options)?;
        plan.runs.push(("cls0".into(), other.tokens(&other.cells(case.cells.counts, &genes)?)?));
    }
    add_function_rows(&mut plan, case)?;
    if case.has(names::GRN_RANKS) {
        add_ranks(&mut plan, model, &tokens, case)?;
    }
    Ok(plan)
}

/// Rank of every label among the sorted distinct ones.
fn ranks(labels: &[String]) -> Vec<u32> {
    let distinct: Vec<&String> = labels.iter().collect::<BTreeSet<_>>().into_iter().collect();
    labels.iter().map(|l| distinct.partition_point(|d| *d < l) as u32).collect()
}

fn with_enough_counts(case: &KitCase<'_>) -> GeneMatch {
    let mut sums = vec![0.0f64; case.cells.counts.n_genes()];
    for cell in 0..case.cells.counts.n_cells() {
        let (columns, values) = case.cells.counts.row(cell);
        columns.iter().zip(values).for_each(|(&g, &v)| sums[g as usize] += f64::from(v));
    }
    let mut genes = case.genes.clone();
    for (token, sum) in genes.token_of_gene.iter_mut().zip(&sums) {
        *token = token.filter(|_| *sum >= MIN_COUNTS);
    }
    genes
}

/// What was binned, the edges, and both ends of every interval.
fn add_bins(plan: &mut KitPlan, tokens: &Tokens, cells: &[Cell], width: usize) -> Result<()> {
    let (mut lower, mut upper, mut input) = (vec![], vec![], vec![]);
    for c in cells {
        for (i, (&v, &bin)) in c.input.iter().zip(&c.bins).enumerate() {
            let admissible = Admissible::of(&c.edges, f64::from(v));
            let ends = match (i, v > 0.0) {
                (0, _) => (bin as i64, bin as i64),
                (_, false) => (0, 0),
                _ => (admissible.lower() as i64, admissible.upper() as i64),
            };
            lower.push(ends.0);
            upper.push(ends.1);
        }
        input.extend_from_slice(&c.input);
    }
    for (name, values) in [("bins.lower", lower), ("bins.upper", upper)] {
        let (shape, values) = padded_per_token(tokens, &values, width);
        plan.ints(name, shape, values);
    }
    let (shape, values) = padded_per_token(tokens, &input, width);
    plan.floats("bins.input", shape, values);
    if let Some(c) = cells.iter().find(|c| c.edges.len() != N_BINS - 1) {
        return Err(Error::mismatch("a cell of the kit has no expressed known gene").found(format!("{} tokens", c.ids.len())));
    }
    let edges = cells.iter().flat_map(|c| c.edges.iter().copied()).collect();
    plan.doubles("bins.edges", vec![cells.len(), N_BINS - 1], edges);
    Ok(())
}

/// Every third expressed gene masked, from the first one on.
fn add_masked(plan: &mut KitPlan, model: &ScGpt, tokens: &Tokens, cells: &[Cell], width: usize) {
    let mut masked = tokens.clone();
    let mut positions = vec![0i64; tokens.ids.len()];
    for (cell, &start) in cells.iter().zip(&tokens.offsets) {
        let expressed = cell.input.iter().enumerate().filter(|(_, v)| **v > 0.0);
        for (place, _) in expressed.step_by(3) {
            masked.values[start + place] = model.config.mask_value;
            positions[start + place] = 1;
        }
    }
    let (shape, values) = padded_per_token(tokens, &positions, width);
    plan.ints("masked.positions", shape, values);
    plan.runs.push(("masked".into(), masked));
}

/// `binning.{j}.values` and what the published function makes of them.
fn add_function_rows(plan: &mut KitPlan, case: &KitCase<'_>) -> Result<()> {
    let rows: Vec<String> = case
        .names()
        .iter()
        .filter_map(|n| n.strip_prefix("binning.")?.strip_suffix(".values").map(str::to_string))
        .collect();
    for j in rows {
        let (_, values) = case.read_floats(&format!("binning.{j}.values"))?;
        let mut sorted: Vec<f32> = values.iter().map(|&v| v as f32).collect();
        sorted.sort_unstable_by(f32::total_cmp);
        let edges = numpy_edges(&sorted, N_BINS - 1);
        let ends = |end: fn(Admissible) -> usize| -> Vec<i64> {
            values.iter().map(|&v| end(Admissible::of(&edges, v)) as i64).collect()
        };
        plan.ints(&format!("binning.{j}.lower"), vec![values.len()], ends(Admissible::lower));
        plan.ints(&format!("binning.{j}.upper"), vec![values.len()], ends(Admissible::upper));
        plan.doubles(&format!("binning.{j}.edges"), vec![edges.len()], edges);
        plan.skip(&format!("binning.{j}.values"), "input of the binning function, read rather than computed");
    }
    Ok(())
}

/// Where scores tie, the authors' unstable sort decides the rank: any rank of the tie is right, and the one nearest to the kit's is
/// compared.
fn add_ranks(plan: &mut KitPlan, model: &ScGpt, tokens: &Tokens, case: &KitCase<'_>) -> Result<()> {
    let site = extra(names::GRN_SCORES);
    let mut recorder = Recorder::new([site.clone()]);
    model.forward(tokens, &mut recorder)?;
    let Some(Recorded::Maps { cells, n_heads, .. }) = recorder.take(&site) else { return Ok(()) };
    let (shape, expected) = case.read_floats(names::GRN_RANKS)?;
    let &[n_cells, pad, _] = &shape[..] else {
        return Err(Error::unreadable("the ranks are not per cell, query and key").at_key(names::GRN_RANKS));
    };
    let mut found = vec![0.0f32; expected.len()];
    for (cell, scores) in cells.iter().enumerate().take(n_cells) {
        let n = tokens.len_of(cell);
        if n > pad {
            return Err(Error::mismatch("the kit's ranks are of shorter cells").at_key(names::GRN_RANKS));
        }
        let (lower, upper) = rank_intervals(scores, n_heads, n);
        for (i, (&low, &high)) in lower.iter().zip(&upper).enumerate() {
            let at = (cell * pad + i / n) * pad + i % n;
            found[at] = (expected[at] as f32).clamp(low, high);
        }
    }
    plan.floats(names::GRN_RANKS, shape, found);
    Ok(())
}
