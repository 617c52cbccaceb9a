//! Loss and gradient of a step, part by part.

use microtome_core::Result;
use rayon::prelude::*;

use super::mask::Hidden;
use crate::net::{Bert, BertShape, Params, Ragged, failed, ops};

/// Sum of the losses over all hidden tokens, and gradients of the mean in the order of the names.
pub(super) struct Gradient {
    pub(super) loss: f64,
    pub(super) n: usize,
    pub(super) grads: Vec<Vec<f32>>,
}

/// Cuts cells into parts of at most `tokens` tokens (or one cell), in order.
pub(super) fn parts(cells: &[Hidden], tokens: usize) -> Vec<&[Hidden]> {
    let mut out = vec![];
    let (mut from, mut held) = (0, 0);
    for (i, cell) in cells.iter().enumerate() {
        if i > from && held + cell.seen.len() > tokens {
            out.push(&cells[from..i]);
            (from, held) = (i, 0);
        }
        held += cell.seen.len();
    }
    if from < cells.len() {
        out.push(&cells[from..]);
    }
    out
}

/// Share of the loss that a part adds, and its gradient by parameter; none where the part does not depend on one.
type PartGradient = (f64, Vec<Option<Vec<f32>>>);

/// Loss and gradient of a step. Parts run side by side, as many as there are threads, and are added in their order.
pub(super) fn gradient(
    params: &Params,
    shape: &BertShape,
    cells: &[Hidden],
    part_tokens: usize,
) -> Result<Gradient> {
    let n: usize = cells.iter().map(|c| c.targets.len()).sum();
    let mut total =
        Gradient { loss: 0.0, n, grads: params.iter().map(|(_, v)| vec![0.0; v.elem_count()]).collect() };
    let weight = 1.0 / n.max(1) as f32;
    let parts = parts(cells, part_tokens);
    for wave in parts.chunks(rayon::current_num_threads().max(1)) {
        let done: Vec<Result<PartGradient>> =
            wave.par_iter().map(|part| of_part(params, shape, part, weight)).collect();
        for part in done {
            let (loss, grads) = part?;
            total.loss += loss;
            for (sum, grad) in total.grads.iter_mut().zip(grads) {
                if let Some(grad) = grad {
                    sum.iter_mut().zip(grad).for_each(|(s, g)| *s += g);
                }
            }
        }
    }
    Ok(total)
}

/// Losses of the hidden tokens of some cells, without a gradient, in order.
pub(super) fn losses(
    params: &Params,
    shape: &BertShape,
    cells: &[Hidden],
    part_tokens: usize,
) -> Result<Vec<f32>> {
    let done: Vec<Result<Vec<f32>>> = parts(cells, part_tokens)
        .par_iter()
        .map(|part| {
            let (logits, targets) = logits(params, shape, part)?;
            ops::token_losses(&logits, &targets).map_err(failed)
        })
        .collect();
    Ok(done.into_iter().collect::<Result<Vec<_>>>()?.concat())
}

fn logits(params: &Params, shape: &BertShape, cells: &[Hidden]) -> Result<(candle_core::Tensor, Vec<u32>)> {
    let ragged = Ragged::of_lengths(cells.iter().map(|c| c.seen.len()));
    let ids: Vec<u32> = cells.iter().flat_map(|c| c.seen.iter().copied()).collect();
    let rows: Vec<u32> = cells
        .iter()
        .zip(ragged.cells())
        .flat_map(|(c, at)| c.places.iter().map(move |p| at.start as u32 + p))
        .collect();
    let targets: Vec<u32> = cells.iter().flat_map(|c| c.targets.iter().copied()).collect();
    let net = Bert::new(params, shape)?;
    let mut states = net.states(&ids, &ragged)?;
    let Some(last) = states.pop() else {
        return Err(microtome_core::Error::usage("a network needs at least its embedding"));
    };
    Ok((net.logits(&last, &rows)?, targets))
}

fn of_part(params: &Params, shape: &BertShape, cells: &[Hidden], weight: f32) -> Result<PartGradient> {
    let (logits, targets) = logits(params, shape, cells)?;
    let loss = ops::cross_entropy(&logits, &targets, &vec![weight; targets.len()]).map_err(failed)?;
    let value = f64::from(loss.to_scalar::<f32>().map_err(failed)?) / f64::from(weight);
    let grads = loss.backward().map_err(failed)?;
    let flat = params
        .iter()
        .map(|(_, v)| grads.get(v).map(|g| g.flatten_all().and_then(|g| g.to_vec1())).transpose())
        .collect::<candle_core::Result<_>>()
        .map_err(failed)?;
    Ok((value, flat))
}
