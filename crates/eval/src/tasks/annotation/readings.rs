//! The classifiers.

use std::collections::HashMap;

use microtome_core::{Matrix, Result};
use microtome_numerics::class_means::ClassMeans;
use microtome_numerics::knn::Knn;
use microtome_numerics::logistic::{Logistic, LogisticOptions};
use microtome_numerics::{Metric, exact_knn, knn_between};

use crate::assess::{Explained, Learner, MaybeLearner};
use crate::protocol::Units;

/// A reading of a representation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Share of votes among the nearest training cells.
    Knn,
    /// Probabilities of logistic regression.
    Logistic,
    /// Minus squared distance to class means.
    Centroid,
    /// Coefficients of the projection onto class means.
    Projection,
    /// Probabilities of logistic regression on what covariates do not explain.
    LogisticBeyond,
}

impl Reading {
    /// All of them, by the id that metrics name.
    pub(super) const ALL: [(&'static str, Self); 5] = [
        ("knn", Self::Knn),
        ("logistic", Self::Logistic),
        ("centroid", Self::Centroid),
        ("projection", Self::Projection),
        ("logistic_beyond", Self::LogisticBeyond),
    ];
}

/// Scored cells of one representation with their classes.
pub(super) struct Task<'a> {
    pub(super) x: &'a Matrix,
    /// Covariates of the scored cells that are taken out first, explained on the training cells.
    pub(super) given: Option<&'a Matrix>,
    pub(super) classes: &'a [f64],
    pub(super) n_classes: usize,
    pub(super) units: &'a Units,
    pub(super) k: usize,
}

/// The learner of a reading: one score per class and cell, or with `hard` the class of the highest score.
pub(super) fn learner(reading: Reading, task: Task<'_>, hard: bool) -> Result<MaybeLearner<'_>> {
    let near = match reading {
        // More neighbours than vote, so that enough are left when those of the held-out units are crossed out.
        Reading::Knn => {
            let most = task.x.rows().saturating_sub(1);
            Some(exact_knn(task.x, (SPARE * task.k).clamp(1, most.max(1)), Metric::Euclidean)?)
        }
        _ => None,
    };
    Ok(Ok(Box::new(Classifier { reading, task, near, hard })))
}

/// How many times more neighbours are looked up at once than are needed.
const SPARE: usize = 8;

struct Classifier<'a> {
    reading: Reading,
    task: Task<'a>,
    near: Option<Knn>,
    hard: bool,
}

impl Learner for Classifier<'_> {
    fn predict(&self, train: &[usize], test: &[usize]) -> Result<Vec<f64>> {
        let t = &self.task;
        let (mut from, to) = (t.units.cells_of(train), t.units.cells_of(test));
        // The order of cells decides between equal distances.
        from.sort_unstable();
        let k = t.n_classes;
        let scores = match (self.reading, &self.near) {
            (Reading::Knn, Some(near)) => self.votes(near, &from, &to)?,
            (reading, _) => {
                let classes: Vec<u32> = from.iter().map(|&c| t.classes[c] as u32).collect();
                let (mut x, mut query) = (t.x.select_rows(&from), t.x.select_rows(&to));
                if let Some(given) = t.given {
                    let (of_x, of_query) = (given.select_rows(&from), given.select_rows(&to));
                    let explained = Explained::fit(&x, &of_x)?;
                    x = explained.remainder(&x, &of_x)?;
                    query = explained.remainder(&query, &of_query)?;
                }
                match reading {
                    Reading::Logistic | Reading::LogisticBeyond => {
                        Logistic::fit(&x, &classes, k, &LogisticOptions::default())?.probabilities(&query)?
                    }
                    Reading::Centroid => ClassMeans::new(&x, &classes, k)?.nearness(&query)?,
                    _ => ClassMeans::new(&x, &classes, k)?.projection(&query)?,
                }
            }
        };
        Ok(if self.hard { scores.chunks_exact(k).map(top).collect() } else { scores })
    }
}

/// The class of the highest score; the first of equals.
pub(super) fn top(scores: &[f64]) -> f64 {
    (1..scores.len()).fold(0, |best, c| if scores[c] > scores[best] { c } else { best }) as f64
}

impl Classifier<'_> {
    /// Share of the votes of the `k` nearest training cells per class. A tie goes to the class of the nearer cell, by a
    /// share too small to change anything else.
    fn votes(&self, near: &Knn, from: &[usize], to: &[usize]) -> Result<Vec<f64>> {
        let t = &self.task;
        let wanted = t.k.min(from.len());
        let mut is_training = vec![false; t.x.rows()];
        from.iter().for_each(|&c| is_training[c] = true);
        let mut nearest: Vec<Vec<usize>> = to
            .iter()
            .map(|&c| {
                let row = near.row(c).0.iter().map(|&j| j as usize);
                row.filter(|&j| is_training[j]).take(wanted).collect()
            })
            .collect();
        let short: Vec<usize> = (0..to.len()).filter(|&i| nearest[i].len() < wanted).collect();
        if !short.is_empty() {
            let cells: Vec<usize> = short.iter().map(|&i| to[i]).collect();
            let exact =
                knn_between(&t.x.select_rows(&cells), &t.x.select_rows(from), wanted, Metric::Euclidean)?;
            for (row, &i) in short.iter().enumerate() {
                nearest[i] = exact.row(row).0.iter().map(|&j| from[j as usize]).collect();
            }
        }
        let mut out = vec![0.0; to.len() * t.n_classes];
        for (cells, out) in nearest.iter().zip(out.chunks_exact_mut(t.n_classes)) {
            let mut first: HashMap<usize, usize> = HashMap::new();
            for (rank, &c) in cells.iter().enumerate() {
                let class = t.classes[c] as usize;
                out[class] += 1.0 / wanted as f64;
                first.entry(class).or_insert(rank);
            }
            first.into_iter().for_each(|(class, rank)| out[class] -= 1e-9 * rank as f64);
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cells, Groups};
    use microtome_numerics::resample::Rng;

    #[test]
    fn crossing_out_neighbours_is_the_same_as_searching_the_training_cells() {
        let (n, n_units) = (150, 3);
        let mut rng = Rng::new(4);
        let mut x = Matrix::zeros(n, 3);
        // Units lie apart, so that most neighbours of a cell are of its own unit and are crossed out.
        for i in 0..n {
            x.row_mut(i).iter_mut().for_each(|v| *v = (rng.normal() + 3.0 * (i % n_units) as f64) as f32);
        }
        let classes: Vec<f64> = (0..n).map(|_| rng.below(4) as f64).collect();
        let unit = Groups::new("d", vec!["a".into(), "b".into(), "c".into()], (0..n).map(|i| (i % 3) as u32).collect());
        let cells = Cells::new("t", n).with_unit(unit.unwrap()).unwrap();
        let units = Units::new(&cells, &(0..n).collect::<Vec<_>>()).unwrap();
        let task = || Task { x: &x, given: None, classes: &classes, n_classes: 4, units: &units, k: 5 };
        let got = learner(Reading::Knn, task(), false).unwrap().unwrap().predict(&[0, 2], &[1]).unwrap();
        let (mut from, to) = (units.cells_of(&[0, 2]), units.cells_of(&[1]));
        from.sort_unstable();
        let exact = knn_between(&x.select_rows(&to), &x.select_rows(&from), 5, Metric::Euclidean).unwrap();
        for (i, row) in got.chunks_exact(4).enumerate() {
            let mut votes = [0.0; 4];
            exact.row(i).0.iter().for_each(|&j| votes[classes[from[j as usize]] as usize] += 0.2);
            assert!(row.iter().zip(votes).all(|(a, b)| (a - b).abs() < 1e-7), "{row:?} {votes:?}");
        }
        let hard = learner(Reading::Knn, task(), true).unwrap().unwrap().predict(&[0, 2], &[1]).unwrap();
        assert_eq!(hard, got.chunks_exact(4).map(top).collect::<Vec<_>>());
    }
}
