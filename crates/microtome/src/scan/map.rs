//! The cells in the plane: UMAP of the chosen depth.

use microtome_core::{Matrix, Progress, Result};
use microtome_eval::{Representation, TaskOutcome};
use microtome_numerics::knn::{Metric, exact_knn};
use microtome_numerics::umap::{UmapOptions, layout};

/// A layout of the cells.
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
    /// Lays out the depth chosen for the first model; `None` when there is no such depth.
    pub(super) fn draw(
        outcome: &TaskOutcome,
        representations: &[Representation],
        seed: u64,
        progress: &dyn Progress,
    ) -> Result<Option<Self>> {
        let Some((representation, site)) = chosen(outcome, representations) else { return Ok(None) };
        progress.begin("UMAP of the chosen depth", 1, "layout");
        let neighbours = exact_knn(
            &representation.matrix,
            NEIGHBORS.min(representation.matrix.rows() - 1),
            Metric::Euclidean,
        )?;
        let xy = layout(&neighbours, &UmapOptions { seed, ..UmapOptions::default() })?;
        progress.advance(1);
        progress.end();
        Ok(Some(Self { model: representation.model.clone(), site, xy }))
    }
}

/// The representation at the depth chosen on inner units, or the naive best one where no choice could be made.
fn chosen<'a>(
    outcome: &TaskOutcome,
    representations: &'a [Representation],
) -> Option<(&'a Representation, String)> {
    let summary = outcome.summaries.first()?;
    let site = summary.chosen_site.as_ref().or(summary.oracle_site.as_ref())?;
    let found = representations
        .iter()
        .find(|r| r.model == summary.model && r.site.as_ref().is_some_and(|s| s.to_string() == *site))?;
    Some((found, site.clone()))
}
