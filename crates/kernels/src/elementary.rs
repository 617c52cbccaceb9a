//! Elementary functions on vectors: exp, tanh, logistic and the exact (erf) GELU.
//!
//! Polynomial and rational coefficients are our own minimax fits; the stated errors were measured against f64 references.

use crate::simd::Simd;

/// Horner's rule, `c[0] + x (c[1] + x (c[2] + ...))`.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(s: S, x: S::F, c: [f32; N]) -> S::F {
    let mut y = s.splat(c[N - 1]);
    for i in (0..N - 1).rev() {
        y = s.mul_add(y, x, s.splat(c[i]));
    }
    y
}

/// `e^x` within 1 unit in the last place (2 where there is no fused multiply-add); 0 for very small, infinity for very large `x`, NaN for NaN.
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: S::F) -> S::F {
    // Beyond these limits the result is 0 or infinity. `x` is the second operand, so that a NaN passes.
    let x = s.min(s.splat(89.0), s.max(s.splat(-110.0), x));
    let n = s.round(s.mul(x, s.splat(std::f32::consts::LOG2_E)));
    // ln 2 in two parts, so that n ln 2 is subtracted without loss (Cody and Waite).
    let r = s.mul_add(n, s.splat(-0.693_359_4), x);
    let r = s.mul_add(n, s.splat(2.121_944_4e-4), r);
    let p = polynomial(s, r, [1.0, 1.0, 0.5, 0.166_665_18, 0.041_666_202, 0.008_368_953, 0.001_395_060_3]);
    s.scale_by_power_of_two(p, n)
}

/// `tanh x` within 2 units in the last place.
#[inline(always)]
pub(crate) fn tanh<S: Simd>(s: S, x: S::F) -> S::F {
    let t = s.mul(x, x);
    let small = polynomial(s, t, [-0.333_332_8, 0.133_313_83, -0.053_734_01, 0.020_618_148, -0.005_679_33]);
    let small = s.mul_add(s.mul(small, t), x, x);
    // 1 - 2 / (e^2|x| + 1) with the sign of x: loses digits only near 0, where the polynomial takes over.
    let (zero, one) = (s.splat(0.0), s.splat(1.0));
    let a = s.max(s.sub(zero, x), x);
    let large = s.sub(one, s.div(s.splat(2.0), s.add(exp(s, s.add(a, a)), one)));
    let large = s.select_less(x, zero, s.sub(zero, large), large);
    s.select_less(t, s.splat(0.390_625), small, large)
}

/// The logistic function `1 / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn logistic<S: Simd>(s: S, x: S::F) -> S::F {
    let one = s.splat(1.0);
    s.div(one, s.add(one, exp(s, s.sub(s.splat(0.0), x))))
}

/// `x * Phi(x)` with the normal distribution function `Phi` (Hendrycks and Gimpel 2016), within about 1 unit in the last place for
/// positive `x` and 2.4e-7 absolute everywhere. Computed as `max(x, 0) - |x| Phi(-|x|)`, which cancels nothing;
/// `Phi(-a) = exp(-a^2 / 2) R(a)` with a rational `R` (relative error 6e-9 up to 14.5, beyond which the tail is 0).
#[inline(always)]
pub(crate) fn gelu_erf<S: Simd>(s: S, x: S::F) -> S::F {
    let zero = s.splat(0.0);
    let a = s.min(s.splat(14.5), s.max(s.sub(zero, x), x));
    let p = polynomial(s, a, [0.5, 0.438_294_62, 0.183_234_89, 0.040_633_142, 0.004_116_297_2]);
    let q = polynomial(s, a, [1.0, 1.674_474_2, 1.202_502_1, 0.469_469_96, 0.101_858_63, 0.010_317_907]);
    let e = exp(s, s.mul(s.mul(a, s.splat(-0.5)), a));
    s.sub(s.max(zero, x), s.mul(s.mul(a, e), s.div(p, q)))
}

/// `x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))`, written as `x` times the logistic function of twice the argument.
#[inline(always)]
pub(crate) fn gelu_tanh<S: Simd>(s: S, x: S::F) -> S::F {
    let cubic = s.mul_add(s.mul(s.mul(x, x), s.splat(0.044_715)), x, x);
    s.mul(x, logistic(s, s.mul(cubic, s.splat(2.0 * 0.797_884_6))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::{Isa, dispatch};

    dispatch! {
        fn exps(x: &mut [f32]) = exps_simd
    }
    dispatch! {
        fn tanhs(x: &mut [f32]) = tanhs_simd
    }

    #[inline(always)]
    fn exps_simd<S: Simd>(s: S, x: &mut [f32]) {
        for part in x.chunks_mut(S::LANES) {
            let y = exp(s, s.load_part(part, 0.0));
            s.store_part(part, y);
        }
    }

    #[inline(always)]
    fn tanhs_simd<S: Simd>(s: S, x: &mut [f32]) {
        for part in x.chunks_mut(S::LANES) {
            let y = tanh(s, s.load_part(part, 0.0));
            s.store_part(part, y);
        }
    }

    /// Distance in units in the last place of the exact value.
    fn ulps(got: f32, want: f64) -> f64 {
        let step = f64::from((want.abs() as f32).next_up()) - f64::from(want.abs() as f32);
        (f64::from(got) - want).abs() / step
    }

    #[test]
    fn exp_is_within_its_bound() {
        let x: Vec<f32> = (-103_000..=88_700).map(|i| i as f32 / 1000.0).chain([0.0, -0.0, 1e-30]).collect();
        for isa in Isa::available() {
            let mut y = x.clone();
            exps(isa, &mut y);
            let fused = isa.name() != "portable";
            for (x, y) in x.iter().zip(y) {
                assert!(
                    ulps(y, f64::from(*x).exp()) <= if fused { 1.0 } else { 2.0 },
                    "{}: exp({x}) = {y}",
                    isa.name()
                );
            }
            let mut odd = [f32::NEG_INFINITY, -1e30, 89.0, f32::INFINITY, f32::NAN];
            exps(isa, &mut odd);
            assert_eq!(odd[..4], [0.0, 0.0, f32::INFINITY, f32::INFINITY]);
            assert!(odd[4].is_nan());
        }
    }

    #[test]
    fn tanh_is_within_two_units_in_the_last_place() {
        let x: Vec<f32> =
            (-20_000..=20_000).map(|i| i as f32 / 1000.0).chain([1e-20, 0.624_999, 0.625]).collect();
        for isa in Isa::available() {
            let mut y = x.clone();
            tanhs(isa, &mut y);
            for (x, y) in x.iter().zip(y) {
                assert!(ulps(y, f64::from(*x).tanh()) <= 2.0, "{}: tanh({x}) = {y}", isa.name());
            }
            let mut odd = [f32::NEG_INFINITY, f32::INFINITY, f32::NAN];
            tanhs(isa, &mut odd);
            assert_eq!(odd[..2], [-1.0, 1.0]);
            assert!(odd[2].is_nan());
        }
    }
}
