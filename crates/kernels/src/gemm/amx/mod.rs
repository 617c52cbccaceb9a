//! Matrix products in AMX tiles.
//!
//! The left side holds, per depth block, tiles of 32 rows in memory order `[32 rows][group of steps][part][row][16 words]`; behind them
//! one flag per row and the rows themselves in f32, [`STRIDE`] words apart. A row is flagged when its split would not be exact (an
//! infinity, a NaN, or a number of 2^48 and more): its tiles are zeros, and its sums come from the vector unit. So each row is summed
//! in one fixed order that depends on this row and on the right side only.

mod convert;
mod kernel;
#[cfg(test)]
mod tests;

use crate::buffer::with_buffers;
use crate::isa::{Isa, Level, dispatch};
use crate::simd::{Amx, Simd, Tiles};

use super::pack::{Format, GROUP, Packed};
use super::tile::split_row;
use super::{Activation, DEPTH, Out, PANEL, Product, STRIDE};
use crate::activation::{Function, GeluErf, GeluTanh, Identity, Relu, Silu};

pub(super) use convert::{copy_block, pack, pack_transposed};

/// Rows of a pair of tiles.
const ROWS: usize = 32;
/// Words of one part of a group of steps, on either side.
const PART: usize = ROWS * GROUP / 2;

/// Groups of steps whose panel stays in the first-level cache while the rows pass.
fn groups_at_once(format: Format) -> usize {
    if format == Format::Split { 4 } else { 8 }
}

fn parts(format: Format) -> usize {
    if format == Format::Split { 3 } else { 1 }
}

/// Words of the tiles of one depth block.
fn tiles_len(rows: usize, format: Format) -> usize {
    rows.div_ceil(ROWS) * (DEPTH / GROUP) * parts(format) * PART
}

/// Length of a left-hand buffer for one depth block.
pub(super) fn left_block_len(rows: usize, format: Format) -> usize {
    let behind = if format == Format::Split { rows.next_multiple_of(16) + rows * STRIDE } else { 0 };
    tiles_len(rows, format) + behind
}

/// `out = epilogue(a x b)` with `a` as `copy_block` lays it out.
pub(super) fn gemm(amx: Amx, product: &Product<'_>, a: &[f32], out: &mut Out<'_>) {
    let Product { rows, b, panels, blocks, epilogue } = product.clone();
    if rows == 0 {
        return;
    }
    let isa = Isa(Level::Avx512(amx.vectors));
    with_buffers([rows.next_multiple_of(ROWS) * PANEL], |[sums]| {
        let tiles = Tiles::configure(amx);
        for panel in panels.clone() {
            let from = (panel - panels.start) * PANEL;
            let cols = (b.n() - panel * PANEL).min(PANEL);
            for block in blocks.clone() {
                let a = &a[(block - blocks.start) * left_block_len(rows, b.format())..];
                let last = block + 1 == b.n_blocks();
                let mut finish = Finish {
                    accumulate: epilogue.accumulate || block > blocks.start,
                    bias: epilogue.bias.filter(|_| last).map(|bias| &bias[panel * PANEL..][..PANEL]),
                    activation: if last { epilogue.activation } else { Activation::None },
                    from,
                    cols,
                };
                // Rounded factors gain nothing from sums of their own per depth block: the tiles go on where the last block ended.
                let goes_on = finish.accumulate && b.format() == Format::Pairs && b.k() > 0;
                finish.accumulate &= !goes_on;
                if b.k() > 0 && finish.is_store() && rows.is_multiple_of(ROWS / 2) {
                    // Whole tiles that need nothing else go straight to the output.
                    block_product(isa, &tiles, a, b, block, panel, rows, out, from, goes_on);
                    continue;
                }
                if goes_on {
                    for (row, sums) in sums.chunks_exact_mut(PANEL).enumerate().take(rows) {
                        sums[..cols].copy_from_slice(&out.row(row, from + cols)[from..]);
                    }
                }
                if b.k() > 0 {
                    let sums = &mut Out::new(sums, PANEL);
                    block_product(isa, &tiles, a, b, block, panel, rows, sums, 0, goes_on);
                } else {
                    sums.fill(0.0);
                }
                finish_block(isa, &sums[..rows * PANEL], &finish, out);
            }
        }
    });
}

/// `a x b` with its epilogue, laid out as the left-hand side of one depth block of a matrix in `format`; a panel of 32 columns is one
/// group of its steps, converted while it is in the first-level cache. False when there is a number that cannot be split: `out` is
/// then not complete.
pub(super) fn gemm_to_left(
    amx: Amx,
    product: &Product<'_>,
    a: &[f32],
    format: Format,
    out: &mut [f32],
) -> bool {
    let (rows, first, n) = (product.rows, product.panels.start, product.b.n());
    if format == Format::Split {
        out[tiles_len(rows, format)..][..rows].fill(0.0);
    }
    with_buffers([rows * PANEL], |[columns]| {
        product.panels.clone().all(|panel| {
            let one = Product { panels: panel..panel + 1, ..product.clone() };
            super::gemm(Isa(Level::Amx(amx)), &one, a, &mut Out::new(columns, PANEL));
            let cols = (n - panel * PANEL).min(PANEL);
            convert::copy_group(amx, columns, cols, panel - first, product.panels.len(), format, out)
        })
    })
}

/// What happens to the sums of one depth block and panel. As on the vector unit, each depth block of split factors is summed from zero
/// and then added: a long sum gathers fewer rounding errors so.
pub(crate) struct Finish<'a> {
    accumulate: bool,
    bias: Option<&'a [f32]>,
    activation: Activation,
    from: usize,
    cols: usize,
}

impl Finish<'_> {
    fn is_store(&self) -> bool {
        !self.accumulate && self.bias.is_none() && self.activation == Activation::None && self.cols == PANEL
    }
}

/// Stores the sums of one depth block and panel to the columns of `c` from `from` on, or adds them to what is there.
#[allow(clippy::too_many_arguments, reason = "both sides of a product, and which part of them is meant")]
fn block_product(
    isa: Isa,
    tiles: &Tiles,
    a: &[f32],
    b: &Packed,
    block: usize,
    panel: usize,
    rows: usize,
    c: &mut Out<'_>,
    from: usize,
    accumulate: bool,
) {
    let format = b.format();
    let n_groups = b.depth(block).len().div_ceil(GROUP);
    let group_len = parts(format) * PART;
    let panel = b.panel(block, panel);
    let row_tiles = rows.div_ceil(ROWS);
    assert!(a.len() >= row_tiles * n_groups * group_len && panel.len() == n_groups * group_len);
    // Half a tile is left out where it has no row.
    c.row(rows.next_multiple_of(ROWS / 2) - 1, from + PANEL);
    let mut first = 0;
    while first < n_groups {
        let groups = groups_at_once(format).min(n_groups - first);
        for row_tile in 0..row_tiles {
            let at = first * group_len;
            // The same part of the panel that comes next in memory, a share of it with each tile of rows.
            let share = row_tile * if format == Format::Split { 12 } else { 4 } * 16;
            let step = kernel::Step {
                a: a[row_tile * n_groups * group_len + at..].as_ptr(),
                b: panel[at..].as_ptr(),
                groups,
                c: c.ptr.wrapping_add(row_tile * ROWS * c.stride + from),
                stride: c.stride,
                accumulate: accumulate || first > 0,
                next: panel.as_ptr().wrapping_add(panel.len() + at + share),
            };
            let half = rows - row_tile * ROWS <= ROWS / 2;
            // SAFETY: the lengths were checked above: `groups` groups from `first` on exist on both sides, and 32 (or, the half, 16)
            // output rows of 32 columns from `from` on.
            unsafe {
                match (format, half) {
                    (Format::Split, false) => kernel::split_whole(tiles, step),
                    (Format::Split, true) => kernel::split_half(tiles, step),
                    (_, false) => kernel::pairs_whole(tiles, step),
                    (_, true) => kernel::pairs_half(tiles, step),
                }
            }
        }
        first += groups;
    }
    if format == Format::Split {
        add_flagged_rows(isa, a, panel, rows, c, from);
    }
}

/// Sums of the rows that could not be split.
fn add_flagged_rows(isa: Isa, a: &[f32], panel: &[f32], rows: usize, c: &mut Out<'_>, from: usize) {
    let behind = &a[tiles_len(rows, Format::Split)..];
    let (flags, originals) = behind.split_at(rows.next_multiple_of(16));
    for (row, _) in flags[..rows].iter().enumerate().filter(|(_, flag)| **flag != 0.0) {
        let original = &originals[row * STRIDE..][..STRIDE];
        add_flagged_row(isa, original, panel, &mut c.row(row, from + PANEL)[from..]);
    }
}

dispatch! {
    /// `c += x panel` for one row.
    fn add_flagged_row(x: &[f32], panel: &[f32], c: &mut [f32]) = add_flagged_row_simd
}

#[inline(always)]
fn add_flagged_row_simd<S: Simd>(s: S, x: &[f32], panel: &[f32], c: &mut [f32]) {
    let mut sums = [0.0; PANEL];
    split_row(s, x, panel, &mut sums);
    for (c, sum) in c.iter_mut().zip(sums) {
        *c += sum;
    }
}

dispatch! {
    /// What is there, bias, activation, and into the output.
    fn finish_block(sums: &[f32], finish: &Finish<'_>, out: &mut Out<'_>) = finish_simd
}

#[inline(always)]
fn finish_simd<S: Simd>(s: S, sums: &[f32], finish: &Finish<'_>, out: &mut Out<'_>) {
    match finish.activation {
        Activation::None => finish_rows::<S, Identity>(s, sums, finish, out),
        Activation::Relu => finish_rows::<S, Relu>(s, sums, finish, out),
        Activation::GeluErf => finish_rows::<S, GeluErf>(s, sums, finish, out),
        Activation::GeluTanh => finish_rows::<S, GeluTanh>(s, sums, finish, out),
        Activation::Silu => finish_rows::<S, Silu>(s, sums, finish, out),
    }
}

#[inline(always)]
fn finish_rows<S: Simd, F: Function>(s: S, sums: &[f32], finish: &Finish<'_>, out: &mut Out<'_>) {
    let (from, cols) = (finish.from, finish.cols);
    for (row, sums) in sums.chunks_exact(PANEL).enumerate() {
        let out = &mut out.row(row, from + cols)[from..];
        for i in (0..cols).step_by(S::LANES) {
            let whole = cols - i >= S::LANES;
            let mut sum = s.load(sums, i);
            if finish.accumulate {
                sum = s.add(if whole { s.load(out, i) } else { s.load_part(&out[i..], 0.0) }, sum);
            }
            if let Some(bias) = finish.bias {
                sum = s.add(sum, s.load(bias, i));
            }
            let y = F::call(s, sum);
            if whole {
                s.store(out, i, y);
            } else {
                s.store_part(&mut out[i..], y);
            }
        }
    }
}
