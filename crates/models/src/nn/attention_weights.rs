//! Attention weights out of the packed maps of the shared blocks.

use microtome_core::Matrix;
use microtome_kernels::{AttentionShape, LayerNorm, Linear, PostLnBlock};

use super::{Norm, PreLnBlock};
use crate::attention_weights::{AttentionWeights, NormPlace, NormWeights};

/// The weights of a post-LN block; `None` when its maps do not fit its heads.
pub(crate) fn post_ln_weights(block: &PostLnBlock) -> Option<AttentionWeights> {
    let norms = [layer_norm(&block.norm1), layer_norm(&block.norm2)];
    weights(&block.shape, &block.qkv, &block.out, NormPlace::AfterAttention, norms)
}

impl PreLnBlock {
    /// The weights of this block; `None` when its maps do not fit its heads.
    pub(crate) fn weights(&self) -> Option<AttentionWeights> {
        let norms = [norm(&self.norm1), norm(&self.norm2)];
        weights(&self.shape, &self.qkv, &self.out, NormPlace::BeforeAttention, norms)
    }
}

fn norm(norm: &Norm) -> NormWeights {
    match norm {
        Norm::Layer(n) => layer_norm(n),
        Norm::Rms(n) => NormWeights { weight: n.weight.clone(), bias: None, eps: n.eps, centres: false },
    }
}

fn layer_norm(n: &LayerNorm) -> NormWeights {
    NormWeights { weight: n.weight.clone(), bias: Some(n.bias.clone()), eps: n.eps, centres: true }
}

fn weights(
    shape: &AttentionShape,
    qkv: &Linear,
    out: &Linear,
    norm_place: NormPlace,
    [norm1, norm2]: [NormWeights; 2],
) -> Option<AttentionWeights> {
    let (q, kv) = (shape.n_heads * shape.d_head, shape.n_kv_heads * shape.d_head);
    let (all, d) = (qkv.weight(), qkv.n_in());
    let part = |first: usize, rows: usize| {
        Matrix::new(rows, d, all.get(first * d..(first + rows) * d)?.to_vec()).ok()
    };
    let bias = |first: usize, n: usize| qkv.bias().and_then(|b| b.get(first..first + n)).map(<[f32]>::to_vec);
    Some(AttentionWeights {
        n_heads: shape.n_heads,
        n_kv_heads: shape.n_kv_heads,
        d_head: shape.d_head,
        scale: shape.scale,
        soft_cap: shape.soft_cap,
        w_q: part(0, q)?,
        w_k: part(q, kv)?,
        w_v: part(q + kv, kv)?,
        w_o: Matrix::new(out.n_out(), out.n_in(), out.weight()).ok()?,
        b_q: bias(0, q),
        b_k: bias(q, kv),
        b_v: bias(q + kv, kv),
        b_o: out.bias().map(<[f32]>::to_vec),
        norm_place,
        norm1: Some(norm1),
        norm2: Some(norm2),
    })
}
