//! One small vector interface; each instruction set implements it once and every kernel is written once.
//!
//! The implementing types are tokens: a value exists only where the instruction set was detected, so holding one proves that its
//! instructions may be executed. Kernels are `#[inline(always)]` functions over a token, compiled per set by [`crate::isa::dispatch`].

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "x86_64")]
mod phi_table;
mod portable;

#[cfg(target_arch = "x86_64")]
pub(crate) use amx::{Amx, TILE_WORDS, Tiles};
#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512;
#[cfg(target_arch = "aarch64")]
pub(crate) use neon::Neon;
pub(crate) use portable::Portable;

use crate::elementary;
use crate::gemm::Tile;

/// Vectors of `f32` of one instruction set.
pub(crate) trait Simd: Copy {
    /// A vector of [`Simd::LANES`] numbers.
    type F: Copy;
    /// Numbers per vector.
    const LANES: usize;
    /// Rows of the GEMM tile that fits the register file.
    const TILE_ROWS: usize;

    /// All lanes equal to `x`.
    fn splat(self, x: f32) -> Self::F;
    /// Reads a vector.
    ///
    /// # Safety
    /// `p` is valid for reading `LANES` numbers; no alignment is needed.
    unsafe fn load_ptr(self, p: *const f32) -> Self::F;
    /// Writes a vector.
    ///
    /// # Safety
    /// `p` is valid for writing `LANES` numbers; no alignment is needed.
    unsafe fn store_ptr(self, p: *mut f32, v: Self::F);
    /// `a + b`.
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a - b`.
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b`.
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a / b`.
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b + c`, rounded once where the set has a fused instruction.
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// The greater of both; a NaN in `b` is passed on.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// The smaller of both; a NaN in `b` is passed on.
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// Nearest integer, ties to even.
    fn round(self, v: Self::F) -> Self::F;
    /// `v * 2^n` for integral `n` within -256..=256, with gradual underflow.
    fn scale_by_power_of_two(self, v: Self::F, n: Self::F) -> Self::F;
    /// Per lane `x` where `a < b`, otherwise `y` (also where either is NaN).
    fn select_less(self, a: Self::F, b: Self::F, x: Self::F, y: Self::F) -> Self::F;
    /// Sum of the lanes.
    fn sum(self, v: Self::F) -> f32;
    /// Greatest of the lanes (which of NaN and a number wins is not defined).
    fn greatest(self, v: Self::F) -> f32;
    /// The lower half of each lane's bits as a bf16.
    fn low_bf16(self, v: Self::F) -> Self::F;
    /// The upper half of each lane's bits as a bf16.
    fn high_bf16(self, v: Self::F) -> Self::F;
    /// Computes one GEMM tile of f32; see [`Tile`].
    ///
    /// # Safety
    /// The pointers of `tile` are valid for its extent.
    unsafe fn gemm_tile(self, tile: &Tile);
    /// Computes one GEMM tile of pairs of bf16.
    ///
    /// # Safety
    /// The pointers of `tile` are valid for its extent.
    unsafe fn gemm_tile_bf16(self, tile: &Tile);

    /// `x * Phi(x)`, see [`elementary::gelu_erf`].
    #[inline(always)]
    fn gelu_erf(self, x: Self::F) -> Self::F {
        elementary::gelu_erf(self, x)
    }

    /// Reads the first `min(LANES, x.len())` numbers; the other lanes get `fill`.
    #[inline(always)]
    fn load_part(self, x: &[f32], fill: f32) -> Self::F {
        let mut lanes = [fill; 16];
        let n = x.len().min(Self::LANES);
        lanes[..n].copy_from_slice(&x[..n]);
        // SAFETY: `lanes` holds 16 numbers and no set here has more lanes.
        unsafe { self.load_ptr(lanes.as_ptr()) }
    }

    /// Writes the first `min(LANES, x.len())` lanes.
    #[inline(always)]
    fn store_part(self, x: &mut [f32], v: Self::F) {
        let mut lanes = [0.0; 16];
        // SAFETY: `lanes` holds 16 numbers and no set here has more lanes.
        unsafe { self.store_ptr(lanes.as_mut_ptr(), v) };
        let n = x.len().min(Self::LANES);
        x[..n].copy_from_slice(&lanes[..n]);
    }

    /// Reads a vector at index `i`.
    #[inline(always)]
    fn load(self, x: &[f32], i: usize) -> Self::F {
        let part = &x[i..i + Self::LANES];
        // SAFETY: `part` has `LANES` numbers.
        unsafe { self.load_ptr(part.as_ptr()) }
    }

    /// Writes a vector at index `i`.
    #[inline(always)]
    fn store(self, x: &mut [f32], i: usize, v: Self::F) {
        let part = &mut x[i..i + Self::LANES];
        // SAFETY: `part` has `LANES` numbers.
        unsafe { self.store_ptr(part.as_mut_ptr(), v) }
    }
}
