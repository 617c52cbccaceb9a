//! Activation functions of feed-forward networks.

use rayon::prelude::*;

use crate::elementary::{gelu_tanh, logistic};
use crate::isa::{Isa, dispatch};
use crate::simd::Simd;

/// What follows a linear map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    #[default]
    None,
    /// `max(x, 0)`.
    Relu,
    /// `x * Phi(x)`, the exact GELU (`gelu` of PyTorch and Hugging Face).
    GeluErf,
    /// GELU by tanh (`gelu_new`, `gelu_pytorch_tanh`).
    GeluTanh,
    /// `x * logistic(x)`, also called swish.
    Silu,
}

/// Numbers per task of an element-wise pass.
const CHUNK: usize = 1 << 14;

impl Activation {
    /// Applies the function in place.
    pub fn apply(self, x: &mut [f32]) {
        let isa = Isa::current();
        if self != Activation::None {
            x.par_chunks_mut(CHUNK).for_each(|part| activate(isa, self, part));
        }
    }

    /// `out = f(gate) * up`, element by element: the middle of a gated feed-forward network (SwiGLU, GEGLU, bilinear).
    ///
    /// # Panics
    /// When the lengths differ.
    pub fn gate(self, gate: &[f32], up: &[f32], out: &mut [f32]) {
        assert!(gate.len() == up.len() && gate.len() == out.len(), "gate, up and out must have one length");
        let isa = Isa::current();
        let parts = out.par_chunks_mut(CHUNK).zip(gate.par_chunks(CHUNK).zip(up.par_chunks(CHUNK)));
        parts.for_each(|(out, (gate, up))| {
            out.copy_from_slice(gate);
            activate(isa, self, out);
            multiply(isa, out, up);
        });
    }
}

/// `x += y`, element by element.
///
/// # Panics
/// When the lengths differ.
pub fn add_assign(x: &mut [f32], y: &[f32]) {
    assert!(x.len() == y.len(), "add_assign: lengths {} and {} differ", x.len(), y.len());
    x.par_chunks_mut(CHUNK).zip(y.par_chunks(CHUNK)).for_each(|(x, y)| {
        for (x, y) in x.iter_mut().zip(y) {
            *x += y;
        }
    });
}

dispatch! {
    /// Applies an activation in place.
    fn activate(activation: Activation, x: &mut [f32]) = activate_simd
}

#[inline(always)]
pub(crate) fn activate_simd<S: Simd>(s: S, activation: Activation, x: &mut [f32]) {
    match activation {
        Activation::None => {}
        Activation::Relu => map::<S, Relu>(s, x),
        Activation::GeluErf => map::<S, GeluErf>(s, x),
        Activation::GeluTanh => map::<S, GeluTanh>(s, x),
        Activation::Silu => map::<S, Silu>(s, x),
    }
}

dispatch! {
    /// `x *= y`.
    fn multiply(x: &mut [f32], y: &[f32]) = multiply_simd
}

#[inline(always)]
fn multiply_simd<S: Simd>(_s: S, x: &mut [f32], y: &[f32]) {
    for (x, y) in x.iter_mut().zip(y) {
        *x *= y;
    }
}

/// A function of one vector. (A trait rather than a closure: a closure would be compiled without the instruction set enabled.)
pub(crate) trait Function {
    fn call<S: Simd>(s: S, x: S::F) -> S::F;
}

macro_rules! functions {
    ($($name:ident = |$s:ident, $x:ident| $body:expr;)*) => {$(
        pub(crate) struct $name;
        impl Function for $name {
            #[inline(always)]
            fn call<S: Simd>($s: S, $x: S::F) -> S::F {
                $body
            }
        }
    )*};
}

functions! {
    Identity = |_s, x| x;
    Relu = |s, x| s.max(s.splat(0.0), x);
    GeluErf = |s, x| s.gelu_erf(x);
    GeluTanh = |s, x| gelu_tanh(s, x);
    Silu = |s, x| s.mul(x, logistic(s, x));
}

#[inline(always)]
fn map<S: Simd, F: Function>(s: S, x: &mut [f32]) {
    let whole = x.len() - x.len() % S::LANES;
    let mut i = 0;
    while i < whole {
        let v = F::call(s, s.load(x, i));
        s.store(x, i, v);
        i += S::LANES;
    }
    if whole < x.len() {
        let v = F::call(s, s.load_part(&x[whole..], 0.0));
        s.store_part(&mut x[whole..], v);
    }
}
