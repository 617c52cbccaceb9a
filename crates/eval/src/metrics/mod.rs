//! Metrics: how predictions and truth become one number. The lists are at the end of this file.
//!
//! Two kinds. A [`Metric`] compares one prediction per cell with the truth and is resampled by the protocol. The
//! library's metrics, each described by a [`Definition`] beside its function, are pure functions of embeddings,
//! labels, batches, neighbour lists or responses that hand back a [`Score`].

mod centroids;
mod definition;
#[cfg(test)]
mod golden;
mod groups;
mod kendall;
mod place;
mod score;
mod spearman;

pub use centroids::LabelDistances;
pub use definition::{Definition, Need};
pub use score::Score;

use kendall::KendallSet;
use spearman::SpearmanSet;

use microtome_core::Direction;

use crate::protocol::{ScoreSet, Weights};

/// What compares predictions with truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistic {
    /// Spearman's rank correlation, ties by average ranks.
    Spearman,
    /// Kendall's tau-b.
    KendallTauB,
}

impl Statistic {
    /// The statistic for many sets of predictions against one truth. Predictions may be infinite (they rank
    /// last), not NaN; the truth is finite.
    pub(crate) fn set(self, truth: &[f64], predictions: &[&[f64]]) -> Box<dyn ScoreSet> {
        match self {
            Self::Spearman => Box::new(SpearmanSet::new(truth, predictions)),
            Self::KendallTauB => Box::new(KendallSet::new(truth, predictions)),
        }
    }

    /// The statistic for one set of predictions, every cell counting once; NaN where it is undefined.
    pub(crate) fn score(self, truth: &[f64], predictions: &[f64]) -> f64 {
        self.set(truth, &[predictions]).weighted(&Weights::all(truth.len()))[0][0]
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
    ($($name:ident $id:literal = $version:literal, $reading:literal, $statistic:ident, $words:literal;)*) => {
        $(
            #[doc = $words]
            pub static $name: Metric = Metric {
                id: $id,
                version: $version,
                direction: Direction::Higher,
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
    DPT_SPEARMAN "dpt_spearman" = 1, "dpt", Spearman, "Spearman correlation of diffusion pseudotime with time";
    DPT_KENDALL "dpt_kendall" = 1, "dpt", KendallTauB, "Kendall tau-b of diffusion pseudotime with time";
    KNN_TIME_SPEARMAN "knn_time_spearman" = 1, "knn_time", Spearman, "Spearman correlation of held-out nearest-neighbour predictions with time";
    KNN_TIME_KENDALL "knn_time_kendall" = 1, "knn_time", KendallTauB, "Kendall tau-b of held-out nearest-neighbour predictions with time";
    RIDGE_TIME_SPEARMAN "ridge_time_spearman" = 1, "ridge_time", Spearman, "Spearman correlation of held-out ridge predictions with time";
    RIDGE_TIME_KENDALL "ridge_time_kendall" = 1, "ridge_time", KendallTauB, "Kendall tau-b of held-out ridge predictions with time";
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
