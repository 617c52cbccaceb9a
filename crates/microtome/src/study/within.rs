//! The pipelines within one data set.

use microtome_core::{Progress, Result};
use microtome_eval::study::{CellTypeOptions, ClusteredOptions, cell_type, clustered};

use super::{Opened, StudyOptions, StudyReport, StudyRow, means};

/// On 1,200 cells of PBMC 3k scikit-learn's nearest neighbours fall from a macro-F1 of 0.38 on 220 components to 0.12 on the
/// same components whitened (0.79 and 0.63 on 20), where its logistic regression reaches 0.91.
const WHITENED: &str = "whitening gives all components the same weight in distances, those of noise too: what nearest neighbours reach on \
                        them says little about the representation. Logistic regression learns its own weights";

/// Cell types on random splits of cells.
pub(super) fn within(
    data: &Opened,
    options: &StudyOptions,
    mut notes: Vec<String>,
    progress: &dyn Progress,
) -> Result<StudyReport> {
    let mut o =
        CellTypeOptions { n_splits: options.n_splits, seed: options.seed, ..CellTypeOptions::default() };
    o.min_cells = options.min_cells.unwrap_or(o.min_cells);
    let scores = cell_type(&data.labelled(), &o, progress)?;
    notes.push(
        "cells of one donor are on both sides of these random splits, as in the publication: the scores are optimistic. \
         scan --task annotation --unit holds donors out"
            .into(),
    );
    notes.push(WHITENED.into());
    let rows: Vec<StudyRow> = scores
        .into_iter()
        .map(|s| StudyRow {
            basis: data.name.clone(),
            target: format!("split {}", s.split),
            representation: s.representation.into(),
            classifier: s.classifier.into(),
            f1: s.f1,
            n_labels: s.n_labels,
            n_cells: s.n_test,
            n_genes: None,
            n_unspecified: 0,
        })
        .collect();
    Ok(StudyReport {
        pipeline: format!(
            "cell types within {}: {} genes by F, scaled, {} whitened components, {} random splits of 80 and 20 % (Tabula Sapiens pipeline)",
            data.name, o.n_genes, o.n_components, o.n_splits
        ),
        published: "rank_normal with logistic".into(),
        means: means(&rows, |_| true, false),
        rows,
        notes,
    })
}

/// Clusters first, a classifier within each.
pub(super) fn in_clusters(
    data: &Opened,
    options: &StudyOptions,
    mut notes: Vec<String>,
    progress: &dyn Progress,
) -> Result<StudyReport> {
    let mut o =
        ClusteredOptions { seed: options.seed, units: data.units.clone(), ..ClusteredOptions::default() };
    o.min_cells = options.min_cells.unwrap_or(o.min_cells);
    let scores = clustered(&data.labelled(), &o, progress)?;
    notes.push(
        "as released (counts with clustered_skipping), cells of clusters of one label or of fewer than five cells are left out \
         of the score; clustered answers them with the cluster's most common label"
            .into(),
    );
    notes.push(WHITENED.into());
    let dealt = match &o.units {
        Some(units) => format!("folds of whole {}", units.name),
        None => {
            notes.push(
                "cells of one donor are on both sides of these random folds, as in the publication: the scores are \
                 optimistic. Name the donor with --unit"
                    .into(),
            );
            "random folds".into()
        }
    };
    let rows: Vec<StudyRow> = scores
        .into_iter()
        .filter(|s| s.f1.is_finite())
        .map(|s| StudyRow {
            basis: data.name.clone(),
            target: format!("fold {}", s.fold),
            representation: s.representation.into(),
            classifier: s.classifier.into(),
            f1: s.f1,
            n_labels: s.n_labels,
            n_cells: s.n_test,
            n_genes: None,
            n_unspecified: s.n_skipped,
        })
        .collect();
    Ok(StudyReport {
        pipeline: format!(
            "labels within {}: {} genes by F, scaled, {} whitened components, Leiden at {}, logistic regression in every \
             cluster; at most {} {dealt} (pipeline for infected cells)",
            data.name, o.n_genes, o.n_components, o.resolution, o.n_folds
        ),
        published:
            "counts with clustered_skipping as released, rank_normal with clustered_skipping as described"
                .into(),
        means: means(&rows, |_| true, false),
        rows,
        notes,
    })
}
