//! The cells in the plane: UMAP of the chosen depth.

use microtome_core::{Matrix, Progress, Result};
use microtome_eval::{Representation, TaskOutcome};
use microtome_numerics::knn::{Metric, exact_knn};
use microtome_numerics::umap::{UmapOptions, layout};

/// A layout of the cells of one task.
#[derive(Clone)]
pub(crate) struct Map {
    /// Whose representation it is.
    pub(crate) model: String,
    /// Which site.
    pub(crate) site: String,
    /// `[cell, 2]`.
    pub(crate) xy: Matrix,
}

const NEIGHBORS: usize = 15;

impl Map {
    /// The depth of the first model that was chosen on inner units, or the naive best one where no choice could be made;
    /// `None` when there is no such depth or too few cells for a layout.
    pub(super) fn chosen<'a>(
        outcome: &TaskOutcome,
        representations: &'a [Representation],
    ) -> Option<(&'a Representation, String)> {
        let summary = outcome.summaries.first()?;
        let site = summary.chosen_site.as_ref().or(summary.oracle_site.as_ref())?;
        let found = representations
            .iter()
            .find(|r| r.model == summary.model && r.site.as_ref().is_some_and(|s| s.to_string() == *site))?;
        (found.matrix.rows() > 2).then(|| (found, site.clone()))
    }

    /// Lays out one representation.
    pub(super) fn draw(
        (representation, site): (&Representation, String),
        seed: u64,
        progress: &dyn Progress,
    ) -> Result<Self> {
        progress.begin("UMAP of the chosen depth", 1, "layout");
        let neighbours = exact_knn(
            &representation.matrix,
            NEIGHBORS.min(representation.matrix.rows() - 1),
            Metric::Euclidean,
        )?;
        let xy = layout(&neighbours, &UmapOptions { seed, ..UmapOptions::default() })?;
        progress.advance(1);
        progress.end();
        Ok(Self { model: representation.model.clone(), site, xy })
    }
}
