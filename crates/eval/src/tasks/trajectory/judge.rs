//! One metric on one set of cells, as the headline or beside it.

use microtome_core::{Matrix, Result};
use serde_json::json;

use super::readings::{Supervised, TimeLearner};
use super::run::Trajectory;
use crate::TaskOutcome;
use crate::assess::{Assessment, Interactions, MaybeLearner, Prediction, Scored};
use crate::metrics::Metric;
use crate::protocol::nested::Folds;
use crate::protocol::{ScoreSet, Weights};

/// Cells that are asked about, with their truth and units.
pub(super) struct Asked<'a> {
    pub(super) assessment: Assessment<'a>,
    /// Their rows in the data set.
    pub(super) rows: &'a [usize],
    /// Their rows of every representation.
    pub(super) matrices: Vec<std::result::Result<Matrix, String>>,
}

/// Makes the scores of predictions for some of the asked cells.
pub(super) type MakeSet<'a> = dyn Fn(&[usize], &[&[f64]]) -> Box<dyn ScoreSet> + Sync + 'a;

/// What is asked of the cells.
pub(super) struct Question<'a> {
    pub(super) metric: &'static Metric,
    /// The reading that learns, if it does.
    pub(super) supervised: Option<Supervised>,
    /// Predictions for the asked cells by representation.
    pub(super) predictions: &'a [std::result::Result<Prediction, String>],
    pub(super) set: &'a MakeSet<'a>,
    /// The same where groups of cells are compared.
    pub(super) set_of_strata: &'a MakeSet<'a>,
}

impl Asked<'_> {
    /// Held-out predictions of a reading that learns, or what `otherwise` says for one that does not.
    pub(super) fn predictions(
        &self,
        t: &Trajectory<'_>,
        reading: &str,
        supervised: Option<Supervised>,
        otherwise: impl FnOnce() -> Result<Vec<std::result::Result<Prediction, String>>>,
    ) -> Result<Vec<std::result::Result<Prediction, String>>> {
        match supervised {
            None => otherwise(),
            Some(s) => self.assessment.held_out(reading, super::run::MIN_UNITS_LEARNED, |r| Ok(self.learner(t, s, r))),
        }
    }

    /// The reading of one representation.
    fn learner<'b>(&'b self, t: &'b Trajectory<'_>, reading: Supervised, r: usize) -> MaybeLearner<'b> {
        let x = self.matrices[r].as_ref().map_err(Clone::clone)?;
        let a = &self.assessment;
        if reading == Supervised::Ordinal
            && let Some(reason) = t.options.too_many_stages()
        {
            return Err(reason);
        }
        let (k, seed) = (t.options.k, a.protocol.seed);
        Ok(Box::new(TimeLearner { reading, x, time: a.truth, units: a.units, k, seed }))
    }

    /// Scores the metric into `outcome`; strata are compared where it is the headline.
    pub(super) fn judge(&self, t: &Trajectory<'_>, q: &Question<'_>, outcome: &mut TaskOutcome) -> Result<Interactions> {
        let a = &self.assessment;
        let all: Vec<usize> = (0..a.truth.len()).collect();
        let scored = Scored::with(q.metric, all.len(), q.predictions, |used| (q.set)(&all, used));
        if q.metric != t.options.headline {
            outcome.records.extend(a.score_records(&scored)?);
            return Ok(Interactions::default());
        }
        let folds = Folds::new(a.units, a.truth, a.protocol);
        let words = folds.as_ref().map_or_else(Clone::clone, |f| f.words.clone());
        outcome.choices.insert("outer_folds".into(), json!(words));
        let score = |cells: &[usize], p: &[f64]| (q.set)(cells, &[p]).weighted(&Weights::all(cells.len()))[0][0];
        let nested = match (folds, q.supervised) {
            (Err(reason), _) => Err(reason),
            (Ok(folds), None) => Ok(scored.nested(a, folds)),
            (Ok(folds), Some(s)) => Ok(a.refit(folds, |r| Ok(self.learner(t, s, r)), score)?),
        };
        let headline = match q.supervised {
            None => a.headline(&scored, &nested)?,
            Some(s) => {
                let half = a.half(|r| Ok(self.learner(t, s, r)))?;
                let tested = half.as_ref().map(|h| {
                    let set = |used: &[&[f64]]| (q.set)(&h.cells, used);
                    (h, Scored::with(q.metric, h.truth.len(), &h.predictions, set))
                });
                a.learned_headline(&scored, &nested, tested.as_ref().map(|(h, scored)| (*h, scored)))?
            }
        };
        outcome.choices.insert("null".into(), json!(headline.exchange));
        outcome.records.extend(headline.records);
        outcome.summaries = headline.summaries;
        outcome.unit_scores = headline.unit_scores;
        match &t.options.strata {
            None => Ok(Interactions::default()),
            Some(s) => a.strata(s, self.rows, q.metric, q.predictions, &|used| (q.set_of_strata)(&all, used)),
        }
    }
}
