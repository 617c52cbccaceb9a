//! Layout of left-hand rows.
//!
//! Usually rows of one depth block lie [`STRIDE`] words apart, as f32, or as pairs of bf16 in the first half of their row. AMX wants
//! whole tiles, see [`super::amx`].

use super::pack::{Format, Packed, bf16_pair};
use super::{Out, PANEL, Product, STRIDE, gemm};
#[cfg(target_arch = "x86_64")]
use crate::isa::Level;
use crate::isa::{Isa, dispatch};
use crate::simd::Simd;

/// Length of a buffer of strided rows of one depth block.
pub(crate) fn strided_len(rows: usize) -> usize {
    // Whole tiles for every instruction set (12, 6 and 4 rows).
    rows.next_multiple_of(12) * STRIDE
}

/// Length of a left-hand buffer for one depth block.
pub(crate) fn left_block_len(isa: Isa, rows: usize, b: &Packed) -> usize {
    #[cfg(target_arch = "x86_64")]
    if let (Level::Amx(_), true) = (isa.0, b.format() != Format::Single) {
        return super::amx::left_block_len(rows, b.format());
    }
    let _ = (isa, b);
    strided_len(rows)
}

/// Length of a left-hand buffer for all depth blocks.
pub(crate) fn left_len(isa: Isa, rows: usize, b: &Packed) -> usize {
    b.n_blocks() * left_block_len(isa, rows, b)
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
    let block_len = left_block_len(isa, rows, b);
    for block in 0..b.n_blocks() {
        let depth = b.depth(block);
        let out = &mut out[block * block_len..][..block_len];
        #[cfg(target_arch = "x86_64")]
        if let (Level::Amx(amx), true) = (isa.0, b.format() != Format::Single) {
            super::amx::copy_block(amx, &x[depth.start.min(x.len())..], stride, rows, b, block, scale, out);
            continue;
        }
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
        in_place(isa, b, block, rows, out);
    }
}

/// Turns strided f32 rows of one depth block into what `b` multiplies with: in place, or in `spare`, which has the length that
/// [`spare_len`] says. [`left_of`] says where they are then.
pub(crate) fn rows_to_left(
    isa: Isa,
    b: &Packed,
    block: usize,
    rows: usize,
    x: &mut [f32],
    spare: &mut [f32],
) {
    #[cfg(target_arch = "x86_64")]
    if let (Level::Amx(amx), true) = (isa.0, b.format() != Format::Single) {
        return super::amx::copy_block(amx, x, STRIDE, rows, b, block, 1.0, spare);
    }
    let _ = spare;
    in_place(isa, b, block, rows, x);
}

/// Where [`rows_to_left`] puts rows.
pub(crate) fn left_of<'a>(isa: Isa, b: &Packed, strided: &'a [f32], spare: &'a [f32]) -> &'a [f32] {
    #[cfg(target_arch = "x86_64")]
    if let (Level::Amx(_), true) = (isa.0, b.format() != Format::Single) {
        return spare;
    }
    let _ = (isa, b, spare);
    strided
}

/// `a x b` with its epilogue, as the left-hand side of depth block `block` of `next`: in `strided` or `spare`, as [`left_of`] says.
pub(crate) fn gemm_to_left(
    isa: Isa,
    product: &Product<'_>,
    a: &[f32],
    next: &Packed,
    block: usize,
    strided: &mut [f32],
    spare: &mut [f32],
) {
    let _ = &spare;
    #[cfg(target_arch = "x86_64")]
    if let (Level::Amx(amx), true) = (isa.0, next.format() != Format::Single) {
        if !super::amx::gemm_to_left(amx, product, a, next.format(), spare) {
            gemm(isa, product, a, &mut Out::new(strided, STRIDE));
            super::amx::copy_block(amx, strided, STRIDE, product.rows, next, block, 1.0, spare);
        }
        return;
    }
    gemm(isa, product, a, &mut Out::new(strided, STRIDE));
    in_place(isa, next, block, product.rows, strided);
}

/// Length of the spare buffer of [`rows_to_left`] and [`gemm_to_left`].
pub(crate) fn spare_len(isa: Isa, rows: usize, b: &Packed) -> usize {
    #[cfg(target_arch = "x86_64")]
    if let (Level::Amx(_), true) = (isa.0, b.format() != Format::Single) {
        return left_block_len(isa, rows, b);
    }
    let _ = (isa, rows, b);
    0
}

fn in_place(isa: Isa, b: &Packed, block: usize, rows: usize, out: &mut [f32]) {
    let steps = b.depth(block).len();
    for row in out.chunks_exact_mut(STRIDE).take(rows) {
        match b.format() {
            Format::Single => {}
            Format::Pairs => {
                // The panels are padded with zeros, which a NaN would survive.
                row[steps..steps.next_multiple_of(PANEL)].fill(0.0);
                pair_up(isa, &mut row[..steps.next_multiple_of(PANEL)]);
            }
            Format::Split => row[steps..steps.next_multiple_of(PANEL)].fill(0.0),
        }
    }
}

dispatch! {
    /// Replaces the first half of a row by its pairs.
    fn pair_up(row: &mut [f32]) = pair_up_simd
}

#[inline(always)]
fn pair_up_simd<S: Simd>(_s: S, row: &mut [f32]) {
    // Sixteen at a time, so that nothing is overwritten before it is read.
    for first in (0..row.len()).step_by(PANEL) {
        let mut words = [0.0; PANEL / 2];
        for (word, pair) in words.iter_mut().zip(row[first..first + PANEL].chunks_exact(2)) {
            *word = bf16_pair(pair[0], pair[1]);
        }
        row[first / 2..first / 2 + PANEL / 2].copy_from_slice(&words);
    }
}
