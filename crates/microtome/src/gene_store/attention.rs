//! Attention weights of a block: the numbers that are no array, and the names of those that are.

use microtome_core::{Matrix, Result};
use microtome_models::{AttentionWeights, NormPlace, NormWeights};
use microtome_weights::Checkpoint;
use serde::{Deserialize, Serialize};

/// Heads, score function and norms of one block.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BlockAttention {
    /// Query heads.
    pub n_heads: usize,
    /// Key and value heads.
    pub n_kv_heads: usize,
    /// Width of a head.
    pub d_head: usize,
    /// Factor of `q k^T`.
    pub scale: f32,
    /// `cap tanh(score / cap)` when given.
    pub soft_cap: Option<f32>,
    /// True when queries, keys and values are made of the normed stream (pre-LN).
    pub norm_before: bool,
    /// `norm1` and `norm2`; null where the store does not hold them.
    pub norms: [Option<NormKind>; 2],
}

/// A norm without its arrays.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NormKind {
    /// True for LayerNorm, which takes the mean off; false for RMSNorm.
    pub centres: bool,
    /// Added to the variance or mean square.
    pub eps: f32,
}

impl BlockAttention {
    pub(super) fn of(w: &AttentionWeights) -> Self {
        Self {
            n_heads: w.n_heads,
            n_kv_heads: w.n_kv_heads,
            d_head: w.d_head,
            scale: w.scale,
            soft_cap: w.soft_cap,
            norm_before: w.norm_place == NormPlace::BeforeAttention,
            norms: [&w.norm1, &w.norm2]
                .map(|n| n.as_ref().map(|n| NormKind { centres: n.centres, eps: n.eps })),
        }
    }

    /// Reads the arrays of block `i`.
    pub(super) fn read(&self, file: &Checkpoint, i: usize) -> Result<AttentionWeights> {
        let matrix = |name: &str| -> Result<Matrix> {
            let key = format!("blocks.{i}.attn.{name}");
            super::read::matrix(file, &key)
        };
        let vector = |key: String| -> Result<Option<Vec<f32>>> {
            file.info(&key).is_some().then(|| file.read_f32(&key)).transpose()
        };
        let norm = |which: usize| -> Result<Option<NormWeights>> {
            let Some(kind) = self.norms[which - 1] else { return Ok(None) };
            let key = |part: &str| format!("blocks.{i}.norm{which}.{part}");
            Ok(Some(NormWeights {
                weight: file.read_f32(&key("weight"))?,
                bias: vector(key("bias"))?,
                eps: kind.eps,
                centres: kind.centres,
            }))
        };
        let bias = |name: &str| vector(format!("blocks.{i}.attn.{name}"));
        Ok(AttentionWeights {
            n_heads: self.n_heads,
            n_kv_heads: self.n_kv_heads,
            d_head: self.d_head,
            scale: self.scale,
            soft_cap: self.soft_cap,
            w_q: matrix("w_q")?,
            w_k: matrix("w_k")?,
            w_v: matrix("w_v")?,
            w_o: matrix("w_o")?,
            b_q: bias("b_q")?,
            b_k: bias("b_k")?,
            b_v: bias("b_v")?,
            b_o: bias("b_o")?,
            norm_place: if self.norm_before { NormPlace::BeforeAttention } else { NormPlace::AfterAttention },
            norm1: norm(1)?,
            norm2: norm(2)?,
        })
    }
}
