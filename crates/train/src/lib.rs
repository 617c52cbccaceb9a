//! What is made up and what is learned: simulated cells with known truth, and the training of models.
//!
//! [`simulate()`] makes a small data set in one go; [`Simulator`] makes one of any size chunk by chunk.
//! [`net`] holds differentiable networks with the arithmetic of the engine, [`mod@pretrain`] trains them on masked genes, [`finetune`] adapts
//! published ones to a question.

pub mod finetune;
pub mod net;
pub mod pretrain;
pub mod simulate;

pub use simulate::{
    BatchDesign, Calibration, Clones, Description, Drugs, Mouse, Preset, Screen, SimulateOptions, Simulated,
    SimulatedCells, Simulator, Statistics, Topology, TypeTree, simulate,
};
