//! Metrics of the field on labelled cells: purity of neighbourhoods, roughness, agreement with the ontology, and how much of the
//! neighbourhoods of expression is left.

use microtome_core::{Matrix, Result, Summary};
use microtome_numerics::distances::Distance;
use microtome_numerics::{Metric, exact_knn};

use super::run::Annotation;
use crate::assess::{Field, MAX_FIELD_CELLS, attempt, baseline};
use crate::controls;
use crate::metrics::neighbours::{KNN_PURITY, NEIGHBOUR_PRESERVATION, knn_purity, neighbour_preservation};
use crate::metrics::onto_rwr::{ONTO_RWR, onto_rwr, ontology_distances};
use crate::metrics::roughness::{ROGI_XD, Tree};
use crate::metrics::{Named, Score};
use crate::{Groups, OutcomeTable};

const COLUMNS: [(&str, &str); 4] = [
    (KNN_PURITY.id, "purity"),
    (ROGI_XD.id, "ROGI-XD"),
    (ONTO_RWR.id, "OntoRWR"),
    (NEIGHBOUR_PRESERVATION.id, "shared with PCA"),
];

impl Annotation<'_> {
    /// Reads every representation. What asks for an ontology is there only where the labels' terms are given.
    pub(super) fn field(&self, matrices: &[Result<Matrix, String>]) -> Result<Field> {
        let a = &self.assessment;
        let n = a.truth.len();
        let labels: Vec<u32> = a.truth.iter().map(|&t| t as u32).collect();
        let k = self.options.k.min(n.saturating_sub(1)).max(1);
        let few = n <= MAX_FIELD_CELLS;
        let before = match baseline(a.representations, controls::PCA.id).and_then(|r| matrices[r].as_ref().ok()) {
            Some(x) if few => Some(exact_knn(x, k, Metric::Euclidean)?),
            _ => None,
        };
        let terms = self.options.terms.as_ref().filter(|_| few).map(|t| {
            let of_label = |class: u32| t.term_of_label[self.classes.label_of_class[class as usize] as usize];
            (&t.ontology, labels.iter().map(|&c| of_label(c)).collect::<Vec<u32>>())
        });
        let distances = match &terms {
            None => None,
            Some((ontology, terms)) => {
                let known: Vec<u32> = terms.iter().copied().filter(|&t| t != Groups::MISSING).collect();
                Some(attempt(ontology_distances(ontology, &known, a.protocol.seed))?)
            }
        };
        a.field("metrics of the field", matrices, |x| {
            let near = exact_knn(x, k, Metric::Euclidean)?;
            let tree = Tree::of(x, Distance::Euclidean, a.protocol.seed)?;
            let kept = match &before {
                Some(before) => neighbour_preservation(before, &near)?,
                None => Score::undefined("principal components are not among the representations"),
            };
            let mut out: Vec<Named> = vec![
                (&KNN_PURITY, knn_purity(&near, &labels)?),
                (&ROGI_XD, tree.roughness_of_labels(&labels)?.0),
                (&NEIGHBOUR_PRESERVATION, kept),
            ];
            if let (Some((_, terms)), Some(distances)) = (&terms, &distances) {
                out.push((&ONTO_RWR, match distances {
                    Ok(d) => onto_rwr(x, terms, d)?,
                    Err(reason) => Score::undefined(reason.clone()),
                }));
            }
            Ok(out)
        })
    }

    pub(super) fn further_table(&self, field: &Field, summaries: &[Summary]) -> Option<OutcomeTable> {
        let words = (
            "Metrics of the field",
            "None of them decides and none has an interval: neighbours and trees are those of all cells, whatever their unit. Purity: \
             neighbours of the own label, mean over labels. ROGI-XD: roughness of the labels, low is smooth. OntoRWR: distances between \
             labels as in the ontology. A model that shares its neighbours with principal components tells what these tell.",
        );
        self.assessment.field_table(words, &COLUMNS, field, summaries)
    }
}
