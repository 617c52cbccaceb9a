//! Gaussian random projection: the simplest representation of a given width.

use crate::resample::Rng;
use microtome_core::{Counts, Error, Matrix, Result};
use rayon::prelude::*;

/// Rows times a `[genes, width]` matrix of independent normal numbers of variance `1 / width` (Johnson and
/// Lindenstrauss 1984), `[cells, width]`. The direction of one gene depends only on `seed` and the gene's position,
/// so that a cell's projection does not depend on other cells.
///
/// Errors when `width` is 0 or a value is NaN or infinite.
pub fn random_projection(x: &Counts, width: usize, seed: u64) -> Result<Matrix> {
    if width == 0 {
        return Err(Error::usage("a projection needs a width").expected("1 or more").found("0"));
    }
    if x.check_raw().n_non_finite > 0 {
        return Err(Error::mismatch("values to project must be finite")
            .expected("finite numbers")
            .found("NaN or infinity"));
    }
    let scale = 1.0 / (width as f64).sqrt();
    let directions: Vec<f32> = (0..x.n_genes())
        .into_par_iter()
        .flat_map_iter(|gene| {
            let mut rng = Rng::stream(seed, gene as u64);
            (0..width).map(move |_| (rng.normal() * scale) as f32)
        })
        .collect();
    let mut out = Matrix::zeros(x.n_cells(), width);
    let rows: Vec<Vec<f32>> = (0..x.n_cells())
        .into_par_iter()
        .map(|cell| {
            let mut sum = vec![0.0f64; width];
            let (genes, values) = x.row(cell);
            for (&g, &v) in genes.iter().zip(values) {
                let direction = &directions[g as usize * width..(g as usize + 1) * width];
                sum.iter_mut().zip(direction).for_each(|(s, &d)| *s += f64::from(v) * f64::from(d));
            }
            sum.into_iter().map(|v| v as f32).collect()
        })
        .collect();
    rows.iter().enumerate().for_each(|(i, row)| out.row_mut(i).copy_from_slice(row));
    Ok(out)
}
