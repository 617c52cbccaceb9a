//! From representations to records.

use microtome_core::{Column, Matrix, Progress, Result};
use serde_json::json;

use super::distance::{DistanceSet, Distances, Steps};
use super::labels::{Classes, classes};
use super::readings::{Reading, Task, learner, top};
use super::{AnnotationOptions, TASK};
use crate::assess::{
    Assessment, Covariates, Interactions, MaybeLearner, Notes, Prediction, READING_FOLDS, Scored, attempt, rows_of,
    with_controls,
};
use crate::metrics::{Metric, Statistic};
use crate::protocol::nested::Folds;
use crate::protocol::{Protocol, Units};
use crate::{CellColumn, Cells, Representation, TaskOutcome};

/// What the positive control must reach.
const CEILING: f64 = 0.9;
/// Most class scores of one representation that are kept for areas under curves.
const MAX_SCORES: usize = 4_000_000;

/// Predictions of one reading.
pub(super) struct Predicted {
    pub(super) id: &'static str,
    /// Class per scored cell.
    pub(super) classes: Vec<Result<Prediction, String>>,
    /// Score per class and scored cell.
    scores: Vec<Result<Prediction, String>>,
}

/// Runs the task on all representations.
///
/// The two controls that test the task itself (noise, and the noisy classes) and the mean of all blocks of every model
/// are added to what is given. Records come in the order of the metrics of [`TASK`]; those of ontology distances only
/// where the labels' terms are given.
///
/// # Errors
/// When options, cells and representations do not fit together, when no baseline is among the representations, when fewer
/// than two labels or 20 cells can be scored, or when the user stops. What goes wrong on one representation alone becomes
/// the `reason` of its records.
pub fn run(
    cells: &Cells,
    representations: &[Representation],
    options: &AnnotationOptions,
    protocol: &Protocol,
    progress: &dyn Progress,
) -> Result<TaskOutcome> {
    protocol.check()?;
    options.check(cells)?;
    let mut notes = Notes::default();
    let classes = classes(cells, options, &mut notes)?;
    let units = Units::new(cells, &classes.scored)?;
    let mut truth_of_all = vec![f64::NAN; cells.n];
    classes.scored.iter().zip(&classes.truth).for_each(|(&i, &t)| truth_of_all[i] = t);
    let all = with_controls(&TASK, representations, &truth_of_all, protocol.seed)?;
    let assessment = Assessment {
        task: &TASK,
        cells,
        representations: &all,
        units: &units,
        truth_name: "labels",
        truth: &classes.truth,
        protocol,
        progress,
    };
    let covariates = Covariates::new(&all, &classes.scored);
    Annotation { assessment, options, classes: &classes, covariates }.run(notes)
}

/// The task on one data set.
pub(super) struct Annotation<'a> {
    pub(super) assessment: Assessment<'a>,
    pub(super) options: &'a AnnotationOptions,
    pub(super) classes: &'a Classes,
    /// What one of the readings looks beyond.
    covariates: Result<Covariates, String>,
}

impl Annotation<'_> {
    fn run(&self, mut notes: Notes) -> Result<TaskOutcome> {
        let a = &self.assessment;
        let matrices = rows_of(a.representations, &self.classes.scored);
        let distances =
            self.options.terms.as_ref().map(|t| Distances::new(t, &self.classes.label_of_class)).transpose()?;
        let mut outcome = TaskOutcome::default();
        let mut folds_words = json!(null);
        let mut interactions = Interactions::default();
        for (id, reading) in Reading::ALL {
            let predicted = self.predict(id, reading, &matrices)?;
            for metric in TASK.metrics.iter().copied().filter(|m| m.reading == id) {
                let Some(scored) = self.scored(metric, &predicted, distances.as_ref()) else { continue };
                if metric != self.options.headline {
                    outcome.records.extend(a.score_records(&scored)?);
                    continue;
                }
                let folds = Folds::new(a.units, a.truth, a.protocol);
                folds_words = json!(folds.as_ref().map_or_else(Clone::clone, |f| f.words.clone()));
                let hard = !needs_scores(metric);
                let nested = match folds {
                    Err(reason) => Err(reason),
                    Ok(folds) => Ok(a.refit(folds, |r| self.learner(reading, r, &matrices, hard), a.against(metric))?),
                };
                let half = a.half(|r| self.learner(reading, r, &matrices, hard))?;
                let tested = half.as_ref().map(|h| (h, Scored::new(metric, &h.truth, &h.predictions)));
                let headline =
                    a.learned_headline(&scored, &nested, tested.as_ref().map(|(h, scored)| (*h, scored)))?;
                outcome.choices.insert("null".into(), json!(headline.exchange));
                outcome.records.extend(headline.records);
                outcome.summaries = headline.summaries;
                outcome.unit_scores = headline.unit_scores;
                if let Some(strata) = &self.options.strata {
                    let predictions = if hard { &predicted.classes } else { &predicted.scores };
                    interactions = a.strata(strata, &self.classes.scored, metric, predictions, &|used| {
                        metric.statistic.set(a.truth, used)
                    })?;
                }
            }
            if id == self.options.headline.reading {
                outcome.columns = self.columns(&predicted);
                outcome.tables.extend(self.by_label(&predicted, &outcome.summaries));
            }
        }
        self.small_labels(&mut notes);
        a.check_controls(self.options.headline, CEILING, &outcome.records, &mut notes);
        notes.all.push(self.floor());
        for summary in &mut outcome.summaries {
            summary.warnings.extend(notes.warnings.iter().cloned());
        }
        interactions.add_to(&mut outcome);
        outcome.tables.insert(0, self.grid(&outcome.records, &outcome.summaries));
        let field = self.field(&matrices)?;
        outcome.tables.extend(self.further_table(&field, &outcome.summaries));
        outcome.records.extend(a.field_records(&field));
        outcome.tables.extend(self.classes.left_out.clone());
        outcome.notes = notes.all;
        outcome.choices.insert("outer_folds".into(), folds_words);
        self.choices(&mut outcome.choices);
        Ok(outcome)
    }

    /// Held-out predictions of one reading.
    fn predict(
        &self,
        id: &'static str,
        reading: Reading,
        matrices: &[Result<Matrix, String>],
    ) -> Result<Predicted> {
        let a = &self.assessment;
        let k = self.classes.names.len();
        let mut scores = a.held_out(id, 2, |r| self.learner(reading, r, matrices, false))?;
        let hard = |p: &Prediction| Prediction {
            values: p.values.chunks_exact(k).map(top).collect(),
            remark: p.remark.clone(),
        };
        let classes = scores.iter().map(|p| p.as_ref().map(hard).map_err(Clone::clone)).collect();
        if a.truth.len() * k > MAX_SCORES || !TASK.metrics.iter().any(|m| m.reading == id && needs_scores(m)) {
            let reason = format!("not computed for more than {MAX_SCORES} cells x labels");
            scores = scores.iter().map(|_| Err(reason.clone())).collect();
        }
        Ok(Predicted { id, classes, scores })
    }

    fn learner<'b>(
        &'b self,
        reading: Reading,
        representation: usize,
        matrices: &'b [Result<Matrix, String>],
        hard: bool,
    ) -> Result<MaybeLearner<'b>> {
        let given = match (reading, &self.covariates) {
            (Reading::LogisticBeyond, Ok(c)) => c.of(representation).map(Some),
            (Reading::LogisticBeyond, Err(reason)) => Err(reason.clone()),
            _ => Ok(None),
        };
        let (x, given) = match (&matrices[representation], given) {
            (Err(reason), _) => return Ok(Err(reason.clone())),
            (_, Err(reason)) => return Ok(Err(reason)),
            (Ok(x), Ok(given)) => (x, given),
        };
        let a = &self.assessment;
        let task = Task {
            x,
            given,
            classes: a.truth,
            n_classes: self.classes.names.len(),
            units: a.units,
            k: self.options.k,
        };
        Ok(attempt(learner(reading, task, hard))?.and_then(|l| l))
    }

    /// Scores of one metric; `None` for a distance where no ontology was given.
    fn scored(&self, metric: &'static Metric, p: &Predicted, distances: Option<&Distances>) -> Option<Scored> {
        let truth = self.assessment.truth;
        if metric.statistic != Statistic::OfTask {
            return Some(Scored::new(metric, truth, if needs_scores(metric) { &p.scores } else { &p.classes }));
        }
        let distances = distances?;
        let steps = if metric.id.ends_with("_all_cells") {
            Steps::AllCells
        } else if metric.id.ends_with("_symmetric") {
            Steps::Symmetric
        } else {
            Steps::Published
        };
        Some(Scored::with(metric, truth.len(), &p.classes, |used| {
            Box::new(DistanceSet::new(distances, steps, truth, used))
        }))
    }

    /// The held-out label of every cell; a cell that is not scored has none.
    fn columns(&self, predicted: &Predicted) -> Vec<CellColumn> {
        let with = self.assessment.representations.iter().zip(&predicted.classes);
        with.filter_map(|(r, p)| {
            let mut codes = vec![None; self.assessment.cells.n];
            let values = &p.as_ref().ok()?.values;
            self.classes.scored.iter().zip(values).for_each(|(&i, &c)| codes[i] = Some(c as u32));
            Some(CellColumn {
                model: r.model.clone(),
                site: r.site.as_ref().map(ToString::to_string),
                pooling: r.pooling.clone(),
                id: "predicted_label",
                words: "held-out predicted label",
                values: Column::Categorical { categories: self.classes.names.clone(), codes, ordered: false },
            })
        })
        .collect()
    }

    /// Says so where labels are too small to win a vote of the nearest cells.
    fn small_labels(&self, notes: &mut Notes) {
        let k = self.options.k;
        let size = |c: usize| self.assessment.truth.iter().filter(|&&t| t as usize == c).count();
        let small = (0..self.classes.names.len()).filter(|&c| size(c) < 2 * k).count();
        if small > 0 && self.options.headline.reading == "knn" {
            notes.warn(format!(
                "{small} of {} labels have fewer than {} cells and can hardly win a vote of {k} neighbours: lower \
                 --neighbors, or look at the logistic reading",
                self.classes.names.len(),
                2 * k
            ));
        }
    }

    /// What needs no representation at all.
    fn floor(&self) -> String {
        let truth = self.assessment.truth;
        let size = |c: usize| truth.iter().filter(|&&t| t as usize == c).count();
        let largest = (0..self.classes.names.len()).max_by_key(|&c| (size(c), usize::MAX - c)).unwrap_or(0);
        let constant = vec![largest as f64; truth.len()];
        format!(
            "floor: calling every cell \"{}\", the most common label, gives macro-F1 {:.3} and accuracy {:.3}",
            self.classes.names[largest],
            Statistic::F1Macro.score(truth, &constant),
            Statistic::Accuracy.score(truth, &constant)
        )
    }

    fn choices(&self, choices: &mut serde_json::Map<String, serde_json::Value>) {
        let (o, a) = (self.options, &self.assessment);
        let entries = [
            ("label", json!(o.labels.name)),
            ("labels", json!(self.classes.names)),
            ("n_scored", json!(a.truth.len())),
            ("min_cells", json!(o.min_cells)),
            ("unit", json!(a.units.name)),
            ("n_units", json!(a.units.len())),
            ("k", json!(o.k)),
            ("neighbours", json!("exact, Euclidean, training cells only")),
            ("logistic", json!("C 1, balanced, features scaled on training cells, L-BFGS to 1e-4")),
            ("logistic_beyond", json!("the same on what total counts, detected genes and principal components do not explain linearly, fitted on training cells")),
            ("strata", json!(o.strata.as_ref().map(|s| &s.name))),
            ("headline", json!(o.headline.id)),
            ("reading_folds", json!(format!("at most {READING_FOLDS}, of whole units"))),
            ("ontology", json!(o.terms.is_some())),
            ("protocol", json!(a.protocol)),
        ];
        choices.extend(entries.map(|(k, v)| (k.to_string(), v)));
    }
}

fn needs_scores(metric: &Metric) -> bool {
    matches!(metric.statistic, Statistic::AurocMacro | Statistic::AuprcMacro)
}
