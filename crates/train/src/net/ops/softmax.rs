//! Scores to shares, in place, and back.

use std::ops::Range;

use candle_core::{CpuStorage, Device, InplaceOp1, InplaceOp2, Layout, Result, Tensor, bail};

use super::node::with_values;
use super::simd::{exp, fast, sum_of};

/// How raw products `[head, query, key]` of some queries of a cell become shares.
pub(super) struct Scoring<'a> {
    /// Keys.
    pub(super) n: usize,
    /// The queries, by place in the cell.
    pub(super) queries: Range<usize>,
    pub(super) scale: f32,
    /// A query sees itself and the keys before it only.
    pub(super) causal: bool,
    /// Added to the scaled products, one per key; `-inf` hides the key.
    pub(super) key_bias: Option<&'a [f32]>,
    /// Scores become `cap tanh(score / cap)`; a hidden key stays hidden.
    pub(super) soft_cap: Option<f32>,
}

impl Scoring<'_> {
    /// Keys that the query of a row may see.
    fn seen(&self, row: usize) -> usize {
        if self.causal { self.queries.start + row % self.queries.len() + 1 } else { self.n }
    }

    fn bias(&self, key: usize) -> f32 {
        self.key_bias.map_or(0.0, |b| b[key])
    }

    /// Whether scores are more than scaled products.
    fn is_plain(&self) -> bool {
        self.key_bias.is_none() && self.soft_cap.is_none()
    }

    /// Products to scores. Answers false when every key is hidden.
    fn score(&self, row: &mut [f32]) -> bool {
        let mut sees = false;
        for (k, x) in row.iter_mut().enumerate() {
            let bias = self.bias(k);
            let score = *x * self.scale + bias;
            *x = match self.soft_cap {
                _ if bias == f32::NEG_INFINITY => f32::NEG_INFINITY,
                Some(cap) => cap * libm::tanhf(score / cap),
                None => score,
            };
            sees |= bias != f32::NEG_INFINITY;
        }
        sees
    }

    /// Derivative of the cap at every product; none without a cap.
    pub(super) fn slopes(&self, products: &Tensor) -> Result<Option<Tensor>> {
        let Some(cap) = self.soft_cap else { return Ok(None) };
        let slopes = with_values(products, |all| {
            let slope = |(i, x): (usize, &f32)| {
                let t = libm::tanhf((x * self.scale + self.bias(i % self.n)) / cap);
                1.0 - t * t
            };
            all.iter().enumerate().map(slope).collect::<Vec<f32>>()
        })?;
        Tensor::from_vec(slopes, products.dims(), &Device::Cpu).map(Some)
    }
}

/// Shares out of products.
pub(super) struct Softmax<'a>(pub(super) Scoring<'a>);

impl InplaceOp1 for Softmax<'_> {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let all = fresh(storage, layout)?;
        let scoring = &self.0;
        let plain = scoring.is_plain();
        let factor = if plain { scoring.scale } else { 1.0 };
        if !plain {
            for (i, row) in all.chunks_exact_mut(scoring.n).enumerate() {
                let row = &mut row[..scoring.seen(i)];
                if !scoring.score(row) {
                    // Shares of nothing: zeros, as in the engine. The pass below leaves them so.
                    row.fill(f32::NEG_INFINITY);
                }
            }
        }
        fast(|| {
            for (i, row) in all.chunks_exact_mut(scoring.n).enumerate() {
                let seen = scoring.seen(i);
                let (row, unseen) = row.split_at_mut(seen);
                unseen.fill(0.0);
                let top = row.iter().fold(f32::NEG_INFINITY, |m, x| if *x > m { *x } else { m });
                if plain {
                    for x in row.iter_mut() {
                        *x = exp((*x - top) * factor);
                    }
                } else {
                    for x in row.iter_mut() {
                        *x = if *x == f32::NEG_INFINITY { 0.0 } else { exp(*x - top) };
                    }
                }
                let total = sum_of(seen, |k| row[k]);
                let share = if !plain && total == 0.0 { 0.0 } else { 1.0 / total };
                for x in row.iter_mut() {
                    *x *= share;
                }
            }
        });
        Ok(())
    }
}

/// Gradient of the products, but for the cap, from the gradient of the shares (in place) and the shares.
pub(super) struct SoftmaxDerivative {
    pub(super) n: usize,
    pub(super) scale: f32,
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

/// The numbers of a freshly made product, to be changed in place.
fn fresh<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(all), Some((from, to))) => Ok(&mut all[from..to]),
        _ => bail!("a contiguous f32 tensor on the CPU is needed"),
    }
}
