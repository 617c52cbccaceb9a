//! What every task does once it has predictions: score, resample, choose, compare, record.

mod beyond;
mod field;
mod headline;
mod interaction;
mod learned;
mod notes;
mod records;
mod slots;
mod summary;
mod unit_scores;

pub(crate) use beyond::{Covariates, Explained, JUDGED_BEYOND, baseline};
pub(crate) use field::{Field, MAX_FIELD_CELLS, row as field_row};
pub(crate) use headline::Nested;
pub(crate) use interaction::Interactions;
pub(crate) use learned::{Half, Learner, MaybeLearner, READING_FOLDS, reading_folds};
pub(crate) use notes::Notes;
pub(crate) use slots::{add_mean_of_blocks, check_representations, rows_of, with_controls};

use microtome_core::{ErrorKind, Progress, Result};

use crate::metrics::Metric;
use crate::protocol::{Protocol, ScoreSet, Units, Weights};
use crate::tasks::Task;
use crate::{Cells, Representation};

/// What all metrics of one task on one data set share.
pub(crate) struct Assessment<'a> {
    pub(crate) task: &'a Task,
    pub(crate) cells: &'a Cells,
    pub(crate) representations: &'a [Representation],
    /// Units of the scored cells.
    pub(crate) units: &'a Units,
    /// What the truth is, for a reader: `time`, `labels`.
    pub(crate) truth_name: &'a str,
    /// Truth of the scored cells: numbers, or codes of classes.
    pub(crate) truth: &'a [f64],
    pub(crate) protocol: &'a Protocol,
    pub(crate) progress: &'a dyn Progress,
}

/// What a reading says about every scored cell.
#[derive(Clone, Debug)]
pub(crate) struct Prediction {
    /// One value per scored cell (infinite ranks last), the code of a class, or one score per class, cell by cell, as the
    /// metric's statistic wants it; never NaN.
    pub(crate) values: Vec<f64>,
    /// What to keep in mind reading its score.
    pub(crate) remark: Option<String>,
}

/// Turns what went wrong on one representation into a reason; only a stop by the user remains an error.
pub(crate) fn attempt<T>(result: Result<T>) -> Result<std::result::Result<T, String>> {
    match result {
        Err(e) if e.kind() == ErrorKind::Interrupted => Err(e),
        Err(e) => Ok(Err(e.to_string().replace("\n  ", "; "))),
        Ok(v) => Ok(Ok(v)),
    }
}

/// One metric on all representations: predictions for the scored cells, or why there are none.
pub(crate) struct Scored {
    pub(crate) metric: &'static Metric,
    /// Column of the score set per representation, or the reason why it has none.
    columns: Vec<std::result::Result<usize, String>>,
    /// What to keep in mind reading a score.
    remarks: Vec<Option<String>>,
    set: Box<dyn ScoreSet>,
    /// Score on all cells per column.
    scores: Vec<f64>,
}

impl Scored {
    /// Scores `predictions[representation]` against the truth.
    pub(crate) fn new(
        metric: &'static Metric,
        truth: &[f64],
        predictions: &[std::result::Result<Prediction, String>],
    ) -> Self {
        Self::with(metric, truth.len(), predictions, |used| metric.statistic.set(truth, used))
    }

    /// The same for a statistic that knows more than the truth: `set` is given the predictions that can be scored.
    pub(crate) fn with(
        metric: &'static Metric,
        n_cells: usize,
        predictions: &[std::result::Result<Prediction, String>],
        set: impl FnOnce(&[&[f64]]) -> Box<dyn ScoreSet>,
    ) -> Self {
        let mut used: Vec<&[f64]> = vec![];
        let columns = predictions
            .iter()
            .map(|p| match p {
                Ok(p) if metric.statistic.needs_variation() && p.values.iter().all(|v| *v == p.values[0]) => {
                    Err("the predictions are the same for every cell".to_string())
                }
                Ok(p) => {
                    used.push(&p.values);
                    Ok(used.len() - 1)
                }
                Err(reason) => Err(reason.clone()),
            })
            .collect();
        let set = set(&used);
        let scores = set.weighted(&Weights::all(n_cells)).iter().map(|s| s[0]).collect();
        let remarks = predictions.iter().map(|p| p.as_ref().ok().and_then(|p| p.remark.clone())).collect();
        Self { metric, columns, remarks, set, scores }
    }

    /// Column of a representation in the score set.
    fn column(&self, representation: usize) -> Option<usize> {
        self.columns[representation].as_ref().ok().copied()
    }

    /// Score of a representation on all cells.
    fn score(&self, representation: usize) -> Option<f64> {
        self.column(representation).map(|c| self.scores[c]).filter(|s| s.is_finite())
    }
}
