//! Metrics: how predictions and truth become one number. The lists are at the end of this file.
//!
//! Two kinds. A [`Metric`] compares one prediction per cell with the truth and is resampled by the protocol. The
//! library's metrics, each described by a [`Definition`] beside its function, are pure functions of embeddings,
//! labels, batches, neighbour lists or responses that hand back a [`Score`].

mod area_set;
mod centroids;
mod class_set;
mod clonal;
mod definition;
#[cfg(test)]
mod golden;
mod groups;
mod kendall;
mod partial;
mod place;
mod score;
mod spearman;

pub use centroids::LabelDistances;
pub use definition::{Definition, Need};
pub use score::{Named, Score};

pub(crate) use area_set::AreaSet;
use class_set::ClassSet;
pub(crate) use clonal::ClonalSet;
use kendall::KendallSet;
pub(crate) use partial::PartialSet;
pub(crate) use spearman::SpearmanSet;

use microtome_core::Direction;

use crate::protocol::{LANES, Lanes, ScoreSet, Weights};

/// What compares predictions with truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistic {
    /// Spearman's rank correlation, ties by average ranks.
    Spearman,
    /// Kendall's tau-b.
    KendallTauB,
    /// F1 of classes, mean over the classes of the truth.
    F1Macro,
    /// Share of a class that is found, mean over the classes of the truth.
    BalancedAccuracy,
    /// Share of right classes.
    Accuracy,
    /// F1 of classes, weighted by their size in the truth.
    F1Weighted,
    /// Area under the ROC curve of class scores, mean over classes.
    AurocMacro,
    /// Average precision of class scores, mean over classes.
    AuprcMacro,
    /// The task makes the scores itself, because they rest on more than one truth.
    OfTask,
}

impl Statistic {
    /// The statistic for many sets of predictions against one truth; undefined scores where
    /// the task makes the set. For numbers,
    /// predictions may be infinite (they rank last), not NaN, and the truth is finite; classes are whole numbers; class
    /// scores come as one number per class, row by row.
    pub(crate) fn set(self, truth: &[f64], predictions: &[&[f64]]) -> Box<dyn ScoreSet> {
        match self {
            Self::Spearman => Box::new(SpearmanSet::new(truth, predictions)),
            Self::KendallTauB => Box::new(KendallSet::new(truth, predictions)),
            Self::F1Macro | Self::BalancedAccuracy | Self::Accuracy | Self::F1Weighted => {
                Box::new(ClassSet::new(self, truth, predictions))
            }
            Self::AurocMacro | Self::AuprcMacro => Box::new(AreaSet::of_classes(self, truth, predictions)),
            Self::OfTask => Box::new(NoScores(predictions.len())),
        }
    }

    /// The statistic for one set of predictions, every cell counting once; NaN where it is undefined.
    pub(crate) fn score(self, truth: &[f64], predictions: &[f64]) -> f64 {
        self.set(truth, &[predictions]).weighted(&Weights::all(truth.len()))[0][0]
    }

    /// Whether predictions that are the same for every cell have no score.
    pub(crate) fn needs_variation(self) -> bool {
        matches!(self, Self::Spearman | Self::KendallTauB)
    }
}

/// Scores that are not defined by predictions and one truth.
struct NoScores(usize);

impl ScoreSet for NoScores {
    fn len(&self) -> usize {
        self.0
    }

    fn weighted(&self, _: &Weights) -> Vec<Lanes> {
        vec![[f64::NAN; LANES]; self.0]
    }

    fn permuted(&self, _: &[Vec<u32>]) -> Vec<Lanes> {
        vec![[f64::NAN; LANES]; self.0]
    }
}

/// A metric: a reading of the representation and the statistic that compares it with the truth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric {
    /// Id in records, `[a-z0-9_]+`.
    pub id: &'static str,
    /// Version of the definition; rises when the numbers can change.
    pub version: u32,
    /// Which way is better.
    pub direction: Direction,
    /// Id of the reading whose output is compared.
    pub reading: &'static str,
    /// How it is compared.
    pub statistic: Statistic,
    /// What it is, for a reader.
    pub words: &'static str,
}

macro_rules! metrics {
    ($($name:ident $id:literal = $version:literal, $reading:literal, $statistic:ident, $direction:ident, $words:literal;)*) => {
        $(
            #[doc = $words]
            pub static $name: Metric = Metric {
                id: $id,
                version: $version,
                direction: Direction::$direction,
                reading: $reading,
                statistic: Statistic::$statistic,
                words: $words,
            };
        )*
        /// Every metric.
        pub static METRICS: &[&Metric] = &[$(&$name),*];
    };
}

metrics! {
    GENE_SETS_AUROC "gene_sets_auroc" = 1, "gene_sets", OfTask, Higher, "held-out area under the ROC curve of membership, mean over gene sets";
    GENE_SETS_AUPRC "gene_sets_auprc" = 1, "gene_sets", OfTask, Higher, "held-out average precision of membership, mean over gene sets";
    MIXED_NEIGHBOURS "mixed_neighbours" = 1, "neighbours", OfTask, Higher, "share of nearest cells of the own type from other batches, over perfect mixing";
    NEIGHBOUR_LABELS "neighbour_labels" = 1, "neighbours", OfTask, Higher, "share of nearest cells of the own type";
    NEIGHBOUR_BATCHES "neighbour_batches" = 1, "neighbours", OfTask, Higher, "share of other batches among the nearest cells of the own type, over perfect mixing";
    DPT_SPEARMAN "dpt_spearman" = 1, "dpt", Spearman, Higher, "Spearman correlation of diffusion pseudotime with time";
    DPT_KENDALL "dpt_kendall" = 1, "dpt", KendallTauB, Higher, "Kendall tau-b of diffusion pseudotime with time";
    DPT_PARTIAL "dpt_partial_spearman" = 1, "dpt", OfTask, Higher, "Spearman correlation of diffusion pseudotime with time given total counts and diffusion pseudotime on principal components of expression";
    PATH_SPEARMAN "shortest_path_spearman" = 1, "shortest_path", Spearman, Higher, "Spearman correlation with time of the shortest path from the root along the neighbour graph";
    PALANTIR_SPEARMAN "palantir_spearman" = 1, "palantir", Spearman, Higher, "Spearman correlation of Palantir's pseudotime with time";
    KNN_TIME_SPEARMAN "knn_time_spearman" = 1, "knn_time", Spearman, Higher, "Spearman correlation of held-out nearest-neighbour predictions with time";
    KNN_TIME_KENDALL "knn_time_kendall" = 1, "knn_time", KendallTauB, Higher, "Kendall tau-b of held-out nearest-neighbour predictions with time";
    RIDGE_TIME_SPEARMAN "ridge_time_spearman" = 1, "ridge_time", Spearman, Higher, "Spearman correlation of held-out ridge predictions with time";
    RIDGE_TIME_KENDALL "ridge_time_kendall" = 1, "ridge_time", KendallTauB, Higher, "Kendall tau-b of held-out ridge predictions with time";
    ORDINAL_TIME_SPEARMAN "ordinal_time_spearman" = 1, "ordinal_time", Spearman, Higher, "Spearman correlation of held-out proportional-odds predictions with time";
    ORDINAL_TIME_KENDALL "ordinal_time_kendall" = 1, "ordinal_time", KendallTauB, Higher, "Kendall tau-b of held-out proportional-odds predictions with time";
    DPT_CLONAL_ORDER "dpt_clonal_order" = 1, "dpt", OfTask, Higher, "share of pairs of sister cells in the right order of time by diffusion pseudotime, mean over clones";
    PATH_CLONAL_ORDER "shortest_path_clonal_order" = 1, "shortest_path", OfTask, Higher, "share of pairs of sister cells in the right order of time by the shortest path from the root, mean over clones";
    PALANTIR_CLONAL_ORDER "palantir_clonal_order" = 1, "palantir", OfTask, Higher, "share of pairs of sister cells in the right order of time by Palantir's pseudotime, mean over clones";
    KNN_TIME_CLONAL_ORDER "knn_time_clonal_order" = 1, "knn_time", OfTask, Higher, "share of pairs of sister cells in the right order of time by nearest-neighbour predictions without their clone, mean over clones";
    RIDGE_TIME_CLONAL_ORDER "ridge_time_clonal_order" = 1, "ridge_time", OfTask, Higher, "share of pairs of sister cells in the right order of time by ridge predictions without their clone, mean over clones";
    ORDINAL_TIME_CLONAL_ORDER "ordinal_time_clonal_order" = 1, "ordinal_time", OfTask, Higher, "share of pairs of sister cells in the right order of time by proportional-odds predictions without their clone, mean over clones";
    MIXED_NEIGHBOURS_BEYOND "mixed_neighbours_beyond" = 1, "neighbours_beyond", OfTask, Higher, "share of nearest cells of the own type from other batches, over perfect mixing, in what total counts, detected genes and principal components of expression do not explain linearly";
    LOGISTIC_BEYOND "logistic_beyond_f1_macro" = 1, "logistic_beyond", F1Macro, Higher, "held-out macro-F1 of logistic regression on what total counts, detected genes and principal components of expression do not explain linearly";
    KNN_F1_MACRO "knn_f1_macro" = 1, "knn", F1Macro, Higher, "held-out macro-F1 of nearest-neighbour labels";
    KNN_BALANCED_ACCURACY "knn_balanced_accuracy" = 1, "knn", BalancedAccuracy, Higher, "held-out balanced accuracy of nearest-neighbour labels";
    KNN_ACCURACY "knn_accuracy" = 1, "knn", Accuracy, Higher, "held-out accuracy of nearest-neighbour labels";
    KNN_F1_WEIGHTED "knn_f1_weighted" = 1, "knn", F1Weighted, Higher, "held-out weighted F1 of nearest-neighbour labels";
    KNN_AUROC "knn_auroc" = 1, "knn", AurocMacro, Higher, "held-out area under the ROC curve of nearest-neighbour labels, one label against the rest";
    KNN_AUPRC "knn_auprc" = 1, "knn", AuprcMacro, Higher, "held-out average precision of nearest-neighbour labels, one label against the rest";
    KNN_LCAD "knn_lcad" = 1, "knn", OfTask, Lower, "ontology steps from the common ancestor down to the true label, mean over wrong cells, nearest-neighbour labels";
    KNN_LCAD_SYMMETRIC "knn_lcad_symmetric" = 1, "knn", OfTask, Lower, "ontology steps from the true to the predicted label, mean over wrong cells, nearest-neighbour labels";
    KNN_LCAD_ALL_CELLS "knn_lcad_all_cells" = 1, "knn", OfTask, Lower, "ontology steps from the true to the predicted label, mean over all cells, nearest-neighbour labels";
    LOGISTIC_F1_MACRO "logistic_f1_macro" = 1, "logistic", F1Macro, Higher, "held-out macro-F1 of logistic regression";
    LOGISTIC_BALANCED_ACCURACY "logistic_balanced_accuracy" = 1, "logistic", BalancedAccuracy, Higher, "held-out balanced accuracy of logistic regression";
    LOGISTIC_ACCURACY "logistic_accuracy" = 1, "logistic", Accuracy, Higher, "held-out accuracy of logistic regression";
    LOGISTIC_F1_WEIGHTED "logistic_f1_weighted" = 1, "logistic", F1Weighted, Higher, "held-out weighted F1 of logistic regression";
    LOGISTIC_AUROC "logistic_auroc" = 1, "logistic", AurocMacro, Higher, "held-out area under the ROC curve of logistic regression, one label against the rest";
    LOGISTIC_AUPRC "logistic_auprc" = 1, "logistic", AuprcMacro, Higher, "held-out average precision of logistic regression, one label against the rest";
    LOGISTIC_LCAD "logistic_lcad" = 1, "logistic", OfTask, Lower, "ontology steps from the common ancestor down to the true label, mean over wrong cells, logistic regression";
    LOGISTIC_LCAD_SYMMETRIC "logistic_lcad_symmetric" = 1, "logistic", OfTask, Lower, "ontology steps from the true to the predicted label, mean over wrong cells, logistic regression";
    LOGISTIC_LCAD_ALL_CELLS "logistic_lcad_all_cells" = 1, "logistic", OfTask, Lower, "ontology steps from the true to the predicted label, mean over all cells, logistic regression";
    CENTROID_F1_MACRO "centroid_f1_macro" = 1, "centroid", F1Macro, Higher, "held-out macro-F1 of nearest centroids";
    CENTROID_BALANCED_ACCURACY "centroid_balanced_accuracy" = 1, "centroid", BalancedAccuracy, Higher, "held-out balanced accuracy of nearest centroids";
    CENTROID_ACCURACY "nearest_centroid_accuracy" = 1, "centroid", Accuracy, Higher, "held-out accuracy of nearest centroids";
    CENTROID_F1_WEIGHTED "centroid_f1_weighted" = 1, "centroid", F1Weighted, Higher, "held-out weighted F1 of nearest centroids";
    PROJECTION_F1_MACRO "projection_f1_macro" = 1, "projection", F1Macro, Higher, "held-out macro-F1 of projection onto class means";
    PROJECTION_BALANCED_ACCURACY "projection_balanced_accuracy" = 1, "projection", BalancedAccuracy, Higher, "held-out balanced accuracy of projection onto class means";
    PROJECTION_ACCURACY "projection_accuracy" = 1, "projection", Accuracy, Higher, "held-out accuracy of projection onto class means";
    PROJECTION_F1_WEIGHTED "projection_f1_weighted" = 1, "projection", F1Weighted, Higher, "held-out weighted F1 of projection onto class means";
    RSA_SPEARMAN "rsa_spearman" = 1, "rsa", OfTask, Higher, "rank correlation over pairs of perturbations between the similarity of effects in one half of the cells and that of differential expression in the other";
    RSA_PARTIAL "rsa_partial_spearman" = 1, "rsa", OfTask, Higher, "rank correlation over pairs of perturbations between the similarity of effects in one half of the cells and that of differential expression in the other, given the similarity of raw expression effects of the same cells and of depth";
    RSA_AS_PUBLISHED "rsa_as_published_spearman" = 1, "centroids", OfTask, Higher, "rank correlation of similarities of uncentred centroids with those of mean differences in 500 genes, the same cells on both sides (arXiv 2604.14838)";
    RETRIEVAL_PDS "retrieval_pds_cosine" = 1, "retrieval", OfTask, Higher, "share of perturbations whose effect in the other half of the cells is less alike (cosine) than the right one's; chance is 0.5 + 1 / 2n";
    MAGNITUDE_SPEARMAN "magnitude_spearman" = 1, "magnitude", Spearman, Higher, "Spearman correlation over perturbations of the cross-validated squared length of the effect with the number of changed genes";
    ENERGY_SPEARMAN "energy_spearman" = 1, "energy", Spearman, Higher, "Spearman correlation over perturbations of the energy distance from control (plain Euclidean, unbiased) with the number of changed genes";
}

macro_rules! library {
    ($($name:ident),* $(,)?) => {
        $(pub mod $name;)*
        /// The library's metrics by file.
        static LIBRARY: &[&[&Definition]] = &[$($name::DEFINITIONS),*];
    };
}

library! {
    agreement, silhouette, lisi, connectivity, kbet, pcr, clusters, isolated, classification, class_scores, neighbours, geometry,
    ontology, onto_rwr, scgraph, attributes, roughness, perturbation, discrimination, expression_change, populations, integration,
}

/// Every metric of the library.
pub fn definitions() -> impl Iterator<Item = &'static Definition> {
    LIBRARY.iter().flat_map(|file| file.iter().copied())
}

/// The library's metric with this id.
pub fn find_definition(id: &str) -> Option<&'static Definition> {
    definitions().find(|d| d.id == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_described_once() {
        let mut ids: Vec<&str> = METRICS.iter().map(|m| m.id).chain(definitions().map(|d| d.id)).collect();
        let n = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), n, "ids are unique");
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        for d in definitions() {
            assert!(!d.id.is_empty() && d.id.chars().all(plain), "{}", d.id);
            assert!(d.version > 0 && d.range.0 < d.range.1 && !d.needs.is_empty(), "{}", d.id);
            assert!(!d.words.is_empty() && !d.citation.is_empty(), "{}", d.id);
            assert_eq!(find_definition(d.id), Some(d));
        }
    }
}
