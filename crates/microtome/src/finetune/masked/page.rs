//! The verdict and the page of masked expression.

use microtome_core::{Result, Role, RunCard};
use microtome_eval::UnitLosses;
use microtome_report::{Figure, LinePoint, LineSeries, Lines, Page, TableBlock};
use microtome_train::pretrain::NEIGHBOURS;

use super::base::Base;
use super::folds::FoldDone;
use super::frozen::Frozen;
use super::{Sets, site};
use crate::card;
use crate::finetune::{FinetuneOptions, FinetuneReport, ScoreLine};
use crate::pretrain::Asked;

/// What the page tells of.
pub(super) struct Facts<'a> {
    pub(super) base: &'a Base,
    pub(super) losses: &'a UnitLosses,
    pub(super) sets: &'a Sets,
    pub(super) frozen: &'a Frozen,
    pub(super) done: &'a [FoldDone],
}

impl Facts<'_> {
    /// What a loss is of, as in `nats per hidden gene`.
    fn unit(&self) -> String {
        let of = self.base.objective.asked();
        format!("{} per {}", self.base.objective.unit(), of.strip_suffix('s').unwrap_or(of))
    }
}

fn number(v: Option<f64>) -> String {
    v.map_or("undefined".into(), |v| format!("{v:.3}"))
}

/// Who has the lowest loss; then how the adapted model stands beside the frozen one, the probe and the best guess.
pub(super) fn verdict(scores: &[ScoreLine], facts: &Facts<'_>) -> String {
    let sets = facts.sets;
    let loss = |i: usize| scores[i].score.unwrap_or(f64::INFINITY);
    let lowest = |of: Vec<usize>| of.into_iter().min_by(|a, b| loss(*a).total_cmp(&loss(*b)));
    let guess = lowest(sets.baselines.clone().collect());
    let name = |i: usize| match i {
        0 => scores[0].name.as_str(),
        i if i == sets.published => "the frozen model",
        i if i == sets.probe => "the frozen probe",
        i => scores[i].name.as_str(),
    };
    let rivals: Vec<usize> = [Some(sets.published), Some(sets.probe), guess].into_iter().flatten().collect();
    let Some(best) = lowest([0].into_iter().chain(rivals.iter().copied()).collect()) else {
        return String::new();
    };
    let opening = format!(
        "On {} of held-out {}s, {} has the lowest loss: {} ({}, lower is better)",
        facts.base.objective.asked(),
        facts.losses.held_out.unit(),
        name(best),
        number(scores[best].score),
        facts.unit()
    );
    let against: Vec<String> = rivals.iter().map(|&i| standing(name(i), &scores[i])).collect();
    match best {
        0 => format!("{opening}; it {}.", list(&against)),
        _ => format!("{opening}. {} reaches {}; it {}.", name(0), number(scores[0].score), list(&against)),
    }
}

/// How the adapted model stands beside another.
fn standing(name: &str, other: &ScoreLine) -> String {
    let (word, interval) = match other.ahead_interval {
        Some([low, high]) if low > 0.0 => ("beats", format!(", lower by {low:.3} to {high:.3}")),
        Some([low, high]) if high < 0.0 => ("loses to", format!(", higher by {:.3} to {:.3}", -high, -low)),
        Some([low, high]) => ("ties with", format!(", lower by {low:+.3} to {high:+.3}")),
        None => ("cannot be told apart (too few units for an interval) from", String::new()),
    };
    format!("{word} {name} ({}{interval})", number(other.score))
}

fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [firsts @ .., last] => format!("{} and {last}", firsts.join(", ")),
    }
}

pub(super) fn build(
    report: &FinetuneReport,
    facts: &Facts<'_>,
    notes: &[String],
    run_card: RunCard,
    options: &FinetuneOptions,
) -> Result<Page> {
    let held_out = &facts.losses.held_out;
    Ok(Page {
        title: "Fine-tuning for masked expression".into(),
        command: card::shell(&options.command),
        findings: vec![
            report.verdict.clone(),
            format!(
                "{} {} of {} cells of {} {}s in {} folds, the same for all; {}. {} numbers were trained, the readout not among them.",
                facts.losses.answers.iter().sum::<usize>(),
                facts.base.objective.asked(),
                held_out.cells.len(),
                held_out.n_units(),
                held_out.unit(),
                held_out.folds.len(),
                asked_words(facts.base),
                report.n_trained
            ),
        ],
        figures: vec![Figure::Lines(by_depth(&report.scores, facts)), Figure::Lines(training(facts))],
        tables: vec![
            table(&report.scores, facts),
            depths(&report.scores, facts),
            by_unit(&report.scores, facts)?,
            folds(facts),
        ],
        warnings: notes.to_vec(),
        run_card,
        ..Page::default()
    })
}

fn asked_words(base: &Base) -> String {
    let m = base.masking;
    match base.asked {
        Asked::MaskedGenes => format!(
            "{:.0} % of a cell's genes are hidden ({:.0} % of these become the mask, {:.0} % another gene, the rest stay)",
            100.0 * m.share,
            100.0 * m.masked,
            100.0 * m.replaced
        ),
        Asked::NextGene => "every gene is told from those before it".into(),
        Asked::Regression | Asked::Classification => {
            format!(
                "{:.0} % of a cell's values are hidden, and told in the model's own scale",
                100.0 * m.share
            )
        }
    }
}

fn by_depth(scores: &[ScoreLine], facts: &Facts<'_>) -> Lines {
    let sets = facts.sets;
    let n = sets.own.len();
    let point = |x: usize, s: &ScoreLine| LinePoint {
        x: x as f64,
        y: s.score,
        low: s.interval.map(|i| i[0]),
        high: s.interval.map(|i| i[1]),
    };
    let line = |name: String, role: Role, of: &std::ops::Range<usize>| LineSeries {
        name,
        role,
        of: None,
        points: scores[of.clone()].iter().enumerate().map(|(x, s)| point(x, s)).collect(),
    };
    let level = |role: Role, s: &ScoreLine| LineSeries {
        name: s.name.clone(),
        role,
        of: None,
        points: [0, n - 1].map(|x| LinePoint { low: None, high: None, ..point(x, s) }).to_vec(),
    };
    let mut series = vec![
        line("frozen, own readout".into(), Role::Model, &sets.own),
        line("frozen, fitted readout".into(), Role::Model, &sets.fitted),
        level(Role::Model, &scores[0]),
    ];
    series.extend(scores[sets.baselines.clone()].iter().map(|s| level(Role::Baseline, s)));
    Lines {
        section: "Loss".into(),
        title: "Loss on held-out units by depth (lower is better)".into(),
        note: "The model's own readout on every depth of the frozen model, and a readout fitted to the training units there; level lines \
               are the adapted model and guesses that know no network."
            .into(),
        x: "blocks behind the embedding".into(),
        y: facts.unit(),
        series,
        ..Lines::default()
    }
}

fn training(facts: &Facts<'_>) -> Lines {
    let line = |(k, f): (usize, &FoldDone)| LineSeries {
        name: format!("fold {}", k + 1),
        role: Role::Model,
        of: None,
        points: f
            .curve
            .iter()
            .map(|(x, y)| LinePoint { x: *x, y: Some(*y), low: None, high: None })
            .collect(),
    };
    Lines {
        section: "Training".into(),
        title: "Loss on the units that say when to stop (lower is better)".into(),
        note: "Pass 0 is the published model. The weights of the lowest point of each line are used.".into(),
        x: "passes over the training cells".into(),
        y: facts.unit(),
        series: facts.done.iter().enumerate().map(line).collect(),
        ..Lines::default()
    }
}

const HEADER: [&str; 5] = ["model or guess", "loss", "interval", "adapted is lower by", "interval"];

fn row(s: &ScoreLine) -> Vec<String> {
    let number = |v: Option<f64>| v.map_or(String::new(), |v| format!("{v:.4}"));
    let range = |r: Option<[f64; 2]>| r.map_or(String::new(), |[a, b]| format!("{a:.4} to {b:.4}"));
    vec![s.name.clone(), number(s.score), range(s.interval), number(s.ahead), range(s.ahead_interval)]
}

/// The model's own readout and the fitted one at every depth.
fn depths(scores: &[ScoreLine], facts: &Facts<'_>) -> TableBlock {
    let sets = facts.sets;
    TableBlock {
        title: "The frozen model by depth".into(),
        note: format!("Mean loss, {}, as drawn above; lower is better.", facts.unit()),
        header: HEADER.map(String::from).to_vec(),
        rows: sets.own.clone().chain(sets.fitted.clone()).map(|i| row(&scores[i])).collect(),
        ..TableBlock::default()
    }
}

fn table(scores: &[ScoreLine], facts: &Facts<'_>) -> TableBlock {
    let fitted = match facts.base.asked {
        Asked::Regression => "ridge regression from the stream at the hidden places",
        _ => "the own readout with the frequencies of the training cells",
    };
    let once = match facts.base.asked {
        Asked::MaskedGenes | Asked::NextGene => {
            " Guesses among genes that are not shown use that a gene comes once per cell, which a network must learn."
        }
        _ => "",
    };
    TableBlock {
        title: "Adapted beside frozen, probes and baselines".into(),
        note: format!(
            "Mean loss, {}, on units that took no part in learning; lower is better. Fitted readout: {fitted}. The probe's depth and readout \
             are chosen by the units that also say when training stops. Similar cells: cosine without the genes that are asked for, the mean of all \
             cells counting as one more than the {NEIGHBOURS}.{once} Intervals of differences are paired: the same units are drawn for both.",
            facts.unit()
        ),
        header: HEADER.map(String::from).to_vec(),
        rows: scores[..facts.sets.own.start].iter().map(row).collect(),
        ..TableBlock::default()
    }
}

fn by_unit(scores: &[ScoreLine], facts: &Facts<'_>) -> Result<TableBlock> {
    let shown: Vec<usize> =
        [0, facts.sets.published, facts.sets.probe].into_iter().chain(facts.sets.baselines.clone()).collect();
    let sets: Vec<_> = shown.iter().map(|i| facts.sets.all[*i].clone()).collect();
    let short = |i: &usize| match *i {
        0 => "adapted".to_string(),
        i if i == facts.sets.published => "frozen".into(),
        i if i == facts.sets.probe => "frozen probe".into(),
        i => scores[i].name.clone(),
    };
    let number = |v: &Option<f64>| v.map_or(String::new(), |v| format!("{v:.4}"));
    let unit = facts.losses.held_out.unit();
    Ok(TableBlock {
        title: format!("By {unit}"),
        note: format!("Mean loss within every held-out {unit}, {}; lower is better.", facts.unit()),
        header: std::iter::once(unit.to_string()).chain(shown.iter().map(short)).collect(),
        rows: facts
            .losses
            .by_unit(&sets)?
            .into_iter()
            .map(|(name, means)| std::iter::once(name).chain(means.iter().map(number)).collect())
            .collect(),
        ..TableBlock::default()
    })
}

fn folds(facts: &Facts<'_>) -> TableBlock {
    let of = |(k, (f, (depth, fitted))): (usize, (&FoldDone, &(usize, bool)))| {
        let at = |passes: f64| {
            f.curve.iter().find(|(x, _)| *x == passes).map_or(String::new(), |(_, y)| format!("{y:.4}"))
        };
        vec![
            (k + 1).to_string(),
            at(0.0),
            at(f.best),
            format!("{}", f.best),
            format!("{}, {}", site(*depth), if *fitted { "fitted readout" } else { "own readout" }),
        ]
    };
    TableBlock {
        title: "Folds".into(),
        note: "Loss on the units that say when to stop, and what the probe chose by them.".into(),
        header: ["fold", "published", "adapted", "best after passes", "probe"].map(String::from).to_vec(),
        rows: facts.done.iter().zip(&facts.frozen.chosen).enumerate().map(of).collect(),
        ..TableBlock::default()
    }
}
