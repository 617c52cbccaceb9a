//! The run card: what was run on what, so that every number can be traced.

use serde::{Deserialize, Serialize};

/// A file that went into a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputFile {
    /// What it was used for (`data`, `weights`, `vocabulary`, ...).
    pub role: String,
    /// File name as the user gave it.
    pub path: String,
    /// SHA-256 in hex.
    pub sha256: String,
    /// Size in bytes.
    pub bytes: u64,
}

/// Everything needed to repeat a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunCard {
    /// Version of the program.
    pub microtome: String,
    /// The command line, as typed.
    pub command: Vec<String>,
    /// Input files with their hashes.
    pub inputs: Vec<InputFile>,
    /// Seed.
    pub seed: u64,
    /// Numeric precision of the forward pass.
    pub precision: String,
    /// Every choice that could have been different, by name.
    pub choices: serde_json::Map<String, serde_json::Value>,
}
