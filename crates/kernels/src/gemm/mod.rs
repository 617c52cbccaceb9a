//! Matrix products of row blocks with packed matrices.
//!
//! The right-hand matrix is packed once into panels of [`PANEL`] columns, cut into blocks of at most [`DEPTH`] along the summed
//! dimension (Goto and van de Geijn 2008). The left-hand rows are copied into a buffer of row stride [`STRIDE`], so that every
//! tile addresses them with constant offsets and rows never fall into the same cache set (AMX wants another layout, see [`amx`]).
//! Each output number is summed in an order that its row and column alone decide, whatever the rows around it: results do not
//! depend on how rows are grouped.

#[cfg(target_arch = "x86_64")]
mod amx;
mod left;
mod pack;
mod tile;

use std::marker::PhantomData;
use std::ops::Range;

pub(crate) use left::{copy_rows, gemm_to_left, left_len, left_of, rows_to_left, spare_len, strided_len};
pub use pack::Precision;
pub(crate) use pack::{Format, Packed};
pub(crate) use tile::{Multiply, Pair, Single, Tile, tile};

use crate::activation::{Activation, activate_simd};
#[cfg(target_arch = "x86_64")]
use crate::isa::Level;
use crate::isa::{Isa, dispatch};
use crate::simd::Simd;
use tile::split_rows;

/// Columns of a packed panel.
pub(crate) const PANEL: usize = 32;
/// Most steps of the summed dimension per block.
pub(crate) const DEPTH: usize = 512;
/// Row stride of the left-hand buffer: a block and one more cache line.
pub(crate) const STRIDE: usize = DEPTH + 16;
/// Rows of a full row block: the work of one task while it stays in the second-level cache.
pub(crate) const BLOCK_ROWS: usize = 96;

/// Where a product goes: rows `stride` apart.
pub(crate) struct Out<'a> {
    ptr: *mut f32,
    len: usize,
    stride: usize,
    _borrow: PhantomData<&'a mut [f32]>,
}

impl<'a> Out<'a> {
    /// Rows within a slice.
    pub(crate) fn new(slice: &'a mut [f32], stride: usize) -> Self {
        Self { ptr: slice.as_mut_ptr(), len: slice.len(), stride, _borrow: PhantomData }
    }

    /// The first `width` columns of a row.
    pub(crate) fn row(&mut self, row: usize, width: usize) -> &mut [f32] {
        let at = row * self.stride;
        assert!(at + width <= self.len, "output is too short");
        // SAFETY: the row lies within the output, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.add(at), width) }
    }
}

/// An output that several tasks write at once, each its own rows and columns.
pub(crate) struct Shared<'a> {
    ptr: *mut f32,
    len: usize,
    _borrow: PhantomData<&'a mut [f32]>,
}

// SAFETY: `Shared` only hands out parts through `part`, whose callers promise that parts in use at the same time do not overlap.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    pub(crate) fn new(slice: &'a mut [f32]) -> Self {
        Self { ptr: slice.as_mut_ptr(), len: slice.len(), _borrow: PhantomData }
    }

    /// The rest of the slice from `start`, as rows `stride` apart.
    ///
    /// # Safety
    /// The rows and columns written through parts that exist at the same time must not overlap.
    pub(crate) unsafe fn part(&self, start: usize, stride: usize) -> Out<'_> {
        assert!(start <= self.len, "output part starts beyond its slice");
        // SAFETY: `start` is within (or one past) the slice.
        Out { ptr: unsafe { self.ptr.add(start) }, len: self.len - start, stride, _borrow: PhantomData }
    }
}

/// What a product does with its result.
#[derive(Clone, Copy)]
pub(crate) struct Epilogue<'a> {
    /// Add to what is there instead of overwriting it.
    pub(crate) accumulate: bool,
    /// Added to every row after the last depth block of the matrix; padded to whole panels.
    pub(crate) bias: Option<&'a [f32]>,
    /// Applied after the bias.
    pub(crate) activation: Activation,
}

impl Epilogue<'_> {
    /// Overwrite, nothing else.
    pub(crate) const STORE: Self = Self { accumulate: false, bias: None, activation: Activation::None };
    /// Add to what is there, nothing else.
    pub(crate) const ADD: Self = Self { accumulate: true, bias: None, activation: Activation::None };
}

/// A product of some rows with some panels (columns) and depth blocks of a packed matrix.
#[derive(Clone)]
pub(crate) struct Product<'a> {
    /// Rows of the left-hand side.
    pub(crate) rows: usize,
    /// The right-hand side.
    pub(crate) b: &'a Packed,
    /// Its panels; the output begins at the first column of the first.
    pub(crate) panels: Range<usize>,
    /// Its depth blocks; the left-hand buffer holds just these.
    pub(crate) blocks: Range<usize>,
    /// What happens to the result. Bias and activation come with the last depth block of `b`.
    pub(crate) epilogue: Epilogue<'a>,
}

impl<'a> Product<'a> {
    /// All of `b`.
    pub(crate) fn whole(rows: usize, b: &'a Packed, epilogue: Epilogue<'a>) -> Self {
        Self { rows, b, panels: 0..b.n_panels(), blocks: 0..b.n_blocks(), epilogue }
    }
}

/// `out = epilogue(a x b)`, with `a` as [`copy_rows`] lays it out.
pub(crate) fn gemm(isa: Isa, product: &Product<'_>, a: &[f32], out: &mut Out<'_>) {
    #[cfg(target_arch = "x86_64")]
    if let (Level::Amx(token), true) = (isa.0, product.b.format() != Format::Single) {
        return amx::gemm(token, product, a, out);
    }
    gemm_vectors(isa, product, a, out);
}

dispatch! {
    /// The same on the vector unit.
    fn gemm_vectors(product: &Product<'_>, a: &[f32], out: &mut Out<'_>) = gemm_simd
}

#[inline(always)]
fn gemm_simd<S: Simd>(s: S, product: &Product<'_>, a: &[f32], out: &mut Out<'_>) {
    let Product { rows, b, panels, blocks, epilogue } = product.clone();
    let block_len = strided_len(rows);
    for panel in panels.clone() {
        let from = (panel - panels.start) * PANEL;
        let cols = (b.n() - panel * PANEL).min(PANEL);
        assert!(rows == 0 || (rows - 1) * out.stride + from + cols <= out.len, "gemm: output is too short");
        for block in blocks.clone() {
            let k = b.words(block);
            let last = block + 1 == b.n_blocks();
            let a = &a[(block - blocks.start) * block_len..][..block_len];
            let mut tile = Tile {
                a: a.as_ptr(),
                b: b.panel(block, panel).as_ptr(),
                k,
                c: out.ptr.wrapping_add(from),
                stride: out.stride,
                rows: 0,
                cols,
                accumulate: epilogue.accumulate || block > blocks.start,
                bias: match epilogue.bias {
                    Some(bias) if last => bias[panel * PANEL..][..PANEL].as_ptr(),
                    _ => std::ptr::null(),
                },
            };
            let mut row = 0;
            while row < rows {
                tile.rows = (rows - row).min(S::TILE_ROWS);
                // SAFETY: `a` holds whole tiles of rows (`strided_len` rounds up for every set), the panel holds `k` rows of
                // `PANEL` words, the output was checked above to hold `rows` rows, and `bias` is null or one panel wide.
                unsafe {
                    match b.format() {
                        Format::Single => s.gemm_tile(&tile),
                        Format::Pairs => s.gemm_tile_bf16(&tile),
                        Format::Split => split_rows(s, &tile),
                    }
                }
                tile.a = tile.a.wrapping_add(S::TILE_ROWS * STRIDE);
                tile.c = tile.c.wrapping_add(S::TILE_ROWS * out.stride);
                row += S::TILE_ROWS;
            }
            if last && epilogue.activation != Activation::None {
                for row in 0..rows {
                    activate_simd(s, epilogue.activation, &mut out.row(row, from + cols)[from..]);
                }
            }
        }
    }
}
