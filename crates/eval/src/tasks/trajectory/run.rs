//! From representations to records.

use microtome_core::{Error, Matrix, Progress, Record, Result, Role};
use microtome_numerics::resample::{Units as Partition, grouped_k_fold};
use rayon::prelude::*;
use serde_json::json;

use super::readings::{Dpt, Learner, Supervised, dpt};
use super::root::roots;
use super::{Root, TASK, TrajectoryOptions};
use crate::assess::{
    Assessment, Nested, Prediction, Scored, add_mean_of_blocks, attempt, check_representations,
};
use crate::metrics::Metric;
use crate::protocol::nested::{FoldScores, Folds, mean_defined};
use crate::protocol::random::stream;
use crate::protocol::units::varies;
use crate::protocol::{Protocol, Units};
use crate::{Cells, Groups, Pseudotime, Representation, TaskOutcome};

/// Fewest cells that are worth scoring.
const MIN_CELLS: usize = 20;
/// Folds of units for held-out predictions of the supervised readings.
const READING_FOLDS: usize = 5;

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
    let mut notes = vec![];
    let scored = scored_cells(cells, options, &mut notes)?;
    let time: Vec<f64> = scored.iter().map(|&i| options.time[i]).collect();
    let units = Units::new(cells, &scored)?;

    let mut all = representations.to_vec();
    add_mean_of_blocks(&mut all)?;
    for control in [TASK.negative_control, TASK.positive_control] {
        all.extend(control.from_truth(&options.time, protocol.seed));
    }
    let (roots, root_words) = roots(options.root, &options.time, protocol.seed);
    notes.push(format!("roots: {root_words}"));

    let assessment = Assessment {
        task: &TASK,
        cells,
        representations: &all,
        units: &units,
        truth: &time,
        protocol,
        progress,
    };
    let trajectory = Trajectory { assessment, options, scored: &scored, roots: &roots };
    trajectory.run(notes, &root_words)
}

/// Rows whose time and unit are known.
fn scored_cells(cells: &Cells, options: &TrajectoryOptions, notes: &mut Vec<String>) -> Result<Vec<usize>> {
    let known_time = |i: &usize| !options.time[*i].is_nan();
    let known_unit = |i: &usize| cells.unit.as_ref().is_none_or(|u| u.codes[*i] != Groups::MISSING);
    let timed: Vec<usize> = (0..cells.n).filter(known_time).collect();
    let scored: Vec<usize> = timed.iter().copied().filter(known_unit).collect();
    let dropped = cells.n - timed.len();
    if dropped > 0 {
        notes.push(format!("{dropped} of {} cells have no {} and are not scored", cells.n, options.time_name));
    }
    if timed.len() > scored.len() {
        let unit = cells.unit.as_ref().map_or("unit", |u| u.name.as_str());
        notes.push(format!("{} cells have a time but no {unit} and are not scored", timed.len() - scored.len()));
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
        notes.push(format!("the root cell {root} has no {} itself", options.time_name));
    }
    Ok(scored)
}

struct Trajectory<'a> {
    assessment: Assessment<'a>,
    options: &'a TrajectoryOptions,
    /// Rows of the data set that are scored.
    scored: &'a [usize],
    roots: &'a [usize],
}

impl Trajectory<'_> {
    fn run(&self, mut notes: Vec<String>, root_words: &str) -> Result<TaskOutcome> {
        let a = &self.assessment;
        // Rows of missing time take part in the graph, not in the score.
        let matrices: Vec<Result<Matrix, String>> = a
            .representations
            .iter()
            .map(|r| r.defect().map_or_else(|| Ok(r.matrix.select_rows(self.scored)), Err))
            .collect();
        let dpts = self.each("diffusion pseudotime", |r| {
            let x = &a.representations[r];
            match x.defect() {
                Some(reason) => Ok(Err(reason)),
                None => attempt(dpt(&x.matrix, self.roots, self.options, a.protocol.seed)),
            }
        })?;
        let mut records = vec![];
        let mut outcome = TaskOutcome::default();
        let mut reading_words = json!({});
        for reading in ["dpt", "knn_time", "ridge_time"] {
            let supervised = match reading {
                "knn_time" => Some(Supervised::KnnTime),
                "ridge_time" => Some(Supervised::RidgeTime),
                _ => None,
            };
            let predictions = match supervised {
                None => dpts.iter().map(|d| self.dpt_prediction(d)).collect(),
                Some(s) => self.supervised(reading, s, &matrices)?,
            };
            for metric in TASK.metrics.iter().copied().filter(|m| m.reading == reading) {
                let scored = Scored::new(metric, a.truth, &predictions);
                if metric != self.options.headline {
                    records.extend(a.score_records(&scored)?);
                    continue;
                }
                let folds = Folds::new(a.units, a.truth, a.protocol);
                reading_words = json!(folds.as_ref().map_or_else(Clone::clone, |f| f.words.clone()));
                let nested = match (folds, supervised) {
                    (Err(reason), _) => Err(reason),
                    (Ok(folds), None) => Ok(scored.nested(a, folds)),
                    (Ok(folds), Some(s)) => Ok(self.refit(s, metric, folds, &matrices)?),
                };
                let headline = a.headline(&scored, &nested)?;
                outcome.choices.insert("null".into(), json!(headline.exchange));
                records.extend(headline.records);
                outcome.summaries = headline.summaries;
                outcome.unit_scores = headline.unit_scores;
            }
        }
        self.check_controls(&records, &mut notes);
        self.describe_dpt(&dpts, &mut notes);
        for summary in &mut outcome.summaries {
            summary.warnings.extend(notes.iter().cloned());
        }
        outcome.records = records;
        outcome.pseudotimes = self.pseudotimes(dpts);
        outcome.notes = notes;
        outcome.choices.insert("outer_folds".into(), reading_words);
        self.choices(&mut outcome.choices, root_words);
        Ok(outcome)
    }

    /// Calls `f` for every representation, several at a time.
    fn each<T: Send>(&self, stage: &str, f: impl Fn(usize) -> Result<T> + Sync) -> Result<Vec<T>> {
        let progress = self.assessment.progress;
        let n = self.assessment.representations.len();
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

    fn dpt_prediction(&self, dpt: &Result<Dpt, String>) -> Result<Prediction, String> {
        let d = dpt.as_ref().map_err(Clone::clone)?;
        let values: Vec<f64> = self.scored.iter().map(|&i| d.pseudotime[i]).collect();
        let unreached = values.iter().filter(|v| v.is_infinite()).count();
        let remark = (unreached > 0).then(|| {
            format!(
                "{unreached} of {} cells are not connected to the roots (the graph has {} parts); they rank last, tied",
                values.len(),
                d.n_components
            )
        });
        Ok(Prediction { values, remark })
    }

    /// Held-out predictions of a supervised reading.
    fn supervised(
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
        let each_unit: Vec<u32> = (0..n_units as u32).collect();
        let mut random = stream(a.protocol.seed, "reading folds", 0);
        let folds = grouped_k_fold(&Partition::new(&each_unit), READING_FOLDS.min(n_units), &mut random)?;
        let folds: Vec<Vec<usize>> = folds.into_iter().map(|f| f.test).collect();
        self.each(stage, |r| {
            let x = match &matrices[r] {
                Err(reason) => return Ok(Err(reason.clone())),
                Ok(x) => x,
            };
            let values = attempt(self.learner(x).out_of_fold(reading, &folds))?;
            Ok(values.map(|values| Prediction { values, remark: None }))
        })
    }

    fn learner<'b>(&'b self, x: &'b Matrix) -> Learner<'b> {
        let a = &self.assessment;
        Learner { x, time: a.truth, units: a.units, k: self.options.k, seed: a.protocol.seed }
    }

    /// Fold scores of a supervised headline: fitted again for every outer and inner fold, so that no prediction
    /// that takes part in a choice has seen the time of the cells the choice is judged on.
    fn refit(
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
            let one = |split: &crate::protocol::nested::Split| -> Result<(f64, f64)> {
                let mut inner = vec![];
                for held_out in &split.inner {
                    let rest: Vec<usize> =
                        split.train.iter().copied().filter(|u| !held_out.contains(u)).collect();
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

    /// Says so when a control shows that the task cannot be trusted on these cells.
    fn check_controls(&self, records: &[Record], notes: &mut Vec<String>) {
        let headline = self.options.headline;
        let of = |id: &str| {
            records.iter().find(|r| r.model == id && r.metric == headline.id && r.split == "all")
        };
        let (positive, negative) = (TASK.positive_control, TASK.negative_control);
        match of(positive.id).and_then(|r| r.value) {
            Some(v) if v >= 0.8 => {}
            Some(v) => notes.push(format!(
                "the positive control ({}) reaches only {v:.2} in {}: these cells cannot show a good score",
                positive.words, headline.id
            )),
            None => notes.push(format!("the positive control ({}) has no score", positive.words)),
        }
        if let Some((p, v)) = of(negative.id).and_then(|r| r.p.zip(r.value))
            && p < 0.01
        {
            notes.push(format!(
                "the negative control ({}) scores {v:.2} in {} (p = {p:.4}): the score rises without any information",
                negative.words, headline.id
            ));
        }
    }

    /// How much the score depends on the root, over representations of models and baselines.
    fn describe_dpt(&self, dpts: &[Result<Dpt, String>], notes: &mut Vec<String>) {
        if self.roots.len() < 2 {
            return;
        }
        let a = &self.assessment;
        let mut widest = 0.0f64;
        for (r, d) in a.representations.iter().zip(dpts).filter(|(r, _)| r.role != Role::Control) {
            let Ok(d) = d else { continue };
            let mut scores: Vec<f64> = d
                .by_root
                .iter()
                .map(|p| {
                    let values: Vec<f64> = self.scored.iter().map(|&i| p[i]).collect();
                    crate::metrics::DPT_SPEARMAN.statistic.score(a.truth, &values)
                })
                .filter(|s| s.is_finite())
                .collect();
            scores.sort_by(f64::total_cmp);
            if let (Some(low), Some(high)) = (scores.first(), scores.last()) {
                widest = widest.max(high - low);
                if high - low > 0.2 {
                    notes.push(format!(
                        "the score of {} {} depends on the root: {low:.2} to {high:.2} over {} roots",
                        r.model,
                        r.label(),
                        scores.len()
                    ));
                }
            }
        }
        notes.push(format!("over single roots a dpt score varies by at most {widest:.2}"));
    }

    fn pseudotimes(&self, dpts: Vec<Result<Dpt, String>>) -> Vec<Pseudotime> {
        let with = self.assessment.representations.iter().zip(dpts);
        with.filter_map(|(r, d)| {
            Some(Pseudotime {
                model: r.model.clone(),
                site: r.site.as_ref().map(ToString::to_string),
                pooling: r.pooling.clone(),
                values: d.ok()?.pseudotime,
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
            ("n_comps", json!(o.n_comps)),
            ("n_dcs", json!(o.n_dcs)),
            ("headline", json!(o.headline.id)),
            ("reading_folds", json!(READING_FOLDS.min(a.units.len()))),
            ("protocol", json!(a.protocol)),
        ];
        choices.extend(entries.map(|(k, v)| (k.to_string(), v)));
    }
}
