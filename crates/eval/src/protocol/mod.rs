//! The protocol behind every number: units, folds, bootstrap, bands, nested choice, permutation nulls.

pub mod bands;
pub mod bootstrap;
pub mod interval;
pub mod nested;
pub mod permutation;
pub(crate) mod random;
pub mod units;
mod weights;

pub use units::Units;
pub(crate) use weights::add_lanes;
pub use weights::{LANES, Lanes, Scale, ScoreSet, Weights};

use microtome_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// What is drawn in one bootstrap replicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resampling {
    /// Units with replacement, then cells within each drawn unit with replacement at the unit's original size.
    /// Counts the noise of sampling cells twice when units do not differ, so intervals are a little too wide
    /// there (by a factor of up to the square root of two), never too narrow.
    TwoStage,
    /// Units with replacement, each with all of its cells. No command draws so; calibration shows what the second stage adds.
    Units,
}

/// How uncertainty is measured, in one place for all tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Protocol {
    /// Seed of everything random.
    pub seed: u64,
    /// Bootstrap replicates.
    pub n_bootstrap: usize,
    /// Permutations of the null.
    pub n_permutations: usize,
    /// Coverage of intervals and bands.
    pub level: f64,
    /// Differences inside `-margin..margin` count as a tie even when they are not zero.
    pub margin: f64,
    /// What is drawn in one bootstrap replicate.
    pub resampling: Resampling,
    /// With at most this many units every unit is its own outer fold.
    pub max_leave_one_out: usize,
    /// Outer folds with more units than that.
    pub n_outer: usize,
    /// Repeats of the outer folds, each with another random assignment (leave-one-unit-out is not repeated).
    pub n_repeats: usize,
    /// Inner folds, on which the depth is chosen.
    pub n_inner: usize,
    /// Hash of the run card, copied into every record.
    pub run_card: String,
}

impl Default for Protocol {
    fn default() -> Self {
        Self {
            seed: 0,
            n_bootstrap: 1000,
            n_permutations: 1000,
            level: 0.95,
            margin: 0.01,
            resampling: Resampling::TwoStage,
            max_leave_one_out: 10,
            n_outer: 5,
            n_repeats: 5,
            n_inner: 4,
            run_card: String::new(),
        }
    }
}

impl Protocol {
    /// Error when a number makes no sense.
    pub fn check(&self) -> Result<()> {
        let bad = |key: &str, expected: &str, found: String| {
            Err(Error::usage("protocol setting out of range").at_key(key).expected(expected).found(found))
        };
        if !(self.level > 0.5 && self.level < 1.0) {
            return bad("level", "above 0.5 and below 1", self.level.to_string());
        }
        if !(self.margin >= 0.0 && self.margin.is_finite()) {
            return bad("margin", "zero or more", self.margin.to_string());
        }
        for (key, value, least) in [
            ("n_bootstrap", self.n_bootstrap, 100),
            ("n_permutations", self.n_permutations, 100),
            ("n_outer", self.n_outer, 2),
            ("n_inner", self.n_inner, 2),
            ("n_repeats", self.n_repeats, 1),
        ] {
            if value < least || value > 1_000_000 {
                return bad(key, &format!("{least} to 1000000"), value.to_string());
            }
        }
        Ok(())
    }
}
