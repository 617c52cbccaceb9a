//! Simulated inputs for the tests of this crate.
#![allow(clippy::unwrap_used, unreachable_pub)]
#![allow(dead_code, reason = "not every test file needs all of it")]

use microtome_core::{Matrix, Role, Site};
use microtome_eval::{Cells, Groups, Representation};
use microtome_numerics::resample::Rng;

/// Cells in `n_units` units of equal size.
pub fn cells(n: usize, n_units: Option<usize>) -> Cells {
    let cells = Cells::new("simulated", n);
    let Some(m) = n_units else { return cells };
    let names = (0..m).map(|u| format!("d{u}")).collect();
    let codes = (0..n).map(|i| (i % m) as u32).collect();
    cells.with_unit(Groups::new("donor", names, codes).unwrap()).unwrap()
}

/// Four time points, the same share in every unit of [`cells`] as long as units do not divide by four.
pub fn four_times(n: usize, n_units: usize) -> Vec<f64> {
    (0..n).map(|i| (i / n_units % 4) as f64).collect()
}

/// `signal * time` along the first dimension plus noise of standard deviation 1 in `width` dimensions.
pub fn matrix(time: &[f64], signal: f64, width: usize, rng: &mut Rng) -> Matrix {
    let mut m = Matrix::zeros(time.len(), width);
    for (i, &t) in time.iter().enumerate() {
        for (j, v) in m.row_mut(i).iter_mut().enumerate() {
            let t = if t.is_nan() { 0.0 } else { t };
            *v = (rng.normal() + if j == 0 { signal * t } else { 0.0 }) as f32;
        }
    }
    m
}

pub fn block(model: &str, role: Role, i: usize, n_blocks: usize, matrix: Matrix) -> Representation {
    let site = Site::resid_post(i);
    Representation {
        model: model.into(),
        family: Some("toy".into()),
        role,
        block: Some(i),
        depth: site.depth(n_blocks),
        site: Some(site),
        pooling: Some("mean".into()),
        matrix,
    }
}

/// A model whose block `i` carries time with strength `signals[i]`, and a baseline of strength `baseline`.
pub fn model_and_baseline(time: &[f64], signals: &[f64], baseline: f64, seed: u64) -> Vec<Representation> {
    let mut rng = Rng::new(seed);
    let n = signals.len();
    let mut all: Vec<Representation> = signals
        .iter()
        .enumerate()
        .map(|(i, &s)| block("toy", Role::Model, i, n, matrix(time, s, 8, &mut rng)))
        .collect();
    all.push(Representation::simple("pca_8_hvg_100", Role::Baseline, matrix(time, baseline, 8, &mut rng)));
    all
}
