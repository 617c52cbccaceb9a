//! Checkpoint bytes to named lazy tensors, with an audit of what was used.

mod audit;

pub use audit::{Audit, IgnoredTensor, UsedTensor};
