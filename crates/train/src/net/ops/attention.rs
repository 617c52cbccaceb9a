//! Softmax attention within the cells of a ragged minibatch.
//!
//! Scores are made per cell and not kept: the derivative makes them again (as in Dao et al. 2022), so that memory grows
//! with the longest cell squared, not with the sum over cells.

use candle_core::{CpuStorage, Device, InplaceOp1, InplaceOp2, Layout, Result, Tensor, bail};

use super::node::{of_one, with_values};
use super::simd::{exp, fast, sum_of};
use crate::net::Ragged;

/// Heads, width and mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionShape {
    /// Heads.
    pub n_heads: usize,
    /// Width of a head.
    pub d_head: usize,
    /// A token sees itself and those before it only.
    pub causal: bool,
}

impl AttentionShape {
    fn scale(self) -> f32 {
        1.0 / (self.d_head as f32).sqrt()
    }
}

/// `softmax(q k^T / sqrt(d_head)) v` per cell and head; `qkv` is `[token, 3 d]` with queries, keys and values side by side,
/// the result `[token, d]`.
pub fn attention(qkv: &Tensor, cells: &Ragged, shape: AttentionShape) -> Result<Tensor> {
    let d = shape.n_heads * shape.d_head;
    let n = cells.n_tokens();
    if qkv.dims() != [n, 3 * d] {
        bail!("attention over {n} tokens of {d} numbers was given the shape {:?}", qkv.dims());
    }
    let plain = qkv.detach().contiguous()?;
    let mut out = vec![0f32; n * d];
    for cell in cells.cells().filter(|c| !c.is_empty()) {
        let [q, k, v] = heads(&plain, &cell, shape)?;
        let z = pattern(&q, &k, shape)?.matmul(&v)?;
        with_values(&z, |z| place_heads(z, shape, &mut out[cell.start * d..cell.end * d], d, 0))?;
    }
    let cells = cells.clone();
    of_one("attention", qkv, out, (n, d), move |grad| {
        let mut all = vec![0f32; n * 3 * d];
        for cell in cells.cells().filter(|c| !c.is_empty()) {
            let [q, k, v] = heads(&plain, &cell, shape)?;
            let dz = split(&grad.narrow(0, cell.start, cell.len())?, cell.len(), shape)?;
            let p = pattern(&q, &k, shape)?;
            let dv = p.t()?.matmul(&dz)?;
            let scores = dz.matmul(&v.t()?)?;
            scores.inplace_op2(&p, &SoftmaxDerivative { n: cell.len(), scale: shape.scale() })?;
            let dq = scores.matmul(&k)?;
            let dk = scores.t()?.matmul(&q)?;
            let rows = &mut all[cell.start * 3 * d..cell.end * 3 * d];
            for (part, grad) in [dq, dk, dv].iter().enumerate() {
                with_values(grad, |g| place_heads(g, shape, rows, 3 * d, part * d))?;
            }
        }
        Ok([Some(Tensor::from_vec(all, (n, 3 * d), &Device::Cpu)?)])
    })
}

/// Queries, keys and values of a cell, each `[head, token, d_head]`, without copying.
fn heads(qkv: &Tensor, cell: &std::ops::Range<usize>, shape: AttentionShape) -> Result<[Tensor; 3]> {
    let (n, h, w) = (cell.len(), shape.n_heads, shape.d_head);
    let all = qkv.narrow(0, cell.start, n)?.reshape((n, 3, h, w))?;
    let part = |i| all.narrow(1, i, 1)?.squeeze(1)?.transpose(0, 1);
    Ok([part(0)?, part(1)?, part(2)?])
}

/// `[token, d]` as `[head, token, d_head]`.
fn split(x: &Tensor, n: usize, shape: AttentionShape) -> Result<Tensor> {
    x.reshape((n, shape.n_heads, shape.d_head))?.transpose(0, 1)
}

/// Softmax of the scores, `[head, query, key]`.
fn pattern(q: &Tensor, k: &Tensor, shape: AttentionShape) -> Result<Tensor> {
    let scores = q.matmul(&k.t()?)?;
    scores.inplace_op1(&Softmax { n: q.dim(1)?, scale: shape.scale(), causal: shape.causal })?;
    Ok(scores)
}

/// Writes `[head, token, d_head]` into rows of `width` numbers from column `at` on.
fn place_heads(z: &[f32], shape: AttentionShape, rows: &mut [f32], width: usize, at: usize) {
    let (h, w) = (shape.n_heads, shape.d_head);
    for (t, row) in rows.chunks_exact_mut(width).enumerate() {
        for head in 0..h {
            let from = (head * (z.len() / (h * w)) + t) * w;
            row[at + head * w..at + (head + 1) * w].copy_from_slice(&z[from..from + w]);
        }
    }
}

/// The numbers of a freshly made product, to be changed in place.
fn fresh<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(all), Some((from, to))) => Ok(&mut all[from..to]),
        _ => bail!("a contiguous f32 tensor on the CPU is needed"),
    }
}

struct Softmax {
    n: usize,
    scale: f32,
    causal: bool,
}

impl InplaceOp1 for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let all = fresh(storage, layout)?;
        fast(|| {
            for (i, row) in all.chunks_exact_mut(self.n).enumerate() {
                let seen = if self.causal { i % self.n + 1 } else { self.n };
                let (row, unseen) = row.split_at_mut(seen);
                unseen.fill(0.0);
                let top = row.iter().fold(f32::NEG_INFINITY, |m, x| if *x > m { *x } else { m });
                for x in row.iter_mut() {
                    *x = exp((*x - top) * self.scale);
                }
                let total = sum_of(seen, |k| row[k]);
                let share = 1.0 / total;
                for x in row.iter_mut() {
                    *x *= share;
                }
            }
        });
        Ok(())
    }
}

/// Gradient of the unscaled scores from the gradient of the pattern (in place) and the pattern.
struct SoftmaxDerivative {
    n: usize,
    scale: f32,
}

impl InplaceOp2 for SoftmaxDerivative {
    fn name(&self) -> &'static str {
        "softmax_derivative"
    }

    fn cpu_fwd(
        &self,
        storage: &mut CpuStorage,
        layout: &Layout,
        pattern: &CpuStorage,
        pattern_layout: &Layout,
    ) -> Result<()> {
        let grads = fresh(storage, layout)?;
        let (CpuStorage::F32(pattern), Some((from, to))) = (pattern, pattern_layout.contiguous_offsets())
        else {
            bail!("a contiguous f32 tensor on the CPU is needed");
        };
        fast(|| {
            for (g, p) in grads.chunks_exact_mut(self.n).zip(pattern[from..to].chunks_exact(self.n)) {
                let mean = sum_of(self.n, |k| g[k] * p[k]);
                for (g, p) in g.iter_mut().zip(p) {
                    *g = p * (*g - mean) * self.scale;
                }
            }
        });
        Ok(())
    }
}
