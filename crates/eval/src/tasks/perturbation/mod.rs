//! Does the geometry of a representation hold what perturbations do?
//!
//! The effect of a perturbation is the mean of its cells minus the mean of control cells *of the same context* (batch,
//! donor, cell line), so that what all cells share plays no part. The independent unit is the perturbation.
//!
//! Every score is made on disjoint halves of the cells, because noise that reference and representation share would
//! otherwise count as agreement. Where a unit (guide, replicate) is named, whole units go into a half.
//!
//! * `rsa`: are effects that are alike in expression alike here? Rank correlation over pairs of perturbations between the
//!   cosine of their effects in one half and the cosine of their differential expression in the other, averaged over
//!   both directions and several splits. In a half the two effects of a pair are measured against disjoint control cells,
//!   so that noise of the control does not make all pairs alike (a cross-validated inner product).
//! * `retrieval`: is a perturbation's effect in one half nearest to its own in the other? Needs no reference.
//! * `magnitude`, `energy`: do strong perturbations move cells far?
//! * `rsa_partial`: agreement beyond what raw expression of the same cells, and depth, already explain.
//! * `rsa_as_published`: the variant of arXiv 2604.14838: centroids that are not differenced from control, all cells on
//!   both sides. It is recorded for comparison, never the headline.
//!
//! The target gene of a perturbation is set to no change in its reference profile: a knocked-down gene is no discovery.
//!
//! What the intervals cover: perturbations are resampled, and pairs of a perturbation with itself left out. Cells, guides
//! and halves stay as they are within a replicate.

mod control;
mod design;
mod effects;
mod energy;
mod matched;
mod options;
mod readings;
mod reference;
mod run;
mod sets;
mod strata;
mod truth;

pub(crate) use control::effect_profiles;
pub use options::{PerturbationOptions, Reference};
pub use run::run;

use crate::controls;
use crate::metrics;
use crate::tasks::Task;

/// The task.
pub static TASK: Task = Task {
    id: "perturbation",
    version: 1,
    words: "does the representation hold what perturbations do?",
    metrics: &[
        &metrics::RSA_SPEARMAN,
        &metrics::RETRIEVAL_PDS,
        &metrics::MAGNITUDE_SPEARMAN,
        &metrics::ENERGY_SPEARMAN,
        &metrics::RSA_PARTIAL,
        &metrics::RSA_AS_PUBLISHED,
    ],
    negative_control: &controls::RANDOM_EMBEDDING,
    positive_control: &controls::EFFECT_PROFILES,
    baselines: &[
        &controls::LOG_NORMALISED,
        &controls::PCA,
        &controls::PEARSON_RESIDUALS,
        &controls::RANK_NORMAL,
        &controls::RANDOM_PROJECTION,
        &controls::TOTAL_COUNTS,
        &controls::DETECTED_GENES,
    ],
};
