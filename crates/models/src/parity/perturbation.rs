//! The `isp.*` tensors of a kit: in-silico perturbation as the authors run it, cells sorted by length, longest first.

use microtome_core::{Matrix, Result, Silent, Table};
use microtome_weights::Checkpoint;

use super::actual::{Array, Computed, Values, padded, widen};
use super::manifest::Manifest;
use crate::isp::{
    Edit, Truncation, delete, delete_each, effects, goal_shifts, overexpress, overexpress_each,
};
use crate::model::Model;
use crate::taps::Pooling;
use crate::{Tokens, pool_cells};

const BUDGET: usize = 8192;
/// Start, goal and alternative state of the kits, by `obs["cell_type"]`.
const STATES: [&str; 3] = ["T cell", "B cell", "NK cell"];
const SHIFTS: [&str; 3] = ["shift_start", "shift_goal", "shift_alt"];

pub(super) fn compute(
    model: &dyn Model,
    tokens: &Tokens,
    obs: &Table,
    manifest: &Manifest,
    expected: &Checkpoint,
    out: &mut Computed<'_>,
) -> Result<()> {
    let Some((token, absent)) = manifest.perturbed else { return Ok(()) };
    let states = states(model, tokens, obs)?;
    match &states {
        Some((_, m)) => {
            out.put("isp.state_embs", Array::floats(vec![m.rows(), m.cols()], m.data().to_vec()));
        }
        None => skip_goals(expected, out),
    }
    let kinds: [(&str, bool, u32); 3] = [
        ("isp.delete", true, token),
        ("isp.overexpress", false, token),
        ("isp.overexpress_absent", false, absent),
    ];
    for (name, deletes, token) in kinds {
        let run = |truncation| rows(model, tokens, deletes, token, truncation);
        one_gene(model, name, &run(Truncation::AsPublished), states.as_ref(), out)?;
        let exact: Vec<Edit> = run(Truncation::Exact).into_iter().map(|(_, e)| e).collect();
        let cos = cosines(model, &exact)?;
        out.put(&format!("{name}.cos_full_original"), Array::floats(vec![cos.len()], cos));
    }
    every_gene(model, tokens, expected, out)
}

/// Edits of one gene over all cells, with the cell of each, longest cell first.
fn rows(
    model: &dyn Model,
    tokens: &Tokens,
    deletes: bool,
    token: u32,
    truncation: Truncation,
) -> Vec<(usize, Edit)> {
    let mut order: Vec<usize> = (0..tokens.n_cells()).collect();
    order.sort_by_key(|&c| std::cmp::Reverse(tokens.len_of(c)));
    order
        .into_iter()
        .filter_map(|cell| {
            let (ids, _) = tokens.cell(cell);
            let genes = model.gene_tokens(ids.len());
            let edit = if deletes {
                delete(ids, genes, &[token])
            } else {
                Some(overexpress(ids, genes, &[token], model.info().max_tokens, truncation))
            };
            edit.map(|e| (cell, e))
        })
        .collect()
}

fn one_gene(
    model: &dyn Model,
    name: &str,
    rows: &[(usize, Edit)],
    states: Option<&(Vec<usize>, Matrix)>,
    out: &mut Computed<'_>,
) -> Result<()> {
    let edits: Vec<Edit> = rows.iter().map(|(_, e)| e.clone()).collect();
    let cos = cosines(model, &edits)?;
    out.put(&format!("{name}.cos"), Array::floats(vec![cos.len()], cos));
    out.put(&format!("{name}.cell_index"), indices(rows.iter().map(|(c, _)| *c)));
    for side in ["original", "perturbed"] {
        let ids = |e: &Edit| widen(if side == "original" { &e.original } else { &e.perturbed });
        let lists: Vec<Vec<i64>> = edits.iter().map(ids).collect();
        let width = lists.iter().map(Vec::len).max().unwrap_or(0);
        out.put(&format!("{name}.{side}_len"), indices(lists.iter().map(Vec::len)));
        out.put(&format!("{name}.{side}_ids"), Array::ints(vec![lists.len(), width], padded(&lists, width)));
    }
    if let Some((start, states)) = states {
        let started: Vec<&(usize, Edit)> = rows.iter().filter(|(c, _)| start.contains(c)).collect();
        let edits: Vec<Edit> = started.iter().map(|(_, e)| e.clone()).collect();
        let shifts = goal_shifts(model, &edits, states, BUDGET, &Silent)?;
        out.put(&format!("{name}.goal.cell_index"), indices(started.iter().map(|(c, _)| *c)));
        for (s, shift) in SHIFTS.into_iter().enumerate() {
            let column = (0..edits.len()).map(|e| shifts.row(e)[s]).collect();
            out.put(&format!("{name}.goal.{shift}"), Array::floats(vec![edits.len()], column));
        }
    }
    Ok(())
}

/// Every gene of the kit's chosen cell alone.
fn every_gene(
    model: &dyn Model,
    tokens: &Tokens,
    expected: &Checkpoint,
    out: &mut Computed<'_>,
) -> Result<()> {
    let name = "isp.delete_all.cell_index";
    if expected.info(name).is_none() {
        return Ok(());
    }
    let chosen = match Array::read(expected, name)?.values {
        Values::Int(v) => v.first().and_then(|&c| usize::try_from(c).ok()),
        _ => None,
    };
    let Some(cell) = chosen.filter(|&c| c < tokens.n_cells()) else { return Ok(()) };
    out.skip(name, "names the cell to run, so it is read rather than computed");
    let (ids, _) = tokens.cell(cell);
    let genes = model.gene_tokens(ids.len());
    for (name, edits) in [
        ("isp.delete_all", delete_each(ids, genes.clone()).collect::<Vec<_>>()),
        ("isp.overexpress_all", overexpress_each(ids, genes).collect()),
    ] {
        let cos = cosines(model, &edits)?;
        out.put(&format!("{name}.cos"), Array::floats(vec![cos.len()], cos));
        let labels = edits.iter().flat_map(|e| widen(&e.tokens)).collect();
        out.put(&format!("{name}.tokens"), Array::ints(vec![edits.len()], labels));
    }
    Ok(())
}

fn cosines(model: &dyn Model, edits: &[Edit]) -> Result<Vec<f32>> {
    Ok(effects(model, edits, BUDGET, &Silent)?.iter().map(|e| e.cos as f32).collect())
}

fn indices(values: impl Iterator<Item = usize>) -> Array {
    let values: Vec<i64> = values.map(|v| v as i64).collect();
    Array::ints(vec![values.len()], values)
}

/// Cells of the start state, and the mean cell vector of each state. `None` without such cell types.
fn states(model: &dyn Model, tokens: &Tokens, obs: &Table) -> Result<Option<(Vec<usize>, Matrix)>> {
    let Ok(column) = obs.column("obs", "cell_type") else { return Ok(None) };
    let (_, site) = model.cell_rule();
    let pooled = pool_cells(model, tokens, &[site], Pooling::Published, BUDGET, &Silent)?;
    let vectors = &pooled.matrices[0];
    let members = |state: &str| -> Vec<usize> {
        (0..tokens.n_cells()).filter(|&c| column.text(c).as_deref() == Some(state)).collect()
    };
    let mut out = Matrix::zeros(STATES.len(), vectors.cols());
    for (s, state) in STATES.into_iter().enumerate() {
        let cells = members(state);
        if cells.is_empty() {
            return Ok(None);
        }
        for (j, o) in out.row_mut(s).iter_mut().enumerate() {
            let sum: f64 = cells.iter().map(|&c| f64::from(vectors.row(c)[j])).sum();
            *o = (sum / cells.len() as f64) as f32;
        }
    }
    Ok(Some((members(STATES[0]), out)))
}

fn skip_goals(expected: &Checkpoint, out: &mut Computed<'_>) {
    let reason = "obs[\"cell_type\"] does not hold the states that the kit perturbs towards";
    for name in expected.names() {
        if name == "isp.state_embs" || (name.starts_with("isp.") && name.contains(".goal.")) {
            out.skip(name, reason);
        }
    }
}
