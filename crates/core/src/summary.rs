//! The answer of a run in a few lines.

use serde::{Deserialize, Serialize};

/// A number with its interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Point estimate.
    pub value: f64,
    /// Lower end of the interval, null when refused.
    pub low: Option<f64>,
    /// Upper end of the interval, null when refused.
    pub high: Option<f64>,
}

/// A paired difference against something named.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gain {
    /// What it is compared with.
    pub against: String,
    /// Difference in the metric; positive favours the model.
    pub estimate: Estimate,
}

/// What the evidence says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Some depth beats the final block beyond noise.
    DepthMatters,
    /// No depth can be told from another.
    CannotDistinguishDepths,
    /// There is a single depth, as of an imported embedding: nothing to choose.
    OneDepth,
    /// The model beats every baseline beyond noise.
    ModelRecommended,
    /// The best baseline is as good, within the noise.
    TieWithBaseline,
    /// A baseline is better beyond noise.
    BaselineWins,
    /// Too few independent units for an answer.
    NotEnoughUnits,
}

impl Verdict {
    /// The verdict in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::DepthMatters => "depth matters",
            Self::CannotDistinguishDepths => "cannot distinguish depths",
            Self::OneDepth => "one depth only",
            Self::ModelRecommended => "model recommended",
            Self::TieWithBaseline => "tie with baseline",
            Self::BaselineWins => "baseline wins",
            Self::NotEnoughUnits => "not enough units",
        }
    }
}

/// The answer for one model, task and metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Data set name.
    pub dataset: String,
    /// Model name.
    pub model: String,
    /// Task id.
    pub task: String,
    /// Headline metric id.
    pub metric: String,
    /// Does depth matter.
    pub depth_verdict: Verdict,
    /// Does the model beat the baselines.
    pub model_verdict: Verdict,
    /// The verdicts with the numbers, as sentences for a reader.
    pub sentences: Vec<String>,
    /// Depth chosen on inner units most often.
    pub chosen_site: Option<String>,
    /// Depths that cannot be told from the best one.
    pub confidence_set: Vec<String>,
    /// Nested score (chosen on inner folds, scored on outer folds).
    pub nested_score: Option<Estimate>,
    /// Nested gain over the final block.
    pub gain_over_final: Option<Gain>,
    /// Nested gain over the best baseline.
    pub gain_over_best_baseline: Option<Gain>,
    /// Naive maximum over depths minus the nested score: what choosing on the test data would have added.
    pub optimism: Option<f64>,
    /// Difference to the final block that would be found in 80% of such experiments, median over depths.
    #[serde(default)]
    pub detectable: Option<f64>,
    /// The naive best depth on all data; never a headline.
    pub oracle_site: Option<String>,
    /// Independent units.
    pub n_units: usize,
    /// What the unit is.
    pub unit: String,
    /// Cells used.
    pub n_cells: usize,
    /// Things a reader must know (cells as units, few units, ties, dropped cells).
    pub warnings: Vec<String>,
}
