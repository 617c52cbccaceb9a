//! Choices of the perturbation task.

use microtome_core::{Counts, Error, Result};
use serde::Serialize;

use crate::metrics::Metric;
use crate::{Cells, Groups};

/// Where reference effects come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reference {
    #[default]
    /// Wald statistics of a negative binomial model of pseudobulks with shrunken dispersions.
    PseudobulkNb,
    /// Difference of mean log-normalised expression.
    MeanDifference,
    /// The same for the 500 genes of largest Welch t, zero elsewhere (the committed variant of arXiv 2604.14838).
    MeanDifferenceTop500,
}

impl Reference {
    /// For a reader.
    pub fn words(self) -> &'static str {
        match self {
            Self::PseudobulkNb => "Wald statistics of a negative binomial model of pseudobulks with shrunken dispersions",
            Self::MeanDifference => "differences of mean log-normalised expression",
            Self::MeanDifferenceTop500 => "differences of mean log-normalised expression in the 500 genes of largest Welch t",
        }
    }
}

/// Choices of the perturbation task.
#[derive(Clone, Debug)]
pub struct PerturbationOptions<'a> {
    /// Perturbation of every cell; cells without one are not scored.
    pub perturbation: Groups,
    /// The value that means control.
    pub control: String,
    /// What must be the same in a perturbed and a control cell for them to be compared (batch, donor, cell line).
    pub context: Option<Groups>,
    /// Guide or replicate: whole ones go into a half, and each is a pseudobulk.
    pub unit: Option<Groups>,
    /// Raw counts of the cells.
    pub counts: &'a Counts,
    /// Genes that each perturbation hits (columns of `counts`), by the codes of `perturbation`; may be empty.
    pub targets: Vec<Vec<usize>>,
    /// Where reference effects come from.
    pub reference: Reference,
    /// Perturbations with fewer cells are left out.
    pub min_cells: usize,
    /// Random halvings of the cells.
    pub n_splits: usize,
    /// Groups of cells (states, time points) between which the best depth may shift.
    pub strata: Option<Groups>,
    /// Headline metric: the one that decides.
    pub headline: &'static Metric,
}

impl<'a> PerturbationOptions<'a> {
    /// Pseudobulk reference, at least 30 cells per perturbation, 3 halvings.
    pub fn new(perturbation: Groups, control: impl Into<String>, counts: &'a Counts) -> Self {
        let targets = vec![vec![]; perturbation.names.len()];
        Self {
            perturbation,
            control: control.into(),
            context: None,
            unit: None,
            counts,
            targets,
            reference: Reference::PseudobulkNb,
            min_cells: 30,
            n_splits: 3,
            strata: None,
            headline: super::TASK.metrics[0],
        }
    }

    /// Errors when the choices do not fit each other or the cells.
    pub(super) fn check(&self, cells: &Cells) -> Result<()> {
        let columns =
            [Some(&self.perturbation), self.context.as_ref(), self.unit.as_ref(), self.strata.as_ref()];
        for groups in columns.into_iter().flatten() {
            if groups.codes.len() != cells.n {
                return Err(Error::usage("a column must be known for every cell of the data set")
                    .at_key(groups.name.clone())
                    .expected(format!("{} values", cells.n))
                    .found(format!("{} values", groups.codes.len())));
            }
        }
        let bad = |key: &str, expected: String, found: String| {
            Err(Error::usage("perturbation setting out of range").at_key(key).expected(expected).found(found))
        };
        if self.counts.n_cells() != cells.n {
            return bad("counts", format!("{} cells", cells.n), format!("{} cells", self.counts.n_cells()));
        }
        if self.targets.len() != self.perturbation.names.len()
            || self.targets.iter().flatten().any(|&g| g >= self.counts.n_genes())
        {
            return bad("targets", "one list of genes per perturbation".into(), format!("{} lists", self.targets.len()));
        }
        if !self.perturbation.names.contains(&self.control) {
            let near = microtome_core::closest(&self.control, self.perturbation.names.iter().map(String::as_str));
            return Err(Error::usage("no cell has the control value")
                .at_key(self.perturbation.name.clone())
                .expected(format!("a value such as {}", first_names(&self.perturbation.names)))
                .found(format!("\"{}\"", self.control))
                .remedy(near.map_or("name the control with --control".into(), |n| format!("did you mean {n}?"))));
        }
        if self.min_cells < 8 {
            return bad("min_cells", "at least 8 (two halves of two pseudobulks)".into(), self.min_cells.to_string());
        }
        if !(1..=100).contains(&self.n_splits) {
            return bad("n_splits", "1 to 100".into(), self.n_splits.to_string());
        }
        if !super::TASK.metrics.contains(&self.headline) {
            let known: Vec<&str> = super::TASK.metrics.iter().map(|m| m.id).collect();
            return bad("headline", format!("one of: {}", known.join(", ")), self.headline.id.into());
        }
        Ok(())
    }
}

fn first_names(names: &[String]) -> String {
    names.iter().take(4).map(|n| format!("\"{n}\"")).collect::<Vec<_>>().join(", ")
}
