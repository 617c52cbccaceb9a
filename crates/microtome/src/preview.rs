//! What a long run will cost, said before it begins and measured on a few of its cells.

use std::time::Instant;

use microtome_core::{Progress, Result, Silent, Site};
use microtome_models::taps::Pooling;
use microtome_models::{GeneMatch, Model, Tokens, pool_cells, work};
use microtome_numerics::resample::Rng;

use crate::budget::{self, Budget};
use crate::data::Data;

/// Cells whose lengths are looked at, so that time can be scaled from the cells that were run to all.
const LOOKED_AT: usize = 64;
/// Most cells run.
const TRIED: usize = 24;
/// A run that takes less than this is not long.
const LONG: f64 = 30.0;

/// Expected cost of running some cells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Preview {
    /// Wall seconds for all cells.
    pub(crate) seconds: f64,
    /// Cells that were run to find out.
    pub(crate) n_tried: usize,
    /// Bytes of the process at its largest.
    pub(crate) bytes: u64,
}

/// What is to be run.
pub(crate) struct Planned<'a> {
    pub(crate) data: &'a Data,
    pub(crate) model: &'a dyn Model,
    pub(crate) genes: &'a GeneMatch,
    pub(crate) sites: &'a [Site],
    pub(crate) pooling: Pooling,
    pub(crate) budget: &'a Budget,
}

impl Planned<'_> {
    /// Measures the cost of `todo` (positions of the data's cells) on a seeded sample of at most a fiftieth of them; `None` for a
    /// run that is not long.
    pub(crate) fn preview(&self, todo: &[usize], progress: &dyn Progress) -> Result<Option<Preview>> {
        let n = todo.len();
        if n < 2 {
            return Ok(None);
        }
        let mut rng = Rng::new(self.data.seed());
        let mut sample: Vec<usize> = rng.choose(n, LOOKED_AT.min(n)).into_iter().map(|i| todo[i]).collect();
        sample.sort_unstable();
        let (_, tokens) = self.data.tokenize_some(self.model, self.genes, &sample)?;
        let first = self.time(&tokens.select(&[0]))?;
        if first * (n as f64) < LONG {
            return Ok(None);
        }
        let n_tried = (n / 50).clamp(1, TRIED).min(sample.len());
        progress.check()?;
        // Evenly over the sample, which is in the order of the file.
        let tried: Vec<usize> = (0..n_tried).map(|i| i * sample.len() / n_tried).collect();
        let tried = tokens.select(&tried);
        let seconds =
            self.time(&tried)? / self.work(&tried) * self.work(&tokens) / sample.len() as f64 * n as f64;
        let bytes = budget::resident(self.model) + self.budget.working_bytes(n);
        Ok((seconds >= LONG).then_some(Preview { seconds, n_tried, bytes }))
    }

    fn time(&self, tokens: &Tokens) -> Result<f64> {
        let begun = Instant::now();
        pool_cells(self.model, tokens, self.sites, self.pooling, self.budget.tokens, &Silent)?;
        Ok(begun.elapsed().as_secs_f64())
    }

    fn work(&self, tokens: &Tokens) -> f64 {
        (0..tokens.n_cells()).map(|c| work(self.model, tokens.len_of(c), self.sites)).sum()
    }
}

impl Preview {
    /// In words.
    pub(crate) fn sentence(&self, n_cells: usize) -> String {
        let time = match self.seconds {
            s if s < 90.0 => format!("{s:.0} s"),
            s if s < 5400.0 => format!("{:.0} min", s / 60.0),
            s if s < 172_800.0 => format!("{:.1} h", s / 3600.0),
            s => format!("{:.1} days", s / 86_400.0),
        };
        format!(
            "expected for {n_cells} cells: about {time} and {} of memory (measured on {} of them)",
            budget::megabytes(self.bytes),
            self.n_tried
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let preview = Preview { seconds: 600.0, n_tried: 24, bytes: 2_000_000_000 };
        let said = preview.sentence(5000);
        assert_eq!(
            said,
            "expected for 5000 cells: about 10 min and 2000 MB of memory (measured on 24 of them)"
        );
    }
}
