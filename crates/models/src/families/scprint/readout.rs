//! Heads: expression of every gene token, labels of every class token.

use microtome_core::{Error, Result};
use microtome_kernels::{Activation, LayerNorm, Linear};
use microtome_weights::Loader;

use super::encoder::{EPS, layer_norm, leaky, linear};
use super::hyper::Class;

/// Mean, dispersion and zero logit of a zero-inflated negative binomial per gene token.
pub(super) struct ExpressionHead {
    pub(super) first: Linear,
    pub(super) norm1: LayerNorm,
    pub(super) second: Linear,
    pub(super) norm2: LayerNorm,
    last: Linear,
    /// Slope of the LeakyReLU.
    pub(super) slope: f32,
}

impl ExpressionHead {
    pub(super) fn load(loader: &Loader<'_>, d: usize) -> Result<Self> {
        let name = "expr_decoder.fc.0.weight";
        let n_in = match loader.shape(name) {
            Some([_, n]) if *n == d || *n == d + 1 => *n,
            other => {
                return Err(Error::mismatch("the expression decoder has another shape than the model needs")
                    .at_key(name)
                    .expected(format!("[{d}, {d}], or [{d}, {}] with the depth", d + 1))
                    .found(format!("{other:?}")));
            }
        };
        Ok(Self {
            first: linear(loader, "expr_decoder.fc.0", d, n_in)?,
            norm1: layer_norm(loader, "expr_decoder.fc.1", d, EPS)?,
            second: linear(loader, "expr_decoder.fc.4", d, d)?,
            norm2: layer_norm(loader, "expr_decoder.fc.5", d, EPS)?,
            last: linear(loader, "expr_decoder.pred_var_zero", 3, d)?,
            slope: 0.01,
        })
    }

    /// Whether the depth is one of its inputs.
    pub(super) fn takes_depth(&self) -> bool {
        self.first.n_in() > self.last.n_in()
    }

    /// Mean, dispersion and zero logits of the genes of one cell. `x` is `[gene, d]`; `depth` is `log2(1 + depth)`; the softmax over the
    /// genes is scaled by `total`.
    pub(super) fn apply(&self, x: &[f32], depth: f32, total: f32) -> [Vec<f32>; 3] {
        let d = self.last.n_in();
        let rows = x.len() / d;
        let with_depth: Vec<f32>;
        let input = if self.takes_depth() {
            with_depth = x.chunks_exact(d).flat_map(|r| r.iter().copied().chain([depth])).collect();
            &with_depth
        } else {
            x
        };
        let (mut hidden, mut normed) = (vec![0.0; rows * d], vec![0.0; rows * d]);
        self.first.apply(input, rows, Activation::None, &mut hidden);
        self.norm1.apply(&hidden, rows, &mut normed);
        leaky(&mut normed, self.slope);
        self.second.apply(&normed, rows, Activation::None, &mut hidden);
        self.norm2.apply(&hidden, rows, &mut normed);
        leaky(&mut normed, self.slope);
        let mut out = vec![0.0; rows * 3];
        self.last.apply(&normed, rows, Activation::None, &mut out);
        let column = |i: usize| out.chunks_exact(3).map(move |r| r[i]);
        let top = column(0).fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = column(0).map(|v| f64::from(v - top).exp()).sum();
        let mean = column(0).map(|v| (f64::from(v - top).exp() / sum) as f32 * total).collect();
        let dispersion = column(1).map(|v| if v > 15.0 { 15f32.exp() } else { v.exp() }).collect();
        [mean, dispersion, column(2).collect()]
    }
}

/// Labels of one class from its token.
pub(super) struct ClassHead {
    pub(super) hidden: Vec<(Linear, LayerNorm)>,
    out: Linear,
}

impl ClassHead {
    /// Reads `cls_decoders.CLASS`: linear maps at 0, 3, ... and norms behind each, then `out_layer`.
    pub(super) fn load(loader: &Loader<'_>, class: &Class, d: usize) -> Result<Self> {
        let name = format!("cls_decoders.{}", class.name);
        let (mut hidden, mut n_in) = (vec![], d);
        for i in (0..).map(|k| 3 * k) {
            let key = format!("{name}.decoder.{i}");
            let Some([n_out, _]) = loader.shape(&format!("{key}.weight")) else { break };
            let map = linear(loader, &key, *n_out, n_in)?;
            hidden.push((map, layer_norm(loader, &format!("{name}.decoder.{}", i + 1), *n_out, EPS)?));
            n_in = *n_out;
        }
        Ok(Self { hidden, out: linear(loader, &format!("{name}.out_layer"), class.n, n_in)? })
    }

    /// `[cell, n]` logits of `[cell, d]` class tokens.
    pub(super) fn apply(&self, x: &[f32], rows: usize) -> Vec<f32> {
        let mut x = x.to_vec();
        for (map, norm) in &self.hidden {
            let mut hidden = vec![0.0; rows * map.n_out()];
            map.apply(&x, rows, Activation::None, &mut hidden);
            x = vec![0.0; hidden.len()];
            norm.apply(&hidden, rows, &mut x);
            leaky(&mut x, 0.0);
        }
        let mut out = vec![0.0; rows * self.out.n_out()];
        self.out.apply(&x, rows, Activation::None, &mut out);
        out
    }
}
