//! Harmony (Korsunsky et al. 2019, Nat. Methods 16:1289): batch correction of principal components by soft clusters that
//! are pushed towards equal shares of every batch. Several algorithms carry the name; [`Version`] says which.

mod cluster;
mod correct;

use crate::dense::check_finite_matrix;
use crate::resample::{Rng, Units};
use cluster::State;
use microtome_core::{Error, Matrix, Result};

/// Which of the algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// harmonypy 0.0.x: as [`Version::V1`] with the smoothed diversity ratio `(E + 1) / (O + 1)`.
    V0,
    /// R harmony 1.0 and harmonypy 0.1 and 0.2: diversity ratio `E / (O + E)`, ridge 1, up to 20 rounds of clustering whose
    /// centres move, at most 10 corrections until the objective moves by less than 1e-4.
    V1,
    /// R harmony of 2024 on and harmonypy 2: ratio `(2E + 1) / (O + E + 1)`, ridge `0.2 E`, up to 4 rounds around fixed
    /// centres, corrections until the objective moves by less than 1e-2.
    V2,
}

impl Version {
    /// `v0`, `v1` or `v2`.
    pub fn word(self) -> &'static str {
        match self {
            Self::V0 => "v0",
            Self::V1 => "v1",
            Self::V2 => "v2",
        }
    }
}

/// Choices of [`harmony`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HarmonyOptions {
    /// Which algorithm.
    pub version: Version,
    /// Diversity penalty.
    pub theta: f64,
    /// Width of soft clusters.
    pub sigma: f64,
    /// Protects small batches where above 0: `theta (1 - exp(-(cells / (clusters tau))^2))`.
    pub tau: f64,
    /// Clusters; `None`: one per 30 cells, at most 100.
    pub clusters: Option<usize>,
    /// Most corrections.
    pub max_iter: usize,
    /// Seed of the first clusters and of the order in which cells are updated.
    pub seed: u64,
}

impl HarmonyOptions {
    /// The published defaults.
    pub fn new(version: Version) -> Self {
        Self { version, theta: 2.0, sigma: 0.1, tau: 0.0, clusters: None, max_iter: 10, seed: 0 }
    }
}

/// Corrected components.
#[derive(Clone, Debug, PartialEq)]
pub struct Harmony {
    /// `[cell, component]`.
    pub corrected: Matrix,
    /// Corrections that were made; 0 with a single batch, whose components come back as they are.
    pub n_iter: usize,
    /// Whether the objective stopped moving before `max_iter`.
    pub converged: bool,
}

/// Corrects `x [cell, component]` for `batches`, one code per cell. The same seed gives the same answer; the order in
/// which cells are updated matters a little, so other implementations agree closely, not exactly.
///
/// Errors when lengths differ, a number is out of range, a value is not finite, or (`V2`) there are fewer than 6 cells.
pub fn harmony(x: &Matrix, batches: &[u32], options: &HarmonyOptions) -> Result<Harmony> {
    check(x, batches, options)?;
    let units = Units::new(batches);
    if units.len() < 2 {
        return Ok(Harmony { corrected: x.clone(), n_iter: 0, converged: true });
    }
    let mut batch = vec![0; x.rows()];
    (0..units.len()).for_each(|b| units.members(b).iter().for_each(|&c| batch[c] = b));
    let original: Vec<f64> = x.data().iter().map(|&v| f64::from(v)).collect();
    let mut state = State::new(x, &original, batch, units.len(), options)?;
    let mut rng = Rng::stream(options.seed, 1);
    let least = if options.version == Version::V2 { 1e-2 } else { 1e-4 };
    let mut corrected = original.clone();
    let mut last = state.objective();
    for n_iter in 1..=options.max_iter {
        state.cluster(&mut rng);
        corrected = correct::corrected(&state, &original);
        state.set_cells(&corrected);
        let objective = state.last_objective();
        let moved = (last - objective).abs() / last.abs();
        last = objective;
        if moved < least {
            return finish(x, corrected, n_iter, true);
        }
    }
    finish(x, corrected, options.max_iter, false)
}

fn finish(x: &Matrix, corrected: Vec<f64>, n_iter: usize, converged: bool) -> Result<Harmony> {
    let data = corrected.iter().map(|&v| v as f32).collect();
    Ok(Harmony { corrected: Matrix::new(x.rows(), x.cols(), data)?, n_iter, converged })
}

fn check(x: &Matrix, batches: &[u32], o: &HarmonyOptions) -> Result<()> {
    check_finite_matrix(x, "components to correct")?;
    if batches.len() != x.rows() {
        return Err(Error::usage("one batch per cell is needed")
            .expected(x.rows().to_string())
            .found(batches.len().to_string()));
    }
    // NaN fails every comparison.
    if !(o.theta >= 0.0 && o.sigma > 0.0 && o.tau >= 0.0) || o.max_iter == 0 || o.clusters == Some(0) {
        return Err(Error::usage("Harmony setting out of range")
            .expected("theta and tau of at least 0, sigma above 0, at least one cluster and one iteration")
            .found(format!("{o:?}")));
    }
    let least = if o.version == Version::V2 { 6 } else { 2 };
    if x.rows() < least || x.cols() == 0 {
        return Err(Error::mismatch("too few cells for Harmony")
            .expected(format!("at least {least} cells and one component"))
            .found(format!("{} cells, {} components", x.rows(), x.cols())));
    }
    Ok(())
}
