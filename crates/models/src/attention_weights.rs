//! The maps of softmax attention as a checkpoint states them, block by block, for analyses that look at weights.

use microtome_core::Matrix;

/// A norm as it is applied to rows of the stream.
#[derive(Clone, Debug, PartialEq)]
pub struct NormWeights {
    /// Scale, one per column.
    pub weight: Vec<f32>,
    /// Shift, one per column; none for RMSNorm.
    pub bias: Option<Vec<f32>>,
    /// Added to the variance (LayerNorm) or to the mean square (RMSNorm).
    pub eps: f32,
    /// True for LayerNorm, which takes the mean off; false for RMSNorm.
    pub centres: bool,
}

/// Where the two norms of a block sit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NormPlace {
    /// Queries, keys and values are made of `norm1(stream)`.
    BeforeAttention,
    /// Queries, keys and values are made of the stream itself; `norm1` follows the attention.
    AfterAttention,
}

/// Queries, keys, values and output of one block, in the layout of `torch.nn.Linear`: `q = x W_q^T + b_q`, heads one after the
/// other along the rows of `w_q`, `w_k`, `w_v` and along the columns of `w_o`.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionWeights {
    /// Query heads.
    pub n_heads: usize,
    /// Key and value heads; divides `n_heads`.
    pub n_kv_heads: usize,
    /// Width of a head.
    pub d_head: usize,
    /// Factor of `q k^T`.
    pub scale: f32,
    /// `cap tanh(score / cap)` when given.
    pub soft_cap: Option<f32>,
    /// `[n_heads * d_head, d]`.
    pub w_q: Matrix,
    /// `[n_kv_heads * d_head, d]`.
    pub w_k: Matrix,
    /// `[n_kv_heads * d_head, d]`.
    pub w_v: Matrix,
    /// `[d, n_heads * d_head]`.
    pub w_o: Matrix,
    /// `n_heads * d_head`.
    pub b_q: Option<Vec<f32>>,
    /// `n_kv_heads * d_head`.
    pub b_k: Option<Vec<f32>>,
    /// `n_kv_heads * d_head`.
    pub b_v: Option<Vec<f32>>,
    /// `d`.
    pub b_o: Option<Vec<f32>>,
    /// Where the norms sit.
    pub norm_place: NormPlace,
    /// The norm of the attention's side; `None` where a store does not state it.
    pub norm1: Option<NormWeights>,
    /// The norm of the feed-forward side; `None` where a store does not state it.
    pub norm2: Option<NormWeights>,
}
