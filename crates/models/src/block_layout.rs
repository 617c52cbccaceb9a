//! Where a checkpoint keeps the weights of a block, for training outside of the engine and for writing them back.

use std::ops::Range;

use microtome_core::Error;
use microtome_kernels::{Activation, PostLnBlock};

use crate::NormPlace;

/// An affine map `x W^T + b` as rows of stored tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMap {
    /// Name of the weight, `[rows of all maps that share it, n_in]`.
    pub weight: String,
    /// Name of the bias.
    pub bias: String,
    /// Rows of both that are this map's.
    pub rows: Range<usize>,
    /// Inputs.
    pub n_in: usize,
}

/// A block of softmax attention and a feed-forward part of two maps, by the names of its tensors. Names are those that the
/// family asks for; a file may have them under a prefix (`bert.`, `module.`).
#[derive(Clone, Debug, PartialEq)]
pub struct BlockLayout {
    /// Heads; queries, keys and values have as many, each `d / n_heads` wide and scaled by the root of it.
    pub n_heads: usize,
    /// Queries, keys, values, output of the attention, and the two maps of the feed-forward part.
    pub maps: [StoredMap; 6],
    /// Name of the layer norm of the attention, without `.weight` and `.bias`.
    pub norm1: String,
    /// Of the feed-forward part.
    pub norm2: String,
    /// Added to variances.
    pub eps: f32,
    /// `relu`, `gelu` or `gelu_new`.
    pub activation: &'static str,
    /// Where the norms sit.
    pub norm_place: NormPlace,
    /// Whether a token sees only those before it.
    pub causal: bool,
}

impl StoredMap {
    /// `NAME.weight` and `NAME.bias`, all rows; a name that ends in `_` goes on without the dot.
    fn whole(name: &str, n_out: usize, n_in: usize) -> Self {
        let dot = if name.ends_with('_') { "" } else { "." };
        Self { weight: format!("{name}{dot}weight"), bias: format!("{name}{dot}bias"), rows: 0..n_out, n_in }
    }
}

impl BlockLayout {
    /// A post-LN block whose maps are under these names: `qkv` is three of them, or one with the rows of all.
    pub(crate) fn post_ln(
        block: &PostLnBlock,
        qkv: &[String],
        others: [String; 3],
        norms: [String; 2],
    ) -> Option<Self> {
        let (d, f) = (block.out.n_out(), block.up.n_out());
        let one = |k: usize| match qkv {
            [all] => Some(StoredMap { rows: k * d..(k + 1) * d, ..StoredMap::whole(all, d, d) }),
            [_, _, _] => Some(StoredMap::whole(&qkv[k], d, d)),
            _ => None,
        };
        let [out, up, down] = others;
        let [norm1, norm2] = norms;
        Some(Self {
            n_heads: block.shape.n_heads,
            maps: [
                one(0)?,
                one(1)?,
                one(2)?,
                StoredMap::whole(&out, d, d),
                StoredMap::whole(&up, f, d),
                StoredMap::whole(&down, d, f),
            ],
            norm1,
            norm2,
            eps: block.norm1.eps,
            activation: match block.activation {
                Activation::Relu => "relu",
                Activation::GeluErf => "gelu",
                Activation::GeluTanh => "gelu_new",
                _ => return None,
            },
            norm_place: NormPlace::AfterAttention,
            causal: false,
        })
    }
}

/// What to say of a family that is not offered.
pub fn no_block_layout(family: &str) -> Error {
    Error::unsupported("adapters are not offered for this family")
        .at_key(family)
        .expected("geneformer, langcell, sccello, genecompass or scgpt")
        .remedy("probe its frozen representations instead: --method mlp, or scan")
}
