//! How far a cell moves.

use std::collections::HashMap;

use microtome_core::{Error, Matrix, Progress, Result, Site};

use super::Edit;
use crate::model::{CellRule, Model};
use crate::taps::{Recorded, Recorder};
use crate::{Tokens, minibatches};

/// Effect of one edit.
#[derive(Clone, Debug, PartialEq)]
pub struct Effect {
    /// Raw similarity, as the authors store it; the shift is `cos - 1`. For a family that pools one token: cosine of that
    /// token before and after. For one that pools the mean: mean over the remaining genes of each gene's cosine.
    /// NaN when no gene remains.
    pub cos: f64,
    /// Cosine per remaining gene token of the cell, in rank order (special tokens left out).
    pub genes: Vec<(u32, f64)>,
    /// True when the published comparison does not exist, because the published cut of the original (see
    /// [`super::Truncation`]) leaves the two sides with different genes; the genes that both sides share were compared.
    pub uneven: bool,
}

/// Runs both sides of every edit at the site of the published cell vector. Equal originals are run once.
/// `budget` is the number of tokens run together.
pub fn effects(
    model: &dyn Model,
    edits: &[Edit],
    budget: usize,
    progress: &dyn Progress,
) -> Result<Vec<Effect>> {
    let (rule, _) = model.cell_rule();
    let mut out: Vec<Option<Effect>> = vec![None; edits.len()];
    compare(model, edits, budget, progress, |i, before, after| {
        out[i] = Some(effect(model, rule, &edits[i], before, after));
    })?;
    out.into_iter().map(|e| e.ok_or_else(|| Error::usage("an edit was not run"))).collect()
}

/// Movement of the cell vector towards given states: `cos(perturbed, state) - cos(original, state)`,
/// `[edit, state]`; `states` is `[state, d]`.
pub fn goal_shifts(
    model: &dyn Model,
    edits: &[Edit],
    states: &Matrix,
    budget: usize,
    progress: &dyn Progress,
) -> Result<Matrix> {
    let (d, (rule, _)) = (model.info().d_model, model.cell_rule());
    if states.cols() != rule.width(d) {
        return Err(Error::mismatch("the states are not cell vectors of this model")
            .expected(format!("width {}", rule.width(d)))
            .found(format!("width {}", states.cols())));
    }
    let mut out = Matrix::zeros(edits.len(), states.rows());
    compare(model, edits, budget, progress, |i, before, after| {
        let pool = |rows: &[f32]| {
            let mut cell = vec![0.0; rule.width(d)];
            crate::nn::pool_cell(rows, d, rule, model.gene_tokens(rows.len() / d), None, &mut cell);
            cell
        };
        let (before, after) = (pool(before), pool(after));
        for s in 0..states.rows() {
            let shift = cosine(&after, states.row(s)) - cosine(&before, states.row(s));
            out.row_mut(i)[s] = shift as f32;
        }
    })?;
    Ok(out)
}

fn effect(model: &dyn Model, rule: CellRule, edit: &Edit, before: &[f32], after: &[f32]) -> Effect {
    let d = model.info().d_model;
    let row = |rows: &'_ [f32], i: usize| -> Vec<f32> { rows[i * d..(i + 1) * d].to_vec() };
    let rest_before: Vec<usize> =
        model.gene_tokens(edit.original.len()).filter(|i| !edit.original_positions.contains(i)).collect();
    let rest_after: Vec<usize> =
        model.gene_tokens(edit.perturbed.len()).filter(|i| !edit.perturbed_span.contains(i)).collect();
    let genes: Vec<(u32, f64)> = rest_before
        .iter()
        .zip(&rest_after)
        .map(|(&b, &a)| (edit.original[b], cosine(&row(before, b), &row(after, a))))
        .collect();
    let cos = match rule {
        CellRule::Token(t) if t < edit.original.len() && t < edit.perturbed.len() => {
            cosine(&row(before, t), &row(after, t))
        }
        CellRule::Token(_)
        | CellRule::FromEnd(_)
        | CellRule::Max
        | CellRule::MaxOfAll
        | CellRule::Parts(_) => f64::NAN,
        CellRule::Mean | CellRule::Marked => genes.iter().map(|(_, c)| c).sum::<f64>() / genes.len() as f64,
    };
    Effect { cos, uneven: rest_before.len() != rest_after.len(), genes }
}

/// Cosine similarity in `f64`, with torch's guard of 1e-8 on the product of norms.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(&p, &q)| f64::from(p) * f64::from(q)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(1e-8)
}

/// Calls `visit(edit, rows of the original, rows of the perturbed cell)` for every edit.
fn compare(
    model: &dyn Model,
    edits: &[Edit],
    budget: usize,
    progress: &dyn Progress,
    mut visit: impl FnMut(usize, &[f32], &[f32]),
) -> Result<()> {
    if model.cell_rule().0 == CellRule::Marked {
        return Err(Error::unsupported(
            "in-silico perturbation edits lists of tokens; this family takes a value with every token",
        )
        .at_key(model.family().id)
        .remedy("change the counts of the genes and embed the cells again"));
    }
    let mut index: HashMap<&[u32], usize> = HashMap::new();
    let mut originals: Vec<&[u32]> = vec![];
    let mut edits_of: Vec<Vec<usize>> = vec![];
    for (i, edit) in edits.iter().enumerate() {
        let at = *index.entry(&edit.original).or_insert_with(|| {
            originals.push(&edit.original);
            edits_of.push(vec![]);
            originals.len() - 1
        });
        edits_of[at].push(i);
    }
    for group in minibatches(&tokens(&originals), budget) {
        let lists: Vec<&[u32]> = group.iter().map(|&o| originals[o]).collect();
        let before = states(model, &lists)?;
        let pending: Vec<(usize, usize)> =
            group.iter().enumerate().flat_map(|(g, &o)| edits_of[o].iter().map(move |&i| (g, i))).collect();
        let perturbed: Vec<&[u32]> = pending.iter().map(|&(_, i)| edits[i].perturbed.as_slice()).collect();
        for batch in minibatches(&tokens(&perturbed), budget) {
            progress.check()?;
            let lists: Vec<&[u32]> = batch.iter().map(|&p| perturbed[p]).collect();
            for (&p, rows) in batch.iter().zip(states(model, &lists)?) {
                let (g, i) = pending[p];
                visit(i, &before[g], &rows);
            }
            progress.advance(batch.len() as u64);
        }
    }
    Ok(())
}

fn tokens(lists: &[&[u32]]) -> Tokens {
    let mut out = Tokens::new();
    for ids in lists {
        out.push(ids, &vec![0.0; ids.len()], 0, 0);
    }
    out
}

/// Token vectors of every list at the site of the published cell vector.
fn states(model: &dyn Model, lists: &[&[u32]]) -> Result<Vec<Vec<f32>>> {
    let (_, site) = model.cell_rule();
    let tokens = tokens(lists);
    let mut recorder = Recorder::new([site.clone()]);
    model.forward(&tokens, &mut recorder)?;
    let Some(Recorded::Tokens { data, width }) = recorder.take(&site) else {
        return Err(no_tokens(&site));
    };
    Ok(tokens.offsets.windows(2).map(|w| data[w[0] * width..w[1] * width].to_vec()).collect())
}

fn no_tokens(site: &Site) -> Error {
    Error::unsupported("the model does not offer its cell site per token").at_key(site.to_string())
}
