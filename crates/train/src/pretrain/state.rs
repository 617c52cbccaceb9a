//! What is kept of a run, so that it can go on.

use serde::{Deserialize, Serialize};

use crate::net::NamedTensor;

/// A place in the stream of cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Passes over the cells that are finished.
    pub epoch: u64,
    /// Windows of this epoch that are finished.
    pub window: u64,
    /// Cells of this window that were taken.
    pub cell: u64,
}

/// What a step was like.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Steps done, this one included.
    pub step: u64,
    /// Mean loss over the answers of the step.
    pub loss: f64,
    /// What else is trained (values asked of the cell's vector, the annotation), weighted; 0 where there is nothing else.
    #[serde(default)]
    pub besides: f64,
    /// Learning rate.
    pub rate: f64,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// Tokens run so far.
    pub tokens: u64,
    /// Cells run so far.
    pub cells: u64,
}

/// A look at held-out cells.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Validated {
    /// Steps done.
    pub step: u64,
    /// Mean loss over the answers.
    pub loss: f64,
    /// Share of the labelled cells whose class the annotation's readout finds.
    #[serde(default)]
    pub accuracy: Option<f64>,
}

/// Everything a run needs to go on: numbers here, weights and moments in the tensors
/// (`weights/NAME`, `mean/NAME`, `square/NAME`, `best/NAME`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// Steps done.
    pub step: u64,
    /// Place in the stream.
    pub position: Position,
    /// Tokens run.
    pub tokens: u64,
    /// Cells run.
    pub cells: u64,
    /// Cells that had fewer than two genes of the vocabulary and were passed over.
    pub passed_over: u64,
    /// Step and loss of the best validation.
    pub best: Option<(u64, f64)>,
    /// Validations since.
    pub since_best: u64,
    /// Every step so far.
    pub records: Vec<Record>,
    /// Every validation so far.
    pub validations: Vec<Validated>,
    /// Weights and moments.
    #[serde(skip)]
    pub tensors: Vec<NamedTensor>,
}

impl Kept {
    /// The tensors of one part (`weights`, `mean`, `square`, `best`) under their own names.
    pub fn part(&self, part: &str) -> Vec<NamedTensor> {
        let own = |t: &NamedTensor| {
            let name = t.name.strip_prefix(part)?.strip_prefix('/')?.to_string();
            Some(NamedTensor { name, ..t.clone() })
        };
        self.tensors.iter().filter_map(own).collect()
    }
}
