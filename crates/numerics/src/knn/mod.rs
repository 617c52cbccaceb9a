//! Exact k nearest neighbours by brute force.
//!
//! Distances of all pairs come in blocks from an `f32` matrix product, `|x|^2 + |y|^2 - 2 xy`, on centred data.
//! That form cancels, so it is used only as a bracket: from the error bound of a floating-point dot product each
//! pair gets a lower and an upper bound, every pair that could be among the nearest is kept, and the kept ones
//! are measured directly in `f64` from the original values. The result is therefore exact, whatever the rounding.

mod measure;
mod search;

use crate::dense::check_finite_matrix;
use measure::Prepared;
use microtome_core::{Error, Matrix, Result};
use search::search;
use std::fmt;
use std::str::FromStr;

/// How far apart two rows are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Metric {
    /// Square root of the sum of squared differences.
    #[default]
    Euclidean,
    /// 1 - cosine of the angle. A row of zeros has no angle: its distance to every row is 1.
    Cosine,
    /// 1 - Pearson correlation. A constant row has no correlation: its distance to every row is 1.
    Correlation,
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Euclidean => "euclidean",
            Self::Cosine => "cosine",
            Self::Correlation => "correlation",
        })
    }
}

impl FromStr for Metric {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        match s {
            "euclidean" => Ok(Self::Euclidean),
            "cosine" => Ok(Self::Cosine),
            "correlation" => Ok(Self::Correlation),
            _ => Err(Error::usage("unknown metric")
                .expected("euclidean, cosine or correlation")
                .found(format!("\"{s}\""))),
        }
    }
}

/// Neighbour lists, nearest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Knn {
    /// Number of query rows.
    pub n: usize,
    /// Neighbours per row.
    pub k: usize,
    /// Row numbers of the neighbours, `[n, k]`, by rising distance and then by rising row number.
    pub indices: Vec<u32>,
    /// Their distances, `[n, k]`.
    pub distances: Vec<f32>,
}

impl Knn {
    /// Neighbours and distances of one row.
    pub fn row(&self, i: usize) -> (&[u32], &[f32]) {
        let range = i * self.k..(i + 1) * self.k;
        (&self.indices[range.clone()], &self.distances[range])
    }

    /// The first `k` neighbours of every row. Errors when fewer are held.
    pub fn truncate(&self, k: usize) -> Result<Self> {
        if k > self.k {
            return Err(Error::usage("more neighbours asked for than were computed")
                .expected(format!("at most {}", self.k))
                .found(k.to_string()));
        }
        let take = |i: usize| i * self.k..i * self.k + k;
        Ok(Self {
            n: self.n,
            k,
            indices: (0..self.n).flat_map(|i| self.indices[take(i)].iter().copied()).collect(),
            distances: (0..self.n).flat_map(|i| self.distances[take(i)].iter().copied()).collect(),
        })
    }
}

/// The `k` nearest other rows of every row; a row is never its own neighbour, its duplicates are.
///
/// scanpy's `n_neighbors` counts the cell itself: `n_neighbors = k + 1` there.
/// Errors when `k` is 0 or there are fewer than `k + 1` rows, or when a value is NaN or infinite.
pub fn exact_knn(x: &Matrix, k: usize, metric: Metric) -> Result<Knn> {
    check_size(x.rows(), k, x.rows().saturating_sub(1))?;
    check_finite_matrix(x, "values to find neighbours in")?;
    let set = Prepared::new(&[x], metric);
    Ok(search(&set, x, &set, x, k, metric, true))
}

/// The `k` rows of `reference` nearest to every row of `query`; equal rows are not excluded.
///
/// Errors when widths differ, `k` is 0 or above the number of reference rows, or a value is NaN or infinite.
pub fn knn_between(query: &Matrix, reference: &Matrix, k: usize, metric: Metric) -> Result<Knn> {
    if query.cols() != reference.cols() {
        return Err(Error::usage("query and reference differ in width")
            .expected(format!("{} columns (reference)", reference.cols()))
            .found(format!("{} columns (query)", query.cols())));
    }
    check_size(reference.rows(), k, reference.rows())?;
    check_finite_matrix(query, "values to find neighbours for")?;
    check_finite_matrix(reference, "values to find neighbours in")?;
    let both = Prepared::new(&[query, reference], metric);
    let (q, r) = both.split(query.rows());
    Ok(search(&q, query, &r, reference, k, metric, false))
}

fn check_size(n: usize, k: usize, available: usize) -> Result<()> {
    if k == 0 || k > available {
        return Err(Error::usage("this number of neighbours does not exist")
            .expected(format!("k from 1 to {available} ({n} rows)"))
            .found(format!("k = {k}"))
            .remedy("lower k or use more cells"));
    }
    if u32::try_from(n).is_err() {
        return Err(Error::unsupported("too many rows for exact neighbours")
            .expected("fewer than 2^32 rows")
            .found(n.to_string()));
    }
    Ok(())
}
