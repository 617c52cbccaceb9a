//! What is kept of a fit, so that it can go on.

use serde::{Deserialize, Serialize};

use crate::net::NamedTensor;

/// What an epoch was like.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// Epochs done, this one included.
    pub epoch: usize,
    /// Mean loss over the training cells, as they were met.
    pub training: f64,
    /// Mean loss over the validation cells afterwards.
    pub validation: f64,
}

/// Everything a fit needs to go on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FitState {
    /// Every epoch so far.
    pub epochs: Vec<Epoch>,
    /// Steps so far.
    pub step: u64,
    /// Epoch and validation loss of the best weights.
    pub best: Option<(usize, f64)>,
    /// What is trained, at the moment.
    #[serde(skip)]
    pub weights: Vec<NamedTensor>,
    /// The same after the best epoch.
    #[serde(skip)]
    pub best_weights: Vec<NamedTensor>,
    /// Running mean of the gradient, in the order of the weights.
    #[serde(skip)]
    pub mean: Vec<NamedTensor>,
    /// Running mean of its square.
    #[serde(skip)]
    pub square: Vec<NamedTensor>,
}

impl FitState {
    /// The four parts by name, for files.
    pub fn parts(&self) -> [(&'static str, &Vec<NamedTensor>); 4] {
        [
            ("weights", &self.weights),
            ("best", &self.best_weights),
            ("mean", &self.mean),
            ("square", &self.square),
        ]
    }

    /// The same, to be filled from files.
    pub fn parts_mut(&mut self) -> [(&'static str, &mut Vec<NamedTensor>); 4] {
        [
            ("weights", &mut self.weights),
            ("best", &mut self.best_weights),
            ("mean", &mut self.mean),
            ("square", &mut self.square),
        ]
    }
}
