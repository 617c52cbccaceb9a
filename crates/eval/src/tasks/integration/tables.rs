//! The metrics of the field side by side, and labels that cannot show mixing.

use microtome_core::{Role, Summary};

use super::mixing::Groups as Mixing;
use super::run::Integrated;
use crate::OutcomeTable;
use crate::metrics::integration::Named;

/// Columns of the table and their headings.
const COLUMNS: [(&str, &str); 11] = [
    ("silhouette_label", "silhouette, label"),
    ("nmi_ari_cluster_labels_leiden_nmi", "NMI, Leiden"),
    ("nmi_ari_cluster_labels_leiden_ari", "ARI, Leiden"),
    ("isolated_labels", "isolated labels"),
    ("clisi_knn", "cLISI"),
    ("bras", "BRAS"),
    ("ilisi_knn", "iLISI"),
    ("cilisi", "CiLISI"),
    ("kbet_per_label", "kBET"),
    ("graph_connectivity", "graph connectivity"),
    ("pcr_comparison", "PCR comparison"),
];

impl Integrated<'_> {
    /// Chosen and final depth of every model, baselines and controls without depth.
    pub(super) fn field_table(
        &self,
        field: &[Result<Vec<Named>, String>],
        summaries: &[Summary],
    ) -> Option<OutcomeTable> {
        let known = field.iter().find_map(|f| f.as_ref().ok())?;
        let columns: Vec<(usize, &str)> = COLUMNS
            .iter()
            .filter_map(|(id, words)| Some((known.iter().position(|n| n.0.id == *id)?, *words)))
            .collect();
        let total = known.iter().position(|n| n.0.id == "scib_total");
        let mut header = vec!["representation"];
        header.extend(columns.iter().map(|c| c.1));
        header.push("scIB total (for comparability only)");
        let mut table = OutcomeTable::new(
            "Metrics of the field",
            "The first five ask whether types stay apart, the others whether batches mix. They fail in opposite ways, so no \
             single one decides; the total is kept for comparability with published tables.",
            &header,
        );
        for (r, scores) in self.assessment.representations.iter().zip(field) {
            let Ok(scores) = scores else { continue };
            let shown = match r.role {
                Role::Model => {
                    let site = r.label();
                    summaries.iter().filter(|s| s.model.starts_with(&r.model)).any(|s| {
                        s.chosen_site.as_ref() == Some(&site) || s.oracle_site.as_ref() == Some(&site) || r.depth == Some(1.0)
                    })
                }
                _ => r.site.is_none(),
            };
            if shown {
                let name = if r.site.is_some() { format!("{}, {}", r.model, r.label()) } else { r.model.clone() };
                let value = |at: usize| scores[at].1.value.map_or("n/a".into(), |v| format!("{v:.3}"));
                let mut row = vec![name];
                row.extend(columns.iter().map(|c| value(c.0)));
                row.push(total.map_or("n/a".into(), value));
                table.rows.push(row);
            }
        }
        Some(table)
    }

    /// Labels of one batch, which count as neighbours but show no mixing.
    pub(super) fn label_table(&self, groups: &Mixing) -> Option<OutcomeTable> {
        let mut table = OutcomeTable::new(
            "Labels of one batch",
            "Their cells count among the neighbours of others and in the purity of types; mixing cannot be seen in them.",
            &["label", "cells", self.options.batches.name.as_str()],
        );
        for (label, name) in self.options.labels.names.iter().enumerate() {
            if let Some((batch, n)) = groups.only_batch(label) {
                table.rows.push(vec![name.clone(), n.to_string(), self.options.batches.names[batch].clone()]);
            }
        }
        (!table.rows.is_empty()).then_some(table)
    }
}
