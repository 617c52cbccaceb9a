//! The metrics of the field side by side, and labels that cannot show mixing.

use microtome_core::{Record, Role, Summary};

use super::field::FieldMetrics;
use super::mixing::Groups as Mixing;
use super::run::Integrated;
use crate::OutcomeTable;
use crate::assess::field_row;

/// Columns of the table and their headings.
const COLUMNS: [(&str, &str); 13] = [
    ("silhouette_label", "silhouette, label"),
    ("nmi_ari_cluster_labels_leiden_nmi", "NMI, Leiden"),
    ("nmi_ari_cluster_labels_leiden_ari", "ARI, Leiden"),
    ("isolated_labels", "isolated labels"),
    ("clisi_knn", "cLISI"),
    ("scgraph_corr_weighted", "scGraph"),
    ("bras", "BRAS"),
    ("ilisi_knn", "iLISI"),
    ("cilisi", "CiLISI"),
    ("kbet_per_label", "kBET"),
    ("graph_connectivity", "graph connectivity"),
    ("pcr_comparison", "PCR comparison"),
    ("scib_total", "scIB total (for comparability only)"),
];

impl Integrated<'_> {
    /// Every representation, and the graph of batch-balanced neighbours.
    pub(super) fn field_records(&self, metrics: &FieldMetrics) -> Vec<Record> {
        let a = &self.assessment;
        let mut out = a.field_records(&metrics.field);
        if let Some((name, scores)) = &metrics.graph {
            out.extend(a.field_records_of(name, Role::Baseline, scores));
        }
        out
    }

    pub(super) fn field_table(&self, metrics: &FieldMetrics, summaries: &[Summary]) -> Option<OutcomeTable> {
        let words = (
            "Metrics of the field",
            "The first six ask whether types stay apart, the others whether batches mix. They fail in opposite ways, so no single \
             one decides; the total is kept for comparability with published tables. BBKNN gives a graph without coordinates, whose \
             batches are balanced by construction.",
        );
        let mut table = self.assessment.field_table(words, &COLUMNS, &metrics.field, summaries)?;
        if let Some((name, scores)) = &metrics.graph {
            let shown: Vec<&(&str, &str)> =
                COLUMNS.iter().filter(|c| table.header.iter().any(|h| h == c.1)).collect();
            table.rows.push(field_row(format!("{name} (graph only)"), scores, &shown));
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
