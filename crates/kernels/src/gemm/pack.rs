//! Layouts: right-hand matrices in panels, left-hand rows in strided blocks.
//!
//! Both are arrays of 32-bit words. In f32 a word is one step of the sum. In bf16 a word holds two: of `s` steps in a depth block,
//! word `i` holds step `i` in its lower half and step `i + ceil(s / 2)` in its upper half.

use std::ops::Range;

use super::{DEPTH, PANEL, STRIDE};
use crate::buffer::Buffer;
use crate::isa::{Isa, dispatch};
use crate::simd::Simd;

/// Precision of the factors of a product; sums are always f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Weights and activations in f32.
    #[default]
    F32,
    /// Weights and activations rounded to bf16 (8 bits of precision), to nearest, ties to even.
    Bf16,
}

/// A right-hand matrix `[k, n]` in memory order `[depth block][panel][word][PANEL]`, zero-padded to whole panels.
#[derive(Clone, Debug, Default)]
pub(crate) struct Packed {
    data: Buffer,
    n: usize,
    k: usize,
    /// Steps per depth block: blocks are equal but for the last, and a multiple of `PANEL`.
    block: usize,
    precision: Precision,
}

impl Packed {
    fn reset(&mut self, k: usize, n: usize, precision: Precision) {
        let n_blocks = k.div_ceil(DEPTH).max(1);
        self.block = k.div_ceil(n_blocks).next_multiple_of(PANEL);
        (self.k, self.n, self.precision) = (k, n, precision);
        self.data.resize(precision.words(k) * n.next_multiple_of(PANEL));
    }

    /// Packs the transpose of `[n, k]` rows that are `stride` apart (a weight, or the keys of a head).
    pub(crate) fn pack_transposed(
        &mut self,
        rows: &[f32],
        stride: usize,
        n: usize,
        k: usize,
        precision: Precision,
    ) {
        self.reset(k, n, precision);
        for block in 0..self.n_blocks() {
            let depth = self.depth(block);
            let words = self.words(block);
            for panel in 0..self.n_panels() {
                let cols = (n - panel * PANEL).min(PANEL);
                let dst = self.panel_mut(block, panel);
                if cols < PANEL {
                    dst.fill(0.0);
                }
                for c in 0..cols {
                    let src = &rows[(panel * PANEL + c) * stride..][depth.clone()];
                    match precision {
                        Precision::F32 => {
                            for (dst, &x) in dst.chunks_exact_mut(PANEL).zip(src) {
                                dst[c] = x;
                            }
                        }
                        Precision::Bf16 => {
                            for (i, dst) in dst.chunks_exact_mut(PANEL).enumerate() {
                                dst[c] = bf16_pair(src[i], src.get(i + words).copied().unwrap_or(0.0));
                            }
                        }
                    }
                }
            }
        }
    }

    /// Packs `[k, n]` rows that are `stride` apart (the values of a head), in f32.
    pub(crate) fn pack(&mut self, rows: &[f32], stride: usize, k: usize, n: usize) {
        self.reset(k, n, Precision::F32);
        let (block, n_panels) = (self.block, self.n_panels());
        let data = self.data.as_mut_slice();
        for start in (0..k).step_by(block.max(1)) {
            let steps = block.min(k - start);
            let dst = &mut data[start * n_panels * PANEL..][..steps * n_panels * PANEL];
            for step in 0..steps {
                let row = &rows[(start + step) * stride..][..n];
                for (panel, part) in row.chunks(PANEL).enumerate() {
                    let dst = &mut dst[(panel * steps + step) * PANEL..][..PANEL];
                    dst[..part.len()].copy_from_slice(part);
                    dst[part.len()..].fill(0.0);
                }
            }
        }
    }

    /// Columns.
    pub(crate) fn n(&self) -> usize {
        self.n
    }

    /// Length of the sum.
    pub(crate) fn k(&self) -> usize {
        self.k
    }

    pub(crate) fn precision(&self) -> Precision {
        self.precision
    }

    pub(crate) fn n_panels(&self) -> usize {
        self.n.div_ceil(PANEL)
    }

    /// Depth blocks; at least one, so that an empty sum still yields zeros and a bias.
    pub(crate) fn n_blocks(&self) -> usize {
        if self.k == 0 { 1 } else { self.k.div_ceil(self.block) }
    }

    /// Steps of a depth block.
    pub(crate) fn depth(&self, block: usize) -> Range<usize> {
        (block * self.block).min(self.k)..((block + 1) * self.block).min(self.k)
    }

    /// Words of a depth block.
    pub(crate) fn words(&self, block: usize) -> usize {
        self.precision.words(self.depth(block).len())
    }

    /// `[word][PANEL]` of one depth block and panel.
    pub(crate) fn panel(&self, block: usize, panel: usize) -> &[f32] {
        &self.data.as_slice()[self.panel_range(block, panel)]
    }

    fn panel_mut(&mut self, block: usize, panel: usize) -> &mut [f32] {
        let range = self.panel_range(block, panel);
        &mut self.data.as_mut_slice()[range]
    }

    fn panel_range(&self, block: usize, panel: usize) -> Range<usize> {
        let words = self.words(block);
        let at = (self.precision.words(self.depth(block).start) * self.n_panels() + panel * words) * PANEL;
        at..at + words * PANEL
    }
}

impl Precision {
    /// Words for a number of steps.
    fn words(self, steps: usize) -> usize {
        match self {
            Precision::F32 => steps,
            Precision::Bf16 => steps.div_ceil(2),
        }
    }
}

/// The upper half of the bits of `x`, rounded to nearest, ties to even; NaN stays NaN.
#[inline(always)]
fn bf16(x: f32) -> u32 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
    if bits & 0x7fff_ffff > 0x7f80_0000 { (bits >> 16) | 0x40 } else { rounded }
}

#[inline(always)]
fn bf16_pair(low: f32, high: f32) -> f32 {
    f32::from_bits(bf16(low) | bf16(high) << 16)
}

/// Length of a left-hand buffer for `rows` rows and a number of depth blocks.
pub(crate) fn row_blocks_len(rows: usize, n_blocks: usize) -> usize {
    // Whole tiles for every instruction set (12, 6 and 4 rows).
    n_blocks * rows.next_multiple_of(12) * STRIDE
}

/// Copies `rows` rows that are `stride` apart into the left-hand layout for the depth blocks of `b`, multiplied by `scale`.
pub(crate) fn copy_rows(
    isa: Isa,
    x: &[f32],
    stride: usize,
    rows: usize,
    b: &Packed,
    scale: f32,
    out: &mut [f32],
) {
    let block_len = row_blocks_len(rows, 1);
    for block in 0..b.n_blocks() {
        let depth = b.depth(block);
        let out = &mut out[block * block_len..][..block_len];
        for row in 0..rows {
            let src = &x[row * stride..][depth.clone()];
            let dst = &mut out[row * STRIDE..][..depth.len()];
            if scale == 1.0 {
                dst.copy_from_slice(src);
            } else {
                for (dst, src) in dst.iter_mut().zip(src) {
                    *dst = src * scale;
                }
            }
        }
        to_words(isa, b, block, rows, out);
    }
}

/// Turns rows of one depth block from f32 into the words that `b` multiplies with.
pub(crate) fn to_words(isa: Isa, b: &Packed, block: usize, rows: usize, out: &mut [f32]) {
    if b.precision == Precision::Bf16 {
        let steps = b.depth(block).len();
        for row in out.chunks_exact_mut(STRIDE).take(rows) {
            pair_up(isa, &mut row[..steps]);
        }
    }
}

dispatch! {
    /// Replaces the first half of a row by pairs of both halves.
    fn pair_up(row: &mut [f32]) = pair_up_simd
}

#[inline(always)]
fn pair_up_simd<S: Simd>(_s: S, row: &mut [f32]) {
    let (low, high) = row.split_at_mut(row.len().div_ceil(2));
    if low.len() > high.len() {
        let last = low.len() - 1;
        low[last] = bf16_pair(low[last], 0.0);
    }
    for (low, high) in low.iter_mut().zip(high) {
        *low = bf16_pair(*low, *high);
    }
}
