//! How a model is fine-tuned: every number that decides the result.

use microtome_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// What is trained beside the last map of the head.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Low-rank adapters on every map of every block.
    Lora {
        /// Rank of the adapters.
        rank: usize,
        /// The change is scaled by `alpha / rank`.
        alpha: f64,
    },
    /// Every weight of the blocks.
    Full,
    /// Nothing of the blocks: a head with one hidden layer.
    Mlp {
        /// Width of the hidden layer.
        hidden: usize,
    },
}

/// Everything that decides what comes out, but the cells and the checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FitOptions {
    /// What is trained.
    pub method: Method,
    /// Passes over the training cells at most.
    pub epochs: usize,
    /// Stop after as many passes without a lower validation loss.
    pub patience: usize,
    /// Cells per step.
    pub batch: usize,
    /// Tokens that are run together; the parts of a step run side by side.
    pub part_tokens: usize,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// Weight decay, not on vectors.
    pub weight_decay: f64,
    /// Largest norm of the gradient of a step.
    pub clip: f64,
    /// Weigh classes so that each counts the same.
    pub balanced: bool,
    /// Seed of first values and order.
    pub seed: u64,
}

impl Default for FitOptions {
    fn default() -> Self {
        Self {
            method: Method::Lora { rank: 8, alpha: 16.0 },
            epochs: 10,
            patience: 3,
            batch: 16,
            // Several parts even of a small step, so that cores have something to do side by side.
            part_tokens: 512,
            learning_rate: 1e-3,
            weight_decay: 0.01,
            clip: 1.0,
            balanced: true,
            seed: 0,
        }
    }
}

impl FitOptions {
    /// Errors when a number is out of range; the message says which.
    pub fn check(&self) -> Result<()> {
        let method = match self.method {
            Method::Lora { rank, alpha } => (1..=1024).contains(&rank) && alpha.is_finite() && alpha > 0.0,
            Method::Full => true,
            Method::Mlp { hidden } => (1..=65_536).contains(&hidden),
        };
        let wrong = [
            ("method", method, "a rank of 1 to 1024, an alpha above 0, 1 to 65536 hidden numbers"),
            ("epochs", (1..=100_000).contains(&self.epochs), "1 to 100000"),
            ("patience", self.patience > 0, "at least 1"),
            ("batch", self.batch > 0, "at least 1"),
            ("part_tokens", self.part_tokens > 0, "at least 1"),
            ("learning_rate", self.learning_rate.is_finite() && self.learning_rate > 0.0, "above 0"),
            ("weight_decay", self.weight_decay.is_finite() && self.weight_decay >= 0.0, "0 or above"),
            ("clip", self.clip > 0.0, "above 0"),
        ];
        match wrong.into_iter().find(|(_, fine, _)| !fine) {
            Some((name, _, expected)) => Err(Error::usage("a number of the fine-tuning is out of range")
                .at_key(name)
                .expected(expected)),
            None => Ok(()),
        }
    }
}
