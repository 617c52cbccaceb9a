//! LayerNorm and RMSNorm, alone or in one pass with the residual sum.

use rayon::prelude::*;

use crate::isa::{Isa, dispatch};
use crate::simd::Simd;

/// Rows per task of a norm.
const ROWS: usize = 32;

/// `(x - mean) / sqrt(variance + eps) * weight + bias` over each row, with the population variance (Ba et al. 2016).
#[derive(Clone, Debug, PartialEq)]
pub struct LayerNorm {
    /// Scale, one per column.
    pub weight: Vec<f32>,
    /// Shift, one per column.
    pub bias: Vec<f32>,
    /// Added to the variance.
    pub eps: f32,
}

/// `x / sqrt(mean(x^2) + eps) * weight` over each row (Zhang and Sennrich 2019).
#[derive(Clone, Debug, PartialEq)]
pub struct RmsNorm {
    /// Scale, one per column.
    pub weight: Vec<f32>,
    /// Added to the mean square.
    pub eps: f32,
}

/// What a norm does to rows; both norms share the passes below.
#[derive(Clone, Copy)]
pub(crate) struct Norm<'a> {
    weight: &'a [f32],
    bias: Option<&'a [f32]>,
    eps: f32,
    centre: bool,
}

macro_rules! norm_methods {
    ($name:ident) => {
        impl $name {
            /// Columns of a row.
            pub fn width(&self) -> usize {
                self.weight.len()
            }

            /// `out = norm(x)` for `[rows, width]`.
            ///
            /// # Panics
            /// When `x` or `out` is not `rows x width`.
            pub fn apply(&self, x: &[f32], rows: usize, out: &mut [f32]) {
                check(self.width(), rows, &[("x", x.len()), ("out", out.len())]);
                let (isa, norm, width) = (Isa::current(), self.view(), self.width().max(1));
                out.par_chunks_mut(ROWS * width).zip(x.par_chunks(ROWS * width)).for_each(|(out, x)| {
                    out.copy_from_slice(x);
                    norm_rows(isa, norm, out);
                });
            }

            /// `out = norm(x + residual)` for `[rows, width]`: the end of a post-norm sub-layer.
            ///
            /// # Panics
            /// When a slice is not `rows x width`.
            pub fn apply_residual(&self, x: &[f32], residual: &[f32], rows: usize, out: &mut [f32]) {
                check(
                    self.width(),
                    rows,
                    &[("x", x.len()), ("residual", residual.len()), ("out", out.len())],
                );
                let (isa, norm, width) = (Isa::current(), self.view(), self.width().max(1));
                let parts = out.par_chunks_mut(ROWS * width);
                let parts = parts.zip(x.par_chunks(ROWS * width).zip(residual.par_chunks(ROWS * width)));
                parts.for_each(|(out, (x, residual))| {
                    out.copy_from_slice(x);
                    norm_sum_rows(isa, norm, out, residual);
                });
            }

            /// `stream += x; out = norm(stream)` for `[rows, width]`: between two sub-layers of a pre-norm network.
            ///
            /// # Panics
            /// When a slice is not `rows x width`.
            pub fn add_then_apply(&self, stream: &mut [f32], x: &[f32], rows: usize, out: &mut [f32]) {
                check(self.width(), rows, &[("stream", stream.len()), ("x", x.len()), ("out", out.len())]);
                let (isa, norm, width) = (Isa::current(), self.view(), self.width().max(1));
                let parts = out.par_chunks_mut(ROWS * width);
                let parts = parts.zip(stream.par_chunks_mut(ROWS * width).zip(x.par_chunks(ROWS * width)));
                parts.for_each(|(out, (stream, x))| {
                    for (s, x) in stream.iter_mut().zip(x) {
                        *s += x;
                    }
                    out.copy_from_slice(stream);
                    norm_rows(isa, norm, out);
                });
            }
        }
    };
}

norm_methods!(LayerNorm);
norm_methods!(RmsNorm);

impl LayerNorm {
    /// A norm over rows of `weight.len()` columns.
    ///
    /// # Panics
    /// When `weight` and `bias` differ in length.
    pub fn new(weight: Vec<f32>, bias: Vec<f32>, eps: f32) -> Self {
        assert!(
            weight.len() == bias.len(),
            "LayerNorm: weight has {} columns, bias {}",
            weight.len(),
            bias.len()
        );
        Self { weight, bias, eps }
    }

    pub(crate) fn view(&self) -> Norm<'_> {
        assert!(self.weight.len() == self.bias.len(), "LayerNorm: weight and bias differ in length");
        Norm { weight: &self.weight, bias: Some(&self.bias), eps: self.eps, centre: true }
    }
}

impl RmsNorm {
    /// A norm over rows of `weight.len()` columns.
    pub fn new(weight: Vec<f32>, eps: f32) -> Self {
        Self { weight, eps }
    }

    pub(crate) fn view(&self) -> Norm<'_> {
        Norm { weight: &self.weight, bias: None, eps: self.eps, centre: false }
    }
}

fn check(width: usize, rows: usize, slices: &[(&str, usize)]) {
    for (name, len) in slices {
        assert!(
            Some(*len) == rows.checked_mul(width),
            "norm: {name} has {len} numbers, expected {rows} x {width}"
        );
    }
}

dispatch! {
    /// Normalises rows in place.
    fn norm_rows(norm: Norm<'_>, x: &mut [f32]) = norm_rows_simd
}
dispatch! {
    /// `x = norm(x + residual)`, row by row.
    fn norm_sum_rows(norm: Norm<'_>, x: &mut [f32], residual: &[f32]) = norm_sum_rows_simd
}

#[inline(always)]
fn norm_rows_simd<S: Simd>(s: S, norm: Norm<'_>, x: &mut [f32]) {
    for row in x.chunks_exact_mut(norm.weight.len().max(1)) {
        normalise(s, norm, row);
    }
}

#[inline(always)]
fn norm_sum_rows_simd<S: Simd>(s: S, norm: Norm<'_>, x: &mut [f32], residual: &[f32]) {
    let width = norm.weight.len().max(1);
    for (row, residual) in x.chunks_exact_mut(width).zip(residual.chunks_exact(width)) {
        for (x, r) in row.iter_mut().zip(residual) {
            *x += r;
        }
        normalise(s, norm, row);
    }
}

/// One row. The mean of the deviations corrects the mean of the first pass, so that rows with a mean far larger than their spread
/// lose nothing.
#[inline(always)]
fn normalise<S: Simd>(s: S, norm: Norm<'_>, row: &mut [f32]) {
    let n = row.len() as f64;
    let centre = if norm.centre { (sums(s, row, 0.0).0 / n) as f32 } else { 0.0 };
    let (sum, squares) = sums(s, row, centre);
    let shift = if norm.centre { sum / n } else { 0.0 };
    let variance = (squares / n - shift * shift).max(0.0);
    // `max` above drops a NaN, which must not vanish.
    let variance = if squares.is_nan() { f64::NAN } else { variance };
    let scale = (1.0 / (variance + f64::from(norm.eps)).sqrt()) as f32;
    let (centre, shift, scale) = (s.splat(centre), s.splat(shift as f32), s.splat(scale));
    let whole = row.len() - row.len() % S::LANES;
    let mut i = 0;
    while i < whole {
        let v = s.mul(s.sub(s.sub(s.load(row, i), centre), shift), scale);
        let weight = s.load(norm.weight, i);
        let v = match norm.bias {
            Some(bias) => s.mul_add(v, weight, s.load(bias, i)),
            None => s.mul(v, weight),
        };
        s.store(row, i, v);
        i += S::LANES;
    }
    if whole < row.len() {
        let v = s.mul(s.sub(s.sub(s.load_part(&row[whole..], 0.0), centre), shift), scale);
        let weight = s.load_part(&norm.weight[whole..], 0.0);
        let v = match norm.bias {
            Some(bias) => s.mul_add(v, weight, s.load_part(&bias[whole..], 0.0)),
            None => s.mul(v, weight),
        };
        s.store_part(&mut row[whole..], v);
    }
}

/// Sum and sum of squares of `row - centre`, in lanes and four chains.
#[inline(always)]
fn sums<S: Simd>(s: S, row: &[f32], centre: f32) -> (f64, f64) {
    let c = s.splat(centre);
    let mut sum = [s.splat(0.0); 4];
    let mut squares = [s.splat(0.0); 4];
    let step = 4 * S::LANES;
    let whole = row.len() - row.len() % step;
    let mut i = 0;
    while i < whole {
        for chain in 0..4 {
            let d = s.sub(s.load(row, i + chain * S::LANES), c);
            sum[chain] = s.add(sum[chain], d);
            squares[chain] = s.mul_add(d, d, squares[chain]);
        }
        i += step;
    }
    while i < row.len() {
        let d = s.sub(s.load_part(&row[i..], centre), c);
        sum[0] = s.add(sum[0], d);
        squares[0] = s.mul_add(d, d, squares[0]);
        i += S::LANES;
    }
    (total(s, sum), total(s, squares))
}

#[inline(always)]
fn total<S: Simd>(s: S, v: [S::F; 4]) -> f64 {
    f64::from(s.sum(s.add(s.add(v[0], v[1]), s.add(v[2], v[3]))))
}
