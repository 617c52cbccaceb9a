//! Linear maps and norms read from a checkpoint under torch's names.

use microtome_core::Result;
use microtome_kernels::{LayerNorm, Linear};
use microtome_weights::Loader;

/// `NAME.weight` `[n_out, n_in]` and `NAME.bias`.
pub(crate) fn linear(loader: &Loader<'_>, name: &str, n_out: usize, n_in: usize) -> Result<Linear> {
    let weight = loader.f32(&format!("{name}.weight"), &[n_out, n_in])?;
    let bias = loader.f32(&format!("{name}.bias"), &[n_out])?;
    Ok(Linear::pack(&weight, n_out, n_in, Some(&bias)))
}

/// `NAME.weight` alone.
pub(crate) fn linear_without_bias(
    loader: &Loader<'_>,
    name: &str,
    n_out: usize,
    n_in: usize,
) -> Result<Linear> {
    let weight = loader.f32(&format!("{name}.weight"), &[n_out, n_in])?;
    Ok(Linear::pack(&weight, n_out, n_in, None))
}

/// `NAME.weight` and `NAME.bias` of a LayerNorm.
pub(crate) fn layer_norm(loader: &Loader<'_>, name: &str, d: usize, eps: f32) -> Result<LayerNorm> {
    let weight = loader.f32(&format!("{name}.weight"), &[d])?;
    Ok(LayerNorm { weight, bias: loader.f32(&format!("{name}.bias"), &[d])?, eps })
}
