//! From f32 into tiles: rounding to bf16, or splitting into three of them.
//!
//! With `bf16(x)` the nearest bf16, `x = h + m + l` where `h = bf16(x)`, `m = bf16(x - h)`, `l = x - h - m`: both differences are exact
//! in f32 and `l` has at most 8 significant bits, so nothing is lost, unless a part is below the normal range (2^-126) and flushed to
//! zero, as this hardware does.

use std::arch::x86_64::*;

use super::{PART, ROWS, parts, tiles_len};
use crate::gemm::pack::{Format, GROUP, Packed};
use crate::gemm::{PANEL, STRIDE};
use crate::simd::{Amx, TILE_WORDS};

/// Numbers from 2^48 on are not split: no product or sum of what is below can overflow.
const LIMIT: i32 = (127 + 48) << 23;

/// `scale x` as tiles of one depth block of `b`; `x` begins with the first step of the block.
#[allow(clippy::too_many_arguments, reason = "where the rows come from, how many, and what they are for")]
pub(in crate::gemm) fn copy_block(
    _proof: Amx,
    x: &[f32],
    stride: usize,
    rows: usize,
    b: &Packed,
    block: usize,
    scale: f32,
    out: &mut [f32],
) {
    // SAFETY: an `Amx` token exists only where these features were detected.
    unsafe { copy_rows(x, stride, rows, b.depth(block).len(), b.format(), scale, out) }
}

/// One group of steps, the first `cols` of rows [`PANEL`] apart, as number `group` of `n_groups`. False when there is a number that
/// cannot be split.
pub(super) fn copy_group(
    _proof: Amx,
    x: &[f32],
    cols: usize,
    group: usize,
    n_groups: usize,
    format: Format,
    out: &mut [f32],
) -> bool {
    // SAFETY: an `Amx` token exists only where these features were detected.
    unsafe { copy_columns(x, cols, group, n_groups, format, out) }
}

/// Packs the transpose of `[n, k]` rows; false when there is a number that cannot be split.
pub(in crate::gemm) fn pack_transposed(_proof: Amx, b: &mut Packed, rows: &[f32], stride: usize) -> bool {
    // SAFETY: an `Amx` token exists only where these features were detected.
    unsafe { columns_from_rows(b, rows, stride) }
}

/// Packs `[k, n]` rows; false when there is a number that cannot be split.
pub(in crate::gemm) fn pack(_proof: Amx, b: &mut Packed, rows: &[f32], stride: usize) -> bool {
    // SAFETY: an `Amx` token exists only where these features were detected.
    unsafe { columns_from_columns(b, rows, stride) }
}

/// The first 16 numbers of `x`, zeros behind its end.
#[target_feature(enable = "avx512f")]
fn load(x: &[f32]) -> __m512 {
    let mask = if x.len() >= 16 { 0xffff } else { (1u32 << x.len()) - 1 };
    // SAFETY: the mask admits only numbers within `x`.
    unsafe { _mm512_maskz_loadu_ps(mask as __mmask16, x.as_ptr()) }
}

/// Writes 16 words.
#[target_feature(enable = "avx512f")]
fn store(out: &mut [f32], words: __m512i) {
    let out = &mut out[..TILE_WORDS];
    // SAFETY: `out` has 16 numbers.
    unsafe { _mm512_storeu_ps(out.as_mut_ptr(), _mm512_castsi512_ps(words)) }
}

/// Two vectors rounded to bf16: `low` in the lower half.
#[target_feature(enable = "avx512f,avx512bf16")]
fn round(low: __m512, high: __m512) -> __m512i {
    // SAFETY: both types are 64 bytes of plain data.
    unsafe { std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low)) }
}

/// The lower 16 bf16 as the upper halves of words, which makes them f32.
#[target_feature(enable = "avx512f")]
fn widen_low(x: __m512i) -> __m512i {
    _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(_mm512_castsi512_si256(x)))
}

/// The upper 16 bf16 as the upper halves of words.
#[target_feature(enable = "avx512f")]
fn widen_high(x: __m512i) -> __m512i {
    _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64::<1>(x)))
}

/// The parts of two vectors, leading first, each as [`round`] gives them. With `split` false only the first is meant.
#[target_feature(enable = "avx512f,avx512bf16")]
fn split(low: __m512, high: __m512, split: bool) -> [__m512i; 3] {
    let first = round(low, high);
    if !split {
        return [first; 3];
    }
    let low = _mm512_sub_ps(low, _mm512_castsi512_ps(widen_low(first)));
    let high = _mm512_sub_ps(high, _mm512_castsi512_ps(widen_high(first)));
    let second = round(low, high);
    let low = _mm512_sub_ps(low, _mm512_castsi512_ps(widen_low(second)));
    let high = _mm512_sub_ps(high, _mm512_castsi512_ps(widen_high(second)));
    [first, second, round(low, high)]
}

/// Greatest magnitude so far, as bits: these order like the numbers, with infinities and NaN above all.
#[target_feature(enable = "avx512f")]
fn greatest(so_far: __m512i, x: __m512) -> __m512i {
    _mm512_max_epu32(so_far, _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(0x7fff_ffff)))
}

#[target_feature(enable = "avx512f")]
fn splittable(greatest: __m512i) -> bool {
    _mm512_reduce_max_epu32(greatest) < LIMIT as u32
}

/// Where a row is among the tiles of a depth block.
struct Place {
    row: usize,
    rows: usize,
    n_groups: usize,
}

impl Place {
    /// The first word of the row's leading part of a group of steps.
    fn word(&self, group: usize, n_parts: usize) -> usize {
        (self.row / ROWS * self.n_groups + group) * n_parts * PART + self.row % ROWS * TILE_WORDS
    }
}

/// Up to 32 numbers of a row, times `factor`, into the tiles from word `at` on. Returns the greatest magnitude, see [`greatest`].
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512bf16,avx2,fma")]
#[inline]
fn copy_steps(
    x: &[f32],
    factor: __m512,
    format: Format,
    top: __m512i,
    tiles: &mut [f32],
    at: usize,
) -> __m512i {
    let low = _mm512_mul_ps(load(x), factor);
    let high = _mm512_mul_ps(load(&x[x.len().min(16)..]), factor);
    if format != Format::Split {
        store(&mut tiles[at..], round(low, high));
        return top;
    }
    for (part, words) in split(low, high, true).into_iter().enumerate() {
        store(&mut tiles[at + part * PART..], words);
    }
    greatest(greatest(top, low), high)
}

#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512bf16,avx2,fma")]
fn copy_whole_row(
    x: &[f32],
    place: &Place,
    format: Format,
    scale: f32,
    tiles: &mut [f32],
    behind: &mut [f32],
) {
    let (factor, n_parts) = (_mm512_set1_ps(scale), parts(format));
    let mut top = _mm512_setzero_si512();
    for (group, x) in x.chunks(GROUP).enumerate() {
        top = copy_steps(x, factor, format, top, tiles, place.word(group, n_parts));
    }
    if format != Format::Split {
        return;
    }
    let (flags, originals) = behind.split_at_mut(place.rows.next_multiple_of(16));
    let flagged = !splittable(top);
    flags[place.row] = f32::from(u8::from(flagged));
    if flagged {
        for group in 0..place.n_groups {
            for part in 0..n_parts {
                store(&mut tiles[place.word(group, n_parts) + part * PART..], _mm512_setzero_si512());
            }
        }
        let original = &mut originals[place.row * STRIDE..][..place.n_groups * GROUP];
        original.fill(0.0);
        original.iter_mut().zip(x).for_each(|(o, x)| *o = x * scale);
    }
}

#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512bf16,avx2,fma")]
fn copy_rows(
    x: &[f32],
    stride: usize,
    rows: usize,
    steps: usize,
    format: Format,
    scale: f32,
    out: &mut [f32],
) {
    let (tiles, behind) = out.split_at_mut(tiles_len(rows, format));
    for row in 0..rows {
        let place = Place { row, rows, n_groups: steps.div_ceil(GROUP) };
        copy_whole_row(&x[row * stride..][..steps], &place, format, scale, tiles, behind);
    }
}

#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512bf16,avx2,fma")]
fn copy_columns(
    x: &[f32],
    cols: usize,
    group: usize,
    n_groups: usize,
    format: Format,
    tiles: &mut [f32],
) -> bool {
    let (factor, n_parts, rows) = (_mm512_set1_ps(1.0), parts(format), x.len() / PANEL);
    let mut top = _mm512_setzero_si512();
    for (row, x) in x.chunks_exact(PANEL).enumerate() {
        let at = Place { row, rows, n_groups }.word(group, n_parts);
        top = copy_steps(&x[..cols], factor, format, top, tiles, at);
    }
    format != Format::Split || splittable(top)
}

#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512bf16,avx2,fma")]
fn columns_from_rows(b: &mut Packed, rows: &[f32], stride: usize) -> bool {
    let (format, n) = (b.format(), b.n());
    let n_parts = parts(format);
    let mut top = _mm512_setzero_si512();
    for block in 0..b.n_blocks() {
        let depth = b.depth(block);
        for panel in 0..b.n_panels() {
            let dst = b.panel_mut(block, panel);
            for (group, dst) in dst.chunks_exact_mut(n_parts * PART).enumerate() {
                let steps = depth.start + group * GROUP..depth.end.min(depth.start + (group + 1) * GROUP);
                for half in [0, 16] {
                    let mut words = [[_mm512_setzero_si512(); 16]; 3];
                    for c in 0..16.min(n.saturating_sub(panel * PANEL + half)) {
                        let src = &rows[(panel * PANEL + half + c) * stride..][steps.clone()];
                        let (low, high) = (load(src), load(&src[src.len().min(16)..]));
                        top = greatest(greatest(top, low), high);
                        let parts = split(low, high, format == Format::Split);
                        for (words, part) in words.iter_mut().zip(parts) {
                            words[c] = part;
                        }
                    }
                    for (part, words) in words.into_iter().take(n_parts).enumerate() {
                        for (i, words) in transpose(words).into_iter().enumerate() {
                            store(&mut dst[part * PART + i * PANEL + half..], words);
                        }
                    }
                }
            }
        }
    }
    format != Format::Split || splittable(top)
}

#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512bf16,avx2,fma")]
fn columns_from_columns(b: &mut Packed, rows: &[f32], stride: usize) -> bool {
    let (format, n) = (b.format(), b.n());
    let n_parts = parts(format);
    let mut top = _mm512_setzero_si512();
    for block in 0..b.n_blocks() {
        let depth = b.depth(block);
        for panel in 0..b.n_panels() {
            let dst = b.panel_mut(block, panel);
            for (group, dst) in dst.chunks_exact_mut(n_parts * PART).enumerate() {
                for i in 0..GROUP / 2 {
                    let step = depth.start + group * GROUP + 2 * i;
                    for half in [0, 16] {
                        let columns = (panel * PANEL + half).min(n)..(panel * PANEL + half + 16).min(n);
                        let row = |step: usize| {
                            if step < depth.end { &rows[step * stride..][columns.clone()] } else { &[] }
                        };
                        let (low, high) = (load(row(step)), load(row(step + 1)));
                        top = greatest(greatest(top, low), high);
                        let words = split(low, high, format == Format::Split);
                        for (part, &words) in words.iter().take(n_parts).enumerate() {
                            let low = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(words));
                            let pairs = _mm512_or_si512(low, widen_high(words));
                            store(&mut dst[part * PART + i * PANEL + half..], pairs);
                        }
                    }
                }
            }
        }
    }
    format != Format::Split || splittable(top)
}

/// Transposes 16 x 16 words.
#[target_feature(enable = "avx512f")]
fn transpose(x: [__m512i; 16]) -> [__m512i; 16] {
    let mut y = x;
    // Pairs of words, then pairs of pairs, within each quarter of a vector.
    for i in 0..8 {
        y[2 * i] = _mm512_unpacklo_epi32(x[2 * i], x[2 * i + 1]);
        y[2 * i + 1] = _mm512_unpackhi_epi32(x[2 * i], x[2 * i + 1]);
    }
    let mut z = y;
    for i in 0..4 {
        z[4 * i] = _mm512_unpacklo_epi64(y[4 * i], y[4 * i + 2]);
        z[4 * i + 1] = _mm512_unpackhi_epi64(y[4 * i], y[4 * i + 2]);
        z[4 * i + 2] = _mm512_unpacklo_epi64(y[4 * i + 1], y[4 * i + 3]);
        z[4 * i + 3] = _mm512_unpackhi_epi64(y[4 * i + 1], y[4 * i + 3]);
    }
    // Now quarter q of z[4 i + j] holds word 4 q + j of the rows 4 i to 4 i + 3: exchange quarters.
    for j in 0..4 {
        let even = |a, b| _mm512_shuffle_i32x4::<0x88>(a, b);
        let odd = |a, b| _mm512_shuffle_i32x4::<0xdd>(a, b);
        let (a, b, c, d) = (z[j], z[4 + j], z[8 + j], z[12 + j]);
        let (ab, cd) = (even(a, b), even(c, d));
        y[j] = even(ab, cd);
        y[8 + j] = odd(ab, cd);
        let (ab, cd) = (odd(a, b), odd(c, d));
        y[4 + j] = even(ab, cd);
        y[12 + j] = odd(ab, cd);
    }
    y
}
