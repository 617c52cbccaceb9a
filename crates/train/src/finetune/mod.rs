//! Fine-tuning: low-rank adapters on the blocks of a checkpoint, or all of their weights, under a head for one question.
//!
//! The blocks run differentiably from the checkpoint's own weights; the engine gives the stream that enters the first of
//! them ([`Examples`]). With low-rank adapters (Hu et al. 2021) a map is `W + (alpha / rank) B A` with `B` zero at first, so
//! that training begins at the published model. The head sees the mean over a cell's gene tokens, standardised on the
//! training cells. Without blocks the same code trains a head on frozen representations: a probe.
//!
//! All random numbers are drawn by seed, fold and epoch, and a state is kept after every epoch: a run that goes on from it
//! gives the numbers of one that nothing happened to. This module reads and writes no file.

mod examples;
mod fit;
mod network;
mod options;
mod state;
#[cfg(test)]
mod tests;
mod weights;

pub use examples::{Batch, Examples, Targets};
pub use fit::{Fit, Watcher, fit, predict, standard_of};
pub use network::Network;
pub use options::{FitOptions, Method};
pub use state::{Epoch, FitState};
pub use weights::{BlockWeights, Map, NormWeights, Part};
