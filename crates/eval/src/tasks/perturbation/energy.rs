//! Energy distance of perturbed from control cells.

use microtome_core::{Matrix, Result};

use super::design::Design;
use super::effects::Rows;
use crate::metrics::populations::{Energy, energy_distance};
use crate::protocol::random::stream;

/// Cells drawn per perturbation, and of control cells: the cost grows with their square.
const CELLS: usize = 100;
const CONTROLS: usize = 200;

/// Plain Euclidean, unbiased energy distance of every perturbation from control, cells centred on the control mean of
/// their context.
pub(super) fn energies(x: &Matrix, design: &Design, seed: u64) -> Result<Vec<f64>> {
    let centres: Vec<Vec<f64>> = design
        .controls
        .iter()
        .map(|cells| {
            let mut mean = vec![0.0; x.cols()];
            cells.iter().for_each(|&i| Rows::add(x, i, 1.0 / cells.len() as f64, &mut mean));
            mean
        })
        .collect();
    let rows = |cells: &[usize], most: usize, what: &str, index: u64| -> Result<Matrix> {
        let drawn = stream(seed, what, index).choose(cells.len(), most);
        let mut data = Vec::with_capacity(drawn.len() * x.cols());
        for k in drawn {
            let centre = &centres[design.context[cells[k]]];
            data.extend(x.row(cells[k]).iter().zip(centre).map(|(&v, c)| (f64::from(v) - c) as f32));
        }
        Matrix::new(data.len() / x.cols().max(1), x.cols(), data)
    };
    let control = rows(&design.controls.concat(), CONTROLS, "energy control", 0)?;
    design
        .cells
        .iter()
        .enumerate()
        .map(|(p, cells)| {
            let mine = rows(cells, CELLS, "energy", p as u64)?;
            Ok(energy_distance(&mine, &control, Energy::PlainUnbiased)?.value.unwrap_or(f64::NAN))
        })
        .collect()
}
