//! Which precision weights are packed in while a model is being loaded.

use std::cell::Cell;

use crate::gemm::{PANEL, Precision};

thread_local! {
    static PACKING: Cell<Precision> = const { Cell::new(Precision::F32) };
}

impl Precision {
    /// Short name: `f32`, `bf16x3` or `bf16`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16x3 => "bf16x3",
            Self::Bf16 => "bf16",
        }
    }

    /// The precision in which this thread packs weights: that of [`with_precision`], otherwise f32.
    pub fn current() -> Self {
        PACKING.get()
    }

    /// [`Precision::current`] for a map that sums over `n_in` numbers. Maps of a few numbers (the value of a gene, a
    /// depth) stay in f32: they take no time, and rounding what a cell is described by would.
    pub(crate) fn current_over(n_in: usize) -> Self {
        if n_in < PANEL { Self::F32 } else { Self::current() }
    }
}

/// Runs `f` with [`crate::Linear::pack`] and [`crate::AttentionShape::new`] on this thread in `precision`. What is made
/// keeps its precision afterwards, so that a whole model is opened in one precision without its loader knowing of it.
pub fn with_precision<R>(precision: Precision, f: impl FnOnce() -> R) -> R {
    struct Restore(Precision);
    impl Drop for Restore {
        fn drop(&mut self) {
            PACKING.set(self.0);
        }
    }
    let _restore = Restore(PACKING.replace(precision));
    f()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Activation, AttentionShape, Linear};

    #[test]
    fn holds_within_the_call_only_and_not_for_short_sums() {
        let value = 1.0 + 1.0 / 1024.0;
        let apply = |map: &Linear| {
            let n = map.n_in();
            let mut out = [0.0];
            let x: Vec<f32> = (0..n).map(|i| if i == 0 { 1.0 } else { 0.0 }).collect();
            map.apply(&x, 1, Activation::None, &mut out);
            out[0]
        };
        let pack = |n: usize| Linear::pack(&vec![value; n], 1, n, None);
        let (long, short, shape) =
            with_precision(Precision::Bf16, || (pack(PANEL), pack(PANEL - 1), AttentionShape::new(2, 8)));
        assert_eq!(apply(&long), 1.0, "1 + 2^-10 is rounded to 8 bits");
        assert_eq!(apply(&short), value);
        assert_eq!(shape.precision, Precision::Bf16);
        assert_eq!(apply(&pack(PANEL)), value);
        let caught = std::panic::catch_unwind(|| with_precision(Precision::Bf16, || panic!("on purpose")));
        assert!(caught.is_err() && Precision::current() == Precision::F32);
    }
}
