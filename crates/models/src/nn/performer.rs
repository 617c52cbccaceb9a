//! Performer: pre-LN blocks with attention through stored random features, in the key layout of performer-pytorch
//! (scBERT, scFoundation's decoder).

use microtome_core::{Error, Result};
use microtome_kernels::{
    Activation, AttentionShape, FeatureMap, KeyMaximum, LayerNorm, Linear, RandomFeatures,
};
use microtome_weights::Loader;

use super::{Attend, Mlp, Norm, PreLnBlock, Residual, Wanted, run_stack_with};
use crate::{Tap, Tokens};

/// `eps` of torch's LayerNorm.
const NORM_EPS: f32 = 1e-5;
/// `eps` of the softmax kernel in performer-pytorch.
const FEATURE_EPS: f32 = 1e-4;

/// Dimensions that the tensors of the blocks must have. The number of features and the feed-forward width are the file's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PerformerShape {
    pub(crate) n_blocks: usize,
    pub(crate) d_model: usize,
    pub(crate) n_heads: usize,
    pub(crate) d_head: usize,
    /// Whether queries, keys and values have biases.
    pub(crate) qkv_bias: bool,
}

/// The blocks and the random features of each.
#[derive(Clone, Debug)]
pub(crate) struct Performer {
    pub(crate) blocks: Vec<PreLnBlock>,
    pub(crate) features: Vec<RandomFeatures>,
}

impl Performer {
    /// Reads `{prefix}.net.layers.*`. The counter of redraws is listed as ignored: nothing is redrawn.
    pub(crate) fn load(loader: &Loader<'_>, prefix: &str, shape: PerformerShape) -> Result<Self> {
        let mut out = Self { blocks: vec![], features: vec![] };
        for i in 0..shape.n_blocks {
            let name = format!("{prefix}.net.layers.{i}");
            out.features.push(features(
                loader,
                &format!("{name}.0.fn.fast_attention.projection_matrix"),
                shape,
            )?);
            out.blocks.push(block(loader, &name, shape)?);
        }
        loader.ignore(
            &format!("{prefix}.calls_since_last_redraw"),
            "counts steps until the projections would be redrawn in training; the stored ones are used",
        );
        Ok(out)
    }

    /// Widest feed-forward part.
    pub(crate) fn d_mlp(&self) -> usize {
        let width = |b: &PreLnBlock| match &b.mlp {
            Mlp::Plain { up, .. } | Mlp::Gated { up, .. } => up.n_out(),
        };
        self.blocks.iter().map(width).max().unwrap_or(0)
    }

    /// As [`super::run_stack`].
    #[allow(clippy::too_many_arguments, reason = "the stream, what it belongs to, and who listens")]
    pub(crate) fn run(
        &self,
        x: &mut [f32],
        tokens: &Tokens,
        over: KeyMaximum,
        wanted: &Wanted,
        beyond: bool,
        tap: &mut dyn Tap,
    ) -> Result<bool> {
        let attend = |i: usize| Attend::Features(&self.features[i], over);
        run_stack_with(&self.blocks, x, tokens, attend, wanted, beyond, tap)
    }
}

/// Length of the first axis of a tensor whose other axes are known.
fn rows_of(loader: &Loader<'_>, name: &str, n_in: usize) -> Result<usize> {
    match loader.shape(name) {
        Some(&[n, width]) if n > 0 && width == n_in => Ok(n),
        Some(shape) => Err(Error::mismatch("the tensor has another shape than the model needs")
            .at_key(name)
            .expected(format!("[any, {n_in}]"))
            .found(format!("{shape:?}"))),
        // The loader's own message names what is near.
        None => loader.f32(name, &[0, n_in]).map(|_| 0),
    }
}

fn features(loader: &Loader<'_>, name: &str, shape: PerformerShape) -> Result<RandomFeatures> {
    let n = rows_of(loader, name, shape.d_head)?;
    let projection = loader.f32(name, &[n, shape.d_head])?;
    Ok(RandomFeatures::new(&projection, n, shape.d_head, FeatureMap::Softmax { eps: FEATURE_EPS }))
}

fn norm(loader: &Loader<'_>, name: &str, d: usize) -> Result<Norm> {
    let weight = loader.f32(&format!("{name}.weight"), &[d])?;
    Ok(Norm::Layer(LayerNorm { weight, bias: loader.f32(&format!("{name}.bias"), &[d])?, eps: NORM_EPS }))
}

fn linear(loader: &Loader<'_>, name: &str, n_out: usize, n_in: usize) -> Result<Linear> {
    let weight = loader.f32(&format!("{name}.weight"), &[n_out, n_in])?;
    let bias = loader.f32(&format!("{name}.bias"), &[n_out])?;
    Ok(Linear::pack(&weight, n_out, n_in, Some(&bias)))
}

fn block(loader: &Loader<'_>, name: &str, shape: PerformerShape) -> Result<PreLnBlock> {
    let (d, inner) = (shape.d_model, shape.n_heads * shape.d_head);
    let attention = format!("{name}.0.fn");
    let mlp = format!("{name}.1.fn.fn");
    let (mut weight, mut bias) = (vec![], vec![]);
    for part in ["to_q", "to_k", "to_v"] {
        weight.extend(loader.f32(&format!("{attention}.{part}.weight"), &[inner, d])?);
        if shape.qkv_bias {
            bias.extend(loader.f32(&format!("{attention}.{part}.bias"), &[inner])?);
        }
    }
    let width = rows_of(loader, &format!("{mlp}.w1.weight"), d)?;
    Ok(PreLnBlock {
        norm1: norm(loader, &format!("{name}.0.norm"), d)?,
        shape: AttentionShape::new(shape.n_heads, shape.d_head),
        qkv: Linear::pack(&weight, 3 * inner, d, shape.qkv_bias.then_some(&bias[..])),
        out: linear(loader, &format!("{attention}.to_out"), d, inner)?,
        norm2: norm(loader, &format!("{name}.1.norm"), d)?,
        mlp: Mlp::Plain {
            up: linear(loader, &format!("{mlp}.w1"), width, d)?,
            activation: Activation::GeluErf,
            down: linear(loader, &format!("{mlp}.w2"), d, width)?,
        },
        residual: Residual::Stream,
    })
}
