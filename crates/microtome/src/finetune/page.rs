//! The page of a fine-tuning.

use microtome_core::{BlockSite, Record, Role, RunCard, Site};
use microtome_eval::{HeldOut, TaskOutcome};
use microtome_report::{Figure, LinePoint, LineSeries, Lines, Page, TableBlock};

use super::keep::FoldDone;
use super::{FinetuneOptions, FinetuneReport, ScoreLine};
use crate::card;

/// One sentence: trained against the best frozen reading and the best baseline, chosen after the fact in their favour.
pub(super) fn verdict(scores: &[ScoreLine], held_out: &HeldOut, base: &str) -> String {
    let Some((trained, others)) = scores.split_first() else { return String::new() };
    let frozen = format!("{base} frozen");
    let best = |is_frozen: bool| {
        let of = others.iter().filter(|s| s.name.starts_with(&frozen) == is_frozen && !is_control(&s.name));
        of.filter(|s| s.score.is_some())
            .max_by(|a, b| a.score.partial_cmp(&b.score).unwrap_or(std::cmp::Ordering::Equal))
    };
    let number = |v: Option<f64>| v.map_or("undefined".into(), |v| format!("{v:.3}"));
    let words = |s: Option<&ScoreLine>| {
        let Some(s) = s else { return "nothing to compare with".to_string() };
        let verdict = match s.ahead_interval {
            Some([low, _]) if low > 0.0 => "beats",
            Some([_, high]) if high < 0.0 => "loses to",
            Some(_) => "ties with",
            None => "cannot be told apart (too few units for an interval) from",
        };
        let interval =
            s.ahead_interval.map_or(String::new(), |[l, h]| format!(", difference {l:+.3} to {h:+.3}"));
        format!("{verdict} {} ({}{interval})", s.name, number(s.score))
    };
    format!(
        "On held-out {}s, {} reaches {} {}; it {}, and {}.",
        held_out.unit(),
        trained.name,
        score_words(held_out),
        number(trained.score),
        words(best(true)),
        words(best(false))
    )
}

/// What the score is called.
fn score_words(held_out: &HeldOut) -> &'static str {
    if held_out.classes.is_empty() { "Spearman correlation" } else { "macro-F1" }
}

/// Representations that test the task rather than compete in it.
fn is_control(name: &str) -> bool {
    name.starts_with("random_embedding")
        || name.starts_with("noisy_truth")
        || name.starts_with("noisy_classes")
        || name.starts_with("noisy classes")
        || name.starts_with("random embedding")
}

pub(super) fn build(
    report: &FinetuneReport,
    outcome: &TaskOutcome,
    fitted: &[FoldDone],
    run_card: RunCard,
    held_out: &HeldOut,
    options: &FinetuneOptions,
    metric: &str,
) -> Page {
    Page {
        title: format!("Fine-tuning for {}", options.goal.name()),
        command: card::shell(&options.command),
        findings: vec![
            report.verdict.clone(),
            format!(
                "{} cells of {} {}s in {} folds; {} numbers were trained. The depth of the frozen model and the baseline are the best \
                 of those in the table, chosen after the fact in their favour.",
                held_out.truth.len(),
                held_out.n_units(),
                held_out.unit(),
                held_out.folds.len(),
                report.n_trained
            ),
        ],
        figures: vec![Figure::Lines(losses(fitted, held_out))],
        records: trained(outcome, metric, report)
            .into_iter()
            .chain(headline_first(outcome, metric))
            .collect(),
        tables: std::iter::once(table(&report.scores, held_out))
            .chain(folds(fitted))
            .chain(outcome.tables.iter().map(|t| TableBlock {
                title: t.title.clone(),
                note: t.note.clone(),
                header: t.header.clone(),
                rows: t.rows.clone(),
                ..TableBlock::default()
            }))
            .collect(),
        warnings: outcome.notes.clone(),
        run_card,
        ..Page::default()
    }
}

/// The record of what was trained: the last block's, with another model. A probe has no depth of its own, since every fold
/// chooses one.
fn trained(outcome: &TaskOutcome, metric: &str, report: &FinetuneReport) -> Option<Record> {
    let score = report.scores.first()?;
    let is_frozen = |r: &&Record| {
        let site = r.site.as_ref().and_then(|s| s.parse::<Site>().ok());
        let of_block = matches!(site, Some(Site::Block(_, BlockSite::ResidPost)));
        r.metric == metric && r.role == Some(Role::Model) && of_block && r.depth == Some(1.0)
    };
    let last = outcome.records.iter().find(is_frozen)?.clone();
    let mut record = Record {
        model: score.name.clone(),
        value: score.score,
        ci_low: score.interval.map(|i| i[0]),
        ci_high: score.interval.map(|i| i[1]),
        ci_method: score.interval.and(last.ci_method.clone()),
        p: None,
        p_adj: None,
        reason: None,
        ..last
    };
    if report.adapter.is_none() {
        (record.site, record.block, record.depth) = (None, None, None);
    }
    Some(record)
}

/// The records with those of the verdict's metric in front, whose curve is then the first that is seen.
fn headline_first(outcome: &TaskOutcome, metric: &str) -> Vec<Record> {
    let (mut records, others): (Vec<Record>, Vec<Record>) =
        outcome.records.iter().cloned().partition(|r| r.metric == metric);
    records.extend(others);
    records
}

fn table(scores: &[ScoreLine], held_out: &HeldOut) -> TableBlock {
    let (of, reader) =
        if held_out.classes.is_empty() { ("numbers", "ridge") } else { ("labels", "logistic") };
    let number = |v: Option<f64>| v.map_or(String::new(), |v| format!("{v:.3}"));
    let range = |r: Option<[f64; 2]>| r.map_or(String::new(), |[a, b]| format!("{a:.3} to {b:.3}"));
    TableBlock {
        title: "Trained beside frozen and baselines".into(),
        note: format!(
            "Score of {of} predicted for units that took no part in learning. Frozen representations and baselines are read by {reader} \
             regression. Intervals of differences are paired: the same units are drawn for both."
        ),
        header: ["", score_words(held_out), "interval", "trained is ahead by", "interval"]
            .map(String::from)
            .to_vec(),
        rows: scores
            .iter()
            .map(|s| {
                vec![
                    s.name.clone(),
                    number(s.score),
                    range(s.interval),
                    number(s.ahead),
                    range(s.ahead_interval),
                ]
            })
            .collect(),
        ..TableBlock::default()
    }
}

fn losses(fitted: &[FoldDone], held_out: &HeldOut) -> Lines {
    let line = |(k, f): (usize, &FoldDone)| LineSeries {
        name: format!("fold {}", k + 1),
        role: Role::Model,
        of: None,
        points: f
            .epochs
            .iter()
            .map(|e| LinePoint { x: e.epoch as f64, y: Some(e.validation), low: None, high: None })
            .collect(),
    };
    Lines {
        section: "Training".into(),
        title: "Loss on the units that say when to stop".into(),
        note: "The weights of the lowest point of each line are used.".into(),
        x: "epoch".into(),
        y: if held_out.classes.is_empty() { "squared error, standardised" } else { "loss, nats" }.into(),
        series: fitted.iter().enumerate().map(line).collect(),
        ..Lines::default()
    }
}

fn folds(fitted: &[FoldDone]) -> Option<TableBlock> {
    let rows = fitted.iter().enumerate().map(|(k, f)| {
        let at = f.epochs.iter().find(|e| e.epoch == f.best);
        vec![
            (k + 1).to_string(),
            f.best.to_string(),
            at.map_or(String::new(), |e| format!("{:.4}", e.training)),
            at.map_or(String::new(), |e| format!("{:.4}", e.validation)),
            f.site.clone().unwrap_or_default(),
        ]
    });
    Some(TableBlock {
        title: "Folds".into(),
        note: "Best epoch of every fold; for a probe, the depth that its stopping units chose.".into(),
        header: ["fold", "best epoch", "training loss", "validation loss", "site"].map(String::from).to_vec(),
        rows: rows.collect(),
        ..TableBlock::default()
    })
}
