//! Plain Rust: 8 lanes as an array, which the compiler maps to what the target has; 4 x 8 GEMM tiles.

use super::Simd;
use crate::gemm::{Pair, Single, Tile, tile};

/// The kernels that run anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Portable;

/// Applies `$f` lane by lane.
macro_rules! lanes {
    ($i:ident => $e:expr) => {{
        let mut out = [0.0f32; 8];
        for $i in 0..8 {
            out[$i] = $e;
        }
        out
    }};
}

/// `2^n` for integral `n` within -126..=127, from the exponent bits.
#[inline(always)]
fn power_of_two(n: f32) -> f32 {
    f32::from_bits(((n as i32 + 127) as u32) << 23)
}

impl Simd for Portable {
    type F = [f32; 8];
    const LANES: usize = 8;
    const TILE_ROWS: usize = 4;

    #[inline(always)]
    fn splat(self, x: f32) -> [f32; 8] {
        [x; 8]
    }
    #[inline(always)]
    unsafe fn load_ptr(self, p: *const f32) -> [f32; 8] {
        // SAFETY: the caller vouches for 8 numbers; the read is unaligned.
        unsafe { p.cast::<[f32; 8]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, p: *mut f32, v: [f32; 8]) {
        // SAFETY: the caller vouches for 8 numbers; the write is unaligned.
        unsafe { p.cast::<[f32; 8]>().write_unaligned(v) }
    }
    #[inline(always)]
    fn add(self, a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        lanes!(i => a[i] + b[i])
    }
    #[inline(always)]
    fn sub(self, a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        lanes!(i => a[i] - b[i])
    }
    #[inline(always)]
    fn mul(self, a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        lanes!(i => a[i] * b[i])
    }
    #[inline(always)]
    fn div(self, a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        lanes!(i => a[i] / b[i])
    }
    #[inline(always)]
    fn mul_add(self, a: [f32; 8], b: [f32; 8], c: [f32; 8]) -> [f32; 8] {
        // Two roundings: `f32::mul_add` is a slow library call where the target has no fused instruction.
        lanes!(i => a[i] * b[i] + c[i])
    }
    #[inline(always)]
    fn max(self, a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        lanes!(i => if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn min(self, a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        lanes!(i => if a[i] < b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn round(self, v: [f32; 8]) -> [f32; 8] {
        // Adding and subtracting 1.5 * 2^23 rounds to the nearest integer; beyond 2^22 the steps are exact anyway for our uses.
        const MAGIC: f32 = 12_582_912.0;
        lanes!(i => (v[i] + MAGIC) - MAGIC)
    }
    #[inline(always)]
    fn scale_by_power_of_two(self, v: [f32; 8], n: [f32; 8]) -> [f32; 8] {
        // Two steps, because 2^n itself may be out of range where the product is not.
        let half = self.round(self.mul(n, self.splat(0.5)));
        lanes!(i => v[i] * power_of_two(half[i]) * power_of_two(n[i] - half[i]))
    }
    #[inline(always)]
    fn select_less(self, a: [f32; 8], b: [f32; 8], x: [f32; 8], y: [f32; 8]) -> [f32; 8] {
        lanes!(i => if a[i] < b[i] { x[i] } else { y[i] })
    }
    #[inline(always)]
    fn sum(self, v: [f32; 8]) -> f32 {
        ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]))
    }
    #[inline(always)]
    fn greatest(self, v: [f32; 8]) -> f32 {
        v.iter().fold(f32::NEG_INFINITY, |m, &x| if x > m { x } else { m })
    }
    #[inline(always)]
    fn low_bf16(self, v: [f32; 8]) -> [f32; 8] {
        lanes!(i => f32::from_bits(v[i].to_bits() << 16))
    }
    #[inline(always)]
    fn high_bf16(self, v: [f32; 8]) -> [f32; 8] {
        lanes!(i => f32::from_bits(v[i].to_bits() & 0xffff_0000))
    }
    #[inline(always)]
    unsafe fn gemm_tile(self, t: &Tile) {
        // SAFETY: the caller vouches for the pointers of the tile.
        unsafe { tile::<Self, Single, 4, 1>(self, t) }
    }
    #[inline(always)]
    unsafe fn gemm_tile_bf16(self, t: &Tile) {
        // SAFETY: the caller vouches for the pointers of the tile.
        unsafe { tile::<Self, Pair, 4, 1>(self, t) }
    }
}
