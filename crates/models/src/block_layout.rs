//! Where a checkpoint keeps the weights of a block, for training outside of the engine and for writing them back.

use std::ops::Range;

use microtome_core::Error;
use microtome_kernels::{Activation, AttentionShape, Linear, PostLnBlock};

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

/// A block of softmax attention and a feed-forward part, by the names of its tensors. Names are those that the family asks for; a
/// file may have them under a prefix (`bert.`, `module.`, a dictionary of its own).
#[derive(Clone, Debug, PartialEq)]
pub struct BlockLayout {
    /// Heads of the queries, each `d / n_heads` wide; scores are scaled by the root of it.
    pub n_heads: usize,
    /// Heads of keys and values; divides `n_heads`.
    pub n_kv_heads: usize,
    /// Scores become `cap tanh(score / cap)` where given.
    pub soft_cap: Option<f32>,
    /// Queries, keys, values, output of the attention, and the maps into and out of the feed-forward part; behind them the gate,
    /// where that part is gated.
    pub maps: Vec<StoredMap>,
    /// Of the attention and of the feed-forward part.
    pub norms: [StoredNorm; 2],
    /// Added to variances, or to mean squares.
    pub eps: f32,
    /// True for layer norms, false for RMS norms.
    pub centres: bool,
    /// `relu`, `gelu`, `gelu_new` or `silu`: of the gate, otherwise between the maps of the feed-forward part.
    pub activation: &'static str,
    /// Where the norms sit.
    pub norm_place: NormPlace,
    /// What the attention and the feed-forward part give is added to their normed input, not to the stream.
    pub adds_to_normed: bool,
    /// Whether a token sees only itself and those before it.
    pub causal: bool,
}

/// Names of a block's parts, without `.weight` and `.bias`; one that ends in `_` goes on without the dot.
pub(crate) struct BlockNames {
    /// Three maps, or one with the rows of all.
    pub(crate) qkv: Vec<String>,
    pub(crate) out: String,
    /// Where the feed-forward part is gated.
    pub(crate) gate: Option<String>,
    pub(crate) up: String,
    pub(crate) down: String,
    pub(crate) norms: [String; 2],
    /// Whether the file has biases of the norms.
    pub(crate) norm_bias: bool,
    /// Whether maps are stored the other way round.
    pub(crate) transposed: bool,
}

/// The maps of a block as the engine holds them.
struct Maps<'a> {
    shape: &'a AttentionShape,
    qkv: &'a Linear,
    out: &'a Linear,
    gate: Option<&'a Linear>,
    up: &'a Linear,
    down: &'a Linear,
}

impl BlockNames {
    /// Those of `torch.nn.TransformerEncoderLayer`.
    pub(crate) fn torch(block: &str) -> Self {
        let name = |part: &str| format!("{block}.{part}");
        Self {
            qkv: vec![name("self_attn.in_proj_")],
            out: name("self_attn.out_proj"),
            gate: None,
            up: name("linear1"),
            down: name("linear2"),
            norms: [name("norm1"), name("norm2")],
            norm_bias: true,
            transposed: false,
        }
    }

    fn map(&self, name: &str, rows: Range<usize>, linear: &Linear) -> StoredMap {
        let dot = if name.ends_with('_') { "" } else { "." };
        StoredMap {
            weight: format!("{name}{dot}weight"),
            bias: linear.bias().map(|_| format!("{name}{dot}bias")),
            rows,
            n_in: linear.n_in(),
            transposed: self.transposed,
        }
    }

    fn maps(&self, m: &Maps<'_>) -> Option<Vec<StoredMap>> {
        let (q, kv) = (m.shape.n_heads * m.shape.d_head, m.shape.n_kv_heads * m.shape.d_head);
        let rows = [0..q, q..q + kv, q + kv..q + 2 * kv];
        let mut out: Vec<StoredMap> = match &self.qkv[..] {
            [all] => rows.map(|rows| self.map(all, rows, m.qkv)).into(),
            [_, _, _] => {
                rows.iter().zip(&self.qkv).map(|(r, name)| self.map(name, 0..r.len(), m.qkv)).collect()
            }
            _ => return None,
        };
        let whole = |name: &str, linear: &Linear| self.map(name, 0..linear.n_out(), linear);
        out.extend([whole(&self.out, m.out), whole(&self.up, m.up), whole(&self.down, m.down)]);
        match (&self.gate, m.gate) {
            (Some(name), Some(gate)) => out.push(whole(name, gate)),
            (None, None) => {}
            _ => return None,
        }
        Some(out)
    }

    fn norms(&self) -> [StoredNorm; 2] {
        self.norms.each_ref().map(|name| StoredNorm {
            weight: format!("{name}.weight"),
            bias: self.norm_bias.then(|| format!("{name}.bias")),
        })
    }

    fn layout(&self, m: &Maps<'_>) -> Option<BlockLayout> {
        let shape = m.shape;
        let plain = AttentionShape::new(shape.n_heads, shape.d_head);
        let fits = shape.scale == plain.scale && shape.n_heads * shape.d_head == m.out.n_out();
        fits.then_some(())?;
        Some(BlockLayout {
            n_heads: shape.n_heads,
            n_kv_heads: shape.n_kv_heads,
            soft_cap: shape.soft_cap,
            maps: self.maps(m)?,
            norms: self.norms(),
            eps: 0.0,
            centres: true,
            activation: "relu",
            norm_place: NormPlace::AfterAttention,
            adds_to_normed: false,
            causal: false,
        })
    }
}

impl BlockLayout {
    /// A post-LN block whose parts are under these names; `None` where the trainer lacks its arithmetic.
    pub(crate) fn post_ln(block: &PostLnBlock, names: &BlockNames) -> Option<Self> {
        let PostLnBlock { shape, qkv, out, up, down, .. } = block;
        let layout = names.layout(&Maps { shape, qkv, out, gate: None, up, down })?;
        Some(Self { eps: block.norm1.eps, activation: word(block.activation)?, ..layout })
    }

    /// The same of a pre-LN block.
    pub(crate) fn pre_ln(block: &PreLnBlock, names: &BlockNames, causal: bool) -> Option<Self> {
        let (gate, activation, up, down) = match &block.mlp {
            Mlp::Plain { up, activation, down } => (None, *activation, up, down),
            Mlp::Gated { gate, activation, up, down } => (Some(gate), *activation, up, down),
        };
        let (eps, centres) = match (&block.norm1, &block.norm2) {
            (Norm::Layer(first), Norm::Layer(second)) if first.eps == second.eps => (first.eps, true),
            (Norm::Rms(first), Norm::Rms(second)) if first.eps == second.eps => (first.eps, false),
            _ => return None,
        };
        let layout =
            names.layout(&Maps { shape: &block.shape, qkv: &block.qkv, out: &block.out, gate, up, down })?;
        Some(Self {
            eps,
            centres,
            activation: word(activation)?,
            norm_place: NormPlace::BeforeAttention,
            adds_to_normed: block.residual == Residual::Normed,
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
        Activation::Silu => Some("silu"),
        Activation::None => None,
    }
}

/// How a model is written again as safetensors: its tensors under the names of its file, beside the other files it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewritten {
    /// Folder of the weights below that of the model, where they have one of their own; otherwise empty.
    pub folder: &'static str,
    /// Name of the file of weights, in the folder of the one that was read.
    pub file: &'static str,
    /// Notes in its header.
    pub metadata: Vec<(String, String)>,
    /// Further files that state what the original container did: name and text.
    pub texts: Vec<(String, String)>,
}

impl Default for Rewritten {
    fn default() -> Self {
        Self { folder: "", file: "model.safetensors", metadata: vec![], texts: vec![] }
    }
}

/// What to say of a model that is not offered.
pub fn no_block_layout(family: &str) -> Error {
    let reason = match family {
        "scbert" => "its attention is linear, without softmax",
        "cellfm" => "its blocks retain, without softmax",
        "uce" => {
            "its width does not divide into the number of heads, which the checkpoint does not state: put uce_config.json with n_heads, \
             sample_size, max_tokens and chromosome_offset beside the weights"
        }
        _ => "its configuration asks for arithmetic that the trainer does not have",
    };
    Error::unsupported("adapters are not offered for this model")
        .at_key(family)
        .expected("softmax attention: every family but scbert and cellfm")
        .found(reason)
        .remedy("probe its frozen representations instead: --method mlp, or scan")
}
