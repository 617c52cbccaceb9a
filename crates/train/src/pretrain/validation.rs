//! Held-out cells, asked the same questions every time.

use microtome_core::Result;

use super::baselines::Baselines;
use super::draws::{Draws, Purpose};
use super::gradient::{self, Looked};
use super::objective::Task;
use super::question::Question;
use super::recipe::Recipe;
use super::stream::{Cell, Cells};
use crate::net::Params;

/// Training cells that are counted for the baselines, at most.
const COUNTED_CELLS: usize = 4096;

/// Held-out cells with the same questions every time.
pub(super) struct HeldOut {
    cells: Vec<Question>,
}

impl HeldOut {
    /// At most as many cells as the recipe says, drawn from `held_out`.
    pub(super) fn new(
        cells: &dyn Cells,
        held_out: &[usize],
        task: &Task<'_>,
        recipe: &Recipe,
    ) -> Result<Self> {
        let chosen = choose(held_out, recipe.validation_cells, recipe.seed, 0);
        let read = cells.read(&chosen)?;
        let ask = |(cell, read): (&usize, Cell)| {
            let draws = Draws::new(recipe.seed, Purpose::HeldOut, 0, *cell as u64);
            Question::draw(&read, &task.objective, recipe.masking, draws)
        };
        Ok(Self { cells: chosen.iter().zip(read).filter_map(ask).collect() })
    }

    /// Whether there is nothing to look at.
    pub(super) fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Mean loss of a network, and the share of labelled cells whose class it finds.
    pub(super) fn look(
        &self,
        params: &Params,
        task: &Task<'_>,
        recipe: &Recipe,
    ) -> Result<(f64, Option<f64>)> {
        let Looked { losses, labelled, right } =
            gradient::look(params, task, &self.cells, recipe.part_tokens)?;
        let mean = losses.iter().map(|l| f64::from(*l)).sum::<f64>() / losses.len().max(1) as f64;
        Ok((mean, (labelled > 0).then(|| right as f64 / labelled as f64)))
    }

    /// Mean losses of guesses that know no cell, counted over a sample of training cells.
    pub(super) fn baselines(
        &self,
        cells: &dyn Cells,
        train: &[usize],
        task: &Task<'_>,
        recipe: &Recipe,
    ) -> Result<Baselines> {
        let counted = cells.read(&choose(train, COUNTED_CELLS, recipe.seed, 1))?;
        Ok(Baselines::count(&task.objective, &counted, &self.cells))
    }
}

/// At most `n` of these, drawn without replacement, ascending.
fn choose(of: &[usize], n: usize, seed: u64, stream: u64) -> Vec<usize> {
    let mut chosen = of.to_vec();
    Draws::new(seed, Purpose::Choice, stream, 0).shuffle(&mut chosen);
    chosen.truncate(n);
    chosen.sort_unstable();
    chosen
}
