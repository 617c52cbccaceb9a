//! Which labels are found, and what they are taken for.

use microtome_core::{Record, Role, Summary};

use super::run::{Annotation, Predicted};
use crate::OutcomeTable;

impl Annotation<'_> {
    /// One table per model at its chosen depth: how well every label is found and what it is mistaken for.
    pub(super) fn by_label(&self, predicted: &Predicted, summaries: &[Summary]) -> Vec<OutcomeTable> {
        summaries.iter().filter_map(|s| self.of_model(predicted, s)).collect()
    }

    /// Every classifier on every representation: a strong classifier on one side and a weak one on the other compare
    /// classifiers. Models are shown at their chosen depth.
    pub(super) fn grid(&self, records: &[Record], summaries: &[Summary]) -> OutcomeTable {
        let mut table = OutcomeTable::new(
            "Every classifier on every representation",
            "Macro-F1 on cells of units that took no part in learning. A representation is better than another when it is so \
             under the same classifier.",
            &["representation", "role", "knn", "logistic", "centroid", "projection"],
        );
        for r in self.assessment.representations {
            let chosen = |s: &Summary| {
                s.model.starts_with(&r.model) && s.chosen_site.as_ref().or(s.oracle_site.as_ref()) == Some(&r.label())
            };
            let shown = match r.role {
                Role::Model => summaries.iter().any(chosen),
                Role::Baseline => true,
                Role::Control => r.site.is_none(),
            };
            if !shown {
                continue;
            }
            let site = r.site.as_ref().map(ToString::to_string);
            let score = |reading: &str| {
                let metric = format!("{reading}_f1_macro");
                let own = records.iter().find(|x| {
                    (x.metric == metric && x.split == "all")
                        && (&x.model, &x.site, &x.pooling) == (&r.model, &site, &r.pooling)
                });
                own.and_then(|x| x.value).map_or_else(|| "undefined".into(), |v| format!("{v:.3}"))
            };
            let name = site.as_ref().map_or_else(|| r.model.clone(), |s| format!("{}, {s}", r.model));
            let role = match r.role {
                Role::Model => "model",
                Role::Baseline => "baseline",
                Role::Control => "control",
            };
            let mut row = vec![name, role.to_string()];
            row.extend(["knn", "logistic", "centroid", "projection"].map(score));
            table.rows.push(row);
        }
        table
    }

    fn of_model(&self, predicted: &Predicted, summary: &Summary) -> Option<OutcomeTable> {
        let site = summary.chosen_site.as_ref().or(summary.oracle_site.as_ref())?;
        let at = self.assessment.representations.iter().position(|r| {
            // A model under several poolings has its pooling in the summary's name.
            r.role == Role::Model && summary.model.starts_with(&r.model) && r.label() == *site
        })?;
        let values = &predicted.classes[at].as_ref().ok()?.values;
        let (truth, names) = (self.assessment.truth, &self.classes.names);
        let mut table = OutcomeTable::new(
            format!("Labels by {}, {site}", summary.model),
            format!("Held-out labels of the {} reading at the chosen depth.", predicted.id),
            &["label", "cells", "found", "right when said", "F1", "most often taken for"],
        );
        let n = names.len();
        let mut counts = vec![0usize; n * n];
        truth.iter().zip(values).for_each(|(&t, &p)| counts[t as usize * n + p as usize] += 1);
        for (c, name) in names.iter().enumerate() {
            let row = &counts[c * n..(c + 1) * n];
            let (total, right) = (row.iter().sum::<usize>(), row[c]);
            let said: usize = (0..n).map(|t| counts[t * n + c]).sum();
            let share = |a: usize, b: usize| if b > 0 { format!("{:.2}", a as f64 / b as f64) } else { String::new() };
            let mistake = (0..n).filter(|&p| p != c && row[p] > 0).max_by_key(|&p| (row[p], n - p));
            table.rows.push(vec![
                name.clone(),
                total.to_string(),
                share(right, total),
                share(right, said),
                share(2 * right, total + said),
                mistake.map_or(String::new(), |p| format!("{} ({})", names[p], row[p])),
            ]);
        }
        Some(table)
    }
}
