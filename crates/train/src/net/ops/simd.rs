//! Loops compiled for the instruction sets that the processor may have.

/// Runs a loop, compiled for each instruction set (`pulp`) and chosen at run time; what it calls must be `#[inline(always)]`.
pub(super) fn fast<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}

/// `e^x` for `x` at most 0, to the precision of `f32`: the power of two nearest, times a Taylor polynomial of what remains.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // Below this the result is no normal number; it counts as 0 in any sum that has a term of 1. NaN stays NaN.
    let x = if x < -87.0 { -87.0 } else { x };
    const ROUND: f32 = 12_582_912.0;
    let n = x * std::f32::consts::LOG2_E + ROUND;
    let power = n - ROUND;
    // ln 2 in two parts, the first exact in few bits.
    let r = x - power * 0.693_359_4 - power * -2.121_944_4e-4;
    let mut p = 1.0 / 5040.0;
    for c in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = p * r + c;
    }
    let bits = (n.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127)) << 23;
    p * f32::from_bits(bits)
}

/// Sum of a function over a row in sixteen strands, so that it can be vectorised.
#[inline(always)]
pub(super) fn sum_of(n: usize, of: impl Fn(usize) -> f32) -> f32 {
    let mut strands = [0f32; 16];
    let whole = n / 16 * 16;
    for start in (0..whole).step_by(16) {
        for (k, s) in strands.iter_mut().enumerate() {
            *s += of(start + k);
        }
    }
    let mut total: f32 = strands.iter().sum();
    for i in whole..n {
        total += of(i);
    }
    total
}

#[cfg(test)]
mod tests {
    #[test]
    fn exp_is_good_to_the_last_digits() {
        for i in 0..8_000 {
            let x = -f32::from(i as u16) / 100.0;
            let (got, expected) = (f64::from(super::exp(x)), f64::from(x).exp());
            assert!((got / expected - 1.0).abs() < 3e-7, "{x}: {got} {expected}");
        }
        assert!(super::exp(-1e9) < 1e-37 && super::exp(f32::NEG_INFINITY) < 1e-37);
        assert!(super::exp(f32::NAN).is_nan());
    }

    #[test]
    fn sums_take_every_number() {
        assert_eq!(super::fast(|| super::sum_of(37, |i| i as f32)), 666.0);
    }
}
