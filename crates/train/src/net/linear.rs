//! Weights of affine maps and norms.

use candle_core::{DType, Device, Result, Tensor};
use microtome_core::Result as Outcome;

use super::ops::{self, Activation};
use super::{Params, failed};

/// `act(x W^T + b)`. The weight may be any tensor of the graph: a parameter, several joined, or one with an adapter added.
#[derive(Clone, Debug)]
pub struct Linear {
    /// `[n_out, n_in]`.
    pub weight: Tensor,
    /// `[n_out]`.
    pub bias: Tensor,
}

impl Linear {
    /// `NAME.weight` and `NAME.bias`.
    pub fn of(params: &Params, name: &str, n_out: usize, n_in: usize) -> Outcome<Self> {
        Ok(Self {
            weight: params.get(&format!("{name}.weight"), &[n_out, n_in])?,
            bias: params.get(&format!("{name}.bias"), &[n_out])?,
        })
    }

    /// `NAME.weight`, with zeros that are not trained for the bias.
    pub fn without_bias(params: &Params, name: &str, n_out: usize, n_in: usize) -> Outcome<Self> {
        Ok(Self {
            weight: params.get(&format!("{name}.weight"), &[n_out, n_in])?,
            bias: Tensor::zeros(n_out, DType::F32, &Device::Cpu).map_err(failed)?,
        })
    }

    /// Several maps of the same input as one, outputs side by side.
    pub fn joined(parts: &[Self]) -> Outcome<Self> {
        let weights: Vec<&Tensor> = parts.iter().map(|p| &p.weight).collect();
        let biases: Vec<&Tensor> = parts.iter().map(|p| &p.bias).collect();
        Ok(Self {
            weight: Tensor::cat(&weights, 0).map_err(failed)?,
            bias: Tensor::cat(&biases, 0).map_err(failed)?,
        })
    }

    /// `[rows, n_in]` to `[rows, n_out]`.
    pub fn apply(&self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        ops::affine(x, &self.weight, &self.bias, activation)
    }
}

/// Norm over the last axis with a weight and a bias.
#[derive(Clone, Debug)]
pub struct Norm {
    /// `[d]`.
    pub weight: Tensor,
    /// `[d]`.
    pub bias: Tensor,
    /// Added to the variance, or to the mean square.
    pub eps: f32,
    /// True for layer norm, which takes the mean off; false for RMS norm.
    pub centres: bool,
}

impl Norm {
    /// Layer norm of `NAME.weight` and `NAME.bias`.
    pub fn of(params: &Params, name: &str, d: usize, eps: f32) -> Outcome<Self> {
        Ok(Self {
            weight: params.get(&format!("{name}.weight"), &[d])?,
            bias: params.get(&format!("{name}.bias"), &[d])?,
            eps,
            centres: true,
        })
    }

    /// Normalises the rows of `[rows, d]`.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let norm = if self.centres { ops::layer_norm } else { ops::rms_norm };
        norm(x, &self.weight, &self.bias, self.eps)
    }
}
