//! Loss and gradient of a step, part by part.

use microtome_core::{Error, Result};
use rayon::prelude::*;

use super::objective::{ANNOTATION_HEAD, BINS_HEAD, Objective, Task};
use super::question::Question;
use super::recipe::Recipe;
use crate::net::{Dropout, Input, Network, Params, Ragged, Tensor, failed, ops, pool};

/// Sums of losses over a step, and gradients of the whole in the order of the names.
pub(super) struct Gradient {
    /// Sum over all answers.
    pub(super) loss: f64,
    /// Everything that is trained besides, weighted: means over the step.
    pub(super) besides: f64,
    pub(super) n: usize,
    pub(super) grads: Vec<Vec<f32>>,
}

/// What held-out cells say of a network.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// Loss of every answer.
    pub(super) losses: Vec<f32>,
    /// Labelled cells, and those of them whose class was found.
    pub(super) labelled: usize,
    pub(super) right: usize,
}

/// Cuts cells into parts of at most `tokens` tokens (or one cell), in order.
pub(crate) fn parts<T>(cells: &[T], tokens: usize, n_tokens: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let mut out = vec![];
    let (mut from, mut held) = (0, 0);
    for (i, cell) in cells.iter().enumerate() {
        let n = n_tokens(cell);
        if i > from && held + n > tokens {
            out.push(&cells[from..i]);
            (from, held) = (i, 0);
        }
        held += n;
    }
    if from < cells.len() {
        out.push(&cells[from..]);
    }
    out
}

/// Losses that a part adds, and its gradient by parameter; none where the part does not depend on one.
struct PartGradient {
    loss: f64,
    besides: f64,
    grads: Vec<Option<Vec<f32>>>,
}

/// One over the answers and over the labelled cells of a step.
#[derive(Clone, Copy)]
struct Shares {
    answer: f32,
    label: f32,
}

/// Loss and gradient of a step. Parts run side by side, as many as there are threads, and are added in their order.
pub(super) fn gradient(
    params: &Params,
    task: &Task<'_>,
    cells: &[Question],
    recipe: &Recipe,
    step: u64,
) -> Result<Gradient> {
    let n: usize = cells.iter().map(|c| c.rows.len()).sum();
    let labelled = cells.iter().filter(|c| c.label.is_some()).count();
    let shares = Shares { answer: 1.0 / n.max(1) as f32, label: 1.0 / labelled.max(1) as f32 };
    let grads = params.iter().map(|(_, v)| vec![0.0; v.elem_count()]).collect();
    let mut total = Gradient { loss: 0.0, besides: 0.0, n, grads };
    let parts: Vec<_> = parts(cells, recipe.part_tokens, |q| q.ids.len()).into_iter().zip(0u64..).collect();
    for wave in parts.chunks(rayon::current_num_threads().max(1)) {
        let of = |(part, i): &(&[Question], u64)| {
            let dropout = Dropout::new(recipe.dropout, recipe.seed, step, *i);
            of_part(params, task, part, shares, dropout)
        };
        let done: Vec<Result<PartGradient>> = wave.par_iter().map(of).collect();
        for part in done {
            let part = part?;
            total.loss += part.loss;
            total.besides += part.besides;
            for (sum, grad) in total.grads.iter_mut().zip(part.grads) {
                if let Some(grad) = grad {
                    sum.iter_mut().zip(grad).for_each(|(s, g)| *s += g);
                }
            }
        }
    }
    Ok(total)
}

/// What a network says of some cells, without a gradient, in order.
pub(super) fn look(
    params: &Params,
    task: &Task<'_>,
    cells: &[Question],
    part_tokens: usize,
) -> Result<Looked> {
    let one = |part: &&[Question]| {
        let pass = Pass::new(params, task, part, Dropout::none())?;
        let (labelled, right) = pass.annotated(params, task)?;
        Ok(Looked { losses: pass.losses(task)?, labelled, right })
    };
    let done: Vec<Result<Looked>> = parts(cells, part_tokens, |q| q.ids.len()).par_iter().map(one).collect();
    let mut all = Looked::default();
    for part in done {
        let part = part?;
        all.losses.extend(part.losses);
        all.labelled += part.labelled;
        all.right += part.right;
    }
    Ok(all)
}

/// Cells as the network takes them.
pub(super) fn input(cells: &[Question]) -> Input {
    let ragged = Ragged::of_lengths(cells.iter().map(|c| c.ids.len()));
    let rows = cells.iter().zip(ragged.cells());
    Input {
        ids: cells.iter().flat_map(|c| c.ids.iter().copied()).collect(),
        values: cells.iter().flat_map(|c| c.values.iter().copied()).collect(),
        positions: cells.iter().flat_map(|c| c.positions.iter().copied()).collect(),
        rows: rows.flat_map(|(c, at)| c.rows.iter().map(move |p| at.start as u32 + p)).collect(),
        cells: ragged,
    }
}

/// What the readout of the objective says of the wanted rows of a state.
pub(super) fn answers(
    params: &Params,
    task: &Task<'_>,
    net: &dyn Network,
    input: &Input,
    state: &Tensor,
) -> Result<Tensor> {
    match task.objective {
        Objective::MaskedBins { n, .. } => task.read(params, BINS_HEAD, n, &wanted(input, state)?),
        _ => net.answers(input, state),
    }
}

/// The wanted rows of a state.
pub(super) fn wanted(input: &Input, state: &Tensor) -> Result<Tensor> {
    let rows = Tensor::new(&input.rows[..], state.device()).map_err(failed)?;
    state.index_select(&rows, 0).map_err(failed)
}

/// A part run forwards.
struct Pass {
    answers: Tensor,
    of_cell: Option<Tensor>,
    /// `[cell, d]`, where an annotation is trained.
    vectors: Option<Tensor>,
    classes: Vec<u32>,
    numbers: Vec<f32>,
    labels: Vec<Option<u32>>,
}

impl Pass {
    fn new(params: &Params, task: &Task<'_>, cells: &[Question], mut dropout: Dropout) -> Result<Self> {
        let input = input(cells);
        let net = task.architecture.over(params)?;
        let mut states = net.states(&input, &mut dropout)?;
        let Some(last) = states.pop() else {
            return Err(Error::usage("a network needs at least its embedding"));
        };
        let answers = answers(params, task, net.as_ref(), &input, &last)?;
        let of_cell = match task.objective {
            Objective::MaskedValues { .. } => net.answers_of_cell(&input, &last)?,
            _ => None,
        };
        let vectors = match task.annotation {
            Some(_) => {
                let pooled: Vec<Vec<u32>> = cells.iter().map(|c| c.pooled.clone()).collect();
                Some(pool(&last, &input.cells, &pooled)?)
            }
            None => None,
        };
        Ok(Self {
            answers,
            of_cell,
            vectors,
            classes: cells.iter().flat_map(|c| c.classes.iter().copied()).collect(),
            numbers: cells.iter().flat_map(|c| c.numbers.iter().copied()).collect(),
            labels: cells.iter().map(|c| c.label).collect(),
        })
    }

    /// Sum of the losses of the answers, each weighted.
    fn loss(&self, task: &Task<'_>, weight: f32) -> Result<Tensor> {
        if let Objective::MaskedValues { .. } = task.objective {
            return squared(&self.answers, &self.numbers, weight);
        }
        ops::cross_entropy(&self.answers, &self.classes, &vec![weight; self.classes.len()]).map_err(failed)
    }

    /// Losses of the answers one by one.
    fn losses(&self, task: &Task<'_>) -> Result<Vec<f32>> {
        if let Objective::MaskedValues { .. } = task.objective {
            let answers = self.answers.flatten_all().and_then(|a| a.to_vec1::<f32>()).map_err(failed)?;
            return Ok(answers.iter().zip(&self.numbers).map(|(a, n)| (a - n) * (a - n)).collect());
        }
        ops::token_losses(&self.answers, &self.classes).map_err(failed)
    }

    /// Scores of the classes of every cell.
    fn class_scores(&self, params: &Params, task: &Task<'_>) -> Result<Option<Tensor>> {
        let (Some(vectors), Some(a)) = (&self.vectors, task.annotation) else { return Ok(None) };
        task.read(params, ANNOTATION_HEAD, a.n_classes, vectors).map(Some)
    }

    /// What is trained besides the objective, weighted.
    fn besides(&self, params: &Params, task: &Task<'_>, shares: Shares) -> Result<Option<Tensor>> {
        let mut all = vec![];
        if let Some(of_cell) = &self.of_cell {
            all.push(squared(of_cell, &self.numbers, shares.answer)?);
        }
        if let (Some(scores), Some(a)) = (self.class_scores(params, task)?, task.annotation) {
            let weight = a.weight as f32 * shares.label;
            let weights: Vec<f32> =
                self.labels.iter().map(|l| if l.is_some() { weight } else { 0.0 }).collect();
            let classes: Vec<u32> = self.labels.iter().map(|l| l.unwrap_or(0)).collect();
            all.push(ops::cross_entropy(&scores, &classes, &weights).map_err(failed)?);
        }
        all.into_iter().map(Ok).reduce(|a, b| (a? + b?).map_err(failed)).transpose()
    }

    /// Labelled cells, and those whose class has the highest score.
    fn annotated(&self, params: &Params, task: &Task<'_>) -> Result<(usize, usize)> {
        let Some(scores) = self.class_scores(params, task)? else { return Ok((0, 0)) };
        let rows = scores.to_vec2::<f32>().map_err(failed)?;
        let labelled = self.labels.iter().zip(&rows).filter_map(|(l, row)| Some(((*l)?, row)));
        let best = |row: &[f32]| row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|(i, _)| i);
        Ok(labelled.fold((0, 0), |(n, right), (label, row)| {
            (n + 1, right + usize::from(best(row) == Some(label as usize)))
        }))
    }
}

/// Weighted sum of the squared distances of `[row, 1]` answers.
fn squared(answers: &Tensor, numbers: &[f32], weight: f32) -> Result<Tensor> {
    let sum = || {
        let wanted = Tensor::from_slice(numbers, answers.dims(), answers.device())?;
        (answers - wanted)?.sqr()?.sum_all()? * f64::from(weight)
    };
    sum().map_err(failed)
}

fn of_part(
    params: &Params,
    task: &Task<'_>,
    cells: &[Question],
    shares: Shares,
    dropout: Dropout,
) -> Result<PartGradient> {
    let pass = Pass::new(params, task, cells, dropout)?;
    let number = |t: &Tensor| Ok::<_, Error>(f64::from(t.to_scalar::<f32>().map_err(failed)?));
    let loss = pass.loss(task, shares.answer)?;
    let value = number(&loss)? / f64::from(shares.answer);
    let (whole, besides) = match pass.besides(params, task, shares)? {
        Some(other) => {
            let value = number(&other)?;
            ((loss + other).map_err(failed)?, value)
        }
        None => (loss, 0.0),
    };
    let grads = whole.backward().map_err(failed)?;
    let flat = params
        .iter()
        .map(|(_, v)| grads.get(v).map(|g| g.flatten_all().and_then(|g| g.to_vec1())).transpose())
        .collect::<candle_core::Result<_>>()
        .map_err(failed)?;
    Ok(PartGradient { loss: value, besides, grads: flat })
}
