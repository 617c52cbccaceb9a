//! Affine map with its activation.

use candle_core::{Device, Result, Tensor, bail};

use super::activation::Activation;
use super::node::{of_three, with_values};
use super::simd::fast;

/// `act(x W^T + b)` with `x` `[rows, n_in]`, `W` `[n_out, n_in]`, `b` `[n_out]`. Bias and activation are one pass.
pub fn affine(x: &Tensor, weight: &Tensor, bias: &Tensor, activation: Activation) -> Result<Tensor> {
    let (rows, n_out) = (x.dim(0)?, weight.dim(0)?);
    if bias.dims() != [n_out] {
        bail!("the bias of an affine map to {n_out} numbers has the shape {:?}", bias.dims());
    }
    let inputs = [x.clone(), weight.clone(), bias.clone()];
    let [x, weight, bias] = [x, weight, bias].map(Tensor::detach);
    let product = x.matmul(&weight.t()?)?;
    let bias = bias.to_vec1::<f32>()?;
    let value = with_values(&product, |p| add_bias(p, &bias, activation))?;
    let needed = [&inputs[0], &inputs[1], &inputs[2]].map(Tensor::track_op);
    // Without an activation the derivative does not need the product.
    let product = (activation != Activation::None).then_some(product);
    let inputs = [&inputs[0], &inputs[1], &inputs[2]];
    of_three("affine", inputs, value, (rows, n_out), move |grad| {
        let grad = match &product {
            Some(product) => {
                let before = with_values(product, |p| {
                    with_values(grad, |g| through_activation(p, g, &bias, activation))
                })??;
                Tensor::from_vec(before, (rows, n_out), &Device::Cpu)?
            }
            None => grad.clone(),
        };
        let dx = if needed[0] { Some(grad.matmul(&weight)?) } else { None };
        let dw = if needed[1] { Some(grad.t()?.matmul(&x)?) } else { None };
        let db = if needed[2] {
            Some(Tensor::from_vec(with_values(&grad, |g| column_sums(g, n_out))?, n_out, &Device::Cpu)?)
        } else {
            None
        };
        Ok([dx, dw, db])
    })
}

fn add_bias(product: &[f32], bias: &[f32], activation: Activation) -> Vec<f32> {
    let mut out = vec![0f32; product.len()];
    let n = bias.len().max(1);
    fast(|| {
        for (out, row) in out.chunks_exact_mut(n).zip(product.chunks_exact(n)) {
            match activation {
                Activation::None => pass(out, row, bias, |x| x),
                Activation::Relu => pass(out, row, bias, |x| x.max(0.0)),
                _ => pass(out, row, bias, |x| activation.value(x)),
            }
        }
    });
    out
}

#[inline(always)]
fn pass(out: &mut [f32], row: &[f32], bias: &[f32], f: impl Fn(f32) -> f32) {
    for ((o, x), b) in out.iter_mut().zip(row).zip(bias) {
        *o = f(x + b);
    }
}

fn through_activation(product: &[f32], grad: &[f32], bias: &[f32], activation: Activation) -> Vec<f32> {
    let mut out = grad.to_vec();
    let n = bias.len().max(1);
    fast(|| {
        for (out, row) in out.chunks_exact_mut(n).zip(product.chunks_exact(n)) {
            for ((o, x), b) in out.iter_mut().zip(row).zip(bias) {
                *o *= activation.slope(x + b);
            }
        }
    });
    out
}

fn column_sums(grad: &[f32], n: usize) -> Vec<f32> {
    let mut sums = vec![0f32; n];
    fast(|| {
        for row in grad.chunks_exact(n.max(1)) {
            for (s, g) in sums.iter_mut().zip(row) {
                *s += g;
            }
        }
    });
    sums
}
