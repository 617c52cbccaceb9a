//! UMAP layout in two dimensions, for looking at (McInnes et al. 2018). Never an input to a score.

mod curve;
mod optimise;
mod start;

use crate::graph::umap_weights;
use crate::knn::Knn;
use crate::resample::Rng;
use microtome_core::{Error, Matrix, Result};

/// Shape of the layout.
#[derive(Clone, Debug, PartialEq)]
pub struct UmapOptions {
    /// Smallest distance between points that belong together (scanpy's default 0.5, umap-learn's 0.1).
    pub min_dist: f64,
    /// Scale of the layout.
    pub spread: f64,
    /// Passes of the optimiser; `None` is 500 up to 10,000 cells, otherwise 200.
    pub n_epochs: Option<usize>,
    /// Same seed, same layout.
    pub seed: u64,
}

impl Default for UmapOptions {
    fn default() -> Self {
        Self { min_dist: 0.5, spread: 1.0, n_epochs: None, seed: 0 }
    }
}

/// Places every cell in the plane, `[n, 2]`: spectral start, then attraction along the edges of
/// [`umap_weights`] and repulsion from 5 random cells per step. One thread, deterministic.
///
/// Errors on options that make no sense (`min_dist` must be within 0 to `spread`) or a neighbour list that is not
/// within one set of cells.
pub fn layout(knn: &Knn, options: &UmapOptions) -> Result<Matrix> {
    let &UmapOptions { min_dist, spread, n_epochs, seed } = options;
    if !(spread > 0.0 && spread.is_finite() && (0.0..=spread).contains(&min_dist)) {
        return Err(Error::usage("UMAP distances make no sense")
            .expected("0 <= min_dist <= spread, spread above 0")
            .found(format!("min_dist {min_dist}, spread {spread}")));
    }
    let graph = umap_weights(knn)?;
    let mut rng = Rng::new(seed);
    let mut points = start::spectral(&graph, seed, &mut rng)?;
    let n_epochs = n_epochs.unwrap_or(if knn.n <= 10_000 { 500 } else { 200 });
    let (a, b) = curve::fit(min_dist, spread);
    optimise::optimise(&graph, &mut points, a, b, n_epochs, &mut rng);
    Matrix::new(knn.n, 2, points.iter().flat_map(|p| p.map(|v| v as f32)).collect())
}
