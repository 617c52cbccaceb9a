//! Simulated cells with known truth.
