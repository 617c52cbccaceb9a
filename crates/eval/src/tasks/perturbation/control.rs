//! The positive control: cells that carry the reference effect of their perturbation and noise.

use microtome_core::{Matrix, Result};
use microtome_numerics::pca;

use super::design::Design;
use super::effects::Effects;
use crate::protocol::random::stream;

/// Most dimensions of the control.
const WIDTH: usize = 50;
/// Standard deviation of a cell's noise in every dimension, in units of the standard deviation of all effects.
const NOISE: f64 = 0.5;

/// Every cell's row plus noise, `[cell, dimension]`; rows come in units of their own spread.
pub(crate) fn effect_profiles(rows: &Matrix, seed: u64) -> Matrix {
    let mut random = stream(seed, "effect profiles", 0);
    let mut out = rows.clone();
    out.data_mut().iter_mut().for_each(|v| *v += (NOISE * random.normal()) as f32);
    out
}

/// The reference effect of every cell's perturbation, control and uncompared cells at zero: principal axes of the
/// effects (not centred: nothing is no effect), scaled to variance one over perturbations in all.
pub(super) fn rows(effects: &Effects, design: &Design, n_cells: usize) -> Result<Matrix> {
    let n = design.len();
    let mut data = vec![0.0f32; effects.width];
    for p in 0..n {
        data.extend(effects.mean(p).iter().map(|v| *v as f32));
    }
    let profiles = Matrix::new(n + 1, effects.width, data)?;
    let k = WIDTH.min(n).min(effects.width);
    let scores = pca(&profiles, k, 0)?.scores;
    let squares: f64 = scores.data().iter().map(|v| f64::from(*v) * f64::from(*v)).sum();
    let scale = if squares > 0.0 { (scores.data().len() as f64 / squares).sqrt() } else { 1.0 };
    let mut out = Matrix::zeros(n_cells, k);
    for (p, cells) in design.cells.iter().enumerate() {
        let row: Vec<f32> =
            scores.row(p + 1).iter().zip(scores.row(0)).map(|(v, zero)| (f64::from(v - zero) * scale) as f32).collect();
        cells.iter().for_each(|&i| out.row_mut(i).copy_from_slice(&row));
    }
    Ok(out)
}
