//! Softmax attention within the cells of a ragged minibatch.
//!
//! Scores are made for some queries of a cell at a time and not kept: the derivative makes them again (as in Dao et al. 2022),
//! so that memory does not grow with the square of a cell's tokens.

use std::ops::Range;

use candle_core::{Device, Result, Tensor, bail};

use super::node::{of_one, with_values};
use super::softmax::{Scoring, Softmax, SoftmaxDerivative};
use crate::net::Ragged;

/// Scores that exist at one time, over all heads.
const SCORES: usize = 1 << 25;

/// Heads, score function and mask.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionShape {
    /// Heads of the queries.
    pub n_heads: usize,
    /// Heads of keys and values; divides `n_heads`. Query head `h` meets head `h / (n_heads / n_kv_heads)` of them (Ainslie et al. 2023).
    pub n_kv_heads: usize,
    /// Width of a head.
    pub d_head: usize,
    /// A token sees itself and those before it only.
    pub causal: bool,
    /// Scores become `cap tanh(score / cap)` where given.
    pub soft_cap: Option<f32>,
}

impl AttentionShape {
    /// As many heads of keys and values as of queries; every token sees every other, and scores are not capped.
    pub fn new(n_heads: usize, d_head: usize) -> Self {
        Self { n_heads, n_kv_heads: n_heads, d_head, causal: false, soft_cap: None }
    }

    /// Columns of queries, keys and values side by side.
    pub fn qkv_width(&self) -> usize {
        (self.n_heads + 2 * self.n_kv_heads) * self.d_head
    }

    fn scale(self) -> f32 {
        1.0 / (self.d_head as f32).sqrt()
    }

    /// Query heads that share a head of keys and values.
    fn group(self) -> usize {
        self.n_heads / self.n_kv_heads.max(1)
    }

    /// How the scores of some queries of a cell become shares.
    fn scoring<'a>(&self, cells: &'a Ragged, cell: &Range<usize>, queries: &Range<usize>) -> Scoring<'a> {
        Scoring {
            n: cell.len(),
            queries: queries.clone(),
            scale: self.scale(),
            causal: self.causal,
            key_bias: cells.key_bias().map(|b| &b[cell.clone()]),
            soft_cap: self.soft_cap,
        }
    }
}

/// `softmax(cap(q k^T / sqrt(d_head) + b)) v` per cell and head, where `b` is what [`Ragged::key_bias`] gives every key; `qkv` is
/// `[token, q | k | v]`, the result `[token, n_heads * d_head]`. A query that sees no key gets zeros.
pub fn attention(qkv: &Tensor, cells: &Ragged, shape: AttentionShape) -> Result<Tensor> {
    in_parts(qkv, cells, shape, SCORES)
}

fn in_parts(qkv: &Tensor, cells: &Ragged, shape: AttentionShape, limit: usize) -> Result<Tensor> {
    let (d, width) = (shape.n_heads * shape.d_head, shape.qkv_width());
    let n = cells.n_tokens();
    if shape.group() * shape.n_kv_heads != shape.n_heads {
        bail!("{} heads cannot share {} heads of keys and values", shape.n_heads, shape.n_kv_heads);
    }
    if qkv.dims() != [n, width] {
        bail!("attention over {n} tokens of {width} numbers was given the shape {:?}", qkv.dims());
    }
    let plain = qkv.detach().contiguous()?;
    let mut out = vec![0f32; n * d];
    for cell in cells.cells().filter(|c| !c.is_empty()) {
        let [q, k, v] = heads(&plain, &cell, shape)?;
        for part in parts(cell.len(), shape.n_heads, limit) {
            let p = q.narrow(1, part.start, part.len())?.matmul(&k.t()?)?;
            p.inplace_op1(&Softmax(shape.scoring(cells, &cell, &part)))?;
            let rows = &mut out[(cell.start + part.start) * d..(cell.start + part.end) * d];
            with_values(&p.matmul(&v)?, |z| place_heads(z, shape.n_heads, shape.d_head, rows, d, 0))?;
        }
    }
    let cells = cells.clone();
    of_one("attention", qkv, out, (n, d), move |grad| {
        let mut all = vec![0f32; n * width];
        for cell in cells.cells().filter(|c| !c.is_empty()) {
            let [q, k, v] = heads(&plain, &cell, shape)?;
            let rows = &mut all[cell.start * width..cell.end * width];
            let (mut dk, mut dv) = (None, None);
            for part in parts(cell.len(), shape.n_heads, limit) {
                let q = q.narrow(1, part.start, part.len())?;
                let dz = grad.narrow(0, cell.start + part.start, part.len())?;
                let dz = dz.reshape((part.len(), shape.n_heads, shape.d_head))?.transpose(0, 1)?;
                let scoring = shape.scoring(&cells, &cell, &part);
                let p = q.matmul(&k.t()?)?;
                let slopes = scoring.slopes(&p)?;
                p.inplace_op1(&Softmax(scoring))?;
                add(&mut dv, p.t()?.matmul(&dz)?)?;
                let mut scores = dz.matmul(&v.t()?)?;
                scores.inplace_op2(&p, &SoftmaxDerivative { n: cell.len(), scale: shape.scale() })?;
                if let Some(slopes) = slopes {
                    scores = (scores * slopes)?;
                }
                add(&mut dk, scores.t()?.matmul(&q)?)?;
                let own = &mut rows[part.start * width..part.end * width];
                with_values(&scores.matmul(&k)?, |g| {
                    place_heads(g, shape.n_heads, shape.d_head, own, width, 0);
                })?;
            }
            for (i, grad) in [dk, dv].into_iter().flatten().enumerate() {
                let at = d + i * shape.n_kv_heads * shape.d_head;
                with_values(&shared(grad, shape)?, |g| {
                    place_heads(g, shape.n_kv_heads, shape.d_head, rows, width, at);
                })?;
            }
        }
        Ok([Some(Tensor::from_vec(all, (n, width), &Device::Cpu)?)])
    })
}

/// Queries that are run together: as many as leave no more than `limit` scores, at least one.
fn parts(n: usize, n_heads: usize, limit: usize) -> impl Iterator<Item = Range<usize>> {
    let rows = (limit / (n * n_heads).max(1)).clamp(1, n.max(1));
    (0..n).step_by(rows).map(move |from| from..(from + rows).min(n))
}

fn add(sum: &mut Option<Tensor>, term: Tensor) -> Result<()> {
    *sum = Some(match sum.take() {
        Some(before) => (before + term)?,
        None => term,
    });
    Ok(())
}

/// Queries, keys and values of a cell, each `[head, token, d_head]`; keys and values that several heads share are repeated.
fn heads(qkv: &Tensor, cell: &Range<usize>, shape: AttentionShape) -> Result<[Tensor; 3]> {
    let (n, h, kv, w) = (cell.len(), shape.n_heads, shape.n_kv_heads, shape.d_head);
    let all = qkv.narrow(0, cell.start, n)?.reshape((n, h + 2 * kv, w))?;
    let part = |first: usize, heads: usize| all.narrow(1, first, heads)?.transpose(0, 1);
    let each = |first: usize| {
        let part = part(first, kv)?;
        if kv == h {
            return Ok(part);
        }
        part.unsqueeze(1)?.broadcast_as((kv, shape.group(), n, w))?.reshape((h, n, w))
    };
    Ok([part(0, h)?, each(h)?, each(h + kv)?])
}

/// Gradient of keys or values out of that of their copies for every head.
fn shared(grad: Tensor, shape: AttentionShape) -> Result<Tensor> {
    if shape.group() == 1 {
        return Ok(grad);
    }
    let (n, w) = (grad.dim(1)?, shape.d_head);
    grad.reshape((shape.n_kv_heads, shape.group(), n, w))?.sum(1)
}

/// Writes `[head, token, d_head]` into rows of `width` numbers from column `at` on.
fn place_heads(z: &[f32], h: usize, w: usize, rows: &mut [f32], width: usize, at: usize) {
    for (t, row) in rows.chunks_exact_mut(width).enumerate() {
        for head in 0..h {
            let from = (head * (z.len() / (h * w)) + t) * w;
            row[at + head * w..at + (head + 1) * w].copy_from_slice(&z[from..from + w]);
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Var;

    use super::*;

    #[test]
    fn few_queries_at_a_time_give_what_all_at_once_give() {
        let cells = Ragged::of_lengths([7, 0, 3]).with_key_bias((0..10).map(|i| i as f32 / 5.0).collect());
        let cells = cells.unwrap();
        for causal in [false, true] {
            let shape =
                AttentionShape { n_kv_heads: 2, causal, soft_cap: Some(1.5), ..AttentionShape::new(4, 3) };
            let numbers: Vec<f32> = (0..10 * shape.qkv_width()).map(|i| (i as f32 * 0.37).sin()).collect();
            let qkv = Tensor::from_vec(numbers, (10, shape.qkv_width()), &Device::Cpu).unwrap();
            let qkv = Var::from_tensor(&qkv).unwrap();
            let run = |limit: usize| {
                let z = in_parts(&qkv, &cells, shape, limit).unwrap();
                let grads = z.sqr().unwrap().sum_all().unwrap().backward().unwrap();
                let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                [flat(&z), flat(grads.get(&qkv).unwrap())].concat()
            };
            for limit in [1, 7 * 4 * 3] {
                let off = run(SCORES).iter().zip(run(limit)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(off < 1e-6, "{limit}: {off}");
            }
        }
        assert_eq!(parts(7, 4, 7 * 4 * 3).collect::<Vec<_>>(), [0..3, 3..6, 6..7]);
        assert_eq!(parts(3, 4, 0).count(), 3);
    }
}
