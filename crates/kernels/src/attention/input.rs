//! What attention takes: shapes, strided rows, masks, and their checks.

use std::ops::Range;

use crate::gemm::Precision;

/// Heads and score function of an attention layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionShape {
    /// Query heads.
    pub n_heads: usize,
    /// Key/value heads; divides `n_heads`. Fewer than `n_heads` is grouped-query attention.
    pub n_kv_heads: usize,
    /// Width of a head.
    pub d_head: usize,
    /// Factor of `q k^T`, usually `1 / sqrt(d_head)`.
    pub scale: f32,
    /// `cap tanh(score / cap)` when given.
    pub soft_cap: Option<f32>,
    /// Precision of queries, keys, values and exponentials where they are multiplied; scores, softmax and sums are always f32.
    pub precision: Precision,
}

impl AttentionShape {
    /// Multi-head attention with the usual scale `1 / sqrt(d_head)` and no cap, in the precision of
    /// [`crate::with_precision`].
    pub fn new(n_heads: usize, d_head: usize) -> Self {
        let scale = (1.0 / (d_head as f64).sqrt()) as f32;
        Self { n_heads, n_kv_heads: n_heads, d_head, scale, soft_cap: None, precision: Precision::current() }
    }
}

/// Rows that may be columns of a wider buffer, such as the keys within fused `q | k | v`.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    data: &'a [f32],
    stride: usize,
}

impl<'a> Rows<'a> {
    /// Rows that begin at column `first` of a row-major buffer of `stride` columns.
    ///
    /// # Panics
    /// When `first` is beyond a buffer that is not empty.
    pub fn columns(buffer: &'a [f32], stride: usize, first: usize) -> Self {
        let data = if buffer.is_empty() { buffer } else { &buffer[first..] };
        Self { data, stride }
    }

    /// A buffer of its own, `width` columns.
    pub fn dense(data: &'a [f32], width: usize) -> Self {
        Self { data, stride: width }
    }

    /// Distance of rows.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// The data from a row and column on.
    pub(crate) fn at(&self, row: usize, column: usize) -> &'a [f32] {
        &self.data[row * self.stride + column..]
    }
}

/// Which keys a query sees, and what is added to their scores.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mask<'a> {
    /// A query sees only itself and what comes before it.
    pub causal: bool,
    /// One per token of the minibatch: a query sees the marked keys and itself.
    pub visible: Option<&'a [bool]>,
    /// One per token of the minibatch: added to the score of the key, before the soft cap. May be `-inf`.
    pub key_bias: Option<&'a [f32]>,
    /// The bias is added only where the key comes before the query; a bias of `-inf` hides its key from every query all the same.
    pub bias_earlier_only: bool,
}

impl<'a> Mask<'a> {
    /// Every query sees every key of its cell.
    pub const FULL: Mask<'static> =
        Mask { causal: false, visible: None, key_bias: None, bias_earlier_only: false };
    /// Every query sees itself and what comes before it.
    pub const CAUSAL: Mask<'static> = Mask { causal: true, ..Mask::FULL };

    /// The same mask with a bias for every key.
    pub fn with_key_bias(self, key_bias: &'a [f32]) -> Self {
        Self { key_bias: Some(key_bias), ..self }
    }
}

/// The score function for one cell.
#[derive(Clone, Copy)]
pub(crate) struct Scoring<'a> {
    pub(crate) causal: bool,
    pub(crate) visible: Option<&'a [bool]>,
    pub(crate) key_bias: Option<&'a [f32]>,
    pub(crate) bias_earlier_only: bool,
    pub(crate) soft_cap: Option<f32>,
}

impl<'a> Scoring<'a> {
    pub(crate) fn of_cell(mask: &Mask<'a>, soft_cap: Option<f32>, tokens: Range<usize>) -> Self {
        Self {
            causal: mask.causal,
            visible: mask.visible.map(|v| &v[tokens.clone()]),
            key_bias: mask.key_bias.map(|b| &b[tokens]),
            bias_earlier_only: mask.bias_earlier_only,
            soft_cap,
        }
    }
}

/// Panics with a clear message unless everything fits together. Returns the number of tokens.
pub(crate) fn check_input(
    arrays: &[(&str, Rows<'_>, usize)],
    offsets: &[usize],
    shape: &AttentionShape,
    mask: &Mask<'_>,
) -> usize {
    let (heads, kv) = (shape.n_heads, shape.n_kv_heads);
    assert!(kv > 0 && heads.is_multiple_of(kv), "attention: {heads} heads cannot share {kv} key/value heads");
    assert!(offsets.first() == Some(&0), "attention: offsets must begin with 0");
    assert!(offsets.is_sorted(), "attention: offsets must not decrease");
    let n_tokens = offsets[offsets.len() - 1];
    for (name, rows, n_heads) in arrays {
        let width = n_heads * shape.d_head;
        assert!(
            rows.stride >= width,
            "attention: rows of {name} are {} apart, narrower than {width}",
            rows.stride
        );
        let need = if n_tokens == 0 { 0 } else { (n_tokens - 1) * rows.stride + width };
        assert!(rows.data.len() >= need, "attention: {name} has {} numbers, needs {need}", rows.data.len());
    }
    for (name, len) in
        [("visible", mask.visible.map(<[_]>::len)), ("key_bias", mask.key_bias.map(<[_]>::len))]
    {
        assert!(
            len.is_none_or(|n| n == n_tokens),
            "attention: {name} must have one entry per token ({n_tokens})"
        );
    }
    n_tokens
}
