//! Feature maps: `phi(x)` from random projections of the rows of a head.

use std::ops::Range;

use rayon::prelude::*;

use crate::attention::Rows;
use crate::buffer::with_buffers;
use crate::elementary::exp;
use crate::gemm::{BLOCK_ROWS, Epilogue, Format, Out, Packed, Product, copy_rows, gemm, left_len};
use crate::isa::{Isa, dispatch};
use crate::simd::Simd;

/// How projections become features. With `c = d_head^-1/4`, `m` features and the projection `P`:
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FeatureMap {
    /// `m^-1/2 (exp(P c x - |c x|^2 / 2 - maximum) + eps)`: stands for the softmax kernel. The maximum, which keeps the exponential in
    /// range, is over the features of the row for queries and one number for many rows of keys ([`KeyMaximum`]).
    Softmax {
        /// Added to every exponential.
        eps: f32,
    },
    /// `max(P c x, 0) + eps`: generalised attention with the ReLU kernel.
    Relu {
        /// Added to every feature.
        eps: f32,
    },
}

/// Over which keys the maximum of [`FeatureMap::Softmax`] is taken. Because of `eps`, the choice changes results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyMaximum {
    /// All tokens, heads and features of one cell: what the reference code gives for one cell at a time.
    Cell,
    /// All cells of the minibatch: what the reference code gives for a batch. A cell's result then depends on its neighbours.
    Minibatch,
}

/// Which side of the product a feature is for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Side {
    /// Queries.
    Query,
    /// Keys, with the maximum of their cell.
    Key {
        /// See [`RandomFeatures::key_maxima`].
        maximum: f32,
    },
}

/// Random projections of a layer, shared by its heads, and what is made of them.
#[derive(Clone, Debug)]
pub struct RandomFeatures {
    projection: Packed,
    map: FeatureMap,
    /// `d_head^-1/4`, of which queries and keys take one factor each.
    scale: f32,
}

impl RandomFeatures {
    /// Packs a stored projection `[n_features, d_head]`.
    ///
    /// # Panics
    /// When the projection has another size, or either number is 0.
    pub fn new(projection: &[f32], n_features: usize, d_head: usize, map: FeatureMap) -> Self {
        let len = projection.len();
        assert!(
            Some(len) == n_features.checked_mul(d_head) && len > 0,
            "RandomFeatures: projection has {len} numbers, expected {n_features} x {d_head}"
        );
        let mut packed = Packed::default();
        packed.pack_transposed(Isa::current(), projection, d_head, n_features, d_head, Format::Single);
        Self { projection: packed, map, scale: (d_head as f64).powf(-0.25) as f32 }
    }

    /// Features per head.
    pub fn n_features(&self) -> usize {
        self.projection.n()
    }

    /// Columns of a head.
    pub fn d_head(&self) -> usize {
        self.projection.k()
    }

    /// The maximum that belongs to the keys of each cell, as [`FeatureMap::Softmax`] wants it (zero for a cell without tokens, and for
    /// other maps).
    ///
    /// # Panics
    /// When `k` is too short for `offsets`.
    pub fn key_maxima(&self, k: Rows<'_>, offsets: &[usize], n_heads: usize, over: KeyMaximum) -> Vec<f32> {
        let n_cells = offsets.len().saturating_sub(1);
        if !matches!(self.map, FeatureMap::Softmax { .. }) {
            return vec![0.0; n_cells];
        }
        let isa = Isa::current();
        let tasks: Vec<(usize, Range<usize>)> = offsets
            .windows(2)
            .enumerate()
            .flat_map(|(cell, w)| {
                let (start, end) = (w[0], w[1]);
                (start..end).step_by(BLOCK_ROWS).map(move |f| (cell, f..(f + BLOCK_ROWS).min(end)))
            })
            .collect();
        let found: Vec<(usize, f32)> = tasks
            .into_par_iter()
            .map(|(cell, tokens)| {
                let m = self.n_features();
                let greatest = with_buffers([tokens.len() * m], |[out]| {
                    (0..n_heads).fold(f32::NEG_INFINITY, |top, head| {
                        self.project(isa, k, tokens.clone(), head, out);
                        top.max(greatest(isa, out))
                    })
                });
                (cell, greatest)
            })
            .collect();
        let mut maxima = vec![f32::NEG_INFINITY; n_cells];
        for (cell, x) in found {
            maxima[cell] = maxima[cell].max(x);
        }
        if over == KeyMaximum::Minibatch {
            let all = maxima.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            maxima.fill(all);
        }
        maxima.iter().map(|&x| if x == f32::NEG_INFINITY { 0.0 } else { x }).collect()
    }

    /// Features of all heads of some tokens, `[token, head, feature]`.
    ///
    /// # Panics
    /// When `x` is too short.
    pub fn of(&self, x: Rows<'_>, tokens: Range<usize>, n_heads: usize, side: Side) -> Vec<f32> {
        let (isa, m) = (Isa::current(), self.n_features());
        let mut out = vec![0.0; tokens.len() * n_heads * m];
        out.par_chunks_mut((BLOCK_ROWS * n_heads * m).max(1)).enumerate().for_each(|(block, out)| {
            let first = tokens.start + block * BLOCK_ROWS;
            let n = out.len() / (n_heads * m);
            with_buffers([n * m], |[phi]| {
                for head in 0..n_heads {
                    self.rows(isa, x, first..first + n, head, side, phi);
                    for (out, phi) in out.chunks_exact_mut(n_heads * m).zip(phi.chunks_exact(m)) {
                        out[head * m..(head + 1) * m].copy_from_slice(phi);
                    }
                }
            });
        });
        out
    }

    /// Features of one head of some tokens, `[token, feature]`.
    pub(super) fn rows(
        &self,
        isa: Isa,
        x: Rows<'_>,
        tokens: Range<usize>,
        head: usize,
        side: Side,
        out: &mut [f32],
    ) {
        let (m, d) = (self.n_features(), self.d_head());
        self.project(isa, x, tokens.clone(), head, out);
        match self.map {
            FeatureMap::Relu { eps } => out.iter_mut().for_each(|p| *p = p.max(0.0) + eps),
            FeatureMap::Softmax { eps } => {
                let ratio = (1.0 / (m as f64).sqrt()) as f32;
                for (row, token) in out.chunks_exact_mut(m).zip(tokens) {
                    let x = &x.at(token, head * d)[..d];
                    let half = 0.5 * x.iter().map(|x| (x * self.scale) * (x * self.scale)).sum::<f32>();
                    let maximum = match side {
                        Side::Query => greatest(isa, row),
                        Side::Key { maximum } => maximum,
                    };
                    exponentials(isa, row, half, maximum, eps, ratio);
                }
            }
        }
    }

    /// `P c x` of one head of some tokens, `[token, feature]`.
    fn project(&self, isa: Isa, x: Rows<'_>, tokens: Range<usize>, head: usize, out: &mut [f32]) {
        let (m, n) = (self.n_features(), tokens.len());
        with_buffers([left_len(isa, n, &self.projection)], |[a]| {
            let rows = x.at(tokens.start, head * self.d_head());
            copy_rows(isa, rows, x.stride(), n, &self.projection, self.scale, a);
            gemm(isa, &Product::whole(n, &self.projection, Epilogue::STORE), a, &mut Out::new(out, m));
        });
    }
}

dispatch! {
    /// Greatest number; negative infinity of none.
    fn greatest(x: &[f32]) -> f32 = greatest_simd
}

#[inline(always)]
fn greatest_simd<S: Simd>(s: S, x: &[f32]) -> f32 {
    let mut top = s.splat(f32::NEG_INFINITY);
    let whole = x.len() - x.len() % S::LANES;
    for i in (0..whole).step_by(S::LANES) {
        top = s.max(top, s.load(x, i));
    }
    s.greatest(s.max(top, s.load_part(&x[whole..], f32::NEG_INFINITY)))
}

dispatch! {
    /// `x = ratio (exp(x - half - maximum) + eps)`.
    fn exponentials(x: &mut [f32], half: f32, maximum: f32, eps: f32, ratio: f32) = exponentials_simd
}

#[inline(always)]
fn exponentials_simd<S: Simd>(s: S, x: &mut [f32], half: f32, maximum: f32, eps: f32, ratio: f32) {
    let constants = [s.splat(half), s.splat(maximum), s.splat(eps), s.splat(ratio)];
    let whole = x.len() - x.len() % S::LANES;
    for i in (0..whole).step_by(S::LANES) {
        let v = feature(s, s.load(x, i), constants);
        s.store(x, i, v);
    }
    let v = feature(s, s.load_part(&x[whole..], 0.0), constants);
    s.store_part(&mut x[whole..], v);
}

/// In the reference's order, because the differences are between numbers of a similar size.
#[inline(always)]
fn feature<S: Simd>(s: S, x: S::F, [half, maximum, eps, ratio]: [S::F; 4]) -> S::F {
    s.mul(ratio, s.add(exp(s, s.sub(s.sub(x, half), maximum)), eps))
}
