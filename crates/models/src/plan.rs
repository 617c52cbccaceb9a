//! Minibatches: cells of similar length together, under a budget of tokens.

use microtome_core::{Progress, Result, Site};

use crate::taps::{PoolTap, Pooled, Pooling};
use crate::{Model, Tokens};

/// Splits cells into minibatches of at most `budget` tokens (a cell longer than that is alone in its minibatch).
/// Longest first, so that memory peaks at once; ties keep input order. Every cell is in exactly one minibatch.
pub fn minibatches(tokens: &Tokens, budget: usize) -> Vec<Vec<usize>> {
    under_budget(tokens, budget, |n| n)
}

/// [`minibatches`] where a cell of `n` tokens takes `rows(n)` of the budget.
fn under_budget(tokens: &Tokens, budget: usize, rows: impl Fn(usize) -> usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..tokens.n_cells()).collect();
    order.sort_by_key(|&c| std::cmp::Reverse(tokens.len_of(c)));
    let mut out: Vec<Vec<usize>> = vec![];
    let mut used = 0;
    for cell in order {
        let n = rows(tokens.len_of(cell));
        match out.last_mut() {
            Some(batch) if used + n <= budget => {
                batch.push(cell);
                used += n;
            }
            _ => {
                out.push(vec![cell]);
                used = n;
            }
        }
    }
    out
}

/// Runs cells and pools the wanted sites; rows come back in input order.
/// `budget` is the number of tokens (or rows, [`Model::rows`]) run together: memory is proportional to it, results do not depend on it.
/// Advances `progress` as far as the work is done (cells differ in length, and the longest come first), by as many as there are cells in
/// all; stops when it says so.
pub fn pool_cells(
    model: &dyn Model,
    tokens: &Tokens,
    sites: &[Site],
    pooling: Pooling,
    budget: usize,
    progress: &dyn Progress,
) -> Result<Pooled> {
    let mut tap = PoolTap::new(model, sites, pooling, tokens.n_cells())?;
    let batches = under_budget(tokens, budget, |n| model.rows(n, sites));
    let of_batch = |b: &[usize]| b.iter().map(|&c| work(model, tokens.len_of(c), sites)).sum::<f64>();
    let total: f64 = batches.iter().map(|b| of_batch(b)).sum();
    let (mut done, mut said) = (0.0, 0);
    for (i, batch) in batches.iter().enumerate() {
        progress.check()?;
        tap.set_minibatch(batch);
        model.forward(&tokens.select(batch), &mut tap)?;
        done += of_batch(batch);
        let share = if i + 1 == batches.len() || total == 0.0 { 1.0 } else { (done / total).min(1.0) };
        let now = (share * tokens.n_cells() as f64) as u64;
        progress.advance(now.saturating_sub(said));
        said = now.max(said);
    }
    tap.finish()
}

/// Floating-point operations of a cell of `n` tokens in the blocks, about: the maps of attention and feed-forward part, and attention
/// itself. Good for comparing cells of one model with each other.
pub fn work(model: &dyn Model, n: usize, sites: &[Site]) -> f64 {
    let info = model.info();
    let (d, rows) = (info.d_model as f64, model.rows(n, sites) as f64);
    let per_row = 8.0 * d * d + 4.0 * d * info.d_mlp as f64 + 4.0 * d * rows;
    info.n_blocks as f64 * rows * per_row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_once_and_within_budget() {
        let mut tokens = Tokens::new();
        for n in [3usize, 0, 9, 2, 5, 5] {
            tokens.push(&vec![1; n], &vec![0.0; n], 0, 0);
        }
        let batches = minibatches(&tokens, 8);
        assert_eq!(batches, vec![vec![2], vec![4], vec![5, 0], vec![3, 1]]);
    }
}
