//! Layouts: right-hand matrices in panels, left-hand rows in strided blocks.

use std::ops::Range;

use super::{DEPTH, PANEL, STRIDE};
use crate::buffer::Buffer;

/// A right-hand matrix `[k, n]` in memory order `[depth block][panel][step][PANEL]`, zero-padded to whole panels.
#[derive(Clone, Debug, Default)]
pub(crate) struct Packed {
    data: Buffer,
    n: usize,
    k: usize,
    /// Steps per depth block: blocks are equal but for the last, and a multiple of `PANEL`.
    block: usize,
}

impl Packed {
    fn reset(&mut self, k: usize, n: usize) {
        let n_blocks = k.div_ceil(DEPTH).max(1);
        self.block = k.div_ceil(n_blocks).next_multiple_of(PANEL);
        (self.k, self.n) = (k, n);
        self.data.resize(k * n.next_multiple_of(PANEL));
    }

    /// Packs the transpose of `[n, k]` rows that are `stride` apart (a weight, or the keys of a head).
    pub(crate) fn pack_transposed(&mut self, rows: &[f32], stride: usize, n: usize, k: usize) {
        self.reset(k, n);
        let (block, n_panels) = (self.block, self.n_panels());
        let data = self.data.as_mut_slice();
        for start in (0..k).step_by(block.max(1)) {
            let steps = block.min(k - start);
            for panel in 0..n_panels {
                let at = (start * n_panels + panel * steps) * PANEL;
                let dst = &mut data[at..at + steps * PANEL];
                let cols = (n - panel * PANEL).min(PANEL);
                if cols < PANEL {
                    dst.fill(0.0);
                }
                for c in 0..cols {
                    let src = &rows[(panel * PANEL + c) * stride + start..][..steps];
                    for (dst, &x) in dst.chunks_exact_mut(PANEL).zip(src) {
                        dst[c] = x;
                    }
                }
            }
        }
    }

    /// Packs `[k, n]` rows that are `stride` apart (the values of a head).
    pub(crate) fn pack(&mut self, rows: &[f32], stride: usize, k: usize, n: usize) {
        self.reset(k, n);
        let (block, n_panels) = (self.block, self.n_panels());
        let data = self.data.as_mut_slice();
        for start in (0..k).step_by(block.max(1)) {
            let steps = block.min(k - start);
            let dst = &mut data[start * n_panels * PANEL..][..steps * n_panels * PANEL];
            for (step, src) in (start..start + steps).zip(0..) {
                let row = &rows[step * stride..][..n];
                for (panel, part) in row.chunks(PANEL).enumerate() {
                    let dst = &mut dst[(panel * steps + src) * PANEL..][..PANEL];
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

    /// `[step][PANEL]` of one depth block and panel.
    pub(crate) fn panel(&self, block: usize, panel: usize) -> &[f32] {
        let depth = self.depth(block);
        let at = (depth.start * self.n_panels() + panel * depth.len()) * PANEL;
        &self.data.as_slice()[at..at + depth.len() * PANEL]
    }
}

/// Length of a left-hand buffer for `rows` rows and a number of depth blocks.
pub(crate) fn row_blocks_len(rows: usize, n_blocks: usize) -> usize {
    // Whole tiles for every instruction set (12, 6 and 4 rows).
    n_blocks * rows.next_multiple_of(12) * STRIDE
}

/// Copies `rows` rows that are `stride` apart into the left-hand layout for the depth blocks of `b`, multiplied by `scale`.
pub(crate) fn copy_rows(x: &[f32], stride: usize, rows: usize, b: &Packed, scale: f32, out: &mut [f32]) {
    let block_len = row_blocks_len(rows, 1);
    for block in 0..b.n_blocks() {
        let depth = b.depth(block);
        for row in 0..rows {
            let src = &x[row * stride..][depth.clone()];
            let dst = &mut out[block * block_len + row * STRIDE..][..depth.len()];
            if scale == 1.0 {
                dst.copy_from_slice(src);
            } else {
                for (dst, src) in dst.iter_mut().zip(src) {
                    *dst = src * scale;
                }
            }
        }
    }
}
