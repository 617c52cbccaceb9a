//! Labels of cells: groups that are held out whole, and the classes of an annotation.

use microtome_core::{Error, Result};
use microtome_train::pretrain::Annotation;
use serde::Serialize;

use crate::data::Data;

/// Supervision by a column of `obs` beside the objective.
#[derive(Clone, Debug, Serialize)]
pub struct AnnotationOptions {
    /// Column of `obs` with the classes.
    pub obs: String,
    /// Weight of its mean cross entropy beside the mean loss of the objective.
    pub weight: f64,
}

/// What was learned of the annotation.
#[derive(Clone, Debug, Serialize)]
pub struct AnnotationReport {
    /// Column and weight.
    #[serde(flatten)]
    pub options: AnnotationOptions,
    /// Classes in the order of the readout in `heads.safetensors`.
    pub classes: Vec<String>,
    /// Share of the held-out cells with a label whose class the exported weights find.
    pub accuracy: Option<f64>,
    /// The same when every cell is taken for the most frequent class of the training cells.
    pub most_frequent: Option<f64>,
}

/// Classes of the training cells and the class of every cell.
pub(super) struct Classes {
    pub(super) names: Vec<String>,
    pub(super) of_cell: Vec<Option<u32>>,
}

impl Classes {
    /// Errors when the weight is out of range, or the training cells are of fewer than two classes.
    pub(super) fn new(files: &[Data], options: &AnnotationOptions, train: &[usize]) -> Result<Self> {
        if !(options.weight.is_finite() && options.weight >= 0.0) {
            return Err(Error::usage("the weight of the annotation must be a number from 0 on")
                .found(options.weight.to_string()));
        }
        let labels = labels(files, &options.obs)?;
        let mut names: Vec<String> = train.iter().filter_map(|c| labels[*c].clone()).collect();
        names.sort_unstable();
        names.dedup();
        if names.len() < 2 {
            return Err(Error::usage("an annotation needs at least two classes among the training cells")
                .at_key(format!("obs[\"{}\"]", options.obs))
                .found(if names.is_empty() {
                    "no labels".into()
                } else {
                    format!("\"{}\" only", names[0])
                }));
        }
        let class = |l: Option<String>| names.binary_search(&l?).ok().map(|i| i as u32);
        let of_cell = labels.into_iter().map(class).collect();
        Ok(Self { names, of_cell })
    }

    pub(super) fn annotation(&self, options: &AnnotationOptions) -> Annotation {
        Annotation { n_classes: self.names.len(), weight: options.weight }
    }

    /// Share of the labelled held-out cells that are of the most frequent class of the training cells.
    pub(super) fn most_frequent(&self, train: &[usize], held_out: &[usize]) -> Option<f64> {
        let mut counts = vec![0usize; self.names.len()];
        train.iter().filter_map(|c| self.of_cell[*c]).for_each(|l| counts[l as usize] += 1);
        let best = (0..counts.len()).max_by_key(|i| (counts[*i], counts.len() - i))?;
        let labelled: Vec<u32> = held_out.iter().filter_map(|c| self.of_cell[*c]).collect();
        let right = labelled.iter().filter(|l| **l as usize == best).count();
        (!labelled.is_empty()).then(|| right as f64 / labelled.len() as f64)
    }
}

/// A column over all files, missing values as `None`.
pub(super) fn labels(files: &[Data], column: &str) -> Result<Vec<Option<String>>> {
    let mut all = vec![];
    for file in files {
        let column = file.obs_column(column)?;
        all.extend((0..column.len()).map(|i| column.text(i)));
    }
    Ok(all)
}
