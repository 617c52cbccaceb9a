//! Activations and their derivatives.

use std::f32::consts::{FRAC_1_SQRT_2, PI};

/// Applied to every number behind an affine map.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Activation {
    /// Nothing.
    #[default]
    None,
    /// `max(x, 0)`.
    Relu,
    /// `x` above zero, `x` times this below.
    LeakyRelu(f32),
    /// `x / (1 + exp(-x))`.
    Silu,
    /// `x Phi(x)` with the normal distribution function.
    GeluErf,
    /// The approximation of GELU by a hyperbolic tangent (Hendrycks and Gimpel 2016).
    GeluTanh,
}

impl Activation {
    /// The value at `x`.
    #[inline(always)]
    pub(super) fn value(self, x: f32) -> f32 {
        match self {
            Self::None => x,
            Self::Relu => x.max(0.0),
            Self::LeakyRelu(slope) => {
                if x < 0.0 {
                    x * slope
                } else {
                    x
                }
            }
            Self::Silu => x / (1.0 + libm::expf(-x)),
            Self::GeluErf => 0.5 * x * (1.0 + libm::erff(x * FRAC_1_SQRT_2)),
            Self::GeluTanh => 0.5 * x * (1.0 + tanh_of(x).0),
        }
    }

    /// The derivative at `x`.
    #[inline(always)]
    pub(super) fn slope(self, x: f32) -> f32 {
        match self {
            Self::None => 1.0,
            Self::Relu => f32::from(x > 0.0),
            Self::LeakyRelu(slope) => {
                if x < 0.0 {
                    slope
                } else {
                    1.0
                }
            }
            Self::Silu => {
                let share = 1.0 / (1.0 + libm::expf(-x));
                share * (1.0 + x * (1.0 - share))
            }
            Self::GeluErf => {
                let density = (-0.5 * x * x).exp() / (2.0 * PI).sqrt();
                0.5 * (1.0 + libm::erff(x * FRAC_1_SQRT_2)) + x * density
            }
            Self::GeluTanh => {
                let (t, inner) = tanh_of(x);
                0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner
            }
        }
    }
}

/// The hyperbolic tangent of the approximation, and the derivative of its argument.
#[inline(always)]
fn tanh_of(x: f32) -> (f32, f32) {
    let scale = (2.0 / PI).sqrt();
    (libm::tanhf(scale * (x + 0.044_715 * x * x * x)), scale * (1.0 + 3.0 * 0.044_715 * x * x))
}

#[cfg(test)]
mod tests {
    use super::Activation;

    #[test]
    fn slopes_are_finite_differences() {
        let leaky = Activation::LeakyRelu(0.1);
        let others = [Activation::Silu, Activation::GeluErf, Activation::GeluTanh];
        for a in [Activation::None, Activation::Relu, leaky].into_iter().chain(others) {
            for i in -40..40 {
                let x = i as f32 / 10.0 + 0.03;
                let h = 1e-2;
                let numeric = (a.value(x + h) - a.value(x - h)) / (2.0 * h);
                assert!((a.slope(x) - numeric).abs() < 1e-3, "{a:?} {x}: {} {numeric}", a.slope(x));
            }
        }
    }
}
