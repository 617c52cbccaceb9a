//! The metrics of the field: scIB's, scGraph, and those that the graph of batch-balanced neighbours has.

use microtome_core::{Counts, Matrix, Result, Role};
use microtome_numerics::{BbknnOptions, bbknn};

use super::run::Integrated;
use crate::Groups;
use crate::assess::{Field, MAX_FIELD_CELLS, attempt};
use crate::controls;
use crate::metrics::integration::{Integration as Input, graph_integration, integration};
use crate::metrics::scgraph::{self, reference, scgraph};
use crate::metrics::{LabelDistances, Named, Score};

/// What the metrics of the field say.
pub(super) struct FieldMetrics {
    /// Of every representation.
    pub(super) field: Field,
    /// Of batch-balanced neighbours: the name of the baseline, and its metrics.
    pub(super) graph: Option<(String, Vec<Named>)>,
}

impl Integrated<'_> {
    /// The metrics of the field on every representation, and on the graph of batch-balanced neighbours of the space before
    /// integration. What a method cannot do on these cells is a note.
    pub(super) fn field(
        &self,
        matrices: &[Result<Matrix, String>],
        notes: &mut Vec<String>,
    ) -> Result<FieldMetrics> {
        let a = &self.assessment;
        let of_model = |name: &str| {
            let found = a.representations.iter().position(|r| r.role == Role::Baseline && r.model.starts_with(name));
            found.and_then(|r| Some((r, matrices[r].as_ref().ok()?)))
        };
        let before = of_model(&self.options.before);
        let codes = |g: &Groups| self.scored.iter().map(|&i| g.codes[i]).collect::<Vec<_>>();
        let (labels, batches) = (codes(&self.options.labels), codes(&self.options.batches));
        let few = self.scored.len() <= MAX_FIELD_CELLS;
        let consensus = match of_model(controls::LOG_NORMALISED.id).filter(|_| few) {
            None => Err("log-normalised expression is not among the representations".to_string()),
            Some((_, x)) => attempt(sparse(x).and_then(|x| reference(&x, &labels, &batches, a.protocol.seed)))?,
        };
        let field = a.field("integration metrics", matrices, |x| {
            let mut found = integration(&Input {
                embedding: x,
                before: before.map(|b| b.1),
                labels: &labels,
                batches: &batches,
                k_purity: self.options.k,
                seed: a.protocol.seed,
            })?;
            found.extend(agreement(x, &labels, consensus.as_ref())?);
            Ok(found)
        })?;
        let graph = match before.filter(|_| few) {
            None => None,
            Some((r, x)) => {
                let scores = bbknn(x, &batches, &BbknnOptions::default())
                    .and_then(|graph| graph_integration(&graph, &labels, &batches, a.protocol.seed));
                match attempt(scores)? {
                    Ok(scores) => Some((format!("bbknn_{}", a.representations[r].model), scores)),
                    Err(reason) => {
                        notes.push(format!("no baseline bbknn: {reason}"));
                        None
                    }
                }
            }
        };
        Ok(FieldMetrics { field, graph })
    }
}

/// scGraph's three readings; without a consensus the reason.
fn agreement(x: &Matrix, labels: &[u32], consensus: Result<&LabelDistances, &String>) -> Result<Vec<Named>> {
    let [rank, corr, weighted] = match consensus {
        Err(reason) => [(); 3].map(|()| Score::undefined(reason.clone())),
        Ok(consensus) => {
            let found = scgraph(x, labels, consensus, false)?;
            [found.rank, found.corr, found.weighted]
        }
    };
    Ok(vec![
        (&scgraph::SCGRAPH_RANK, rank),
        (&scgraph::SCGRAPH_CORR, corr),
        (&scgraph::SCGRAPH_WEIGHTED, weighted),
    ])
}

/// The values that are not zero.
fn sparse(x: &Matrix) -> Result<Counts> {
    let (mut indptr, mut indices, mut values) = (vec![0], vec![], vec![]);
    for i in 0..x.rows() {
        for (c, &v) in x.row(i).iter().enumerate().filter(|(_, v)| **v != 0.0) {
            indices.push(c as u32);
            values.push(v);
        }
        indptr.push(indices.len());
    }
    Counts::new(x.cols(), indptr, indices, values)
}
