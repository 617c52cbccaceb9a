//! What guesses that know no cell lose on the same questions.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::objective::{Objective, Vocabulary};
use super::question::Question;
use super::questions::Questions;
use super::stream::Cell;

/// A way of guessing, and its mean loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Guess {
    /// How it guesses.
    pub by: String,
    /// Mean loss, in the unit of the objective.
    pub loss: f64,
}

/// Mean losses of guesses that know no cell, on the questions that held-out cells are asked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Baselines {
    /// The weaker guess first.
    pub guesses: Vec<Guess>,
    /// `nats`, or `squared error`.
    pub unit: String,
    /// What is asked for.
    pub asked: String,
    /// Answers.
    pub n_tokens: usize,
    /// Held-out cells.
    pub n_cells: usize,
}

/// A way of guessing, and the sum of its losses over the answers of every cell that is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Guessed {
    /// How it guesses.
    pub by: String,
    /// One per cell.
    pub losses: Vec<f64>,
}

impl Baselines {
    /// Counts over training cells, tried on held-out ones.
    pub(super) fn count(objective: &Objective, train: &[Cell], asked: &[Question]) -> Self {
        let n_tokens: usize = asked.iter().map(|q| q.rows.len()).sum();
        let mean =
            |g: Guessed| Guess { by: g.by, loss: g.losses.iter().sum::<f64>() / n_tokens.max(1) as f64 };
        Self {
            guesses: all(objective, train, asked).into_iter().map(mean).collect(),
            unit: objective.unit().into(),
            asked: objective.asked().into(),
            n_tokens,
            n_cells: asked.len(),
        }
    }

    /// The lower of the losses.
    pub fn best(&self) -> Option<&Guess> {
        self.guesses.iter().min_by(|a, b| a.loss.total_cmp(&b.loss))
    }
}

/// What guesses that know no cell, counted over training cells, lose on these of the cells that are asked; the weaker guess first.
pub fn guesses(
    objective: &Objective,
    train: &[Cell],
    questions: &Questions,
    cells: &[usize],
) -> Vec<Guessed> {
    let asked: Vec<Question> = cells.iter().map(|&c| questions.all[c].clone()).collect();
    all(objective, train, &asked)
}

/// What a probability is made of is counted once more than it was found, so that no guess is impossible.
fn all(objective: &Objective, train: &[Cell], asked: &[Question]) -> Vec<Guessed> {
    match objective {
        Objective::MaskedGenes(v) => {
            let counts = gene_counts(v, train);
            let shown = |q: &Question, _: u32| q.shown().map(|p| counts[q.ids[p] as usize]).sum();
            frequencies(&counts, asked, shown, "gene frequency among genes the cell does not show")
        }
        Objective::NextGene(size) => {
            let mut counts = vec![1f64; *size];
            train.iter().flat_map(|c| c.ids.iter().skip(1)).for_each(|t| counts[*t as usize] += 1.0);
            let shown =
                |q: &Question, row: u32| q.ids[..=row as usize].iter().map(|t| counts[*t as usize]).sum();
            frequencies(&counts, asked, shown, "gene frequency among genes not named so far")
        }
        Objective::MaskedValues { .. } => values(train, asked),
        Objective::MaskedBins { n, .. } => bins(train, asked, *n),
    }
}

/// How often every gene was found in training cells, once more each; 0 for what is no gene.
pub(super) fn gene_counts(v: &Vocabulary, train: &[Cell]) -> Vec<f64> {
    let mut counts = vec![0f64; v.size];
    v.genes().iter().for_each(|g| counts[*g as usize] = 1.0);
    genes(train).for_each(|(token, _)| counts[token as usize] += 1.0);
    counts
}

/// Token and value of every gene of some cells.
pub(super) fn genes(cells: &[Cell]) -> impl Iterator<Item = (u32, f32)> + '_ {
    cells.iter().flat_map(|c| {
        let of = |p: usize| (c.ids[p], c.values.get(p).copied().unwrap_or(0.0));
        (0..c.ids.len()).filter(|p| c.is_gene[*p]).map(of)
    })
}

/// Sums over cells of a loss: of the cell, the place that is asked, and the number of the answer.
pub(super) fn guessed(by: &str, asked: &[Question], loss: impl Fn(&Question, u32, usize) -> f64) -> Guessed {
    let of_cell = |q: &Question| q.rows.iter().enumerate().map(|(i, row)| loss(q, *row, i)).sum();
    Guessed { by: by.into(), losses: asked.iter().map(of_cell).collect() }
}

/// By how often a token is found; and the same among those not `shown`, a stronger guess, because a gene comes once per cell.
fn frequencies(
    counts: &[f64],
    asked: &[Question],
    shown: impl Fn(&Question, u32) -> f64,
    unseen: &str,
) -> Vec<Guessed> {
    let total: f64 = counts.iter().sum();
    let count = |q: &Question, i: usize| counts[q.classes[i] as usize];
    vec![
        guessed("gene frequency", asked, |q, _, i| -(count(q, i) / total).ln()),
        guessed(unseen, asked, |q, row, i| -(count(q, i) / (total - shown(q, row))).ln()),
    ]
}

/// One number for all genes; one number per gene.
fn values(train: &[Cell], asked: &[Question]) -> Vec<Guessed> {
    let means = Means::count(train);
    let distance = |q: &Question, i: usize, guess: f64| (f64::from(q.numbers[i]) - guess).powi(2);
    vec![
        guessed("the mean value", asked, |q, _, i| distance(q, i, means.overall)),
        guessed("the mean value of the gene", asked, |q, row, i| {
            distance(q, i, means.of(q.ids[row as usize]))
        }),
    ]
}

/// Mean values of genes.
pub(super) struct Means {
    of_gene: HashMap<u32, (f64, f64)>,
    overall: f64,
}

impl Means {
    pub(super) fn count(train: &[Cell]) -> Self {
        let mut of_gene: HashMap<u32, (f64, f64)> = HashMap::new();
        let (mut sum, mut n) = (0.0, 0.0);
        for (token, value) in genes(train) {
            let entry = of_gene.entry(token).or_default();
            *entry = (entry.0 + f64::from(value), entry.1 + 1.0);
            (sum, n) = (sum + f64::from(value), n + 1.0);
        }
        Self { of_gene, overall: sum / f64::max(n, 1.0) }
    }

    /// Of one gene; of all where it was never found.
    pub(super) fn of(&self, gene: u32) -> f64 {
        self.of_gene.get(&gene).map_or(self.overall, |(sum, n)| sum / n)
    }
}

/// The frequency of the bins; the same within the gene.
fn bins(train: &[Cell], asked: &[Question], n: usize) -> Vec<Guessed> {
    let counts = BinCounts::count(train, n);
    vec![
        guessed("bin frequency", asked, |q, _, i| -counts.plain(q.classes[i]).ln()),
        guessed("bin frequency of the gene", asked, |q, row, i| {
            -counts.within(q.ids[row as usize], q.classes[i]).ln()
        }),
    ]
}

/// How often bins were found.
pub(super) struct BinCounts {
    all: Vec<f64>,
    of_gene: HashMap<u32, Vec<f64>>,
}

impl BinCounts {
    pub(super) fn count(train: &[Cell], n: usize) -> Self {
        let mut all = vec![1f64; n];
        let mut of_gene: HashMap<u32, Vec<f64>> = HashMap::new();
        for (token, value) in genes(train) {
            let bin = (value.max(0.0) as usize).min(n - 1);
            all[bin] += 1.0;
            of_gene.entry(token).or_insert_with(|| vec![0.0; n])[bin] += 1.0;
        }
        Self { all, of_gene }
    }

    fn plain(&self, bin: u32) -> f64 {
        self.all[bin as usize] / self.all.iter().sum::<f64>()
    }

    /// Within a gene, which counts as one cell more with the frequencies of all genes.
    pub(super) fn within(&self, gene: u32, bin: u32) -> f64 {
        match self.of_gene.get(&gene) {
            Some(counts) => (counts[bin as usize] + self.plain(bin)) / (counts.iter().sum::<f64>() + 1.0),
            None => self.plain(bin),
        }
    }
}
