//! Which labels are found, and what they are taken for.

use microtome_core::{Role, Summary};

use super::run::{Annotation, Predicted};
use crate::OutcomeTable;

impl Annotation<'_> {
    /// One table per model at its chosen depth: how well every label is found and what it is mistaken for.
    pub(super) fn by_label(&self, predicted: &Predicted, summaries: &[Summary]) -> Vec<OutcomeTable> {
        summaries.iter().filter_map(|s| self.of_model(predicted, s)).collect()
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
