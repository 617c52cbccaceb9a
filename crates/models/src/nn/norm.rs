//! Either of the two row norms, where a family's configuration decides.

use microtome_kernels::{LayerNorm, RmsNorm};

/// LayerNorm or RMSNorm.
#[derive(Clone, Debug)]
pub(crate) enum Norm {
    Layer(LayerNorm),
    Rms(RmsNorm),
}

impl Norm {
    /// `out = norm(x)` for `[rows, width]`.
    pub(crate) fn apply(&self, x: &[f32], rows: usize, out: &mut [f32]) {
        match self {
            Self::Layer(norm) => norm.apply(x, rows, out),
            Self::Rms(norm) => norm.apply(x, rows, out),
        }
    }

    /// `stream += x; out = norm(stream)`, in one pass.
    pub(crate) fn add_then_apply(&self, stream: &mut [f32], x: &[f32], rows: usize, out: &mut [f32]) {
        match self {
            Self::Layer(norm) => norm.add_then_apply(stream, x, rows, out),
            Self::Rms(norm) => norm.add_then_apply(stream, x, rows, out),
        }
    }
}
