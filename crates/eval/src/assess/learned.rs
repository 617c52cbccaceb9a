//! Readings that learn from the truth of training cells: held-out predictions and scores refitted per fold.

use microtome_core::Result;
use microtome_numerics::resample::{Units as Partition, grouped_k_fold};
use rayon::prelude::*;

use super::{Assessment, Nested, Prediction, attempt};
use crate::metrics::Metric;
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
        let folds = self.reading_folds()?;
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

    /// Folds of units for held-out predictions, each spanning the range of the truth as far as the units allow. Balanced
    /// folds matter: the mean truth of the training cells is high where that of the held-out cells is low, so with
    /// uneven folds a representation that holds nothing would score below zero.
    fn reading_folds(&self) -> Result<Vec<Vec<usize>>> {
        let all: Vec<usize> = (0..self.units.len()).collect();
        let mut random = stream(self.protocol.seed, "reading folds", 0);
        if let Some(folds) = grouped_folds(self.units, &all, self.truth, READING_FOLDS, &mut random) {
            return Ok(folds);
        }
        let each_unit: Vec<u32> = (0..all.len() as u32).collect();
        let folds = grouped_k_fold(&Partition::new(&each_unit), READING_FOLDS.min(all.len()), &mut random)?;
        Ok(folds.into_iter().map(|f| f.test).collect())
    }

    /// Fold scores of a learning headline: fitted again for every outer and inner fold, so that no prediction that
    /// takes part in a choice has seen the truth of the cells the choice is judged on.
    pub(crate) fn refit<'b>(
        &self,
        metric: &Metric,
        folds: Folds,
        learner: impl Fn(usize) -> Result<MaybeLearner<'b>> + Sync,
    ) -> Result<Nested> {
        let columns = self.each("nested choice", |r| {
            let Ok(learner) = learner(r)? else { return Ok(vec![(f64::NAN, f64::NAN); folds.splits.len()]) };
            let score = |train: &[usize], test: &[usize]| -> Result<f64> {
                let Ok(predicted) = attempt(learner.predict(train, test))? else {
                    return Ok(f64::NAN);
                };
                let truth: Vec<f64> = self.units.cells_of(test).iter().map(|&c| self.truth[c]).collect();
                Ok(metric.statistic.score(&truth, &predicted))
            };
            let one = |split: &Split| -> Result<(f64, f64)> {
                let mut inner = vec![];
                for held_out in &split.inner {
                    let rest = self.units.without(&split.train, held_out);
                    if !rest.is_empty() {
                        inner.push(score(&rest, held_out)?);
                    }
                }
                Ok((score(&split.train, &split.test)?, mean_defined(inner.into_iter())))
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
