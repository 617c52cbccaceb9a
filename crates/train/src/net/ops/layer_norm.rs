//! Layer norm (Ba, Kiros and Hinton 2016) and its kin that does not take the mean off (Zhang and Sennrich 2019).

use candle_core::{Device, Result, Tensor, bail};

use super::node::{of_three, with_values};
use super::simd::{fast, sum_of};

/// Rows of `x` `[rows, d]` to mean 0 and variance 1 (biased, plus `eps`), times `weight` plus `bias`, both `[d]`.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f32) -> Result<Tensor> {
    norm("layer_norm", x, weight, bias, Rule { eps, centres: true })
}

/// Rows of `x` `[rows, d]` to mean square 1 (plus `eps`), times `weight` plus `bias`, both `[d]`.
pub fn rms_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f32) -> Result<Tensor> {
    norm("rms_norm", x, weight, bias, Rule { eps, centres: false })
}

#[derive(Clone, Copy)]
struct Rule {
    eps: f32,
    /// Whether the mean is taken off.
    centres: bool,
}

fn norm(name: &'static str, x: &Tensor, weight: &Tensor, bias: &Tensor, rule: Rule) -> Result<Tensor> {
    let (rows, d) = x.dims2()?;
    if weight.dims() != [d] || bias.dims() != [d] || d == 0 {
        bail!("a norm over {d} numbers has weights of shape {:?} and {:?}", weight.dims(), bias.dims());
    }
    let (w, b) = (weight.detach().to_vec1::<f32>()?, bias.detach().to_vec1::<f32>()?);
    let x = x.contiguous()?;
    // Normalised rows are kept for the derivative, with one over the standard deviation of each.
    let (value, normal, scales) = with_values(&x, |x| normalise(x, &w, &b, rule))?;
    of_three(name, [&x, weight, bias], value, (rows, d), move |grad| {
        let (dx, dw, db) = with_values(grad, |g| derivative(g, &normal, &scales, &w, rule))?;
        let tensor = |v, n| Tensor::from_vec(v, n, &Device::Cpu);
        Ok([Some(Tensor::from_vec(dx, (rows, d), &Device::Cpu)?), Some(tensor(dw, d)?), Some(tensor(db, d)?)])
    })
}

fn normalise(x: &[f32], w: &[f32], b: &[f32], rule: Rule) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let d = w.len();
    let (mut out, mut normal) = (vec![0f32; x.len()], vec![0f32; x.len()]);
    let mut scales = vec![0f32; x.len() / d];
    fast(|| {
        for (i, row) in x.chunks_exact(d).enumerate() {
            let mean = if rule.centres { sum_of(d, |k| row[k]) / d as f32 } else { 0.0 };
            let variance = sum_of(d, |k| (row[k] - mean) * (row[k] - mean)) / d as f32;
            let scale = 1.0 / (variance + rule.eps).sqrt();
            scales[i] = scale;
            let place = i * d..(i + 1) * d;
            let (out, normal) = (&mut out[place.clone()], &mut normal[place]);
            for k in 0..d {
                normal[k] = (row[k] - mean) * scale;
                out[k] = normal[k] * w[k] + b[k];
            }
        }
    });
    (out, normal, scales)
}

fn derivative(
    g: &[f32],
    normal: &[f32],
    scales: &[f32],
    w: &[f32],
    rule: Rule,
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let d = w.len();
    let (mut dx, mut dw, mut db) = (vec![0f32; g.len()], vec![0f32; d], vec![0f32; d]);
    fast(|| {
        for (i, (g, n)) in g.chunks_exact(d).zip(normal.chunks_exact(d)).enumerate() {
            let along = if rule.centres { sum_of(d, |k| g[k] * w[k]) / d as f32 } else { 0.0 };
            let across = sum_of(d, |k| g[k] * w[k] * n[k]) / d as f32;
            let dx = &mut dx[i * d..(i + 1) * d];
            for k in 0..d {
                dx[k] = scales[i] * (g[k] * w[k] - along - n[k] * across);
                dw[k] += g[k] * n[k];
                db[k] += g[k];
            }
        }
    });
    (dx, dw, db)
}
