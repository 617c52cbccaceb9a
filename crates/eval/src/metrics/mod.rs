//! Metrics: how predictions and truth become one number. The one list is at the end of this file.

mod kendall;
mod spearman;

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
