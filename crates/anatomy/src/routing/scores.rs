//! Attention scores between all genes of one block, computed tile by tile from projected rows.

use super::consensus::{Combined, Consensus};
use super::edges::Edge;
use super::softmax::{Heads, Stripe};
use crate::input::{AttentionWeights, check_finite};
use crate::tiles::{Tile, square, stripes};
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

/// Scores between all genes at one place, ready to be walked over.
#[derive(Clone, Debug)]
pub struct Scores {
    n: usize,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    /// One product, `queries[i] . keys[j]`; the mean of raw scores over heads is one.
    Product { queries: Matrix, keys: Matrix },
    /// Mean over heads of row softmaxes.
    Softmax(Heads),
    /// Several scores made one.
    Combined(Combined),
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
        let key_heads = || (0..h).map(|i| columns(&k, i / shared * d, d)).collect::<Vec<Matrix>>();
        match options.scoring {
            Scoring::Raw if shared == 1 => Self::of_rows(q, k),
            Scoring::Raw => Self::of_rows(q, side_by_side(&key_heads())?),
            Scoring::Softmax => {
                let queries: Vec<Matrix> = (0..h).map(|i| columns(&q, i * d, d)).collect();
                let keys = key_heads();
                queries.iter().zip(&keys).try_for_each(|(q, k)| check_bounded(q, k))?;
                Ok(Self { n: stream.rows(), kind: Kind::Softmax(Heads::new(queries, keys)) })
            }
        }
    }

    /// Scores that are plain dot products of given rows, `queries[i] . keys[j]`: any gene by gene score of low rank.
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
        check_bounded(&queries, &keys)?;
        Ok(Self { n: queries.rows(), kind: Kind::Product { queries, keys } })
    }

    /// Several scores of the same genes made one. All parts are held at the same time.
    ///
    /// Errors without parts, when the numbers of genes differ, or when stopped ([`Consensus::MeanRank`] walks over every
    /// part first).
    pub fn consensus(parts: Vec<Self>, how: Consensus, progress: &dyn Progress) -> Result<Self> {
        let Some(n) = parts.first().map(Self::n_genes) else {
            return Err(Error::usage("there are no scores to combine").expected("at least one"));
        };
        if let Some(other) = parts.iter().find(|p| p.n != n) {
            return Err(Error::mismatch("scores to combine are of different genes")
                .expected(format!("{n} genes"))
                .found(other.n.to_string()));
        }
        Ok(Self { n, kind: Kind::Combined(Combined::new(parts, how, progress)?) })
    }

    /// Genes.
    pub fn n_genes(&self) -> usize {
        self.n
    }

    /// The heads, where scores are softmaxes of one block.
    pub(super) fn heads(&self) -> Option<&Heads> {
        match &self.kind {
            Kind::Softmax(heads) => Some(heads),
            _ => None,
        }
    }

    /// A bound on the magnitude of every score.
    pub(super) fn bound(&self) -> f64 {
        match &self.kind {
            Kind::Product { queries, keys } => longest(queries) * longest(keys),
            Kind::Softmax(_) => 1.0,
            Kind::Combined(combined) => combined.bound(),
        }
    }

    /// True when scores come only as whole rows.
    pub(super) fn needs_rows(&self) -> bool {
        match &self.kind {
            Kind::Product { .. } => false,
            Kind::Softmax(_) => true,
            Kind::Combined(combined) => combined.needs_rows(),
        }
    }

    /// Scores of a tile, row-major, into `out`.
    pub(super) fn fill(&self, tile: &Tile, scratch: &mut Scratch, out: &mut Vec<f32>) -> Result<()> {
        match &self.kind {
            Kind::Product { queries, keys } => {
                let d = queries.cols();
                out.resize(tile.rows * tile.cols, 0.0);
                cross(&queries.data()[tile.row_range(d)], &keys.data()[tile.col_range(d)], d, out)
            }
            Kind::Softmax(heads) => heads.mean(tile, &mut scratch.stripe, out, |_, _, _| ()),
            Kind::Combined(combined) => combined.fill(tile, scratch, out),
        }
    }

    /// Scores of `edges`, which must rise, made from their own rows alone: products of a few queries with the keys of their edges. `None`
    /// where scores come as whole rows, or there are so many edges that a walk costs no more.
    pub(super) fn of_edges(&self, edges: &[Edge]) -> Result<Option<Vec<f32>>> {
        /// Queries of one product.
        const QUERIES: usize = 16;
        let Kind::Product { queries, keys } = &self.kind else { return Ok(None) };
        let d = queries.cols();
        // Per query of a product as many columns as its group has edges; half of all and it does not pay.
        if d == 0 || edges.len() * QUERIES > self.n * self.n / 2 {
            return Ok(None);
        }
        let groups: Vec<&[Edge]> =
            edges.chunk_by(|a, b| a.from as usize / QUERIES == b.from as usize / QUERIES).collect();
        let parts: Vec<Vec<f32>> = groups
            .par_iter()
            .map_init(
                || (Vec::new(), Vec::new()),
                |(rows, out), group| {
                    let first = group[0].from as usize / QUERIES * QUERIES;
                    let count = QUERIES.min(self.n - first);
                    let mut columns: Vec<u32> = group.iter().map(|e| e.to).collect();
                    columns.sort_unstable();
                    columns.dedup();
                    rows.clear();
                    columns.iter().for_each(|&c| rows.extend_from_slice(keys.row(c as usize)));
                    out.clear();
                    out.resize(count * columns.len(), 0.0);
                    cross(&queries.data()[first * d..(first + count) * d], rows, d, out)?;
                    let place = |e: &Edge| {
                        let column = columns.partition_point(|&c| c < e.to);
                        out[(e.from as usize - first) * columns.len() + column]
                    };
                    Ok(group.iter().map(place).collect())
                },
            )
            .collect::<Result<_>>()?;
        Ok(Some(parts.concat()))
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
        let tiles = if self.needs_rows() { stripes(self.n) } else { square(self.n) };
        tiles
            .par_iter()
            .try_fold(
                || (start(), Scratch::default(), Vec::new()),
                |(mut state, mut scratch, mut values), tile| {
                    progress.check()?;
                    self.fill(tile, &mut scratch, &mut values)?;
                    each(&mut state, tile, &values)?;
                    progress.advance((tile.rows * tile.cols) as u64);
                    Ok((state, scratch, values))
                },
            )
            .map(|r| r.map(|(state, ..)| state))
            .try_reduce(&start, &merge)
    }
}

/// Memory of one thread, used again for every tile.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) stripe: Stripe,
    /// Values of one part of a consensus.
    pub(super) part: Vec<f32>,
}

/// Length of the longest row.
fn longest(m: &Matrix) -> f64 {
    (0..m.rows())
        .map(|i| m.row(i).iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt())
        .fold(0.0, f64::max)
}

/// Refuses rows whose products could overflow, so that every score is finite.
fn check_bounded(queries: &Matrix, keys: &Matrix) -> Result<()> {
    let bound = longest(queries) * longest(keys);
    if bound < f64::from(f32::MAX) / 4.0 {
        return Ok(());
    }
    Err(Error::mismatch("attention scores overflow")
        .expected("products of queries and keys below 1e38")
        .found(format!("up to {bound:e}")))
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
