//! Value encoder: a number becomes a vector through a small network.

use microtome_core::Result;
use microtome_kernels::{Activation, LayerNorm, Linear};
use microtome_weights::Loader;

/// Largest number that is told apart; smaller than zero counts as zero.
const LARGEST: f32 = 100_000.0;
/// eps of all norms outside of the blocks.
pub(super) const EPS: f32 = 1e-5;

/// `Linear(1, d)`, then `Linear(relu(norm(x)))` as often as the file has it.
pub(super) struct Encoder {
    first: Linear,
    pub(super) rest: Vec<(LayerNorm, Linear)>,
    /// ReLU as published; another slope is for tests only.
    pub(super) slope: f32,
}

impl Encoder {
    /// Reads `NAME.encoder.*`: a linear map at 0, then norms at 1, 5, ... and linear maps at 4, 8, ...
    pub(super) fn load(loader: &Loader<'_>, name: &str, d: usize) -> Result<Self> {
        let first = linear(loader, &format!("{name}.encoder.0"), d, 1)?;
        let mut rest = vec![];
        for i in (0..).map(|k| 4 * k) {
            if !loader.has(&format!("{name}.encoder.{}.weight", i + 1)) {
                break;
            }
            let norm = layer_norm(loader, &format!("{name}.encoder.{}", i + 1), d, EPS)?;
            rest.push((norm, linear(loader, &format!("{name}.encoder.{}", i + 4), d, d)?));
        }
        Ok(Self { first, rest, slope: 0.0 })
    }

    /// `[value, d]`.
    pub(super) fn apply(&self, values: &[f32]) -> Vec<f32> {
        let rows = values.len();
        let clamped: Vec<f32> = values.iter().map(|v| v.clamp(0.0, LARGEST)).collect();
        let mut x = vec![0.0; rows * self.first.n_out()];
        self.first.apply(&clamped, rows, Activation::None, &mut x);
        let mut normed = vec![0.0; x.len()];
        for (norm, linear) in &self.rest {
            norm.apply(&x, rows, &mut normed);
            leaky(&mut normed, self.slope);
            linear.apply(&normed, rows, Activation::None, &mut x);
        }
        x
    }
}

/// LeakyReLU in place; slope 0 is ReLU. NaN stays NaN.
pub(super) fn leaky(x: &mut [f32], slope: f32) {
    for v in x.iter_mut().filter(|v| **v < 0.0) {
        *v *= slope;
    }
}

pub(super) fn linear(loader: &Loader<'_>, name: &str, n_out: usize, n_in: usize) -> Result<Linear> {
    let weight = loader.f32(&format!("{name}.weight"), &[n_out, n_in])?;
    let bias = loader.f32(&format!("{name}.bias"), &[n_out])?;
    Ok(Linear::pack(&weight, n_out, n_in, Some(&bias)))
}

pub(super) fn layer_norm(loader: &Loader<'_>, name: &str, d: usize, eps: f32) -> Result<LayerNorm> {
    let weight = loader.f32(&format!("{name}.weight"), &[d])?;
    Ok(LayerNorm { weight, bias: loader.f32(&format!("{name}.bias"), &[d])?, eps })
}
