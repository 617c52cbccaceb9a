//! What became of every tensor of a checkpoint.

use serde::Serialize;

/// A tensor the model uses.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UsedTensor {
    /// Name in the file.
    pub name: String,
    /// Shape in the file.
    pub shape: Vec<usize>,
    /// Type in the file, as `f32`, `bf16`, ...
    pub dtype: String,
}

/// A tensor left alone for a stated reason.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct IgnoredTensor {
    /// Name in the file.
    pub name: String,
    /// Why it is not needed.
    pub reason: String,
}

/// The account of a checkpoint: every tensor is in exactly one list.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Audit {
    /// Used.
    pub used: Vec<UsedTensor>,
    /// Ignored, with reasons.
    pub ignored: Vec<IgnoredTensor>,
    /// Wanted but absent, with what stood in for it where the format allows (tied weights).
    pub missing: Vec<String>,
    /// In the file, but nobody asked for it.
    pub unexpected: Vec<String>,
}
