//! What the analyses take: residual streams by block, and the weights of attention.

use microtome_core::{Error, Matrix, Result};

/// The same rows (genes of one category, or cells) seen at several places of one network, in order of depth.
#[derive(Clone, Debug)]
pub struct Blocks<'a> {
    names: Vec<String>,
    values: Vec<&'a Matrix>,
}

impl<'a> Blocks<'a> {
    /// `values[i]` is `[row, d]` at the place `names[i]`, such as `blocks.3.resid_pre`; widths may differ.
    ///
    /// Errors without blocks, when names and values or the numbers of rows differ, or when a value is not finite.
    pub fn new(names: Vec<String>, values: Vec<&'a Matrix>) -> Result<Self> {
        let Some(first) = values.first() else {
            return Err(Error::usage("there is no block to look at").expected("at least one"));
        };
        if names.len() != values.len() {
            return Err(Error::usage("blocks and names differ in number")
                .expected(values.len().to_string())
                .found(names.len().to_string()));
        }
        for (name, x) in names.iter().zip(&values) {
            if x.rows() != first.rows() {
                return Err(Error::mismatch("blocks hold different numbers of rows")
                    .at_key(name.clone())
                    .expected(format!("{} rows, as {}", first.rows(), names[0]))
                    .found(x.rows().to_string())
                    .remedy("align the genes first"));
            }
            check_finite(x, name)?;
        }
        Ok(Self { names, values })
    }

    /// Names, in order of depth.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Matrices `[row, d]`, in order of depth.
    pub fn values(&self) -> &[&'a Matrix] {
        &self.values
    }

    /// Number of blocks.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Never true: there is at least one block.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Rows of every block.
    pub fn n_rows(&self) -> usize {
        self.values[0].rows()
    }
}

/// Error when `x` holds NaN or infinity; `name` says which matrix.
pub(crate) fn check_finite(x: &Matrix, name: &str) -> Result<()> {
    match x.data().iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(i) => Err(Error::mismatch("values must be finite")
            .at_key(name)
            .expected("finite numbers only")
            .found(format!("{} in row {}, column {}", x.data()[i], i / x.cols(), i % x.cols()))),
    }
}

/// Which normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// Mean subtracted, divided by the standard deviation (Ba et al. 2016).
    Layer,
    /// Divided by the root mean square (Zhang and Sennrich 2019).
    Rms,
}

/// The norm that a pre-LN block applies to the stream before it projects.
#[derive(Clone, Debug, PartialEq)]
pub struct Norm {
    /// Which one.
    pub kind: NormKind,
    /// Gain `[d_model]`; none means 1.
    pub weight: Option<Vec<f32>>,
    /// Shift `[d_model]`; none means 0.
    pub bias: Option<Vec<f32>>,
    /// Added to the variance or mean square.
    pub eps: f64,
}

impl Norm {
    /// The norm of every row, computed in `f64`. Errors when gain or shift have another width than `x`.
    pub fn apply(&self, x: &Matrix) -> Result<Matrix> {
        let d = x.cols();
        for (what, v) in [("gain", &self.weight), ("shift", &self.bias)] {
            if let Some(v) = v
                && v.len() != d
            {
                return Err(Error::mismatch(format!("{what} of a norm has another width than the stream"))
                    .expected(d.to_string())
                    .found(v.len().to_string()));
            }
        }
        let mut out = x.clone();
        for i in 0..x.rows() {
            let row = out.row_mut(i);
            let n = d.max(1) as f64;
            let mean = match self.kind {
                NormKind::Layer => row.iter().map(|&v| f64::from(v)).sum::<f64>() / n,
                NormKind::Rms => 0.0,
            };
            let square = row.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
            let scale = 1.0 / (square + self.eps).sqrt();
            for (c, v) in row.iter_mut().enumerate() {
                let gain = self.weight.as_ref().map_or(1.0, |w| f64::from(w[c]));
                let shift = self.bias.as_ref().map_or(0.0, |b| f64::from(b[c]));
                *v = ((f64::from(*v) - mean) * scale * gain + shift) as f32;
            }
        }
        Ok(out)
    }
}

/// Projections of one attention block, in the layout of PyTorch's `Linear` (rows are outputs, heads stacked along rows).
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionWeights {
    /// Query heads.
    pub n_heads: usize,
    /// Key and value heads: equal to `n_heads`, or a divisor of it (grouped queries).
    pub n_kv_heads: usize,
    /// `[n_heads * d_head, d_model]`.
    pub w_q: Matrix,
    /// `[n_kv_heads * d_head, d_model]`.
    pub w_k: Matrix,
    /// `[n_kv_heads * d_value, d_model]`; only value-weighted routing needs it.
    pub w_v: Option<Matrix>,
    /// `[d_model, n_heads * d_value]`; only value-weighted routing needs it.
    pub w_o: Option<Matrix>,
    /// `[n_heads * d_head]`.
    pub b_q: Option<Vec<f32>>,
    /// `[n_kv_heads * d_head]`.
    pub b_k: Option<Vec<f32>>,
    /// `[n_kv_heads * d_value]`.
    pub b_v: Option<Vec<f32>>,
    /// Factor on the dot product; none means `1 / sqrt(d_head)`.
    pub scale: Option<f64>,
    /// Norm between the stream and the projections (pre-LN); none for post-LN blocks and normed streams.
    pub norm: Option<Norm>,
}

impl AttentionWeights {
    /// Width of one head. 0 when shapes do not hold, which [`AttentionWeights::check`] reports.
    pub fn d_head(&self) -> usize {
        self.w_q.rows() / self.n_heads.max(1)
    }

    /// Errors when shapes do not fit each other or a stream of width `d_model`, or a weight is not finite.
    pub fn check(&self, d_model: usize) -> Result<()> {
        if self.n_heads == 0 || self.n_kv_heads == 0 || !self.n_heads.is_multiple_of(self.n_kv_heads) {
            return Err(Error::mismatch("heads do not share keys evenly")
                .expected("at least one head, and a number of key heads that divides it")
                .found(format!("{} heads, {} key heads", self.n_heads, self.n_kv_heads)));
        }
        let whole = self.w_q.rows().is_multiple_of(self.n_heads) && self.d_head() > 0;
        if !whole {
            return Err(Error::mismatch("query weights do not split into heads")
                .at_key("w_q")
                .expected(format!("a multiple of {} rows", self.n_heads))
                .found(self.w_q.rows().to_string()));
        }
        let shape = |key: &str, w: &Matrix, rows: usize, cols: usize| {
            if (w.rows(), w.cols()) != (rows, cols) {
                return Err(Error::mismatch("attention weights have another shape")
                    .at_key(key)
                    .expected(format!("{rows} x {cols}"))
                    .found(format!("{} x {}", w.rows(), w.cols())));
            }
            check_finite(w, key)
        };
        let length = |key: &str, b: &Option<Vec<f32>>, n: usize| match b {
            Some(b) if b.len() != n || b.iter().any(|v| !v.is_finite()) => {
                Err(Error::mismatch("attention bias has another length or is not finite")
                    .at_key(key)
                    .expected(format!("{n} finite numbers"))
                    .found(format!("{} numbers", b.len())))
            }
            _ => Ok(()),
        };
        let keys = self.n_kv_heads * self.d_head();
        shape("w_q", &self.w_q, self.w_q.rows(), d_model)?;
        shape("w_k", &self.w_k, keys, d_model)?;
        length("b_q", &self.b_q, self.w_q.rows())?;
        length("b_k", &self.b_k, keys)?;
        if let Some(w_v) = &self.w_v {
            let rows = w_v.rows();
            shape("w_v", w_v, rows - rows % self.n_kv_heads, d_model)?;
            length("b_v", &self.b_v, rows)?;
            if let Some(w_o) = &self.w_o {
                shape("w_o", w_o, w_o.rows(), rows / self.n_kv_heads * self.n_heads)?;
            }
        }
        Ok(())
    }
}
