//! How a model is pretrained: every number that decides the result.

use microtome_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::objective::Masking;

/// How the learning rate falls behind the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decay {
    /// In a straight line to 0.
    Linear,
    /// Along half a cosine to 0.
    #[default]
    Cosine,
    /// Not at all.
    Constant,
}

/// Everything that decides what comes out, but the cells and the first weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// Steps of the optimiser.
    pub steps: u64,
    /// Tokens of one step (of all its parts); a step takes whole cells until it holds as many.
    pub batch_tokens: usize,
    /// Cells of one step instead, however many tokens they hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_cells: Option<usize>,
    /// Tokens that are run together; the parts of a step are run side by side, and their gradients are added.
    pub part_tokens: usize,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// Share of the steps over which the learning rate rises to it.
    pub warm_up: f64,
    /// What comes after.
    pub decay: Decay,
    /// Weight decay, apart from the gradient (Loshchilov and Hutter 2019); not on biases and norms.
    pub weight_decay: f64,
    /// Decay of the mean gradient.
    pub beta1: f64,
    /// Decay of the mean squared gradient.
    pub beta2: f64,
    /// Largest norm of the gradient of a step.
    pub clip: f64,
    /// What is masked; nothing where the next gene is asked for.
    pub masking: Masking,
    /// Share of the numbers that dropout sets to 0, in the embedding and in what every part of a block adds to the stream.
    pub dropout: f64,
    /// Seed of order and masks.
    pub seed: u64,
    /// Steps between validations.
    pub validate_every: u64,
    /// Stop after as many validations without a new best one; 0: never.
    pub patience: u64,
    /// Steps between states that are kept.
    pub keep_every: u64,
    /// Cells in a chunk, which is read at once.
    pub chunk_cells: usize,
    /// Chunks in a window, within which cells are shuffled; this many are in memory.
    pub window_chunks: usize,
    /// Most held-out cells that a validation looks at.
    pub validation_cells: usize,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            steps: 1000,
            batch_tokens: 16_384,
            batch_cells: None,
            part_tokens: 2_048,
            learning_rate: 1e-3,
            warm_up: 0.05,
            decay: Decay::Cosine,
            weight_decay: 0.01,
            beta1: 0.9,
            beta2: 0.98,
            clip: 1.0,
            masking: Masking::default(),
            dropout: 0.0,
            seed: 0,
            validate_every: 100,
            patience: 0,
            keep_every: 100,
            chunk_cells: 256,
            window_chunks: 32,
            validation_cells: 256,
        }
    }
}

impl Recipe {
    /// Errors when a number is out of range; the message says which.
    pub fn check(&self) -> Result<()> {
        let share = |x: f64| (0.0..=1.0).contains(&x);
        let below_one = |x: f64| (0.0..1.0).contains(&x);
        let m = &self.masking;
        let wrong = [
            ("steps", self.steps > 0, "at least 1"),
            ("batch_tokens", self.batch_tokens > 0, "at least 1"),
            ("batch_cells", self.batch_cells != Some(0), "at least 1"),
            ("part_tokens", self.part_tokens > 0, "at least 1"),
            ("learning_rate", self.learning_rate.is_finite() && self.learning_rate > 0.0, "above 0"),
            ("warm_up", share(self.warm_up), "0 to 1"),
            ("weight_decay", self.weight_decay.is_finite() && self.weight_decay >= 0.0, "0 or above"),
            ("beta1", below_one(self.beta1), "0 to below 1"),
            ("beta2", below_one(self.beta2), "0 to below 1"),
            ("clip", self.clip > 0.0, "above 0"),
            ("dropout", below_one(self.dropout), "0 to below 1"),
            ("masking.share", m.share > 0.0 && m.share <= 1.0, "above 0, at most 1"),
            (
                "masking",
                share(m.masked) && share(m.replaced) && m.masked + m.replaced <= 1.0 + 1e-9,
                "shares that add up to at most 1",
            ),
            ("validate_every", self.validate_every > 0, "at least 1"),
            ("keep_every", self.keep_every > 0, "at least 1"),
            ("chunk_cells", self.chunk_cells > 0, "at least 1"),
            ("window_chunks", self.window_chunks > 0, "at least 1"),
            ("validation_cells", self.validation_cells > 0, "at least 1"),
        ]
        .into_iter()
        .find(|(_, fine, _)| !fine);
        match wrong {
            Some((name, _, expected)) => {
                Err(Error::usage("a number of the recipe is out of range").at_key(name).expected(expected))
            }
            None => Ok(()),
        }
    }

    /// Learning rate of a step, the first of which is 0.
    pub fn rate(&self, step: u64) -> f64 {
        let warm = (self.warm_up * self.steps as f64).round();
        let at = step as f64 + 1.0;
        if at <= warm {
            return self.learning_rate * at / warm;
        }
        let gone = ((at - warm) / (self.steps as f64 - warm + 1.0)).clamp(0.0, 1.0);
        self.learning_rate
            * match self.decay {
                Decay::Constant => 1.0,
                Decay::Linear => 1.0 - gone,
                Decay::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * gone).cos()),
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_and_falls() {
        for decay in [Decay::Linear, Decay::Cosine] {
            let r = Recipe { steps: 100, warm_up: 0.1, learning_rate: 2.0, decay, ..Recipe::default() };
            assert!((r.rate(0) - 0.2).abs() < 1e-12 && (r.rate(9) - 2.0).abs() < 1e-12);
            assert!((9..99).all(|s| r.rate(s + 1) < r.rate(s)));
            assert!(r.rate(99) > 0.0 && r.rate(99) < 0.05);
        }
        let r = Recipe { decay: Decay::Constant, warm_up: 0.0, ..Recipe::default() };
        assert_eq!((r.rate(0), r.rate(999)), (1e-3, 1e-3));
    }

    #[test]
    fn what_is_out_of_range_is_named() {
        assert!(Recipe::default().check().is_ok());
        let said = |r: Recipe| r.check().unwrap_err().to_string();
        assert!(said(Recipe { steps: 0, ..Recipe::default() }).contains("steps"));
        assert!(said(Recipe { learning_rate: f64::NAN, ..Recipe::default() }).contains("learning_rate"));
        assert!(said(Recipe { beta2: 1.0, ..Recipe::default() }).contains("beta2"));
        assert!(said(Recipe { dropout: 1.0, ..Recipe::default() }).contains("dropout"));
        let masking = Masking { masked: 0.9, replaced: 0.2, ..Masking::default() };
        assert!(said(Recipe { masking, ..Recipe::default() }).contains("masking"));
    }
}
