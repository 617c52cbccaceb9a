//! The innermost loop: a tile of the output held in registers.

use super::pack::GROUP;
use super::{PANEL, STRIDE};
use crate::simd::Simd;

/// Numbers of the largest tile of any instruction set.
const MAX_TILE: usize = 12 * PANEL;

/// One tile: at most [`Simd::TILE_ROWS`] rows times one panel.
pub(crate) struct Tile {
    /// Left-hand rows, [`STRIDE`] apart; readable for `TILE_ROWS` rows of `k` words even where fewer are wanted.
    pub(crate) a: *const f32,
    /// Panel: `k` rows of [`PANEL`] words.
    pub(crate) b: *const f32,
    /// Words to sum over.
    pub(crate) k: usize,
    /// Output rows, `stride` apart.
    pub(crate) c: *mut f32,
    /// Distance of output rows.
    pub(crate) stride: usize,
    /// Output rows wanted.
    pub(crate) rows: usize,
    /// Output columns wanted, at most [`PANEL`].
    pub(crate) cols: usize,
    /// Add to the output instead of overwriting it.
    pub(crate) accumulate: bool,
    /// Null, or [`PANEL`] numbers added to each row.
    pub(crate) bias: *const f32,
}

/// How words of both sides multiply: plain numbers, or pairs of bf16.
pub(crate) trait Multiply<S: Simd> {
    /// `left * right + sum`.
    fn multiply_add(s: S, left: S::F, right: S::F, sum: S::F) -> S::F;
}

/// A word is an f32.
pub(crate) struct Single;

impl<S: Simd> Multiply<S> for Single {
    #[inline(always)]
    fn multiply_add(s: S, left: S::F, right: S::F, sum: S::F) -> S::F {
        s.mul_add(left, right, sum)
    }
}

/// A word is two bf16, whose products are summed in f32.
pub(crate) struct Pair;

impl<S: Simd> Multiply<S> for Pair {
    #[inline(always)]
    fn multiply_add(s: S, left: S::F, right: S::F, sum: S::F) -> S::F {
        let sum = s.mul_add(s.high_bf16(left), s.high_bf16(right), sum);
        s.mul_add(s.low_bf16(left), s.low_bf16(right), sum)
    }
}

/// Computes a tile as `R` rows times `V` vectors at a time.
///
/// # Safety
/// The pointers of `t` are valid for the extents documented on [`Tile`].
#[inline(always)]
pub(crate) unsafe fn tile<S: Simd, M: Multiply<S>, const R: usize, const V: usize>(s: S, t: &Tile) {
    let mut col = 0;
    while col < t.cols {
        let mut acc = [[s.splat(0.0); V]; R];
        let mut a = t.a;
        let mut b = t.b.wrapping_add(col);
        for _ in 0..t.k {
            let mut right = [s.splat(0.0); V];
            for (v, right) in right.iter_mut().enumerate() {
                // SAFETY: within the current row of the panel.
                *right = unsafe { s.load_ptr(b.add(v * S::LANES)) };
            }
            for (r, acc) in acc.iter_mut().enumerate() {
                // SAFETY: `R` rows of `k` words are readable.
                let left = s.splat(unsafe { *a.add(r * STRIDE) });
                for (acc, right) in acc.iter_mut().zip(right) {
                    *acc = M::multiply_add(s, left, right, *acc);
                }
            }
            a = a.wrapping_add(1);
            b = b.wrapping_add(PANEL);
        }
        // Through memory: indexing `acc` by anything but constants would keep it out of registers in the loop above.
        let mut sums = [0.0f32; MAX_TILE];
        for (r, acc) in acc.iter().enumerate() {
            for (v, &sum) in acc.iter().enumerate() {
                // SAFETY: a tile has at most `MAX_TILE` numbers.
                unsafe { s.store_ptr(sums.as_mut_ptr().add((r * V + v) * S::LANES), sum) };
            }
        }
        let width = (t.cols - col).min(V * S::LANES);
        for (r, sums) in sums.chunks_exact(V * S::LANES).take(t.rows).enumerate() {
            // SAFETY: row `r` and `width` columns from `col` are wanted, so they exist in the output; a bias is a panel wide.
            unsafe { finish(s, t, r, col, &sums[..width]) };
        }
        col += V * S::LANES;
    }
}

/// Adds what is there and the bias, and stores.
///
/// # Safety
/// Row `row` and `sums.len()` columns from `col` lie within the output; `bias` is null or a panel wide.
#[inline(always)]
unsafe fn finish<S: Simd>(s: S, t: &Tile, row: usize, col: usize, sums: &[f32]) {
    // SAFETY: the caller vouches for the row and the columns.
    let out = unsafe { std::slice::from_raw_parts_mut(t.c.add(row * t.stride + col), sums.len()) };
    let mut at = 0;
    while at < sums.len() {
        let whole = sums.len() - at >= S::LANES;
        let mut sum = if whole { s.load(sums, at) } else { s.load_part(&sums[at..], 0.0) };
        if t.accumulate {
            sum = s.add(if whole { s.load(out, at) } else { s.load_part(&out[at..], 0.0) }, sum);
        }
        if !t.bias.is_null() {
            // SAFETY: a bias is a whole panel wide.
            sum = s.add(sum, unsafe { s.load_ptr(t.bias.add(col + at)) });
        }
        if whole {
            s.store(out, at, sum);
        } else {
            s.store_part(&mut out[at..], sum);
        }
        at += S::LANES;
    }
}

/// Computes a tile of a right-hand matrix whose words are three parts, in f32: what runs where there is no AMX any more, and for rows
/// that cannot be split. Not fast.
///
/// # Safety
/// The pointers of `t` are valid for the extents documented on [`Tile`]; left-hand rows are f32 for whole groups of steps.
#[inline(always)]
pub(crate) unsafe fn split_rows<S: Simd>(s: S, t: &Tile) {
    // SAFETY: the caller vouches for the panel.
    let panel = unsafe { std::slice::from_raw_parts(t.b, t.k * PANEL) };
    let steps = t.k / (3 * GROUP / 2) * GROUP;
    for row in 0..t.rows {
        // SAFETY: the caller vouches for the left-hand rows.
        let x = unsafe { std::slice::from_raw_parts(t.a.add(row * STRIDE), steps) };
        let mut sums = [0.0; PANEL];
        split_row(s, x, panel, &mut sums);
        // SAFETY: row and columns are wanted, so they exist in the output; a bias is a panel wide.
        unsafe { finish(s, t, row, 0, &sums[..t.cols]) };
    }
}

/// `sums = x panel`, where the parts of the panel's words are put together again, which is exact.
#[inline(always)]
pub(crate) fn split_row<S: Simd>(s: S, x: &[f32], panel: &[f32], sums: &mut [f32; PANEL]) {
    const PART: usize = GROUP / 2 * PANEL;
    for column in (0..PANEL).step_by(S::LANES) {
        let mut sum = s.splat(0.0);
        for (x, parts) in x.chunks_exact(GROUP).zip(panel.chunks_exact(3 * PART)) {
            for (i, x) in x.chunks_exact(2).enumerate() {
                let word = |part: usize| s.load(parts, part * PART + i * PANEL + column);
                let (first, second, third) = (word(0), word(1), word(2));
                let low = s.add(s.add(s.low_bf16(first), s.low_bf16(second)), s.low_bf16(third));
                let high = s.add(s.add(s.high_bf16(first), s.high_bf16(second)), s.high_bf16(third));
                sum = s.mul_add(s.splat(x[0]), low, sum);
                sum = s.mul_add(s.splat(x[1]), high, sum);
            }
        }
        s.store(sums, column, sum);
    }
}
