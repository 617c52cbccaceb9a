//! What guesses that know no cell lose on the same questions.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::objective::Objective;
use super::question::Question;
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

impl Baselines {
    /// Counts over training cells, tried on held-out ones. What a probability is made of is counted once more than it was found, so
    /// that no guess is impossible.
    pub(super) fn count(objective: &Objective, train: &[Cell], asked: &[Question]) -> Self {
        let guesses = match objective {
            Objective::MaskedGenes(v) => {
                let mut counts = vec![0f64; v.size];
                v.genes().iter().for_each(|g| counts[*g as usize] = 1.0);
                genes(train).for_each(|(token, _)| counts[token as usize] += 1.0);
                let hidden = |q: &Question, p: usize| q.rows.binary_search(&(p as u32)).is_ok();
                let shown = |q: &Question, _: u32| {
                    (0..q.ids.len()).filter(|p| !hidden(q, *p)).map(|p| counts[q.ids[p] as usize]).sum()
                };
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
        };
        Self {
            guesses,
            unit: objective.unit().into(),
            asked: objective.asked().into(),
            n_tokens: asked.iter().map(|q| q.rows.len()).sum(),
            n_cells: asked.len(),
        }
    }

    /// The lower of the losses.
    pub fn best(&self) -> Option<&Guess> {
        self.guesses.iter().min_by(|a, b| a.loss.total_cmp(&b.loss))
    }
}

/// Token and value of every gene of some cells.
fn genes(cells: &[Cell]) -> impl Iterator<Item = (u32, f32)> + '_ {
    cells.iter().flat_map(|c| {
        let of = |p: usize| (c.ids[p], c.values.get(p).copied().unwrap_or(0.0));
        (0..c.ids.len()).filter(|p| c.is_gene[*p]).map(of)
    })
}

/// Mean of a loss over all answers: of the cell, the place that is asked, and the number of the answer.
fn mean(asked: &[Question], loss: impl Fn(&Question, u32, usize) -> f64) -> f64 {
    let n: usize = asked.iter().map(|q| q.rows.len()).sum();
    let losses = asked.iter().flat_map(|q| q.rows.iter().enumerate().map(|(i, row)| loss(q, *row, i)));
    losses.sum::<f64>() / n.max(1) as f64
}

/// By how often a token is found; and the same among those not `shown`, a stronger guess, because a gene comes once per cell.
fn frequencies(
    counts: &[f64],
    asked: &[Question],
    shown: impl Fn(&Question, u32) -> f64,
    unseen: &str,
) -> Vec<Guess> {
    let total: f64 = counts.iter().sum();
    let count = |q: &Question, i: usize| counts[q.classes[i] as usize];
    let plain = mean(asked, |q, _, i| -(count(q, i) / total).ln());
    let among = mean(asked, |q, row, i| -(count(q, i) / (total - shown(q, row))).ln());
    vec![guess("gene frequency", plain), guess(unseen, among)]
}

fn guess(by: &str, loss: f64) -> Guess {
    Guess { by: by.into(), loss }
}

/// One number for all genes; one number per gene.
fn values(train: &[Cell], asked: &[Question]) -> Vec<Guess> {
    let mut of_gene: HashMap<u32, (f64, f64)> = HashMap::new();
    let (mut sum, mut n) = (0.0, 0.0);
    for (token, value) in genes(train) {
        let entry = of_gene.entry(token).or_default();
        *entry = (entry.0 + f64::from(value), entry.1 + 1.0);
        (sum, n) = (sum + f64::from(value), n + 1.0);
    }
    let overall = sum / f64::max(n, 1.0);
    let distance = |q: &Question, i: usize, guess: f64| (f64::from(q.numbers[i]) - guess).powi(2);
    let per_gene = |q: &Question, row: u32| match of_gene.get(&q.ids[row as usize]) {
        Some((sum, n)) => sum / n,
        None => overall,
    };
    vec![
        guess("the mean value", mean(asked, |q, _, i| distance(q, i, overall))),
        guess("the mean value of the gene", mean(asked, |q, row, i| distance(q, i, per_gene(q, row)))),
    ]
}

/// The frequency of the bins; the same within the gene, which counts as one cell more with the frequencies of all genes.
fn bins(train: &[Cell], asked: &[Question], n: usize) -> Vec<Guess> {
    let mut all = vec![1f64; n];
    let mut of_gene: HashMap<u32, Vec<f64>> = HashMap::new();
    for (token, value) in genes(train) {
        let bin = (value.max(0.0) as usize).min(n - 1);
        all[bin] += 1.0;
        of_gene.entry(token).or_insert_with(|| vec![0.0; n])[bin] += 1.0;
    }
    let total: f64 = all.iter().sum();
    let plain = |class: u32| all[class as usize] / total;
    let within = |q: &Question, row: u32, class: u32| match of_gene.get(&q.ids[row as usize]) {
        Some(counts) => (counts[class as usize] + plain(class)) / (counts.iter().sum::<f64>() + 1.0),
        None => plain(class),
    };
    vec![
        guess("bin frequency", mean(asked, |q, _, i| -plain(q.classes[i]).ln())),
        guess("bin frequency of the gene", mean(asked, |q, row, i| -within(q, row, q.classes[i]).ln())),
    ]
}
