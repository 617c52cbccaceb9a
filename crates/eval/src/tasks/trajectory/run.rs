//! From representations to records.

use microtome_core::{Column, Error, Matrix, Progress, Result};
use serde_json::json;

use super::notes::ROOT_SPREAD;
use super::readings::{Dpt, Supervised, TimeLearner, dpt};
use super::root::roots;
use super::{Root, TASK, TrajectoryOptions};
use crate::assess::{
    Assessment, Interactions, MaybeLearner, Notes, Prediction, READING_FOLDS, Scored, add_mean_of_blocks, attempt, check_representations,
};
use crate::metrics::{self, Statistic};
use crate::protocol::nested::Folds;
use crate::protocol::units::varies;
use crate::protocol::{Protocol, Units};
use crate::{CellColumn, Cells, Groups, Representation, TaskOutcome};

/// The penalty of ridge needs two training units besides the one that is predicted.
pub(super) const MIN_UNITS_LEARNED: usize = 3;
/// What the positive control must reach.
const CEILING: f64 = 0.8;
/// Fewest cells that are worth scoring.
const MIN_CELLS: usize = 20;

/// Runs the task on all representations.
///
/// The two controls that test the task itself (noise, and the noisy truth) and the mean of all blocks of every
/// model are added to what is given. Records come in the order of the metrics of [`TASK`], representations in the
/// order given.
///
/// # Errors
/// When options, cells and representations do not fit together, when no baseline is among the representations,
/// when fewer than 20 cells can be scored or time does not vary among them, or when the user stops. What goes wrong
/// on one representation alone becomes the `reason` of its records.
pub fn run(
    cells: &Cells,
    representations: &[Representation],
    options: &TrajectoryOptions,
    protocol: &Protocol,
    progress: &dyn Progress,
) -> Result<TaskOutcome> {
    protocol.check()?;
    options.check(cells)?;
    check_representations(representations, cells.n)?;
    let mut notes = Notes::default();
    let scored = scored_cells(cells, options, &mut notes)?;
    let time: Vec<f64> = scored.iter().map(|&i| options.time[i]).collect();
    let units = Units::new(cells, &scored)?;

    let mut all = representations.to_vec();
    add_mean_of_blocks(&mut all)?;
    for control in [TASK.negative_control, TASK.positive_control] {
        all.extend(control.from_truth(&options.time, protocol.seed));
    }
    let (roots, root_words) = roots(options.root, &options.time, protocol.seed);
    notes.all.push(format!("roots: {root_words}"));

    let assessment = Assessment {
        task: &TASK,
        cells,
        representations: &all,
        units: &units,
        truth_name: "time",
        truth: &time,
        protocol,
        progress,
    };
    let trajectory = Trajectory { assessment, options, scored: &scored, roots: &roots };
    trajectory.run(notes, &root_words)
}

/// Rows whose time and unit are known.
pub(super) fn scored_cells(cells: &Cells, options: &TrajectoryOptions, notes: &mut Notes) -> Result<Vec<usize>> {
    let known_time = |i: &usize| !options.time[*i].is_nan();
    let known_unit = |i: &usize| cells.unit.as_ref().is_none_or(|u| u.codes[*i] != Groups::MISSING);
    let timed: Vec<usize> = (0..cells.n).filter(known_time).collect();
    let scored: Vec<usize> = timed.iter().copied().filter(known_unit).collect();
    let dropped = cells.n - timed.len();
    if dropped > 0 {
        notes.warn(format!("{dropped} of {} cells have no {} and are not scored", cells.n, options.time_name));
    }
    if timed.len() > scored.len() {
        let unit = cells.unit.as_ref().map_or("unit", |u| u.name.as_str());
        notes.warn(format!("{} cells have a time but no {unit} and are not scored", timed.len() - scored.len()));
    }
    if scored.len() < MIN_CELLS || !varies(&options.time, &scored) {
        return Err(Error::mismatch("time cannot be scored on these cells")
            .at_key(options.time_name.clone())
            .expected(format!("at least {MIN_CELLS} cells with a time, and at least two different times"))
            .found(format!("{} cells with a time and a unit", scored.len()))
            .remedy("name another column with the time, or another unit"));
    }
    if let Root::Cell(root) = options.root
        && options.time[root].is_nan()
    {
        notes.warn(format!("the root cell {root} has no {} itself", options.time_name));
    }
    Ok(scored)
}

/// The task on one data set.
pub(super) struct Trajectory<'a> {
    pub(super) assessment: Assessment<'a>,
    pub(super) options: &'a TrajectoryOptions,
    /// Rows of the data set that are scored.
    pub(super) scored: &'a [usize],
    /// Rows of the data set at which pseudotime starts.
    pub(super) roots: &'a [usize],
}

impl Trajectory<'_> {
    fn run(&self, mut notes: Notes, root_words: &str) -> Result<TaskOutcome> {
        let a = &self.assessment;
        // Rows of missing time take part in the graph, not in the score.
        let matrices: Vec<Result<Matrix, String>> = a
            .representations
            .iter()
            .map(|r| r.defect().map_or_else(|| Ok(r.matrix.select_rows(self.scored)), Err))
            .collect();
        let dpts = a.each("diffusion pseudotime", |r| {
            let x = &a.representations[r];
            match x.defect() {
                Some(reason) => Ok(Err(reason)),
                None => attempt(dpt(&x.matrix, self.roots, self.options, a.protocol.seed)),
            }
        })?;
        let mut records = vec![];
        let mut outcome = TaskOutcome::default();
        let mut reading_words = json!({});
        let mut interactions = Interactions::default();
        for reading in ["dpt", "shortest_path", "palantir", "knn_time", "ridge_time"] {
            let supervised = match reading {
                "knn_time" => Some(Supervised::KnnTime),
                "ridge_time" => Some(Supervised::RidgeTime),
                _ => None,
            };
            let predictions = match supervised {
                None if reading == "dpt" => dpts.iter().map(|d| self.dpt_prediction(d)).collect(),
                None => self.geometric(reading)?,
                Some(s) => a.held_out(reading, MIN_UNITS_LEARNED, |r| Ok(self.learner(s, &matrices[r])))?,
            };
            for metric in TASK.metrics.iter().copied().filter(|m| m.reading == reading) {
                let scored = if metric == &metrics::DPT_PARTIAL {
                    self.partial(&predictions)
                } else {
                    Scored::new(metric, a.truth, &predictions)
                };
                if metric != self.options.headline {
                    records.extend(a.score_records(&scored)?);
                    continue;
                }
                let folds = Folds::new(a.units, a.truth, a.protocol);
                reading_words = json!(folds.as_ref().map_or_else(Clone::clone, |f| f.words.clone()));
                let nested = match (folds, supervised) {
                    (Err(reason), _) => Err(reason),
                    (Ok(folds), None) => Ok(scored.nested(a, folds)),
                    (Ok(folds), Some(s)) => Ok(a.refit(folds, |r| Ok(self.learner(s, &matrices[r])), a.against(metric))?),
                };
                let headline = match supervised {
                    None => a.headline(&scored, &nested)?,
                    Some(s) => {
                        let half = a.half(|r| Ok(self.learner(s, &matrices[r])))?;
                        let tested = half.as_ref().map(|h| (h, Scored::new(metric, &h.truth, &h.predictions)));
                        a.learned_headline(&scored, &nested, tested.as_ref().map(|(h, scored)| (*h, scored)))?
                    }
                };
                outcome.choices.insert("null".into(), json!(headline.exchange));
                records.extend(headline.records);
                outcome.summaries = headline.summaries;
                outcome.unit_scores = headline.unit_scores;
                if let Some(strata) = &self.options.strata {
                    // The partial score is of the same pseudotime; strata are compared without covariates.
                    interactions = a.strata(strata, self.scored, metric, &predictions, &|used| {
                        let statistic = if metric == &metrics::DPT_PARTIAL { Statistic::Spearman } else { metric.statistic };
                        statistic.set(a.truth, used)
                    })?;
                }
            }
        }
        records.extend(self.reliabilities(&records)?);
        a.check_controls(self.options.headline, CEILING, &records, &mut notes);
        self.describe_roots(&dpts, &mut notes);
        for summary in &mut outcome.summaries {
            summary.warnings.extend(notes.warnings.iter().cloned());
        }
        outcome.records = records;
        interactions.add_to(&mut outcome);
        outcome.columns = self.pseudotimes(dpts);
        outcome.notes = notes.all;
        outcome.choices.insert("outer_folds".into(), reading_words);
        self.choices(&mut outcome.choices, root_words);
        Ok(outcome)
    }

    /// The reading of one representation; `matrices` hold the scored cells.
    fn learner<'b>(&'b self, reading: Supervised, matrix: &'b Result<Matrix, String>) -> MaybeLearner<'b> {
        let x = matrix.as_ref().map_err(Clone::clone)?;
        let a = &self.assessment;
        let (k, seed) = (self.options.k, a.protocol.seed);
        Ok(Box::new(TimeLearner { reading, x, time: a.truth, units: a.units, k, seed }))
    }

    fn dpt_prediction(&self, dpt: &Result<Dpt, String>) -> Result<Prediction, String> {
        let d = dpt.as_ref().map_err(Clone::clone)?;
        let values: Vec<f64> = self.scored.iter().map(|&i| d.pseudotime[i]).collect();
        let unreached = values.iter().filter(|v| v.is_infinite()).count();
        let mut remarks = vec![];
        if unreached > 0 {
            remarks.push(format!(
                "{unreached} of {} cells are not connected to the roots (the graph has {} parts); they rank last, tied",
                values.len(),
                d.n_components
            ));
        }
        if let Some((low, high)) = self.root_spread(d).filter(|(low, high)| high - low > ROOT_SPREAD) {
            let n = self.roots.len();
            remarks.push(format!("depends on the root: {low:.2} to {high:.2} over {n} single roots"));
        }
        let remark = (!remarks.is_empty()).then(|| remarks.join("; "));
        Ok(Prediction { values, remark })
    }

    fn pseudotimes(&self, dpts: Vec<Result<Dpt, String>>) -> Vec<CellColumn> {
        let with = self.assessment.representations.iter().zip(dpts);
        with.filter_map(|(r, d)| {
            Some(CellColumn {
                model: r.model.clone(),
                site: r.site.as_ref().map(ToString::to_string),
                pooling: r.pooling.clone(),
                id: "pseudotime",
                words: "diffusion pseudotime",
                values: Column::Float(d.ok()?.pseudotime),
            })
        })
        .collect()
    }

    fn choices(&self, choices: &mut serde_json::Map<String, serde_json::Value>, root_words: &str) {
        let (o, a) = (self.options, &self.assessment);
        let entries = [
            ("time", json!(o.time_name)),
            ("n_scored", json!(self.scored.len())),
            ("unit", json!(a.units.name)),
            ("n_units", json!(a.units.len())),
            ("root", json!(root_words)),
            ("root_cells", json!(self.roots)),
            ("k", json!(o.k)),
            ("neighbours", json!("exact, Euclidean, the cell itself not counted")),
            ("graph_weights", json!(o.weights)),
            ("strata", json!(o.strata.as_ref().map(|s| &s.name))),
            ("n_comps", json!(o.n_comps)),
            ("n_dcs", json!(o.n_dcs)),
            ("headline", json!(o.headline.id)),
            ("reading_folds", json!(format!("at most {READING_FOLDS}, of whole units, balanced by time"))),
            ("protocol", json!(a.protocol)),
        ];
        choices.extend(entries.map(|(k, v)| (k.to_string(), v)));
    }
}
