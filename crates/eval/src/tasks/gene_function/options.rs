//! Choices of the gene-function task.

use microtome_core::{Error, Result};

use crate::Cells;
use crate::metrics::Metric;

/// Most sets of one run: membership of a gene in all of them is one whole number that `f64` holds exactly.
pub const MAX_SETS: usize = 50;

/// A set of genes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeneSet {
    /// Name.
    pub name: String,
    /// Rows of the genes in it.
    pub members: Vec<usize>,
}

/// Choices of the gene-function task.
#[derive(Clone, Debug, PartialEq)]
pub struct GeneFunctionOptions {
    /// What the sets are, for a reader, for instance the name of their file.
    pub sets_name: String,
    /// The sets.
    pub sets: Vec<GeneSet>,
    /// Fewest scored members of a set.
    pub min_genes: usize,
    /// Headline metric: the one that decides.
    pub headline: &'static Metric,
}

impl GeneFunctionOptions {
    /// Sets of at least 10 genes, area under the ROC curve as the headline.
    pub fn new(sets_name: impl Into<String>, sets: Vec<GeneSet>) -> Self {
        Self { sets_name: sets_name.into(), sets, min_genes: 10, headline: super::TASK.metrics[0] }
    }

    /// Names the headline by its id. Errors when the task has no such metric.
    pub fn with_headline(mut self, id: &str) -> Result<Self> {
        self.headline = super::TASK.metric(id)?;
        Ok(self)
    }

    /// Errors when the choices do not fit the genes.
    pub(super) fn check(&self, genes: &Cells) -> Result<()> {
        if let Some(bad) = self.sets.iter().flat_map(|s| &s.members).find(|&&g| g >= genes.n) {
            return Err(Error::usage("a member of a gene set is not a row")
                .expected(format!("below {}", genes.n))
                .found(bad.to_string()));
        }
        if self.min_genes < 2 {
            return Err(Error::usage("gene-function setting out of range")
                .at_key("min_genes")
                .expected("at least 2")
                .found(self.min_genes.to_string()));
        }
        Ok(())
    }
}
