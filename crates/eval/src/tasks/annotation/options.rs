//! Choices of the annotation task.

use microtome_core::{Error, Result};

use super::LabelTerms;
use crate::metrics::{Metric, Statistic};
use crate::{Cells, Groups};

/// Choices of the annotation task.
#[derive(Clone, Debug, PartialEq)]
pub struct AnnotationOptions {
    /// The label of every cell.
    pub labels: Groups,
    /// Neighbours that vote.
    pub k: usize,
    /// Fewest cells of a label that is scored.
    pub min_cells: usize,
    /// Where the labels stand in an ontology, for the distance of mistakes.
    pub terms: Option<LabelTerms>,
    /// Groups of cells between which the best depth may shift.
    pub strata: Option<Groups>,
    /// Headline metric: the one that decides.
    pub headline: &'static Metric,
}

impl AnnotationOptions {
    /// 15 neighbours, labels of at least 10 cells, macro-F1 of the nearest neighbours as the headline.
    pub fn new(labels: Groups) -> Self {
        Self { labels, k: 15, min_cells: 10, terms: None, strata: None, headline: super::TASK.metrics[0] }
    }

    /// Names the headline by its id. Errors when the task has no such metric, or when it is a distance, which has no
    /// nested choice.
    pub fn with_headline(mut self, id: &str) -> Result<Self> {
        self.headline = super::TASK.metric(id)?;
        if self.headline.statistic == Statistic::OfTask {
            return Err(Error::usage("a distance of mistakes is no headline: depth is not chosen by it")
                .at_key("headline")
                .expected("a metric of labels, such as knn_f1_macro")
                .found(format!("\"{id}\"")));
        }
        Ok(self)
    }

    /// Errors when the choices do not fit the cells.
    pub(super) fn check(&self, cells: &Cells) -> Result<()> {
        if self.labels.codes.len() != cells.n {
            return Err(Error::usage("a label must be given, or be missing, for every cell of the data set")
                .at_key(self.labels.name.clone())
                .expected(format!("{} values", cells.n))
                .found(format!("{} values", self.labels.codes.len())));
        }
        let bad = |key: &str, expected: &str, found: usize| {
            Err(Error::usage("annotation setting out of range").at_key(key).expected(expected).found(found.to_string()))
        };
        if self.k == 0 {
            return bad("k", "at least 1", self.k);
        }
        if self.min_cells < 2 {
            return bad("min_cells", "at least 2", self.min_cells);
        }
        if let Some(terms) = &self.terms
            && terms.term_of_label.len() != self.labels.names.len()
        {
            return bad("terms", "one per label", terms.term_of_label.len());
        }
        Ok(())
    }
}
