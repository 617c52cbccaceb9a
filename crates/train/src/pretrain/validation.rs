//! Held-out cells, and what a guess by gene frequency loses on them.

use microtome_core::Result;
use serde::{Deserialize, Serialize};

use super::draws::{Draws, Purpose};
use super::gradient;
use super::mask::{Hidden, Vocabulary};
use super::recipe::Recipe;
use super::stream::Cells;
use crate::net::{BertShape, Params};

/// Training cells whose genes are counted for the baselines, at most.
const COUNTED_CELLS: usize = 4096;

/// Mean losses in nats, on the same hidden tokens of the same cells, of guesses that know no cell.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baselines {
    /// By how often a gene is in a training cell.
    pub gene_frequency: f64,
    /// The same, among genes that the cell does not show already: a stronger guess, because a gene comes once per cell.
    pub gene_frequency_unseen: f64,
    /// Hidden tokens.
    pub n_tokens: usize,
    /// Held-out cells.
    pub n_cells: usize,
}

/// Held-out cells with the same tokens hidden every time.
pub(super) struct HeldOut {
    cells: Vec<Hidden>,
}

impl HeldOut {
    /// At most as many cells as the recipe says, drawn from `held_out`.
    pub(super) fn new(
        cells: &dyn Cells,
        held_out: &[usize],
        vocabulary: &Vocabulary,
        recipe: &Recipe,
    ) -> Result<Self> {
        let chosen = choose(held_out, recipe.validation_cells, recipe.seed, 0);
        let read = cells.read(&chosen)?;
        let hide = |(cell, ids): (&usize, Vec<u32>)| {
            let draws = Draws::new(recipe.seed, Purpose::HeldOut, 0, *cell as u64);
            Hidden::draw(&ids, recipe.masking, vocabulary, draws)
        };
        Ok(Self { cells: chosen.iter().zip(read).filter_map(hide).collect() })
    }

    /// Whether there is nothing to look at.
    pub(super) fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Mean loss of a network.
    pub(super) fn loss(&self, params: &Params, shape: &BertShape, recipe: &Recipe) -> Result<f64> {
        let losses = gradient::losses(params, shape, &self.cells, recipe.part_tokens)?;
        Ok(losses.iter().map(|l| f64::from(*l)).sum::<f64>() / losses.len().max(1) as f64)
    }

    /// Mean loss of guesses by frequency, counted over a sample of training cells. Every gene is counted once more than it
    /// was found, so that no guess is impossible.
    pub(super) fn baselines(
        &self,
        cells: &dyn Cells,
        train: &[usize],
        vocabulary: &Vocabulary,
        recipe: &Recipe,
    ) -> Result<Baselines> {
        let mut counts = vec![0f64; vocabulary.size];
        vocabulary.genes().iter().for_each(|g| counts[*g as usize] = 1.0);
        for ids in cells.read(&choose(train, COUNTED_CELLS, recipe.seed, 1))? {
            ids.into_iter().filter(|t| vocabulary.is_gene(*t)).for_each(|t| counts[t as usize] += 1.0);
        }
        let total: f64 = counts.iter().sum();
        let (mut plain, mut unseen, mut n) = (0.0, 0.0, 0);
        for cell in &self.cells {
            let hidden = |p: usize| cell.places.binary_search(&(p as u32)).is_ok();
            let shown: f64 =
                (0..cell.seen.len()).filter(|p| !hidden(*p)).map(|p| counts[cell.seen[p] as usize]).sum();
            for &t in &cell.targets {
                let count = counts[t as usize];
                plain -= (count / total).ln();
                unseen -= (count / (total - shown)).ln();
                n += 1;
            }
        }
        let mean = |sum: f64| sum / n.max(1) as f64;
        Ok(Baselines {
            gene_frequency: mean(plain),
            gene_frequency_unseen: mean(unseen),
            n_tokens: n,
            n_cells: self.cells.len(),
        })
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
