//! Do vectors of genes know what genes do?
//!
//! The rows are genes: every block's mean vector of a gene over the cells that show it, the model's own table of gene
//! vectors, and baselines made of expression alone. One reading: ridge regression of membership in every gene set at once,
//! penalty chosen inside the training genes, judged on genes of groups (family, chromosome, homologues) that took no part
//! in learning. Members of one family are alike in sequence, expression and annotation, so a random split flatters every
//! representation; where no groups are named, genes are dealt into folds at random and the result is called optimistic.
//!
//! The headline is the area under the ROC curve, 0.5 at chance whatever the size of a set; average precision, whose
//! chance is the share of members, stands beside it with that share per set.
//!
//! The attribute learning index of clusters of genes is recorded beside them, without an interval.
//!
//! What the intervals cover: groups (and genes within them) are resampled and scored again with the prediction they
//! already have.

mod attributes;
mod options;
mod run;

pub use options::{GeneFunctionOptions, GeneSet, MAX_SETS};
pub use run::run;

use crate::controls;
use crate::metrics;
use crate::tasks::Task;

/// The task.
pub static TASK: Task = Task {
    id: "gene_function",
    version: 1,
    words: "do vectors of genes know what genes do?",
    metrics: &[&metrics::GENE_SETS_AUROC, &metrics::GENE_SETS_AUPRC],
    negative_control: &controls::RANDOM_EMBEDDING,
    positive_control: &controls::NOISY_SETS,
    baselines: &[&controls::GENE_EXPRESSION, &controls::GENE_COEXPRESSION, &controls::GENE_RANDOM],
};
