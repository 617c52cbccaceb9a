//! Where a checkpoint keeps the weights of a block, for training outside of the engine and for writing them back.

use std::ops::Range;

use microtome_core::Error;
use microtome_kernels::{Activation, AttentionShape, PostLnBlock};

use crate::NormPlace;
use crate::nn::{Mlp, Norm, PreLnBlock, Residual};

/// An affine map `x W^T + b` as rows of stored tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMap {
    /// Name of the weight, `[rows of all maps that share it, n_in]`.
    pub weight: String,
    /// Name of the bias; none where the map has none.
    pub bias: Option<String>,
    /// Rows of both that are this map's.
    pub rows: Range<usize>,
    /// Inputs.
    pub n_in: usize,
    /// The file has the weight the other way round, `[n_in, rows of all maps that share it]` (`Conv1D` of Hugging Face's GPT-2).
    pub transposed: bool,
}

/// A layer norm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredNorm {
    /// Name of the weight, `[d]`.
    pub weight: String,
    /// Name of the bias; none where the norm has none.
    pub bias: Option<String>,
}

/// A block of softmax attention and a feed-forward part of two maps, by the names of its tensors. Names are those that the
/// family asks for; a file may have them under a prefix (`bert.`, `module.`, a dictionary of its own).
#[derive(Clone, Debug, PartialEq)]
pub struct BlockLayout {
    /// Heads; queries, keys and values have as many, each `d / n_heads` wide and scaled by the root of it.
    pub n_heads: usize,
    /// Queries, keys, values, output of the attention, and the two maps of the feed-forward part.
    pub maps: [StoredMap; 6],
    /// Of the attention.
    pub norm1: StoredNorm,
    /// Of the feed-forward part.
    pub norm2: StoredNorm,
    /// Added to variances.
    pub eps: f32,
    /// `relu`, `gelu` or `gelu_new`.
    pub activation: &'static str,
    /// Where the norms sit.
    pub norm_place: NormPlace,
    /// Whether a token sees only those before it.
    pub causal: bool,
}

/// Names of a block's parts, without `.weight` and `.bias`; one that ends in `_` goes on without the dot.
pub(crate) struct BlockNames {
    /// Three maps, or one with the rows of all.
    pub(crate) qkv: Vec<String>,
    pub(crate) out: String,
    pub(crate) up: String,
    pub(crate) down: String,
    pub(crate) norm1: String,
    pub(crate) norm2: String,
    /// Whether maps and norms have biases.
    pub(crate) bias: bool,
    /// Whether maps are stored the other way round.
    pub(crate) transposed: bool,
}

impl BlockNames {
    fn map(&self, name: &str, rows: Range<usize>, n_in: usize) -> StoredMap {
        let dot = if name.ends_with('_') { "" } else { "." };
        StoredMap {
            weight: format!("{name}{dot}weight"),
            bias: self.bias.then(|| format!("{name}{dot}bias")),
            rows,
            n_in,
            transposed: self.transposed,
        }
    }

    fn maps(&self, d: usize, f: usize) -> Option<[StoredMap; 6]> {
        let one = |k: usize| match &self.qkv[..] {
            [all] => Some(self.map(all, k * d..(k + 1) * d, d)),
            [_, _, _] => Some(self.map(&self.qkv[k], 0..d, d)),
            _ => None,
        };
        Some([
            one(0)?,
            one(1)?,
            one(2)?,
            self.map(&self.out, 0..d, d),
            self.map(&self.up, 0..f, d),
            self.map(&self.down, 0..d, f),
        ])
    }

    fn norm(&self, name: &str) -> StoredNorm {
        StoredNorm { weight: format!("{name}.weight"), bias: self.bias.then(|| format!("{name}.bias")) }
    }

    fn layout(&self, shape: &AttentionShape, d: usize, f: usize) -> Option<BlockLayout> {
        let plain = AttentionShape::new(shape.n_heads, shape.d_head);
        let usual = shape.n_kv_heads == shape.n_heads
            && shape.scale == plain.scale
            && shape.soft_cap.is_none()
            && shape.n_heads * shape.d_head == d;
        usual.then_some(())?;
        Some(BlockLayout {
            n_heads: shape.n_heads,
            maps: self.maps(d, f)?,
            norm1: self.norm(&self.norm1),
            norm2: self.norm(&self.norm2),
            eps: 0.0,
            activation: "relu",
            norm_place: NormPlace::AfterAttention,
            causal: false,
        })
    }
}

impl BlockLayout {
    /// A post-LN block whose parts are under these names; `None` where the trainer lacks its arithmetic.
    pub(crate) fn post_ln(block: &PostLnBlock, names: &BlockNames) -> Option<Self> {
        let layout = names.layout(&block.shape, block.out.n_out(), block.up.n_out())?;
        Some(Self { eps: block.norm1.eps, activation: word(block.activation)?, ..layout })
    }

    /// The same of a pre-LN block.
    pub(crate) fn pre_ln(block: &PreLnBlock, names: &BlockNames, causal: bool) -> Option<Self> {
        let (Mlp::Plain { up, activation, .. }, Norm::Layer(norm), Residual::Stream) =
            (&block.mlp, &block.norm1, block.residual)
        else {
            return None;
        };
        let layout = names.layout(&block.shape, block.out.n_out(), up.n_out())?;
        Some(Self {
            eps: norm.eps,
            activation: word(*activation)?,
            norm_place: NormPlace::BeforeAttention,
            causal,
            ..layout
        })
    }
}

fn word(activation: Activation) -> Option<&'static str> {
    match activation {
        Activation::Relu => Some("relu"),
        Activation::GeluErf => Some("gelu"),
        Activation::GeluTanh => Some("gelu_new"),
        _ => None,
    }
}

/// How a model is written again as safetensors: its tensors under the names of its file, beside the other files it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewritten {
    /// Name of the file of weights, in the folder of the one that was read.
    pub file: &'static str,
    /// Notes in its header.
    pub metadata: Vec<(String, String)>,
    /// Further files that state what the original container did: name and text.
    pub texts: Vec<(String, String)>,
}

impl Default for Rewritten {
    fn default() -> Self {
        Self { file: "model.safetensors", metadata: vec![], texts: vec![] }
    }
}

/// What to say of a family that is not offered.
pub fn no_block_layout(family: &str) -> Error {
    let reason = match family {
        "aido_cell" => "its feed-forward part is gated (three maps)",
        "scprint" => "it carries its residual past the norms and shares keys among heads",
        "transcriptformer" => "it adds to the normed stream, and counts enter its attention",
        "nicheformer" | "uce" => "padding takes part in its attention",
        "scbert" | "cellfm" => "its attention has no softmax",
        _ => "its blocks are not known to the trainer",
    };
    Error::unsupported("adapters are not offered for this family")
        .at_key(family)
        .expected("geneformer, langcell, sccello, genecompass, scgpt, scfoundation, tahoe_x1, tgpt, scmulan or generain")
        .found(reason)
        .remedy("probe its frozen representations instead: --method mlp, or scan")
}
