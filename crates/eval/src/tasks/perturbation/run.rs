//! From representations to records.

use microtome_core::{Progress, Record, Result};
use serde_json::json;

use super::design::Design;
use super::readings::{Reading, halves, read};
use super::reference::Expression;
use super::sets::{Blocks, Pairs, RetrievalSet};
use super::truth::Truth;
use super::{PerturbationOptions, Reference, TASK, control, strata};
use crate::assess::{Assessment, Notes, Prediction, Scored, add_mean_of_blocks, attempt, check_representations};
use crate::metrics::{self, Metric, PartialSet, SpearmanSet};
use crate::protocol::nested::Folds;
use crate::protocol::{Protocol, ScoreSet, Units};
use crate::{Cells, Groups, Representation, TaskOutcome};

/// What the positive control must reach, as a share of what the reference's own reliability allows.
const CEILING: f64 = 0.8;

/// Perturbations that a fold should hold.
const FOLD: usize = 8;

type Predictions = Vec<Result<Prediction, String>>;

/// Runs the task on all representations. The independent unit is the perturbation, whatever unit `cells` names.
///
/// # Errors
/// When options, cells and representations do not fit together, when no baseline is among the representations, when
/// fewer than 4 perturbations can be compared, when the counts are not raw counts, or when the user stops. What goes
/// wrong on one representation alone becomes the `reason` of its records.
pub fn run(
    cells: &Cells,
    representations: &[Representation],
    options: &PerturbationOptions<'_>,
    protocol: &Protocol,
    progress: &dyn Progress,
) -> Result<TaskOutcome> {
    protocol.check()?;
    options.check(cells)?;
    check_representations(representations, cells.n)?;
    let mut notes = Notes::default();
    let design = Design::new(options, protocol.seed, &mut notes)?;
    let n = design.len();
    let expression = Expression::new(options, &design, protocol.seed)?;
    let truth = Truth::new(options, &design, &expression, protocol.seed, progress)?;
    describe(options, &design, &expression, &truth, &mut notes);

    let mut all = representations.to_vec();
    add_mean_of_blocks(&mut all)?;
    all.extend(TASK.negative_control.from_truth(&vec![0.0; cells.n], protocol.seed));
    let effect_rows = control::rows(&truth.effects, &design, cells.n)?;
    all.extend(TASK.positive_control.from_effects(&effect_rows, protocol.seed));

    let names = design.names.clone();
    let unit = Groups::new(options.perturbation.name.clone(), names, (0..n as u32).collect())?;
    let perturbations =
        Cells { noun: "perturbation", ..Cells::new(cells.dataset.clone(), n) }.with_unit(unit)?;
    let units = Units::new(&perturbations, &(0..n).collect::<Vec<_>>())?;
    // Folds hold weak and strong perturbations alike.
    let strength = truth.strength(n);
    let assessment = Assessment {
        task: &TASK,
        cells: &perturbations,
        representations: &all,
        units: &units,
        truth_name: "reference effects",
        truth: &strength,
        protocol,
        progress,
    };
    Run { assessment: &assessment, options, design: &design, expression: &expression, truth: &truth }.run(notes)
}

fn describe(
    o: &PerturbationOptions<'_>,
    design: &Design,
    expression: &Expression<'_>,
    truth: &Truth,
    notes: &mut Notes,
) {
    notes.all.push(format!(
        "reference: {} over {} genes, {} of {} targets among them and set to no change",
        o.reference.words(),
        expression.n_genes(),
        expression.n_known_targets(),
        design.len()
    ));
    if o.reference == Reference::PseudobulkNb && o.unit.is_none() {
        notes.warn(
            "no guide or replicate was named: pseudobulks are random parts of the same cells, which shows less \
             variation than replicates would"
                .into(),
        );
    }
    let weak = truth.n_changed.iter().filter(|c| **c < 10.0).count();
    notes.all.push(format!("{weak} of {} perturbations change fewer than 10 genes at a false discovery rate of 5%", design.len()));
    match truth.ceiling {
        Some(r) if r > 0.0 => notes.all.push(format!(
            "ceiling: the reference of one half agrees with that of the other at {r:.2}, so that a perfect representation \
             of noisy cells reaches about {:.2}",
            r.sqrt()
        )),
        _ => notes.warn("the reference effects of both halves do not agree at all: there is nothing to recover".into()),
    }
}

/// The protocol with folds large enough for scores over pairs, whose number falls with the square of a fold.
fn folding(protocol: &Protocol, n: usize) -> Protocol {
    let n_outer = (n / FOLD).clamp(2, protocol.n_outer.max(2));
    let n_inner = ((n - n / n_outer) / FOLD).clamp(2, protocol.n_inner.max(2));
    Protocol { n_outer, n_inner, ..protocol.clone() }
}

/// The task on one design.
pub(super) struct Run<'a> {
    pub(super) assessment: &'a Assessment<'a>,
    pub(super) options: &'a PerturbationOptions<'a>,
    pub(super) design: &'a Design,
    pub(super) expression: &'a Expression<'a>,
    pub(super) truth: &'a Truth,
}

impl Run<'_> {
    fn run(&self, mut notes: Notes) -> Result<TaskOutcome> {
        let a = self.assessment;
        let readings: Vec<Result<Reading, String>> = a.each("effects of perturbations", |r| {
            let x = &a.representations[r];
            match x.defect() {
                Some(reason) => Ok(Err(reason)),
                None => attempt(read(&x.matrix, self.design, a.protocol.seed)),
            }
        })?;
        let mut outcome = TaskOutcome::default();
        let mut records = vec![];
        let folds = Folds::new(a.units, a.truth, &folding(a.protocol, self.design.len()));
        for metric in TASK.metrics.iter().copied() {
            let scored = self.scored(metric, &readings);
            if metric != self.options.headline {
                records.extend(a.score_records(&scored)?);
                continue;
            }
            outcome.choices.insert(
                "outer_folds".into(),
                json!(folds.as_ref().map_or_else(Clone::clone, |f| f.words.clone())),
            );
            let nested = folds.clone().map(|f| scored.nested(a, f));
            let headline = a.headline(&scored, &nested)?;
            outcome.choices.insert("null".into(), json!(headline.exchange));
            records.extend(headline.records);
            outcome.summaries = headline.summaries;
            outcome.unit_scores = headline.unit_scores.into_iter().filter(|u| u.value.is_some()).collect();
            records.extend(self.matched_null(&scored, &mut outcome)?);
        }
        records.extend(self.reliabilities(&readings, &records));
        let best = if self.options.headline == &metrics::RETRIEVAL_PDS { 1.0 } else { self.truth.ceiling.map_or(1.0, |c| c.max(0.0).sqrt()) };
        a.check_controls(self.options.headline, CEILING * best, &records, &mut notes);
        // Scores are over perturbations; the cells behind them are more.
        records.iter_mut().for_each(|r| r.n_cells = Some(self.design.n_cells()));
        for summary in &mut outcome.summaries {
            summary.n_cells = self.design.n_cells();
            summary.warnings.extend(notes.warnings.iter().cloned());
        }
        outcome.records = records;
        outcome.notes = notes.all;
        if let Some(groups) = &self.options.strata {
            strata::interactions(a, self.options, groups, self.options.headline)?.add_to(&mut outcome);
        }
        self.choices(&mut outcome.choices);
        Ok(outcome)
    }

    /// Every value of one reading as a prediction.
    fn predictions(&self, readings: &[Result<Reading, String>], of: impl Fn(&Reading) -> &Vec<f64>) -> Predictions {
        let one = |r: &Result<Reading, String>| {
            let values = of(r.as_ref().map_err(Clone::clone)?).clone();
            if values.iter().any(|v| v.is_nan()) {
                return Err("too few cells of a perturbation".to_string());
            }
            Ok(Prediction { values, remark: None })
        };
        readings.iter().map(one).collect()
    }

    /// Scores of all representations in one metric.
    pub(super) fn scored(&self, metric: &'static Metric, readings: &[Result<Reading, String>]) -> Scored {
        let n = self.design.len();
        let n_pairs = n * (n - 1) / 2;
        // Reference of one half against the representation of the other.
        let other = |b: usize| b ^ 1;
        let block = |v: &[f64], b: usize| v[b * n_pairs..(b + 1) * n_pairs].to_vec();
        let n_blocks = 2 * self.design.splits.len();
        if metric == &metrics::RSA_SPEARMAN {
            let predictions = self.predictions(readings, |r| &r.pairs);
            return Scored::with(metric, n, &predictions, |used| {
                let of = |b: usize| {
                    let mine: Vec<Vec<f64>> = used.iter().map(|v| block(v, other(b))).collect();
                    let mine: Vec<&[f64]> = mine.iter().map(Vec::as_slice).collect();
                    Pairs(SpearmanSet::new(&block(&self.truth.reference, b), &mine))
                };
                Box::new(Blocks((0..n_blocks).map(of).collect()))
            });
        }
        if metric == &metrics::RSA_PARTIAL {
            let covariates = [halves(self.expression.log(), self.design), self.depth_pairs(n_blocks)];
            let predictions = self.predictions(readings, |r| &r.pairs);
            return Scored::with(metric, n, &predictions, |used| {
                let of = |b: usize| {
                    let mine: Vec<Vec<f64>> = used.iter().map(|v| block(v, other(b))).collect();
                    let given: Vec<Vec<f64>> = covariates.iter().map(|v| block(v, other(b))).collect();
                    Pairs(PartialSet::new(
                        &block(&self.truth.reference, b),
                        &mine.iter().map(Vec::as_slice).collect::<Vec<_>>(),
                        &given.iter().map(Vec::as_slice).collect::<Vec<_>>(),
                    ))
                };
                Box::new(Blocks((0..n_blocks).map(of).collect()))
            });
        }
        if metric == &metrics::RSA_AS_PUBLISHED {
            let predictions = self.predictions(readings, |r| &r.published);
            return Scored::with(metric, n, &predictions, |used| Box::new(Pairs(SpearmanSet::new(&self.truth.published, used))));
        }
        if metric == &metrics::RETRIEVAL_PDS {
            let predictions = self.predictions(readings, |r| &r.retrieval);
            return Scored::with(metric, n, &predictions, |used| Box::new(RetrievalSet::new(n, used)));
        }
        let predictions = if metric == &metrics::ENERGY_SPEARMAN {
            self.predictions(readings, |r| &r.energy)
        } else {
            self.predictions(readings, |r| &r.magnitude)
        };
        Scored::with(metric, n, &predictions, |used| -> Box<dyn ScoreSet> {
            Box::new(SpearmanSet::new(&self.truth.n_changed, used))
        })
    }

    /// How alike perturbations are in depth: minus the difference of mean log total counts, the same in every half.
    fn depth_pairs(&self, n_blocks: usize) -> Vec<f64> {
        let depth: Vec<f64> = self
            .design
            .cells
            .iter()
            .map(|c| c.iter().map(|&i| self.options.counts.total(i).ln_1p()).sum::<f64>() / c.len() as f64)
            .collect();
        let n = depth.len();
        let pairs: Vec<f64> =
            (0..n).flat_map(|p| (p + 1..n).map(move |q| (p, q))).map(|(p, q)| -(depth[p] - depth[q]).abs()).collect();
        std::iter::repeat_n(pairs, n_blocks).flatten().collect()
    }

    /// Split-half reliability of every representation, and its score divided by what both reliabilities allow.
    fn reliabilities(&self, readings: &[Result<Reading, String>], records: &[Record]) -> Vec<Record> {
        let mut out = vec![];
        let score = |like: &Record| {
            let same = |r: &&Record| {
                r.metric == metrics::RSA_SPEARMAN.id
                    && r.split == "all"
                    && (&r.model, &r.site, &r.pooling) == (&like.model, &like.site, &like.pooling)
            };
            records.iter().find(same).and_then(|r| r.value)
        };
        for (r, reading) in readings.iter().enumerate() {
            let own = reading.as_ref().ok().and_then(|r| r.reliability);
            let mut record = self.assessment.record(r, &metrics::RSA_SPEARMAN, "halves");
            record.metric = "rsa_reliability".into();
            record.value = own;
            record.reason = Some(match own {
                Some(_) => "rank correlation of the pair similarities of both halves of the cells".into(),
                None => reading.as_ref().err().cloned().unwrap_or_else(|| "undefined".into()),
            });
            let mut free = record.clone();
            free.metric = "rsa_without_noise".into();
            let scale = own.zip(self.truth.ceiling).map(|(a, b)| a * b).filter(|s| *s > 0.0).map(f64::sqrt);
            free.value = score(&record).zip(scale).map(|(s, scale)| s / scale);
            free.reason = Some(match free.value {
                Some(_) => "score over the root of the reliabilities of representation and reference; no interval".into(),
                None => "a reliability is not above zero".into(),
            });
            out.extend([record, free]);
        }
        out
    }

    fn choices(&self, choices: &mut serde_json::Map<String, serde_json::Value>) {
        let (o, d) = (self.options, self.design);
        let entries = [
            ("perturbation", json!(o.perturbation.name)),
            ("control", json!(o.control)),
            ("context", json!(o.context.as_ref().map(|c| &c.name))),
            ("unit_of_halves", json!(o.unit.as_ref().map(|c| &c.name))),
            ("n_perturbations", json!(d.len())),
            ("n_control_cells", json!(d.controls.iter().map(Vec::len).sum::<usize>())),
            ("n_scored", json!(d.n_cells())),
            ("reference", json!(o.reference)),
            ("reference_genes", json!(self.expression.n_genes())),
            ("reference_reliability", json!(self.truth.ceiling)),
            ("min_cells", json!(o.min_cells)),
            ("n_splits", json!(o.n_splits)),
            ("energy_distance", json!("plain Euclidean, unbiased, at most 100 perturbed and 200 control cells")),
            ("strata", json!(o.strata.as_ref().map(|s| &s.name))),
            ("headline", json!(o.headline.id)),
            ("protocol", json!(self.assessment.protocol)),
        ];
        choices.extend(entries.map(|(k, v)| (k.to_string(), v)));
    }
}
