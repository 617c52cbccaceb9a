//! Metrics of the field on cells with a time: roughness of time, and how much of the neighbourhoods and distances of expression is
//! left.

use microtome_core::{Result, Summary};
use microtome_numerics::distances::Distance;
use microtome_numerics::{Metric, exact_knn};

use super::run::Trajectory;
use crate::OutcomeTable;
use crate::assess::{Field, MAX_FIELD_CELLS, baseline};
use crate::controls;
use crate::metrics::geometry::{DISTANCE_EMD, distance_emd};
use crate::metrics::neighbours::{NEIGHBOUR_PRESERVATION, neighbour_preservation};
use crate::metrics::roughness::{KNN_ROUGHNESS, ROGI, ROGI_XD, Tree, knn_roughness};
use crate::metrics::{Named, Score};

const COLUMNS: [(&str, &str); 4] = [
    (KNN_ROUGHNESS.id, "kNN error"),
    (ROGI_XD.id, "ROGI-XD"),
    (NEIGHBOUR_PRESERVATION.id, "shared with PCA"),
    (DISTANCE_EMD.id, "moved from PCA"),
];

impl Trajectory<'_> {
    /// Reads every representation on the scored cells.
    pub(super) fn field(&self) -> Result<Field> {
        let a = &self.asked.assessment;
        let matrices = &self.asked.matrices;
        let n = a.truth.len();
        let k = self.options.k.min(n.saturating_sub(1)).max(1);
        let before = baseline(a.representations, controls::PCA.id).and_then(|r| matrices[r].as_ref().ok());
        let before = match before.filter(|_| n <= MAX_FIELD_CELLS) {
            Some(x) => Some((x, exact_knn(x, k, Metric::Euclidean)?)),
            None => None,
        };
        a.field("metrics of the field", matrices, |x| {
            let near = exact_knn(x, k, Metric::Euclidean)?;
            let rough = Tree::of(x, Distance::Euclidean, a.protocol.seed)?.roughness(a.truth)?;
            let [kept, moved] = match &before {
                Some((pca, near_pca)) => [neighbour_preservation(near_pca, &near)?, distance_emd(pca, x)?],
                None => [(); 2].map(|()| Score::undefined("principal components are not among the representations")),
            };
            let out: Vec<Named> = vec![
                (&KNN_ROUGHNESS, knn_roughness(&near, a.truth)?),
                (&ROGI, rough.rogi),
                (&ROGI_XD, rough.xd),
                (&NEIGHBOUR_PRESERVATION, kept),
                (&DISTANCE_EMD, moved),
            ];
            Ok(out)
        })
    }

    pub(super) fn field_table(&self, field: &Field, summaries: &[Summary]) -> Option<OutcomeTable> {
        let words = (
            "Metrics of the field",
            "None of them decides and none has an interval. The error of predicting a cell's time by its nearest cells and the roughness \
             of time are low where near cells are of like time. The last two compare the space with principal components: sharing all \
             neighbours with them, or moving no distance, is telling what they tell.",
        );
        self.asked.assessment.field_table(words, &COLUMNS, field, summaries)
    }
}
