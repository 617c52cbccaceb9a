//! Choices of the integration task.

use microtome_core::{Error, Result};

use crate::metrics::Metric;
use crate::{Cells, Groups};

/// Choices of the integration task.
#[derive(Clone, Debug, PartialEq)]
pub struct IntegrationOptions {
    /// The type of every cell.
    pub labels: Groups,
    /// The batch of every cell.
    pub batches: Groups,
    /// Neighbours that are looked at.
    pub k: usize,
    /// Name of the representation before integration, for the comparison of principal components; the first baseline
    /// whose name begins with it.
    pub before: String,
    /// Whether the metrics of the field are computed too; they cost the square of the number of cells.
    pub field_metrics: bool,
    /// Groups of cells between which the best depth may shift.
    pub strata: Option<Groups>,
    /// Headline metric: the one that decides.
    pub headline: &'static Metric,
}

impl IntegrationOptions {
    /// 30 neighbours, `pca` as the space before integration, mixed neighbours as the headline.
    pub fn new(labels: Groups, batches: Groups) -> Self {
        let headline = super::TASK.metrics[0];
        Self { labels, batches, k: 30, before: "pca".into(), field_metrics: true, strata: None, headline }
    }

    /// Names the headline by its id. Errors when the task has no such metric.
    pub fn with_headline(mut self, id: &str) -> Result<Self> {
        self.headline = super::TASK.metric(id)?;
        Ok(self)
    }

    /// Errors when the choices do not fit the cells.
    pub(super) fn check(&self, cells: &Cells) -> Result<()> {
        for groups in [&self.labels, &self.batches] {
            if groups.codes.len() != cells.n {
                return Err(Error::usage("a group must be given, or be missing, for every cell of the data set")
                    .at_key(groups.name.clone())
                    .expected(format!("{} values", cells.n))
                    .found(format!("{} values", groups.codes.len())));
            }
        }
        if self.k == 0 {
            return Err(Error::usage("integration setting out of range")
                .at_key("k")
                .expected("at least 1")
                .found("0"));
        }
        Ok(())
    }
}
