//! From sampled genes to a sentence: `[CLS]`, then per chromosome its token, its genes by position, and a closing bracket.

use super::species::Place;
use crate::tokenize::numpy_random::{Draws, choice};

pub(super) const PAD: u32 = 0;
/// Defined by the reference and never used.
pub(super) const LEFT: u32 = 1;
pub(super) const RIGHT: u32 = 2;
pub(super) const CLS: u32 = 3;
/// Rows before those of the first species.
pub(super) const N_SPECIAL: usize = 4;

/// An expressed gene.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gene {
    pub(super) row: u32,
    pub(super) place: Place,
    pub(super) count: f32,
}

/// What was drawn for a cell.
pub(super) struct Drawn {
    /// Places among the genes, in the order in which they were drawn.
    pub(super) choice: Vec<usize>,
    /// Chromosomes in the order of the sentence.
    pub(super) chromosomes: Vec<u32>,
}

/// Takes every gene as often as its probability says, rounded up or down: the points `(i + 1/2) / n` of the cumulated probabilities
/// (systematic sampling with a fixed start). Chromosomes keep their order.
pub(super) struct Even {
    n: usize,
    at: usize,
}

impl Even {
    pub(super) fn new(n: usize) -> Self {
        Self { n, at: 0 }
    }
}

impl Draws for Even {
    fn uniform(&mut self) -> f64 {
        self.at += 1;
        (self.at as f64 - 0.5) / self.n as f64
    }

    fn shuffle(&mut self, _items: &mut [u32]) {}
}

/// Sampling probabilities, in the published `f32` steps: `log1p`, divided by the sum, divided by the sum again.
pub(super) fn probabilities(counts: impl Iterator<Item = f32>) -> Vec<f32> {
    let logs: Vec<f32> = counts.map(f32::ln_1p).collect();
    let sum = logs.iter().map(|&l| f64::from(l)).sum::<f64>() as f32;
    let once: Vec<f32> = logs.iter().map(|l| l / sum).collect();
    let again = once.iter().fold(0.0f32, |sum, p| sum + p);
    once.iter().map(|p| p / again).collect()
}

/// Draws `n` genes with replacement and an order of their chromosomes.
pub(super) fn draw(genes: &[Gene], n: usize, draws: &mut impl Draws) -> Drawn {
    let choice = choice(&probabilities(genes.iter().map(|g| g.count)), n, draws);
    let mut chromosomes: Vec<u32> = choice.iter().map(|&i| genes[i].place.chromosome).collect();
    chromosomes.sort_unstable();
    chromosomes.dedup();
    draws.shuffle(&mut chromosomes);
    Drawn { choice, chromosomes }
}

/// The sentence, and the place among the genes of each of its gene tokens.
pub(super) fn sentence(
    genes: &[Gene],
    drawn: &Drawn,
    chromosome_offset: u32,
) -> (Vec<u32>, Vec<Option<usize>>) {
    let (mut ids, mut of) = (vec![CLS], vec![None]);
    let mut sorted = drawn.choice.clone();
    sorted.sort_by_key(|&i| (genes[i].place.start, genes[i].row));
    for &chromosome in &drawn.chromosomes {
        ids.push(chromosome_offset + chromosome);
        of.push(None);
        for &i in sorted.iter().filter(|&&i| genes[i].place.chromosome == chromosome) {
            ids.push(genes[i].row);
            of.push(Some(i));
        }
        ids.push(RIGHT);
        of.push(None);
    }
    (ids, of)
}
