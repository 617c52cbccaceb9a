//! Simulated cells with known truth.
//!
//! [`simulate()`] makes a small data set in one go; [`Simulator`] makes one of any size chunk by chunk.

pub mod simulate;

pub use simulate::{
    BatchDesign, Calibration, Clones, Description, Drugs, Mouse, Preset, Screen, SimulateOptions, Simulated,
    SimulatedCells, Simulator, Statistics, Topology, TypeTree, simulate,
};
