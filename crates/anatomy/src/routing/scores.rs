//! Attention scores between all genes of one block, computed tile by tile from projected rows.

use crate::input::{AttentionWeights, check_finite};
use crate::tiles::{COLS, Tile, square};
use microtome_core::{Error, Matrix, Progress, Result};
use microtome_numerics::products::{cross, linear};
use rayon::prelude::*;

/// What a score is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scoring {
    /// Mean over heads of the scaled dot products. Unbounded and signed; the same for any subset of genes.
    Raw,
    /// Mean over heads of the softmax over all genes present. Depends on which genes are present.
    Softmax,
}

/// Which parts of attention take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScoreOptions {
    /// Raw or softmax.
    pub scoring: Scoring,
    /// Add the biases of queries and keys.
    pub biases: bool,
    /// Apply the norm in front of the projections.
    pub norm: bool,
}

impl ScoreOptions {
    /// The block's own attention of the mean stream: biases, norm, softmax.
    pub fn mean_stream() -> Self {
        Self { scoring: Scoring::Softmax, biases: true, norm: true }
    }

    /// What Napistu-Torch 0.4.0 computes in `compare`: neither biases nor norm, and no softmax although its documents say
    /// so. With `softmax` what its `compute_attention` computes by default.
    pub fn napistu(softmax: bool) -> Self {
        Self { scoring: if softmax { Scoring::Softmax } else { Scoring::Raw }, biases: false, norm: false }
    }
}

/// Projected queries and keys of one block, ready to give scores.
#[derive(Clone, Debug)]
pub struct Scores {
    n: usize,
    n_heads: usize,
    scoring: Scoring,
    /// `[n, width]` per head; one entry for [`Scoring::Raw`], where the mean over heads is one product.
    queries: Vec<Matrix>,
    keys: Vec<Matrix>,
}

impl Scores {
    /// Projects `stream [gene, d_model]`. The scale and, for raw scores, the mean over heads are folded into queries:
    /// the mean over heads of `q_h k_h^T` is one product of the heads side by side.
    ///
    /// Errors when shapes do not fit, or a value or projection is not finite.
    pub fn new(stream: &Matrix, weights: &AttentionWeights, options: &ScoreOptions) -> Result<Self> {
        weights.check(stream.cols())?;
        check_finite(stream, "stream")?;
        let normed = match &weights.norm {
            Some(norm) if options.norm => Some(norm.apply(stream)?),
            _ => None,
        };
        let x = normed.as_ref().unwrap_or(stream);
        let bias = |b: &'_ Option<Vec<f32>>| b.as_deref().filter(|_| options.biases).map(<[f32]>::to_vec);
        let mut q = linear(x, &weights.w_q, bias(&weights.b_q).as_deref())?;
        let k = linear(x, &weights.w_k, bias(&weights.b_k).as_deref())?;
        drop(normed);
        let (h, d) = (weights.n_heads, weights.d_head());
        let mut scale = weights.scale.unwrap_or(1.0 / (d as f64).sqrt());
        if options.scoring == Scoring::Raw {
            scale /= h as f64;
        }
        q.data_mut().iter_mut().for_each(|v| *v = (f64::from(*v) * scale) as f32);
        let shared = h / weights.n_kv_heads;
        let (queries, keys) = match options.scoring {
            Scoring::Raw if shared == 1 => (vec![q], vec![k]),
            Scoring::Raw => {
                let heads: Vec<Matrix> = (0..h).map(|i| columns(&k, i / shared * d, d)).collect();
                (vec![q], vec![side_by_side(&heads)?])
            }
            Scoring::Softmax => (
                (0..h).map(|i| columns(&q, i * d, d)).collect(),
                (0..h).map(|i| columns(&k, i / shared * d, d)).collect(),
            ),
        };
        let out = Self { n: stream.rows(), n_heads: h, scoring: options.scoring, queries, keys };
        out.check_bounded()?;
        Ok(out)
    }

    /// Scores that are plain dot products of given rows, `queries[i] . keys[j]` (a static embedding's cosine, an expression
    /// correlation of standardised rows, any low-rank gene by gene score).
    ///
    /// Errors when shapes differ or a value is not finite.
    pub fn of_rows(queries: Matrix, keys: Matrix) -> Result<Self> {
        if (queries.rows(), queries.cols()) != (keys.rows(), keys.cols()) {
            return Err(Error::usage("queries and keys differ in shape")
                .expected(format!("{} x {}", queries.rows(), queries.cols()))
                .found(format!("{} x {}", keys.rows(), keys.cols())));
        }
        check_finite(&queries, "queries")?;
        check_finite(&keys, "keys")?;
        let out = Self {
            n: queries.rows(),
            n_heads: 1,
            scoring: Scoring::Raw,
            queries: vec![queries],
            keys: vec![keys],
        };
        out.check_bounded()?;
        Ok(out)
    }

    /// Refuses inputs whose products could overflow, so that every score is finite.
    fn check_bounded(&self) -> Result<()> {
        let longest = |m: &Matrix| {
            (0..m.rows())
                .map(|i| m.row(i).iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt())
                .fold(0.0, f64::max)
        };
        let bound =
            self.queries.iter().zip(&self.keys).map(|(q, k)| longest(q) * longest(k)).fold(0.0, f64::max);
        if bound < f64::from(f32::MAX) / 4.0 {
            return Ok(());
        }
        Err(Error::mismatch("attention scores overflow")
            .expected("products of queries and keys below 1e38")
            .found(format!("up to {bound:e}")))
    }

    /// Genes.
    pub fn n_genes(&self) -> usize {
        self.n
    }

    /// Heads that were averaged.
    pub fn n_heads(&self) -> usize {
        self.n_heads
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.queries.iter().chain(&self.keys).map(|m| m.data().len() * size_of::<f32>()).sum()
    }

    /// Hands every score to `each(state, tile, values)` once, `values` row-major over the tile; tiles run in parallel,
    /// each with the state of some thread. The bits of a score are the same in every walk.
    pub(crate) fn walk<S: Send>(
        &self,
        start: impl Fn() -> S + Sync + Send,
        each: impl Fn(&mut S, &Tile, &[f32]) -> Result<()> + Sync + Send,
        merge: impl Fn(S, S) -> Result<S> + Sync + Send,
        progress: &dyn Progress,
    ) -> Result<S> {
        match self.scoring {
            Scoring::Raw => square(self.n)
                .par_iter()
                .try_fold(
                    || (start(), Vec::new()),
                    |(mut state, mut values), tile| {
                        progress.check()?;
                        self.raw_tile(tile, &mut values)?;
                        each(&mut state, tile, &values)?;
                        progress.advance((tile.rows * tile.cols) as u64);
                        Ok((state, values))
                    },
                )
                .map(|r| r.map(|(state, _)| state))
                .try_reduce(&start, &merge),
            Scoring::Softmax => self
                .stripes()
                .par_iter()
                .try_fold(
                    || (start(), Stripe::default()),
                    |(mut state, mut stripe), tile| {
                        progress.check()?;
                        self.softmax_stripe(tile, &mut stripe, |_, _| ())?;
                        each(&mut state, tile, &stripe.mean)?;
                        progress.advance((tile.rows * tile.cols) as u64);
                        Ok((state, stripe))
                    },
                )
                .map(|r| r.map(|(state, _)| state))
                .try_reduce(&start, &merge),
        }
    }

    fn raw_tile(&self, tile: &Tile, out: &mut Vec<f32>) -> Result<()> {
        let d = self.queries[0].cols();
        out.resize(tile.rows * tile.cols, 0.0);
        let (q, k) = (self.queries[0].data(), self.keys[0].data());
        cross(&q[tile.row_range(d)], &k[tile.col_range(d)], d, out)
    }

    /// Whole rows of attention, few at a time.
    pub(super) fn stripes(&self) -> Vec<Tile> {
        const STRIPE: usize = 64;
        (0..self.n)
            .step_by(STRIPE)
            .map(|row| Tile { row, rows: STRIPE.min(self.n - row), col: 0, cols: self.n })
            .collect()
    }

    /// Head mean of the row softmax over all keys; `head(index, probabilities)` sees every head's rows on the way.
    pub(super) fn softmax_stripe(
        &self,
        tile: &Tile,
        stripe: &mut Stripe,
        mut head: impl FnMut(usize, &[f32]),
    ) -> Result<()> {
        let n = self.n;
        stripe.mean.clear();
        stripe.mean.resize(tile.rows * n, 0.0);
        stripe.head.resize(tile.rows * n, 0.0);
        let share = 1.0 / self.n_heads as f32;
        for (index, (q, k)) in self.queries.iter().zip(&self.keys).enumerate() {
            let d = q.cols();
            for col in (0..n).step_by(COLS) {
                let part = Tile { col, cols: COLS.min(n - col), ..*tile };
                stripe.tile.resize(part.rows * part.cols, 0.0);
                cross(&q.data()[part.row_range(d)], &k.data()[part.col_range(d)], d, &mut stripe.tile)?;
                for (row, values) in stripe.tile.chunks_exact(part.cols).enumerate() {
                    stripe.head[row * n + col..][..part.cols].copy_from_slice(values);
                }
            }
            stripe.head.chunks_exact_mut(n).for_each(softmax);
            head(index, &stripe.head);
            stripe.mean.iter_mut().zip(&stripe.head).for_each(|(m, p)| *m += p * share);
        }
        Ok(())
    }
}

/// Scratch of one thread for whole rows.
#[derive(Default)]
pub(super) struct Stripe {
    tile: Vec<f32>,
    head: Vec<f32>,
    mean: Vec<f32>,
}

/// Softmax in place; the sum runs in `f64`, since 20,000 small terms meet one large total.
fn softmax(row: &mut [f32]) {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut total = 0.0f64;
    for v in row.iter_mut() {
        *v = (*v - largest).exp();
        total += f64::from(*v);
    }
    let scale = (1.0 / total) as f32;
    row.iter_mut().for_each(|v| *v *= scale);
}

fn columns(x: &Matrix, first: usize, count: usize) -> Matrix {
    let mut out = Matrix::zeros(x.rows(), count);
    for i in 0..x.rows() {
        out.row_mut(i).copy_from_slice(&x.row(i)[first..first + count]);
    }
    out
}

fn side_by_side(parts: &[Matrix]) -> Result<Matrix> {
    let rows = parts.first().map_or(0, Matrix::rows);
    let mut data = Vec::with_capacity(parts.iter().map(|p| p.data().len()).sum());
    for i in 0..rows {
        parts.iter().for_each(|p| data.extend_from_slice(p.row(i)));
    }
    Matrix::new(rows, parts.iter().map(Matrix::cols).sum(), data)
}
