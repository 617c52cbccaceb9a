//! Does the representation tell cell types apart, in donors it has not seen?
//!
//! Readings of every representation, all judged on cells of units that took no part in learning:
//!
//! * `knn`: majority of the nearest training cells (Euclidean, so that baselines of one number have neighbours too).
//! * `logistic`: multinomial logistic regression, balanced classes, features scaled on the training cells.
//! * `centroid`: the nearest class mean.
//! * `projection`: largest coefficient of the cell as a mixture of class means (the classifier of scTOP, on any matrix).
//! * `logistic_beyond`: logistic regression on what total counts, detected genes and the principal components of expression
//!   do not explain of the representation, by least squares on the training cells. It shows what a model adds to them; the
//!   same of log-normalised expression shows what else expression holds.
//!
//! Purity of neighbourhoods, ROGI-XD, agreement with the ontology (OntoRWR) and the neighbours shared with principal components
//! are recorded without an interval, because published tables hold them; none of them decides.
//!
//! Labels are scored when at least two units have them, because a label of one unit cannot be learnt elsewhere and is
//! always wrong; a label that is missing in the training units of a fold is wrong for every representation alike.
//! Where no unit is named, cells are dealt into folds at random and the result is called optimistic.
//!
//! What the intervals cover: units (and cells within them) are resampled and scored again with the label they already
//! have. Classifiers are fitted again for the nested choice of depth, not in a replicate.

mod distance;
mod field;
mod held_out;
mod labels;
mod options;
mod readings;
mod run;
mod tables;

pub use distance::LabelTerms;
pub use options::AnnotationOptions;
pub use run::run;

use crate::controls;
use crate::metrics;
use crate::tasks::Task;

/// The task.
pub static TASK: Task = Task {
    id: "annotation",
    version: 1,
    words: "does the representation tell cell types apart in units it has not seen?",
    metrics: &[
        &metrics::KNN_F1_MACRO,
        &metrics::KNN_BALANCED_ACCURACY,
        &metrics::KNN_ACCURACY,
        &metrics::KNN_F1_WEIGHTED,
        &metrics::KNN_AUROC,
        &metrics::KNN_AUPRC,
        &metrics::KNN_LCAD,
        &metrics::KNN_LCAD_SYMMETRIC,
        &metrics::KNN_LCAD_ALL_CELLS,
        &metrics::LOGISTIC_F1_MACRO,
        &metrics::LOGISTIC_BALANCED_ACCURACY,
        &metrics::LOGISTIC_ACCURACY,
        &metrics::LOGISTIC_F1_WEIGHTED,
        &metrics::LOGISTIC_AUROC,
        &metrics::LOGISTIC_AUPRC,
        &metrics::LOGISTIC_LCAD,
        &metrics::LOGISTIC_LCAD_SYMMETRIC,
        &metrics::LOGISTIC_LCAD_ALL_CELLS,
        &metrics::CENTROID_F1_MACRO,
        &metrics::CENTROID_BALANCED_ACCURACY,
        &metrics::CENTROID_ACCURACY,
        &metrics::CENTROID_F1_WEIGHTED,
        &metrics::PROJECTION_F1_MACRO,
        &metrics::PROJECTION_BALANCED_ACCURACY,
        &metrics::PROJECTION_ACCURACY,
        &metrics::PROJECTION_F1_WEIGHTED,
        &metrics::LOGISTIC_BEYOND,
    ],
    negative_control: &controls::RANDOM_EMBEDDING,
    positive_control: &controls::NOISY_CLASSES,
    baselines: &[
        &controls::LOG_NORMALISED,
        &controls::PCA,
        &controls::RANK_NORMAL,
        &controls::RANDOM_PROJECTION,
        &controls::TOTAL_COUNTS,
        &controls::DETECTED_GENES,
    ],
};
