//! Held-out predictions of the readings that learn from time.

use microtome_core::{Matrix, Result};
use microtome_numerics::resample::{Units as Partition, grouped_k_fold};

use super::readings::{Learner, Supervised};
use super::run::Trajectory;
use crate::assess::{Nested, Prediction, attempt};
use crate::metrics::Metric;
use crate::protocol::nested::{FoldScores, Folds, Split, mean_defined};
use crate::protocol::random::stream;
use crate::protocol::units::grouped_folds;

/// Folds of units for held-out predictions.
pub(super) const READING_FOLDS: usize = 5;

impl Trajectory<'_> {
    /// Held-out predictions of a supervised reading.
    pub(super) fn supervised(
        &self,
        stage: &str,
        reading: Supervised,
        matrices: &[Result<Matrix, String>],
    ) -> Result<Vec<Result<Prediction, String>>> {
        let a = &self.assessment;
        let n_units = a.units.len();
        if n_units < 3 {
            // The penalty needs two training units besides the one that is predicted.
            let reason = format!("held-out predictions need at least 3 units, there are {n_units}");
            return Ok(matrices.iter().map(|_| Err(reason.clone())).collect());
        }
        let folds = self.reading_folds()?;
        self.each(stage, |r| {
            let x = match &matrices[r] {
                Err(reason) => return Ok(Err(reason.clone())),
                Ok(x) => x,
            };
            let values = attempt(self.learner(x).out_of_fold(reading, &folds))?;
            Ok(values.map(|values| Prediction { values, remark: None }))
        })
    }

    /// Folds of units for held-out predictions, each spanning the range of time as far as the units allow. Balanced
    /// folds matter: the mean time of the training cells is high where that of the held-out cells is low, so with
    /// uneven folds a representation that holds nothing would score below zero.
    fn reading_folds(&self) -> Result<Vec<Vec<usize>>> {
        let a = &self.assessment;
        let all: Vec<usize> = (0..a.units.len()).collect();
        let mut random = stream(a.protocol.seed, "reading folds", 0);
        if let Some(folds) = grouped_folds(a.units, &all, a.truth, READING_FOLDS, &mut random) {
            return Ok(folds);
        }
        let each_unit: Vec<u32> = (0..all.len() as u32).collect();
        let folds = grouped_k_fold(&Partition::new(&each_unit), READING_FOLDS.min(all.len()), &mut random)?;
        Ok(folds.into_iter().map(|f| f.test).collect())
    }

    fn learner<'b>(&'b self, x: &'b Matrix) -> Learner<'b> {
        let a = &self.assessment;
        Learner { x, time: a.truth, units: a.units, k: self.options.k, seed: a.protocol.seed }
    }

    /// Fold scores of a supervised headline: fitted again for every outer and inner fold, so that no prediction
    /// that takes part in a choice has seen the time of the cells the choice is judged on.
    pub(super) fn refit(
        &self,
        reading: Supervised,
        metric: &Metric,
        folds: Folds,
        matrices: &[Result<Matrix, String>],
    ) -> Result<Nested> {
        let a = &self.assessment;
        let columns = self.each("nested choice", |r| {
            let Ok(x) = &matrices[r] else { return Ok(vec![(f64::NAN, f64::NAN); folds.splits.len()]) };
            let learner = self.learner(x);
            let score = |train: &[usize], test: &[usize]| -> Result<f64> {
                let Ok(predicted) = attempt(learner.predict(reading, train, test))? else {
                    return Ok(f64::NAN);
                };
                let truth: Vec<f64> = a.units.cells_of(test).iter().map(|&c| a.truth[c]).collect();
                Ok(metric.statistic.score(&truth, &predicted))
            };
            let one = |split: &Split| -> Result<(f64, f64)> {
                let mut inner = vec![];
                for held_out in &split.inner {
                    let rest = a.units.without(&split.train, held_out);
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
