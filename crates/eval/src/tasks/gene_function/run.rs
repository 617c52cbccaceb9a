//! From representations of genes to records.

use std::collections::BTreeMap;

use microtome_core::{Error, Matrix, Progress, Result, Role, Summary};
use microtome_numerics::resample::Units as Partition;
use microtome_numerics::ridge::{RidgeOptions, fit_nested};
use serde_json::json;

use super::{GeneFunctionOptions, MAX_SETS, TASK};
use crate::assess::{
    Assessment, Learner, MaybeLearner, Notes, Prediction, READING_FOLDS, Scored, add_mean_of_blocks,
    check_representations,
};
use crate::metrics::{AreaSet, Metric, Statistic};
use crate::protocol::nested::Folds;
use crate::protocol::{Protocol, ScoreSet, Units, Weights};
use crate::{Cells, Groups, OutcomeTable, Representation, TaskOutcome};

/// What the positive control must reach.
const CEILING: f64 = 0.9;
/// Fewest genes that are worth scoring.
const MIN_GENES: usize = 50;
/// Folds inside the training genes on which the penalty is chosen.
const PENALTY_FOLDS: usize = 3;
/// The penalty of ridge needs two training groups besides the one that is predicted.
const MIN_UNITS_LEARNED: usize = 3;

/// Runs the task on representations whose rows are genes. A gene that some representation does not know (a row that is not
/// finite) is left out for all of them alike.
///
/// The two controls that test the task itself (noise, and the noisy memberships) and the mean of all blocks of every
/// model are added to what is given.
///
/// # Errors
/// When options, genes and representations do not fit together, when no baseline is among the representations, when fewer
/// than 50 genes or no set remain, or when the user stops. What goes wrong on one representation alone becomes the
/// `reason` of its records.
pub fn run(
    genes: &Cells,
    representations: &[Representation],
    options: &GeneFunctionOptions,
    protocol: &Protocol,
    progress: &dyn Progress,
) -> Result<TaskOutcome> {
    protocol.check()?;
    options.check(genes)?;
    check_representations(representations, genes.n)?;
    let mut notes = Notes::default();
    let finite = |i: usize| representations.iter().all(|r| r.matrix.row(i).iter().all(|v| v.is_finite()));
    let grouped = |i: usize| genes.unit.as_ref().is_none_or(|u| u.codes[i] != Groups::MISSING);
    let known: Vec<usize> = (0..genes.n).filter(|&i| finite(i)).collect();
    let scored: Vec<usize> = known.iter().copied().filter(|&i| grouped(i)).collect();
    if known.len() < genes.n {
        notes.all.push(format!(
            "{} of {} genes are left out, because some representation has no vector for them",
            genes.n - known.len(),
            genes.n
        ));
    }
    if scored.len() < known.len() {
        notes.warn(format!("{} genes belong to no group and are left out", known.len() - scored.len()));
    }
    let sets = Sets::new(genes.n, &scored, options, &mut notes)?;
    let units = Units::new(genes, &scored)?;
    let kept: Vec<Representation> = representations
        .iter()
        .map(|r| Representation { matrix: r.matrix.select_rows(&scored), ..r.clone() })
        .collect();
    let mut all = kept;
    add_mean_of_blocks(&mut all)?;
    for control in [TASK.negative_control, TASK.positive_control] {
        all.extend(control.from_truth(&sets.truth, protocol.seed));
    }
    let assessment = Assessment {
        task: &TASK,
        cells: genes,
        representations: &all,
        units: &units,
        truth_name: "membership in gene sets",
        truth: &sets.truth,
        protocol,
        progress,
    };
    GeneFunction { assessment, options, sets: &sets }.run(notes)
}

/// The scored sets and what every scored gene belongs to.
pub(super) struct Sets {
    names: Vec<String>,
    /// Bit `s` says that the gene is in set `s`.
    truth: Vec<f64>,
    /// `[pattern][set]`.
    member: Vec<Vec<bool>>,
    /// Pattern of every gene.
    patterns: Vec<f64>,
    left_out: Option<OutcomeTable>,
}

impl Sets {
    fn new(n: usize, scored: &[usize], options: &GeneFunctionOptions, notes: &mut Notes) -> Result<Self> {
        let mut place = vec![None; n];
        scored.iter().enumerate().for_each(|(at, &g)| place[g] = Some(at));
        let mut table = OutcomeTable::new(
            "Gene sets left out",
            "A set is scored when enough of its genes, and enough others, have a vector in every representation.",
            &["set", "genes with a vector", "reason"],
        );
        let (mut names, mut bits) = (vec![], vec![0u64; scored.len()]);
        for set in &options.sets {
            let mut members: Vec<usize> = set.members.iter().filter_map(|&g| place[g]).collect();
            members.sort_unstable();
            members.dedup();
            let reason = if members.len() < options.min_genes {
                format!("fewer than {}", options.min_genes)
            } else if scored.len() - members.len() < options.min_genes {
                format!("fewer than {} genes outside it", options.min_genes)
            } else if names.len() == MAX_SETS {
                format!("at most {MAX_SETS} sets are scored at once")
            } else {
                members.iter().for_each(|&m| bits[m] |= 1 << names.len());
                names.push(set.name.clone());
                continue;
            };
            table.rows.push(vec![set.name.clone(), members.len().to_string(), reason]);
        }
        if scored.len() < MIN_GENES || names.is_empty() {
            return Err(Error::mismatch("gene sets cannot be scored on these genes")
                .at_key(options.sets_name.clone())
                .expected(format!(
                    "at least {MIN_GENES} genes with a vector in every representation, and a set with at least {} of them",
                    options.min_genes
                ))
                .found(format!("{} genes, {} such sets of {}", scored.len(), names.len(), options.sets.len()))
                .remedy("give sets whose names are gene symbols or Ensembl ids of the data"));
        }
        if !table.rows.is_empty() {
            notes.all.push(format!("{} of {} gene sets are left out", table.rows.len(), options.sets.len()));
        }
        let mut index = BTreeMap::new();
        bits.iter().for_each(|&b| {
            let next = index.len();
            index.entry(b).or_insert(next);
        });
        let mut member = vec![vec![]; index.len()];
        index.iter().for_each(|(&b, &i)| member[i] = (0..names.len()).map(|s| b >> s & 1 == 1).collect());
        Ok(Self {
            patterns: bits.iter().map(|b| index[b] as f64).collect(),
            truth: bits.iter().map(|&b| b as f64).collect(),
            names,
            member,
            left_out: (!table.rows.is_empty()).then_some(table),
        })
    }

    /// Number of scored sets.
    pub(super) fn n(&self) -> usize {
        self.names.len()
    }

    pub(super) fn is_member(&self, gene: usize, set: usize) -> bool {
        self.member[self.patterns[gene] as usize][set]
    }

    /// Areas of predictions for some genes.
    fn areas(&self, statistic: Statistic, genes: &[usize], predictions: &[&[f64]]) -> AreaSet {
        let patterns: Vec<f64> = genes.iter().map(|&g| self.patterns[g]).collect();
        AreaSet::new(statistic, &patterns, self.member.clone(), predictions)
    }
}

/// The task on one data set.
pub(super) struct GeneFunction<'a> {
    pub(super) assessment: Assessment<'a>,
    options: &'a GeneFunctionOptions,
    pub(super) sets: &'a Sets,
}

fn statistic(metric: &Metric) -> Statistic {
    if metric.id == "gene_sets_auprc" { Statistic::AuprcMacro } else { Statistic::AurocMacro }
}

impl GeneFunction<'_> {
    fn run(&self, mut notes: Notes) -> Result<TaskOutcome> {
        let a = &self.assessment;
        let all: Vec<usize> = (0..a.truth.len()).collect();
        let predictions = a.held_out("gene sets", MIN_UNITS_LEARNED, |r| Ok(self.learner(r)))?;
        let mut outcome = TaskOutcome::default();
        for metric in TASK.metrics.iter().copied() {
            let scored = Scored::with(metric, all.len(), &predictions, |used| {
                Box::new(self.sets.areas(statistic(metric), &all, used))
            });
            if metric != self.options.headline {
                outcome.records.extend(a.score_records(&scored)?);
                continue;
            }
            let folds = Folds::new(a.units, a.truth, a.protocol);
            let words = folds.as_ref().map_or_else(Clone::clone, |f| f.words.clone());
            outcome.choices.insert("outer_folds".into(), json!(words));
            let score = |genes: &[usize], predicted: &[f64]| {
                let set = self.sets.areas(statistic(metric), genes, &[predicted]);
                set.weighted(&Weights::all(genes.len()))[0][0]
            };
            let nested = match folds {
                Err(reason) => Err(reason),
                Ok(folds) => Ok(a.refit(folds, |r| Ok(self.learner(r)), score)?),
            };
            let half = a.half(|r| Ok(self.learner(r)))?;
            let tested = half.as_ref().map(|h| {
                let set = |used: &[&[f64]]| -> Box<dyn ScoreSet> {
                    Box::new(self.sets.areas(statistic(metric), &h.cells, used))
                };
                (h, Scored::with(metric, h.cells.len(), &h.predictions, set))
            });
            let headline =
                a.learned_headline(&scored, &nested, tested.as_ref().map(|(h, scored)| (*h, scored)))?;
            outcome.choices.insert("null".into(), json!(headline.exchange));
            outcome.records.extend(headline.records);
            outcome.summaries = headline.summaries;
            outcome.unit_scores = headline.unit_scores;
        }
        a.check_controls(self.options.headline, CEILING, &outcome.records, &mut notes);
        outcome.tables.extend(self.by_set(&predictions, &outcome.summaries));
        let field = self.field()?;
        outcome.tables.extend(self.field_table(&field, &outcome.summaries));
        outcome.records.extend(a.field_records(&field));
        outcome.tables.extend(self.sets.left_out.clone());
        let shares: Vec<f64> = (0..self.sets.names.len()).map(|s| self.prevalence(s)).collect();
        notes.all.push(format!(
            "chance: area under the ROC curve 0.5; average precision {:.3}, the mean share of members over {} sets",
            shares.iter().sum::<f64>() / shares.len() as f64,
            shares.len()
        ));
        for summary in &mut outcome.summaries {
            summary.warnings.extend(notes.warnings.iter().cloned());
        }
        outcome.notes = notes.all;
        self.choices(&mut outcome.choices);
        Ok(outcome)
    }

    fn learner(&self, r: usize) -> MaybeLearner<'_> {
        let a = &self.assessment;
        let representation = &a.representations[r];
        if let Some(reason) = representation.defect() {
            return Err(reason);
        }
        let memberships = (0..a.truth.len())
            .flat_map(|g| (0..self.sets.names.len()).map(move |s| f64::from(u8::from(self.sets.is_member(g, s)))));
        Ok(Box::new(SetLearner {
            x: &representation.matrix,
            memberships: memberships.collect(),
            n_sets: self.sets.names.len(),
            units: a.units,
            seed: a.protocol.seed,
        }))
    }

    fn prevalence(&self, set: usize) -> f64 {
        let n = self.assessment.truth.len();
        (0..n).filter(|&g| self.sets.is_member(g, set)).count() as f64 / n as f64
    }

    /// One table: every set at the chosen depth of every model and for every baseline.
    fn by_set(&self, predictions: &[Result<Prediction, String>], summaries: &[Summary]) -> Option<OutcomeTable> {
        let a = &self.assessment;
        let chosen = |r: &Representation| {
            summaries.iter().filter(|s| s.model.starts_with(&r.model)).any(|s| {
                s.chosen_site.as_ref().or(s.oracle_site.as_ref()).is_some_and(|site| *site == r.label())
            })
        };
        let shown: Vec<usize> = (0..a.representations.len())
            .filter(|&r| {
                let rep = &a.representations[r];
                rep.role == Role::Baseline || (rep.role == Role::Model && chosen(rep))
            })
            .collect();
        let mut header = vec!["set".to_string(), "genes".into(), "share".into()];
        header.extend(shown.iter().map(|&r| {
            let rep = &a.representations[r];
            if rep.site.is_some() { format!("{}, {}", rep.model, rep.label()) } else { rep.model.clone() }
        }));
        let mut table = OutcomeTable {
            title: "Gene sets".into(),
            note: "Held-out area under the ROC curve (0.5 is chance) and average precision (the share is chance).".into(),
            header,
            rows: vec![],
        };
        let n = a.truth.len();
        let all = Weights::all(n);
        for (s, name) in self.sets.names.iter().enumerate() {
            let share = self.prevalence(s);
            let count = (share * n as f64).round() as usize;
            let mut row = vec![name.clone(), count.to_string(), format!("{share:.3}")];
            let own: Vec<f64> = (0..n).map(|g| f64::from(u8::from(self.sets.is_member(g, s)))).collect();
            for &r in &shown {
                row.push(match &predictions[r] {
                    Err(_) => "n/a".into(),
                    Ok(p) => {
                        let of_set: Vec<f64> =
                            p.values.iter().skip(s).step_by(self.sets.names.len()).copied().collect();
                        let area = |statistic| {
                            let set = AreaSet::new(statistic, &own, vec![vec![false], vec![true]], &[&of_set]);
                            set.weighted(&all)[0][0]
                        };
                        format!("{:.3} / {:.3}", area(Statistic::AurocMacro), area(Statistic::AuprcMacro))
                    }
                });
            }
            table.rows.push(row);
        }
        (!shown.is_empty()).then_some(table)
    }

    fn choices(&self, choices: &mut serde_json::Map<String, serde_json::Value>) {
        let (o, a) = (self.options, &self.assessment);
        let entries = [
            ("gene_sets", json!(o.sets_name)),
            ("sets", json!(self.sets.names)),
            ("n_genes", json!(a.truth.len())),
            ("min_genes", json!(o.min_genes)),
            ("unit", json!(a.units.name)),
            ("n_units", json!(a.units.len())),
            ("reading", json!("ridge on memberships, penalty chosen by grouped folds of training genes")),
            ("reading_folds", json!(format!("at most {READING_FOLDS}, of whole groups"))),
            ("headline", json!(o.headline.id)),
            ("protocol", json!(a.protocol)),
        ];
        choices.extend(entries.map(|(k, v)| (k.to_string(), v)));
    }
}

/// Ridge regression of all memberships at once.
struct SetLearner<'a> {
    x: &'a Matrix,
    /// `[gene, set]`.
    memberships: Vec<f64>,
    n_sets: usize,
    units: &'a Units,
    seed: u64,
}

impl Learner for SetLearner<'_> {
    fn predict(&self, train: &[usize], test: &[usize]) -> Result<Vec<f64>> {
        let (from, to) = (self.units.cells_of(train), self.units.cells_of(test));
        let k = self.n_sets;
        let y: Vec<f64> =
            from.iter().flat_map(|&g| self.memberships[g * k..(g + 1) * k].iter().copied()).collect();
        let codes: Vec<u32> = train
            .iter()
            .enumerate()
            .flat_map(|(i, &u)| std::iter::repeat_n(i as u32, self.units.members[u].len()))
            .collect();
        let folds = PENALTY_FOLDS.min(train.len());
        let x = self.x.select_rows(&from);
        let options = RidgeOptions::default();
        let (ridge, alpha) = fit_nested(&x, &y, k, &Partition::new(&codes), folds, self.seed, &options)?;
        ridge.predict(&self.x.select_rows(&to), alpha)
    }
}
