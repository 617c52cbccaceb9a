//! From representations to records.

use microtome_core::{Column, Error, Progress, Result};
use serde_json::json;

use super::clonal::ClonalCells;
use super::judge::{Asked, Question};
use super::notes::ROOT_SPREAD;
use super::readings::{Dpt, READINGS, Supervised, dpt};
use super::root::roots;
use super::{Root, TASK, TrajectoryOptions, is_clonal};
use crate::assess::{
    Assessment, Interactions, Notes, Prediction, READING_FOLDS, attempt, rows_of, with_controls,
};
use crate::metrics::{self, ClonalSet, PartialSet, Statistic};
use crate::protocol::units::varies;
use crate::protocol::{Protocol, ScoreSet, Units};
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
    let all = with_controls(&TASK, representations, &options.time, protocol.seed)?;
    let mut notes = Notes::default();
    let scored = scored_cells(cells, options, &mut notes)?;
    let time: Vec<f64> = scored.iter().map(|&i| options.time[i]).collect();
    let units = Units::new(cells, &scored)?;
    let clonal = ClonalCells::new(cells, options, &scored, &mut notes)?;
    let (roots, root_words) = roots(options.root, &options.time, protocol.seed);
    notes.all.push(format!("roots: {root_words}"));

    let ask = |cells, units, truth, rows| Asked {
        assessment: Assessment {
            task: &TASK,
            cells,
            representations: &all,
            units,
            truth_name: "time",
            truth,
            protocol,
            progress,
        },
        matrices: rows_of(&all, rows),
        rows,
    };
    // Rows of missing time take part in the graph, not in the score.
    let asked = ask(cells, &units, &time, &scored);
    let clonal = clonal.as_ref().map(|c| (c, ask(&c.cells, &c.units, &c.time, &c.rows)));
    Trajectory { asked, clonal, options, scored: &scored, roots: &roots }.run(notes, &root_words)
}

/// These values of `of`.
fn pick(of: &[f64], at: &[usize]) -> Vec<f64> {
    at.iter().map(|&i| of[i]).collect()
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
    /// The scored cells.
    pub(super) asked: Asked<'a>,
    /// Those of clones that were seen at several times, where clones are given.
    clonal: Option<(&'a ClonalCells, Asked<'a>)>,
    pub(super) options: &'a TrajectoryOptions,
    /// Rows of the data set that are scored.
    pub(super) scored: &'a [usize],
    /// Rows of the data set at which pseudotime starts.
    pub(super) roots: &'a [usize],
}

impl Trajectory<'_> {
    fn run(&self, mut notes: Notes, root_words: &str) -> Result<TaskOutcome> {
        let a = &self.asked.assessment;
        let dpts = a.each("diffusion pseudotime", |r| {
            let x = &a.representations[r];
            match x.defect() {
                Some(reason) => Ok(Err(reason)),
                None => attempt(dpt(&x.matrix, self.roots, self.options, a.protocol.seed)),
            }
        })?;
        let mut outcome = TaskOutcome::default();
        let mut interactions = Interactions::default();
        for (reading, supervised) in READINGS {
            let predictions = self.asked.predictions(self, reading, supervised, || match reading {
                "dpt" => Ok(dpts.iter().map(|d| self.dpt_prediction(d)).collect()),
                _ => self.geometric(reading),
            })?;
            for metric in TASK.metrics.iter().copied().filter(|m| m.reading == reading && !is_clonal(m)) {
                let set = |cells: &[usize], used: &[&[f64]]| metric.statistic.set(&pick(a.truth, cells), used);
                let plain =
                    Question { metric, supervised, predictions: &predictions, set: &set, set_of_strata: &set };
                let found = if metric == &metrics::DPT_PARTIAL {
                    let (others, covariates) = self.beyond(&predictions);
                    let set = |cells: &[usize], used: &[&[f64]]| -> Box<dyn ScoreSet> {
                        let given: Vec<Vec<f64>> = covariates.iter().map(|c| pick(c, cells)).collect();
                        let given: Vec<&[f64]> = given.iter().map(Vec::as_slice).collect();
                        Box::new(PartialSet::new(&pick(a.truth, cells), used, &given))
                    };
                    // The partial score is of the same pseudotime; strata are compared without covariates.
                    let spearman =
                        |cells: &[usize], used: &[&[f64]]| Statistic::Spearman.set(&pick(a.truth, cells), used);
                    let q = Question { predictions: &others, set: &set, set_of_strata: &spearman, ..plain };
                    self.asked.judge(self, &q, &mut outcome)?
                } else {
                    self.asked.judge(self, &plain, &mut outcome)?
                };
                interactions.extend(found);
            }
            interactions.extend(self.clonal_order(reading, supervised, &predictions, &mut outcome)?);
        }
        let reliabilities = self.reliabilities(&outcome.records)?;
        outcome.records.extend(reliabilities);
        a.check_controls(self.options.headline, CEILING, &outcome.records, &mut notes);
        self.describe_roots(&dpts, &mut notes);
        for summary in &mut outcome.summaries {
            summary.warnings.extend(notes.warnings.iter().cloned());
        }
        interactions.add_to(&mut outcome);
        outcome.columns = self.pseudotimes(dpts);
        let field = self.field()?;
        outcome.tables.extend(self.field_table(&field, &outcome.summaries));
        outcome.records.extend(a.field_records(&field));
        outcome.notes = notes.all;
        self.choices(&mut outcome.choices, root_words);
        Ok(outcome)
    }

    /// The same reading asked for the order within clones. Readings that learn do so without the clones they are asked of.
    fn clonal_order(
        &self,
        reading: &str,
        supervised: Option<Supervised>,
        predictions: &[Result<Prediction, String>],
        outcome: &mut TaskOutcome,
    ) -> Result<Interactions> {
        let asked_for = TASK.metrics.iter().copied().find(|m| m.reading == reading && is_clonal(m));
        let (Some((cells, asked)), Some(metric)) = (&self.clonal, asked_for) else {
            return Ok(Interactions::default());
        };
        let predictions = asked.predictions(self, reading, supervised, || {
            let of = |p: &Prediction| Prediction {
                values: pick(&p.values, &cells.places),
                remark: p.remark.clone(),
            };
            Ok(predictions.iter().map(|p| p.as_ref().map(of).map_err(Clone::clone)).collect())
        })?;
        let set = |at: &[usize], used: &[&[f64]]| -> Box<dyn ScoreSet> {
            let clones: Vec<usize> = at.iter().map(|&c| cells.clone_of[c]).collect();
            Box::new(ClonalSet::new(&clones, &pick(&cells.time, at), used))
        };
        let q = Question { metric, supervised, predictions: &predictions, set: &set, set_of_strata: &set };
        asked.judge(self, &q, outcome)
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
        let with = self.asked.assessment.representations.iter().zip(dpts);
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
        let (o, a) = (self.options, &self.asked.assessment);
        let entries = [
            ("time", json!(o.time_name)),
            ("n_scored", json!(self.scored.len())),
            ("unit", json!(a.units.name)),
            ("n_units", json!(a.units.len())),
            ("root", json!(root_words)),
            ("root_cells", json!(self.roots)),
            ("k", json!(o.k)),
            ("neighbours", json!("exact, Euclidean; k counts the cell itself in the graph, as scanpy's n_neighbors does")),
            ("graph_weights", json!(o.weights)),
            ("strata", json!(o.strata.as_ref().map(|s| &s.name))),
            ("clone", json!(o.clones.as_ref().map(|c| &c.name))),
            ("n_comps", json!(o.n_comps)),
            ("n_dcs", json!(o.n_dcs)),
            ("headline", json!(o.headline.id)),
            ("reading_folds", json!(format!("at most {READING_FOLDS}, of whole units, balanced by time"))),
            ("protocol", json!(a.protocol)),
        ];
        choices.extend(entries.map(|(k, v)| (k.to_string(), v)));
    }
}
