//! Layout of right-hand matrices: panels of 32-bit words, see [`Format`].

use std::ops::Range;

use super::{DEPTH, PANEL};
use crate::buffer::Buffer;
use crate::isa::Isa;
#[cfg(target_arch = "x86_64")]
use crate::isa::Level;

/// What the words of a packed matrix are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    /// One step of the sum, in f32.
    #[default]
    Single,
    /// Two neighbouring steps in bf16, the first in the lower half; padded with zeros to a multiple of [`GROUP`] steps.
    Pairs,
    /// Like `Pairs`, but every step is the exact sum of three bf16: after the words of the [`GROUP`] steps' leading parts come those of
    /// the middle and of the last parts. See the crate's README for the products made of them.
    Split,
}

/// Steps that a tile register holds; the unit of `Pairs` and `Split`.
pub(crate) const GROUP: usize = 32;

impl Format {
    /// The format for a precision and a length of the sum. Where a sum has next to no terms, splitting would be slower and not quite
    /// as accurate as f32.
    pub(crate) fn best(isa: Isa, precision: Precision, k: usize) -> Self {
        match (precision, isa.0) {
            (Precision::Bf16, _) => Format::Pairs,
            #[cfg(target_arch = "x86_64")]
            (Precision::Bf16x3, Level::Amx(_)) if k >= 8 => Format::Split,
            (Precision::F32 | Precision::Bf16x3, _) => Format::Single,
        }
    }

    /// Words for a number of steps.
    fn words(self, steps: usize) -> usize {
        match self {
            Format::Single => steps,
            Format::Pairs => steps.div_ceil(GROUP) * (GROUP / 2),
            Format::Split => steps.div_ceil(GROUP) * (GROUP / 2) * 3,
        }
    }
}

/// Precision of the factors of a product; sums are always f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Weights and activations in f32.
    #[default]
    F32,
    /// Weights and activations as exact sums of three bf16, of whose nine products the six largest are formed: as accurate as f32 on
    /// average (see the crate's README), with other last bits. Processors without AMX gain nothing from it and run f32.
    Bf16x3,
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
    format: Format,
}

impl Packed {
    fn reset(&mut self, k: usize, n: usize, format: Format) {
        let n_blocks = k.div_ceil(DEPTH).max(1);
        self.block = k.div_ceil(n_blocks).next_multiple_of(PANEL);
        (self.k, self.n, self.format) = (k, n, format);
        self.data.resize(format.words(k) * n.next_multiple_of(PANEL));
    }

    /// Packs the transpose of `[n, k]` rows that are `stride` apart (a weight, or the keys of a head).
    pub(crate) fn pack_transposed(
        &mut self,
        isa: Isa,
        rows: &[f32],
        stride: usize,
        n: usize,
        k: usize,
        format: Format,
    ) {
        self.reset(k, n, format);
        #[cfg(target_arch = "x86_64")]
        if let (Level::Amx(amx), true) = (isa.0, format != Format::Single) {
            if !super::amx::pack_transposed(amx, self, rows, stride) {
                self.pack_transposed(isa, rows, stride, n, k, Format::Single);
            }
            return;
        }
        assert!(format != Format::Split, "only AMX packs split matrices, not {}", isa.name());
        for block in 0..self.n_blocks() {
            let depth = self.depth(block);
            for panel in 0..self.n_panels() {
                let cols = (n - panel * PANEL).min(PANEL);
                let dst = self.panel_mut(block, panel);
                dst.fill(0.0);
                for c in 0..cols {
                    let src = &rows[(panel * PANEL + c) * stride..][depth.clone()];
                    if format == Format::Single {
                        for (dst, &x) in dst.chunks_exact_mut(PANEL).zip(src) {
                            dst[c] = x;
                        }
                    } else {
                        for (dst, x) in dst.chunks_exact_mut(PANEL).zip(src.chunks(2)) {
                            dst[c] = bf16_pair(x[0], x.get(1).copied().unwrap_or(0.0));
                        }
                    }
                }
            }
        }
    }

    /// Packs `[k, n]` rows that are `stride` apart (the values of a head).
    pub(crate) fn pack(&mut self, isa: Isa, rows: &[f32], stride: usize, k: usize, n: usize, format: Format) {
        self.reset(k, n, format);
        #[cfg(target_arch = "x86_64")]
        if let (Level::Amx(amx), true) = (isa.0, format != Format::Single) {
            if !super::amx::pack(amx, self, rows, stride) {
                self.pack(isa, rows, stride, k, n, Format::Single);
            }
            return;
        }
        assert!(format != Format::Split, "only AMX packs split matrices, not {}", isa.name());
        let word_steps = if format == Format::Single { 1 } else { 2 };
        for block in 0..self.n_blocks() {
            let depth = self.depth(block);
            for panel in 0..self.n_panels() {
                let columns = panel * PANEL..n.min((panel + 1) * PANEL);
                let row = |step: usize| &rows[step * stride..][columns.clone()];
                for (word, dst) in self.panel_mut(block, panel).chunks_exact_mut(PANEL).enumerate() {
                    let step = depth.start + word * word_steps;
                    dst.fill(0.0);
                    if step >= depth.end {
                    } else if format == Format::Single {
                        dst[..columns.len()].copy_from_slice(row(step));
                    } else {
                        let next = if step + 1 < depth.end { row(step + 1) } else { &[] };
                        for (c, (dst, &x)) in dst.iter_mut().zip(row(step)).enumerate() {
                            *dst = bf16_pair(x, next.get(c).copied().unwrap_or(0.0));
                        }
                    }
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

    pub(crate) fn format(&self) -> Format {
        self.format
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
        self.format.words(self.depth(block).len())
    }

    /// `[word][PANEL]` of one depth block and panel.
    pub(crate) fn panel(&self, block: usize, panel: usize) -> &[f32] {
        &self.data.as_slice()[self.panel_range(block, panel)]
    }

    pub(super) fn panel_mut(&mut self, block: usize, panel: usize) -> &mut [f32] {
        let range = self.panel_range(block, panel);
        &mut self.data.as_mut_slice()[range]
    }

    fn panel_range(&self, block: usize, panel: usize) -> Range<usize> {
        let words = self.words(block);
        let at = (self.format.words(self.depth(block).start) * self.n_panels() + panel * words) * PANEL;
        at..at + words * PANEL
    }
}

/// The upper half of the bits of `x`, rounded to nearest, ties to even; NaN stays NaN.
#[inline(always)]
pub(super) fn bf16(x: f32) -> u32 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
    if bits & 0x7fff_ffff > 0x7f80_0000 { (bits >> 16) | 0x40 } else { rounded }
}

#[inline(always)]
pub(super) fn bf16_pair(low: f32, high: f32) -> f32 {
    f32::from_bits(bf16(low) | bf16(high) << 16)
}
