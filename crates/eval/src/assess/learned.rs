//! Readings that learn from the truth of training cells: held-out predictions and scores refitted per fold.

use microtome_core::Result;
use microtome_numerics::resample::{Units as Partition, grouped_k_fold};
use rayon::prelude::*;

use super::{Assessment, Nested, Prediction, attempt};
use crate::metrics::Metric;
use crate::protocol::Units;
use crate::protocol::nested::{FoldScores, Folds, Split, mean_defined};
use crate::protocol::random::stream;
use crate::protocol::units::grouped_folds;

/// Folds of units for held-out predictions.
pub(crate) const READING_FOLDS: usize = 5;

/// A reading of one representation that learns from training cells.
pub(crate) trait Learner: Sync {
    /// Predictions for the cells of `test` units, learnt from the cells of `train` units, in the order of
    /// `units.cells_of(test)`; as many values per cell as the reading's metrics want.
    fn predict(&self, train: &[usize], test: &[usize]) -> Result<Vec<f64>>;
}

/// What was learnt on one half of the units, for the other half: what the permutation null of a reading that learns is made of.
///
/// Cross-validated predictions will not do: every cell teaches those it is tested on, so that pairs of cells count twice and the
/// variance under the null is up to twice that of predictions held fixed (with ridge on 60 runs of pure noise, some depth
/// had an adjusted p <= 0.05 in 15). Cells that took no part in learning are exchangeable, which makes the test exact.
pub(crate) struct Half {
    /// The tested units, over `cells`.
    pub(crate) units: Units,
    /// The tested cells, as scored cells of the assessment.
    pub(crate) cells: Vec<usize>,
    /// Their truth.
    pub(crate) truth: Vec<f64>,
    /// Predictions for them by representation.
    pub(crate) predictions: Vec<std::result::Result<Prediction, String>>,
}

/// Folds of units for held-out predictions, each spanning the range of the truth as far as the units allow. Balanced
/// folds matter: the mean truth of the training cells is high where that of the held-out cells is low, so with
/// uneven folds a representation that holds nothing would score below zero.
pub(crate) fn reading_folds(units: &Units, truth: &[f64], seed: u64) -> Result<Vec<Vec<usize>>> {
    let all: Vec<usize> = (0..units.len()).collect();
    let mut random = stream(seed, "reading folds", 0);
    if let Some(folds) = grouped_folds(units, &all, truth, READING_FOLDS, &mut random) {
        return Ok(folds);
    }
    let each_unit: Vec<u32> = (0..all.len() as u32).collect();
    let folds = grouped_k_fold(&Partition::new(&each_unit), READING_FOLDS.min(all.len()), &mut random)?;
    Ok(folds.into_iter().map(|f| f.test).collect())
}

/// The learner of one representation, or why there is none.
pub(crate) type MaybeLearner<'a> = std::result::Result<Box<dyn Learner + 'a>, String>;

impl Assessment<'_> {
    /// Calls `f` for every representation, several at a time.
    pub(crate) fn each<T: Send>(&self, stage: &str, f: impl Fn(usize) -> Result<T> + Sync) -> Result<Vec<T>> {
        let progress = self.progress;
        let n = self.representations.len();
        progress.begin(stage, n as u64, "representations");
        let out = (0..n)
            .into_par_iter()
            .map(|r| {
                progress.check()?;
                let out = f(r)?;
                progress.advance(1);
                Ok(out)
            })
            .collect();
        progress.end();
        out
    }

    /// Held-out predictions of every representation: every fold of units is predicted from the others. Needs at least
    /// `min_units` units.
    pub(crate) fn held_out<'b>(
        &self,
        stage: &str,
        min_units: usize,
        learner: impl Fn(usize) -> Result<MaybeLearner<'b>> + Sync,
    ) -> Result<Vec<std::result::Result<Prediction, String>>> {
        let n_units = self.units.len();
        if n_units < min_units {
            let reason = format!("held-out predictions need at least {min_units} units, there are {n_units}");
            return Ok(self.representations.iter().map(|_| Err(reason.clone())).collect());
        }
        let folds = reading_folds(self.units, self.truth, self.protocol.seed)?;
        self.each(stage, |r| {
            let learner = match learner(r)? {
                Err(reason) => return Ok(Err(reason)),
                Ok(learner) => learner,
            };
            let values = attempt(self.out_of_fold(learner.as_ref(), &folds))?;
            Ok(values.map(|values| Prediction { values, remark: None }))
        })
    }

    fn out_of_fold(&self, learner: &dyn Learner, folds: &[Vec<usize>]) -> Result<Vec<f64>> {
        let mut out = vec![];
        for test in folds {
            let train: Vec<usize> = folds.iter().filter(|f| *f != test).flatten().copied().collect();
            let predicted = learner.predict(&train, test)?;
            let cells = self.units.cells_of(test);
            let width = predicted.len() / cells.len().max(1);
            out.resize(self.truth.len() * width, f64::NAN);
            for (c, p) in cells.iter().zip(predicted.chunks_exact(width.max(1))) {
                out[c * width..(c + 1) * width].copy_from_slice(p);
            }
        }
        Ok(out)
    }

    /// Learns on one half of the units and predicts the other; `None` when the truth does not vary within two halves.
    pub(crate) fn half<'b>(
        &self,
        learner: impl Fn(usize) -> Result<MaybeLearner<'b>> + Sync,
    ) -> Result<Option<Half>> {
        let all: Vec<usize> = (0..self.units.len()).collect();
        let mut random = stream(self.protocol.seed, "half", 0);
        let Some(halves) = grouped_folds(self.units, &all, self.truth, 2, &mut random) else {
            return Ok(None);
        };
        let (train, test) = (&halves[0], &halves[1]);
        let predictions = self.each("permutation test", |r| {
            let learner = match learner(r)? {
                Err(reason) => return Ok(Err(reason)),
                Ok(learner) => learner,
            };
            let values = attempt(learner.predict(train, test))?;
            Ok(values.map(|values| Prediction { values, remark: None }))
        })?;
        let cells = self.units.cells_of(test);
        let mut next = 0..cells.len();
        let members =
            test.iter().map(|&u| next.by_ref().take(self.units.members[u].len()).collect()).collect();
        let names = test.iter().filter_map(|&u| self.units.names.get(u).cloned()).collect();
        let truth = cells.iter().map(|&c| self.truth[c]).collect();
        Ok(Some(Half {
            units: Units { name: self.units.name.clone(), names, members },
            cells,
            truth,
            predictions,
        }))
    }

    /// The score of a metric against the truth of some cells, for [`Assessment::refit`].
    pub(crate) fn against(&self, metric: &Metric) -> impl Fn(&[usize], &[f64]) -> f64 + Sync {
        move |cells, predicted| {
            let truth: Vec<f64> = cells.iter().map(|&c| self.truth[c]).collect();
            metric.statistic.score(&truth, predicted)
        }
    }

    /// Fold scores of a learning headline: fitted again for every outer and inner fold, so that no prediction that
    /// takes part in a choice has seen the truth of the cells the choice is judged on. `score` is given cells and the
    /// predictions for them.
    pub(crate) fn refit<'b>(
        &self,
        folds: Folds,
        learner: impl Fn(usize) -> Result<MaybeLearner<'b>> + Sync,
        score: impl Fn(&[usize], &[f64]) -> f64 + Sync,
    ) -> Result<Nested> {
        let columns = self.each("nested choice", |r| {
            let Ok(learner) = learner(r)? else { return Ok(vec![(f64::NAN, f64::NAN); folds.splits.len()]) };
            let judge = |train: &[usize], test: &[usize]| -> Result<f64> {
                let predicted = attempt(learner.predict(train, test))?;
                Ok(predicted.map_or(f64::NAN, |p| score(&self.units.cells_of(test), &p)))
            };
            let one = |split: &Split| -> Result<(f64, f64)> {
                let mut inner = vec![];
                for held_out in &split.inner {
                    let rest = self.units.without(&split.train, held_out);
                    if !rest.is_empty() {
                        inner.push(judge(&rest, held_out)?);
                    }
                }
                Ok((judge(&split.train, &split.test)?, mean_defined(inner.into_iter())))
            };
            folds.splits.iter().map(one).collect()
        })?;
        let pick = |f: usize, which: fn(&(f64, f64)) -> f64| columns.iter().map(|c| which(&c[f])).collect();
        let n = folds.splits.len();
        let scores = FoldScores {
            outer: (0..n).map(|f| pick(f, |c| c.0)).collect(),
            inner: (0..n).map(|f| pick(f, |c| c.1)).collect(),
        };
        Ok(Nested { folds, scores })
    }
}
