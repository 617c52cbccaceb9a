//! From representations to records.

use std::sync::Arc;

use microtome_core::{Error, Matrix, Progress, Result};
use microtome_numerics::{Metric as Distance, exact_knn};
use serde_json::json;

use super::mixing::{Groups as Mixing, Share, ShareSet};
use super::{IntegrationOptions, TASK};
use crate::assess::{
    Assessment, Covariates, Explained, Interactions, Notes, Prediction, Scored, attempt, rows_of, with_controls,
};
use crate::protocol::nested::Folds;
use crate::protocol::{Protocol, ScoreSet, Units};
use crate::{Cells, Groups, Representation, TaskOutcome};

/// What the positive control must reach; perfect mixing stays below 1 because chance makes neighbourhoods uneven.
const CEILING: f64 = 0.8;
/// Fewest cells that are worth scoring.
const MIN_CELLS: usize = 20;

/// Runs the task on all representations.
///
/// The two controls that test the task itself (noise, and the noisy types) and the mean of all blocks of every model are
/// added to what is given. Records of the headline and its halves come first, then those of the metrics of the field.
///
/// # Errors
/// When options, cells and representations do not fit together, when no baseline is among the representations, when
/// there are fewer than 20 cells, two labels or two batches, or when no label is in two batches, or when the user stops.
/// What goes wrong on one representation alone becomes the `reason` of its records.
pub fn run(
    cells: &Cells,
    representations: &[Representation],
    options: &IntegrationOptions,
    protocol: &Protocol,
    progress: &dyn Progress,
) -> Result<TaskOutcome> {
    protocol.check()?;
    options.check(cells)?;
    let mut notes = Notes::default();
    let (labels, batches) = (&options.labels, &options.batches);
    let known = |i: &usize| {
        let unit = cells.unit.as_ref().is_none_or(|u| u.codes[*i] != Groups::MISSING);
        unit && labels.codes[*i] != Groups::MISSING && batches.codes[*i] != Groups::MISSING
    };
    let scored: Vec<usize> = (0..cells.n).filter(known).collect();
    if scored.len() < cells.n {
        let unit = cells.unit.as_ref().map_or(String::new(), |u| format!(", {}", u.name));
        notes.warn(format!(
            "{} of {} cells lack {}, {}{unit} and are not scored",
            cells.n - scored.len(),
            cells.n,
            labels.name,
            batches.name
        ));
    }
    let codes = |g: &Groups| scored.iter().map(|&i| g.codes[i] as usize).collect::<Vec<_>>();
    let groups = Mixing::new(codes(labels), codes(batches), labels.names.len(), batches.names.len());
    check_groups(options, &groups, &scored)?;
    // Label and batch move together under the null, and a fold must hold more than one pair of them.
    let pair = |&i: &usize| {
        (labels.codes[i] as usize * batches.names.len() + batches.codes[i] as usize) as f64
    };
    let truth: Vec<f64> = scored.iter().map(pair).collect();
    let units = Units::new(cells, &scored)?;
    let mut label_of_all = vec![f64::NAN; cells.n];
    scored.iter().for_each(|&i| label_of_all[i] = f64::from(labels.codes[i]));
    let all = with_controls(&TASK, representations, &label_of_all, protocol.seed)?;
    let assessment = Assessment {
        task: &TASK,
        cells,
        representations: &all,
        units: &units,
        truth_name: "labels and batches",
        truth: &truth,
        protocol,
        progress,
    };
    Integrated { assessment, options, scored: &scored, groups: Arc::new(groups) }.run(notes)
}

fn check_groups(options: &IntegrationOptions, groups: &Mixing, scored: &[usize]) -> Result<()> {
    let n = |codes: &mut dyn Iterator<Item = u32>| {
        let mut seen: Vec<u32> = codes.collect();
        seen.sort_unstable();
        seen.dedup();
        seen.len()
    };
    let n_labels = n(&mut scored.iter().map(|&i| options.labels.codes[i]));
    let n_batches = n(&mut scored.iter().map(|&i| options.batches.codes[i]));
    let bad = |found: String| {
        Err(Error::mismatch("integration cannot be scored on these cells")
            .at_key(format!("{}, {}", options.labels.name, options.batches.name))
            .expected(format!("at least {MIN_CELLS} cells, two labels, two batches, and a label that is in two batches"))
            .found(found)
            .remedy("name another column of labels or batches"))
    };
    if scored.len() < MIN_CELLS || n_labels < 2 || n_batches < 2 {
        return bad(format!("{} cells, {n_labels} labels, {n_batches} batches", scored.len()));
    }
    if !groups.any_shared() {
        return bad("every label is in one batch only: batch and label cannot be told apart".into());
    }
    Ok(())
}

/// The task on one data set.
pub(super) struct Integrated<'a> {
    pub(super) assessment: Assessment<'a>,
    pub(super) options: &'a IntegrationOptions,
    /// Rows of the data set that are scored.
    pub(super) scored: &'a [usize],
    groups: Arc<Mixing>,
}

impl Integrated<'_> {
    fn run(&self, mut notes: Notes) -> Result<TaskOutcome> {
        let a = &self.assessment;
        let matrices = rows_of(a.representations, self.scored);
        let k = self.options.k.min(self.scored.len() - 1);
        let near = |x: &Matrix| -> Result<Prediction> {
            let found = exact_knn(x, k, Distance::Euclidean)?.indices;
            Ok(Prediction { values: found.into_iter().map(f64::from).collect(), remark: None })
        };
        let neighbours = a.each("neighbours", |r| match &matrices[r] {
            Err(reason) => Ok(Err(reason.clone())),
            Ok(x) => attempt(near(x)),
        })?;
        // No label takes part in the explanation, so all cells may.
        let covariates = Covariates::new(a.representations, self.scored);
        let neighbours_beyond = a.each("neighbours beyond expression", |r| {
            let given = covariates.as_ref().map_err(Clone::clone).and_then(|c| c.of(r));
            match (&matrices[r], given) {
                (Err(reason), _) => Ok(Err(reason.clone())),
                (_, Err(reason)) => Ok(Err(reason)),
                (Ok(x), Ok(given)) => {
                    attempt(Explained::fit(x, given).and_then(|e| e.remainder(x, given)).and_then(|x| near(&x)))
                }
            }
        })?;
        let mut outcome = TaskOutcome::default();
        let mut interactions = Interactions::default();
        for metric in TASK.metrics.iter().copied() {
            let share = match metric.id {
                "neighbour_labels" => Share::Label,
                "neighbour_batches" => Share::Batch,
                _ => Share::Mixed,
            };
            let set = |used: &[&[f64]]| -> Box<dyn ScoreSet> {
                Box::new(ShareSet::new(share, self.groups.clone(), k, used))
            };
            let predictions = if metric.reading == "neighbours" { &neighbours } else { &neighbours_beyond };
            let scored = Scored::with(metric, a.truth.len(), predictions, set);
            if metric != self.options.headline {
                outcome.records.extend(a.score_records(&scored)?);
                continue;
            }
            let folds = Folds::new(a.units, a.truth, a.protocol);
            let words = folds.as_ref().map_or_else(Clone::clone, |f| f.words.clone());
            outcome.choices.insert("outer_folds".into(), json!(words));
            let nested = folds.map(|f| scored.nested(a, f));
            let headline = a.headline(&scored, &nested)?;
            outcome.choices.insert("null".into(), json!(headline.exchange));
            outcome.records.extend(headline.records);
            outcome.summaries = headline.summaries;
            outcome.unit_scores = headline.unit_scores;
            if let Some(strata) = &self.options.strata {
                interactions = a.strata(strata, self.scored, metric, predictions, &set)?;
            }
        }
        interactions.add_to(&mut outcome);
        a.check_controls(self.options.headline, CEILING, &outcome.records, &mut notes);
        if self.options.field_metrics {
            let field = self.field(&matrices, &mut notes.all)?;
            outcome.tables.extend(self.field_table(&field, &outcome.summaries));
            outcome.records.extend(self.field_records(&field));
        }
        outcome.tables.extend(self.label_table(&self.groups));
        for summary in &mut outcome.summaries {
            summary.warnings.extend(notes.warnings.iter().cloned());
        }
        outcome.notes = notes.all;
        self.choices(&mut outcome.choices, k);
        Ok(outcome)
    }

    fn choices(&self, choices: &mut serde_json::Map<String, serde_json::Value>, k: usize) {
        let (o, a) = (self.options, &self.assessment);
        let entries = [
            ("label", json!(o.labels.name)),
            ("batch_key", json!(o.batches.name)),
            ("n_scored", json!(self.scored.len())),
            ("unit", json!(a.units.name)),
            ("n_units", json!(a.units.len())),
            ("k", json!(k)),
            ("neighbours", json!("exact, Euclidean, the cell itself not counted")),
            ("before", json!(o.before)),
            ("strata", json!(o.strata.as_ref().map(|s| &s.name))),
            ("headline", json!(o.headline.id)),
            ("protocol", json!(a.protocol)),
        ];
        choices.extend(entries.map(|(k, v)| (k.to_string(), v)));
    }
}
