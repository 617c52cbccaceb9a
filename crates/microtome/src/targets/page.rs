//! The page: the answer, the methods side by side, every regulator.

use microtome_core::RunCard;
use microtome_eval::targets::{Comparison, Found, Targets};
use microtome_report::{Page, TableBlock};

use super::{TargetScore, TargetsReport};
use crate::card;

/// One sentence.
pub(super) fn verdict(c: &Comparison, model: &str) -> String {
    let words = |f: &Found| {
        let (area, place) = (f.mean.unwrap_or(f64::NAN), f.interval.map(|i| (i.low, i.high)));
        match place {
            Some((low, high)) => {
                let word = if low > 0.5 {
                    "above chance"
                } else if high < 0.5 {
                    "below chance"
                } else {
                    "at chance"
                };
                format!("{word} (area {area:.3}, {low:.3} to {high:.3})")
            }
            None => format!("with area {area:.3} (too few regulators for an interval)"),
        }
    };
    let [own, twin, co_expression, ..] = &c.found[..] else { return String::new() };
    format!(
        "Over {} regulators, {model} ranks the targets of a deleted regulator {} among genes of like expression and like number of regulators, \
         its untrained twin {}, co-expression {}.",
        c.regulators.len(),
        words(own),
        words(twin),
        words(co_expression)
    )
}

pub(super) fn build(report: &TargetsReport, c: &Comparison, truth: &Targets, run_card: RunCard) -> Page {
    Page {
        title: "Does the model know whom a regulator regulates?".into(),
        command: card::shell(&run_card.command),
        findings: vec![
            report.verdict.clone(),
            format!(
                "{} known targets of {} regulators. Every regulator was deleted from cells that express it; genes are ranked by how much \
                 the model's readout of them falls.",
                report.n_targets, report.n_regulators
            ),
        ],
        tables: vec![
            methods(
                "Targets that are not known to be repressed, by the fall of the readout",
                &report.activated,
            ),
            methods("All targets, by the size of the change", &report.all),
            regulators(c, truth),
        ],
        warnings: report.notes.clone(),
        run_card,
        ..Page::default()
    }
}

fn methods(title: &str, scores: &[TargetScore]) -> TableBlock {
    let number = |v: Option<f64>| v.map_or(String::new(), |v| format!("{v:.3}"));
    let range = |r: Option<[f64; 2]>| r.map_or(String::new(), |[a, b]| format!("{a:.3} to {b:.3}"));
    TableBlock {
        title: title.into(),
        note: "Mean over regulators of the area under the ROC curve, counting only pairs of a target and another gene of the same fifth of mean \
               expression and like number of regulators: 0.5 is chance. Intervals over regulators; those of differences are paired."
            .into(),
        header: ["", "area", "interval", "model is ahead by", "interval"].map(String::from).to_vec(),
        rows: scores
            .iter()
            .map(|s| vec![s.name.clone(), number(s.area), range(s.interval), number(s.ahead), range(s.ahead_interval)])
            .collect(),
        ..TableBlock::default()
    }
}

fn regulators(c: &Comparison, truth: &Targets) -> TableBlock {
    let header = ["regulator".to_string(), "targets".to_string()].into_iter();
    let rows = c.regulators.iter().enumerate().map(|(i, &r)| {
        let areas = c.found.iter().map(|f| format!("{:.3}", f.areas[i]));
        [truth.regulators[r].clone(), c.n_targets[i].to_string()].into_iter().chain(areas).collect()
    });
    TableBlock {
        title: "Every regulator".into(),
        note: "Area of each method, targets that are not known to be repressed.".into(),
        header: header.chain(c.found.iter().map(|f| f.name.clone())).collect(),
        rows: rows.collect(),
        ..TableBlock::default()
    }
}
