//! AVX-512: 16 lanes, 12 x 32 GEMM tiles.

use std::arch::x86_64::*;

use super::Simd;
use super::phi_table::{END, PER_UNIT, PHI};
use crate::gemm::{Multiply, Pair, Single, Tile, tile};

/// Proof that AVX-512 (F, VL, BW, DQ) is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Avx512 {
    /// Whether the dot product of bf16 pairs is there too.
    bf16: bool,
}

impl Avx512 {
    /// The token, if this machine has the instructions.
    pub(crate) fn detect() -> Option<Self> {
        let all = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma");
        all.then(|| Self { bf16: is_x86_feature_detected!("avx512bf16") })
    }

    /// Whether there are instructions for bf16.
    pub(crate) fn has_bf16(self) -> bool {
        self.bf16
    }
}

/// Pairs of bf16 by the dot-product instruction.
struct DotPair;

impl Multiply<Avx512> for DotPair {
    #[inline(always)]
    fn multiply_add(_s: Avx512, left: __m512, right: __m512, sum: __m512) -> __m512 {
        // SAFETY: only `tile_dot_bf16`, which requires AVX512_BF16, uses this; both types are 64 bytes of plain data.
        unsafe {
            _mm512_dpbf16_ps(
                sum,
                std::mem::transmute::<__m512, __m512bh>(left),
                std::mem::transmute::<__m512, __m512bh>(right),
            )
        }
    }
}

/// One tile of pairs of bf16.
///
/// # Safety
/// The pointers of `t` are valid for its extent.
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512bf16,avx2,fma")]
unsafe fn tile_dot_bf16(s: Avx512, t: &Tile) {
    // SAFETY: the caller vouches for the pointers of the tile.
    unsafe { tile::<Avx512, DotPair, 12, 2>(s, t) }
}

impl Simd for Avx512 {
    type F = __m512;
    const LANES: usize = 16;
    const TILE_ROWS: usize = 12;

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn load_ptr(self, p: *const f32) -> __m512 {
        // SAFETY: `self` proves AVX-512F; the caller vouches for `p`.
        unsafe { _mm512_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, p: *mut f32, v: __m512) {
        // SAFETY: `self` proves AVX-512F; the caller vouches for `p`.
        unsafe { _mm512_storeu_ps(p, v) }
    }
    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_div_ps(a, b) }
    }
    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512F. The instruction returns `b` when either is NaN.
        unsafe { _mm512_max_ps(a, b) }
    }
    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512F. The instruction returns `b` when either is NaN.
        unsafe { _mm512_min_ps(a, b) }
    }
    #[inline(always)]
    fn round(self, v: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(v) }
    }
    #[inline(always)]
    fn scale_by_power_of_two(self, v: __m512, n: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_scalef_ps(v, n) }
    }
    #[inline(always)]
    fn select_less(self, a: __m512, b: __m512, x: __m512, y: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b), y, x) }
    }
    #[inline(always)]
    fn sum(self, v: __m512) -> f32 {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_reduce_add_ps(v) }
    }
    #[inline(always)]
    fn greatest(self, v: __m512) -> f32 {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_reduce_max_ps(v) }
    }
    #[inline(always)]
    fn low_bf16(self, v: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_castps_si512(v))) }
    }
    #[inline(always)]
    fn high_bf16(self, v: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512DQ.
        unsafe { _mm512_and_ps(v, _mm512_castsi512_ps(_mm512_set1_epi32(-0x1_0000))) }
    }
    /// As `max(x, 0) - |x| Phi(-|x|)` like the general one, with `Phi` looked up: no exponential, no division.
    #[inline(always)]
    fn gelu_erf(self, x: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512F and DQ; each row of the table has 16 numbers.
        unsafe {
            let a = _mm512_and_ps(x, _mm512_castsi512_ps(_mm512_set1_epi32(0x7fff_ffff)));
            // A NaN is passed on, being the second operand.
            let a = _mm512_min_ps(_mm512_set1_ps(END), a);
            // Adding 1.5 * 2^23 rounds to an integer, which is then in the lowest bits.
            let magic = _mm512_set1_ps(12_582_912.0);
            let per_unit = _mm512_set1_ps(PER_UNIT);
            let shifted = _mm512_add_ps(_mm512_fmadd_ps(a, per_unit, _mm512_set1_ps(-0.5)), magic);
            let interval = _mm512_castps_si512(shifted);
            let t = _mm512_fmsub_ps(a, per_unit, _mm512_sub_ps(shifted, magic));
            // (A macro: a closure would be compiled without the instruction set enabled.)
            macro_rules! coefficient {
                ($power:literal) => {
                    _mm512_permutexvar_ps(interval, _mm512_loadu_ps(PHI[$power].as_ptr()))
                };
            }
            let mut phi = coefficient!(5);
            phi = _mm512_fmadd_ps(phi, t, coefficient!(4));
            phi = _mm512_fmadd_ps(phi, t, coefficient!(3));
            phi = _mm512_fmadd_ps(phi, t, coefficient!(2));
            phi = _mm512_fmadd_ps(phi, t, coefficient!(1));
            phi = _mm512_fmadd_ps(phi, t, coefficient!(0));
            // Beyond the table nothing is left.
            let inside = _mm512_cmp_ps_mask::<_CMP_NGE_UQ>(a, _mm512_set1_ps(END));
            let phi = _mm512_maskz_mov_ps(inside, phi);
            _mm512_fnmadd_ps(a, phi, _mm512_max_ps(_mm512_setzero_ps(), x))
        }
    }
    #[inline(always)]
    unsafe fn gemm_tile(self, t: &Tile) {
        // SAFETY: the caller vouches for the pointers of the tile.
        unsafe { tile::<Self, Single, 12, 2>(self, t) }
    }
    #[inline(always)]
    unsafe fn gemm_tile_bf16(self, t: &Tile) {
        if self.bf16 {
            // SAFETY: `bf16` says that the instruction exists; the caller vouches for the pointers of the tile.
            unsafe { tile_dot_bf16(self, t) }
        } else {
            // SAFETY: the caller vouches for the pointers of the tile.
            unsafe { tile::<Self, Pair, 12, 2>(self, t) }
        }
    }
    #[inline(always)]
    fn load_part(self, x: &[f32], fill: f32) -> __m512 {
        let n = x.len().min(16) as u32;
        let mask = ((1u32 << n) - 1) as __mmask16;
        // SAFETY: `self` proves AVX-512F; the mask admits only lanes within `x`.
        unsafe { _mm512_mask_loadu_ps(_mm512_set1_ps(fill), mask, x.as_ptr()) }
    }
    #[inline(always)]
    fn store_part(self, x: &mut [f32], v: __m512) {
        let n = x.len().min(16) as u32;
        let mask = ((1u32 << n) - 1) as __mmask16;
        // SAFETY: `self` proves AVX-512F; the mask admits only lanes within `x`.
        unsafe { _mm512_mask_storeu_ps(x.as_mut_ptr(), mask, v) }
    }
}
