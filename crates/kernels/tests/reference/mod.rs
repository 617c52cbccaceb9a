//! Plain f64 versions of every kernel, and random inputs.
#![allow(clippy::print_stdout, reason = "says which instruction set a failure belongs to")]
#![allow(dead_code, reason = "each test file uses its own part")]

use microtome_kernels::{Activation, AttentionShape, Isa, Mask, with_isa};

/// A small random generator (splitmix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// Roughly normal: mean 0, variance 1.
    pub(crate) fn normal(&mut self) -> f32 {
        let sum: f64 = (0..12).map(|_| (self.next() >> 11) as f64 / (1u64 << 53) as f64).sum();
        (sum - 6.0) as f32
    }

    pub(crate) fn normals(&mut self, n: usize, scale: f32) -> Vec<f32> {
        (0..n).map(|_| self.normal() * scale).collect()
    }
}

/// Runs a check on every instruction set of this machine.
pub(crate) fn on_every_isa(check: impl Fn()) {
    for isa in Isa::available() {
        println!("{}", isa.name());
        with_isa(isa, &check);
    }
}

pub(crate) fn linear(
    x: &[f32],
    w: &[f32],
    bias: Option<&[f32]>,
    rows: usize,
    n_in: usize,
    n_out: usize,
) -> Vec<f64> {
    let mut out = vec![0.0; rows * n_out];
    for r in 0..rows {
        for o in 0..n_out {
            let dot: f64 = (0..n_in).map(|i| f64::from(x[r * n_in + i]) * f64::from(w[o * n_in + i])).sum();
            out[r * n_out + o] = dot + bias.map_or(0.0, |b| f64::from(b[o]));
        }
    }
    out
}

/// The error function by its Taylor series near 0 and a continued fraction in the tail.
pub(crate) fn erfc(x: f64) -> f64 {
    if x < 0.0 {
        return 2.0 - erfc(-x);
    }
    if x < 2.5 {
        let (mut term, mut sum) = (x, x);
        for n in 1..200 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        return 1.0 - sum * 2.0 / std::f64::consts::PI.sqrt();
    }
    let mut fraction = 0.0;
    for n in (1..200).rev() {
        fraction = f64::from(n) / 2.0 / (x + fraction);
    }
    (-x * x).exp() / ((x + fraction) * std::f64::consts::PI.sqrt())
}

pub(crate) fn activation(f: Activation, x: f64) -> f64 {
    match f {
        Activation::None => x,
        Activation::Relu => x.max(0.0),
        Activation::GeluErf => 0.5 * x * erfc(-x / 2.0f64.sqrt()),
        Activation::GeluTanh => {
            0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)).tanh())
        }
        Activation::Silu => x / (1.0 + (-x).exp()),
    }
}

pub(crate) fn layer_norm(x: &[f64], weight: &[f32], bias: &[f32], eps: f64) -> Vec<f64> {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
    let scale = 1.0 / (variance + eps).sqrt();
    x.iter()
        .zip(weight.iter().zip(bias))
        .map(|(v, (w, b))| (v - mean) * scale * f64::from(*w) + f64::from(*b))
        .collect()
}

pub(crate) fn rms_norm(x: &[f64], weight: &[f32], eps: f64) -> Vec<f64> {
    let scale = 1.0 / (x.iter().map(|v| v * v).sum::<f64>() / x.len() as f64 + eps).sqrt();
    x.iter().zip(weight).map(|(v, w)| v * scale * f64::from(*w)).collect()
}

/// Strided rows for the reference: data, stride, first column.
#[derive(Clone, Copy)]
pub(crate) struct View<'a>(pub(crate) &'a [f32], pub(crate) usize, pub(crate) usize);

impl View<'_> {
    fn get(&self, row: usize, column: usize) -> f64 {
        f64::from(self.0[row * self.1 + self.2 + column])
    }
}

/// Scores `[head, query, key]` of one cell.
pub(crate) fn scores(
    q: View<'_>,
    k: View<'_>,
    shape: &AttentionShape,
    mask: &Mask<'_>,
    cell: std::ops::Range<usize>,
) -> Vec<f64> {
    let (len, d, group) = (cell.len(), shape.d_head, shape.n_heads / shape.n_kv_heads);
    let mut out = Vec::with_capacity(shape.n_heads * len * len);
    for head in 0..shape.n_heads {
        for i in cell.clone() {
            for j in cell.clone() {
                let dot: f64 = (0..d).map(|c| q.get(i, head * d + c) * k.get(j, head / group * d + c)).sum();
                let biased =
                    mask.key_bias.filter(|b| !mask.bias_earlier_only || j < i || b[j] == f32::NEG_INFINITY);
                let mut score = dot * f64::from(shape.scale) + biased.map_or(0.0, |b| f64::from(b[j]));
                if let Some(cap) = shape.soft_cap {
                    score = f64::from(cap) * (score / f64::from(cap)).tanh();
                }
                let hidden = (mask.causal && j > i) || mask.visible.is_some_and(|v| !v[j] && i != j);
                out.push(if hidden { f64::NEG_INFINITY } else { score });
            }
        }
    }
    out
}

pub(crate) fn softmax(row: &[f64]) -> Vec<f64> {
    let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if max == f64::NEG_INFINITY {
        return vec![0.0; row.len()];
    }
    let sum: f64 = row.iter().map(|x| (x - max).exp()).sum();
    row.iter().map(|x| (x - max).exp() / sum).collect()
}

pub(crate) fn attention(
    q: View<'_>,
    k: View<'_>,
    v: View<'_>,
    offsets: &[usize],
    shape: &AttentionShape,
    mask: &Mask<'_>,
) -> Vec<f64> {
    let (d, group) = (shape.d_head, shape.n_heads / shape.n_kv_heads);
    let width = shape.n_heads * d;
    let mut out = vec![0.0; offsets[offsets.len() - 1] * width];
    for cell in offsets.windows(2) {
        let len = cell[1] - cell[0];
        let scores = scores(q, k, shape, mask, cell[0]..cell[1]);
        for head in 0..shape.n_heads {
            for i in 0..len {
                let p = softmax(&scores[(head * len + i) * len..][..len]);
                for c in 0..d {
                    let value = (0..len).map(|j| p[j] * v.get(cell[0] + j, head / group * d + c)).sum();
                    out[(cell[0] + i) * width + head * d + c] = value;
                }
            }
        }
    }
    out
}

/// Greatest absolute difference; infinite when one side is NaN and the other is not.
pub(crate) fn difference(got: &[f32], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    got.iter().zip(want).fold(0.0, |worst: f64, (g, w)| {
        let d = (f64::from(*g) - w).abs();
        if d.is_nan() && !(g.is_nan() && w.is_nan()) {
            f64::INFINITY
        } else {
            worst.max(if d.is_nan() { 0.0 } else { d })
        }
    })
}

pub(crate) fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|v| v.to_bits()).collect()
}
