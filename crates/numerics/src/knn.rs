//! Exact k nearest neighbours by brute force.
//!
//! Distances of all pairs come in blocks from an `f32` matrix product, `|x|^2 + |y|^2 - 2 xy`, on centred data.
//! That form cancels, so it is used only as a bracket: from the error bound of a floating-point dot product each
//! pair gets a lower and an upper bound, every pair that could be among the nearest is kept, and the kept ones
//! are measured directly in `f64` from the original values. The result is therefore exact, whatever the rounding.

use crate::dense::{check_finite_matrix, cross_f32};
use microtome_core::{Error, Matrix, Result};
use rayon::prelude::*;
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

/// Centred and scaled copy for the bracketing product.
struct Prepared {
    width: usize,
    /// `[n, width]`, entries within [-1, 1].
    rows: Vec<f32>,
    /// Squared norms of `rows`.
    squared: Vec<f32>,
}

impl Prepared {
    fn new(parts: &[&Matrix], metric: Metric) -> Self {
        let d = parts[0].cols();
        let n: usize = parts.iter().map(|p| p.rows()).sum();
        let source = || parts.iter().flat_map(|p| (0..p.rows()).map(|i| p.row(i)));
        let mut rows = vec![0.0f32; n * d];
        if metric == Metric::Euclidean {
            let mut mean = vec![0.0f64; d];
            for row in source() {
                mean.iter_mut().zip(row).for_each(|(m, &v)| *m += f64::from(v));
            }
            mean.iter_mut().for_each(|m| *m /= n.max(1) as f64);
            let largest = source()
                .flat_map(|row| row.iter().zip(&mean).map(|(&v, m)| (f64::from(v) - m).abs()))
                .fold(0.0, f64::max);
            let scale = if largest > 0.0 { 1.0 / largest } else { 0.0 };
            for (out, row) in rows.chunks_exact_mut(d.max(1)).zip(source()) {
                for ((o, &v), m) in out.iter_mut().zip(row).zip(&mean) {
                    *o = ((f64::from(v) - m) * scale) as f32;
                }
            }
        } else {
            for (out, row) in rows.chunks_exact_mut(d.max(1)).zip(source()) {
                let unit = unit(row, metric);
                out.iter_mut().zip(unit).for_each(|(o, v)| *o = v as f32);
            }
        }
        let squared = rows
            .chunks_exact(d.max(1))
            .map(|row| match metric {
                Metric::Euclidean => row.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>() as f32,
                // Unit length even for rows without direction, which puts them at distance 1 from everything.
                Metric::Cosine | Metric::Correlation => 1.0,
            })
            .collect();
        let squared = if d == 0 { vec![0.0; n] } else { squared };
        Self { width: d, rows, squared }
    }

    fn split(mut self, at: usize) -> (Self, Self) {
        let rows = self.rows.split_off(at * self.width);
        let squared = self.squared.split_off(at);
        let width = self.width;
        (self, Self { width, rows, squared })
    }
}

/// The row scaled to unit length (after centring for correlation); zeros when it has no direction.
fn unit(row: &[f32], metric: Metric) -> Vec<f64> {
    let mut v: Vec<f64> = row.iter().map(|&v| f64::from(v)).collect();
    if metric == Metric::Correlation {
        if row.iter().all(|&x| x == row[0]) {
            return vec![0.0; v.len()];
        }
        let mean = v.iter().sum::<f64>() / v.len() as f64;
        v.iter_mut().for_each(|x| *x -= mean);
    }
    let length = v.iter().map(|x| x * x).sum::<f64>().sqrt();
    if length > 0.0 {
        v.iter_mut().for_each(|x| *x /= length);
    }
    v
}

/// Exact measure of one pair, monotone in the distance: the squared distance, or the distance itself for angles.
struct Exact<'a> {
    query: Vec<f64>,
    directed: bool,
    reference: &'a Matrix,
    metric: Metric,
}

impl<'a> Exact<'a> {
    fn new(row: &[f32], reference: &'a Matrix, metric: Metric) -> Self {
        let query = match metric {
            Metric::Euclidean => row.iter().map(|&v| f64::from(v)).collect(),
            Metric::Cosine | Metric::Correlation => unit(row, metric),
        };
        let directed = query.iter().any(|&v| v != 0.0);
        Self { query, directed, reference, metric }
    }

    fn to(&self, j: u32) -> f64 {
        let row = self.reference.row(j as usize);
        match self.metric {
            Metric::Euclidean => squared_difference(&self.query, row.iter().map(|&v| f64::from(v))),
            Metric::Cosine | Metric::Correlation => {
                let other = unit(row, self.metric);
                if !self.directed || other.iter().all(|&v| v == 0.0) {
                    return 1.0;
                }
                // Half the squared chord: equal to 1 - cos without its cancellation.
                0.5 * squared_difference(&self.query, other.iter().copied())
            }
        }
    }

    fn distance(&self, measure: f64) -> f32 {
        match self.metric {
            Metric::Euclidean => measure.sqrt() as f32,
            Metric::Cosine | Metric::Correlation => measure as f32,
        }
    }
}

fn squared_difference(a: &[f64], b: impl Iterator<Item = f64>) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

const QUERY_BLOCK: usize = 192;
const REFERENCE_BLOCK: usize = 1024;

/// The candidates of one query.
struct Candidates {
    /// Lower bound and row.
    held: Vec<(f32, u32)>,
    /// Pairs with a lower bound above this are out.
    limit: f32,
    /// Set once `k` exact zeros with smaller row numbers are known: nothing later can enter.
    full: bool,
}

fn search(
    q: &Prepared,
    query: &Matrix,
    r: &Prepared,
    reference: &Matrix,
    k: usize,
    metric: Metric,
    exclude_self: bool,
) -> Knn {
    let (n, m, d) = (query.rows(), reference.rows(), q.width);
    // |fl(x.y) - x.y| <= (d eps / (1 - d eps)) |x||y| for any order of summation (Higham 2002, section 3.1); the
    // further terms cover rounding of the copies, of the norms and of the final sums. Written relative to
    // |x|^2 + |y|^2 >= 2 |x||y|.
    let relative = (d as f64 + 16.0) * f64::from(f32::EPSILON) * 2.0;
    let below = |squared: f32| (f64::from(squared) * (1.0 - relative) - 1e-30) as f32;
    let low_q: Vec<f32> = q.squared.iter().map(|&s| below(s)).collect();
    let low_r: Vec<f32> = r.squared.iter().map(|&s| below(s)).collect();
    let slack = |sum: f32| (f64::from(sum) * 2.0 * relative + 4e-30) as f32;
    let most = 4 * k + 256;

    let mut indices = vec![0u32; n * k];
    let mut distances = vec![0.0f32; n * k];
    indices
        .par_chunks_mut(QUERY_BLOCK * k)
        .zip(distances.par_chunks_mut(QUERY_BLOCK * k))
        .enumerate()
        .for_each_init(
            || vec![0.0f32; QUERY_BLOCK * REFERENCE_BLOCK],
            |dots, (block, (indices, distances))| {
                let first = block * QUERY_BLOCK;
                let rows = indices.len() / k;
                let exact: Vec<Exact<'_>> =
                    (first..first + rows).map(|i| Exact::new(query.row(i), reference, metric)).collect();
                let mut candidates: Vec<Candidates> = (0..rows)
                    .map(|_| Candidates { held: Vec::with_capacity(most), limit: f32::INFINITY, full: false })
                    .collect();
                for start in (0..m).step_by(REFERENCE_BLOCK) {
                    let columns = REFERENCE_BLOCK.min(m - start);
                    let dots = &mut dots[..rows * columns];
                    if d > 0 {
                        let a = &q.rows[first * d..(first + rows) * d];
                        cross_f32(a, &r.rows[start * d..(start + columns) * d], d, dots);
                    } else {
                        dots.fill(0.0);
                    }
                    for (local, list) in candidates.iter_mut().enumerate() {
                        if list.full {
                            continue;
                        }
                        let i = first + local;
                        let dots = &dots[local * columns..(local + 1) * columns];
                        let lows = &low_r[start..start + columns];
                        scan(list, low_q[i], dots, lows, start, exclude_self.then_some(i), |list| {
                            if list.held.len() >= most {
                                let upper = |&(low, j): &(f32, u32)| {
                                    low + slack(q.squared[i] + r.squared[j as usize])
                                };
                                tighten(list, k, upper);
                                if list.held.len() > most / 2 {
                                    tighten_exactly(list, k, &exact[local], |j| {
                                        slack(q.squared[i] + r.squared[j as usize])
                                    });
                                }
                            }
                        });
                    }
                }
                for (local, list) in candidates.iter().enumerate() {
                    let mut measured: Vec<(f64, u32)> =
                        list.held.iter().map(|&(_, j)| (exact[local].to(j), j)).collect();
                    measured.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                    for (slot, &(measure, j)) in measured[..k].iter().enumerate() {
                        indices[local * k + slot] = j;
                        distances[local * k + slot] = exact[local].distance(measure);
                    }
                }
            },
        );
    Knn { n, k, indices, distances }
}

/// Adds the columns of one block whose lower bound is within the limit.
fn scan(
    list: &mut Candidates,
    low_query: f32,
    dots: &[f32],
    lows: &[f32],
    start: usize,
    skip: Option<usize>,
    mut after: impl FnMut(&mut Candidates),
) {
    const STEP: usize = 16;
    for (step, (dots, lows)) in dots.chunks(STEP).zip(lows.chunks(STEP)).enumerate() {
        let mut low = [f32::INFINITY; STEP];
        for ((o, &dot), &l) in low.iter_mut().zip(dots).zip(lows) {
            *o = (low_query + l) - 2.0 * dot;
        }
        // Most steps hold nothing: one vectorised minimum decides.
        if low.iter().fold(f32::INFINITY, |a, &b| if b < a { b } else { a }) > list.limit {
            continue;
        }
        for (c, &value) in low[..dots.len()].iter().enumerate() {
            let j = start + step * STEP + c;
            if value <= list.limit && skip != Some(j) {
                list.held.push((value, j as u32));
            }
        }
        after(list);
        if list.full {
            return;
        }
    }
}

/// Lowers the limit to the k-th smallest upper bound and drops what is above it.
fn tighten(list: &mut Candidates, k: usize, upper: impl Fn(&(f32, u32)) -> f32) {
    let mut uppers: Vec<f32> = list.held.iter().map(&upper).collect();
    let (_, kth, _) = uppers.select_nth_unstable_by(k - 1, f32::total_cmp);
    list.limit = list.limit.min(*kth);
    list.held.retain(|&(low, _)| low <= list.limit);
}

/// Keeps exactly the best `k` so far. Used where bounds cannot tell candidates apart (many duplicates), so that
/// the list stays short for any input.
fn tighten_exactly(list: &mut Candidates, k: usize, exact: &Exact<'_>, slack: impl Fn(u32) -> f32) {
    let mut measured: Vec<(f64, (f32, u32))> = list.held.iter().map(|&c| (exact.to(c.1), c)).collect();
    measured.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.1.cmp(&b.1.1)));
    measured.truncate(k);
    list.held.clear();
    list.held.extend(measured.iter().map(|m| m.1));
    // Rows come in rising order, so a later row at distance 0 loses every tie.
    list.full = measured[k - 1].0 == 0.0;
    let reached = measured.iter().map(|&(_, (low, j))| low + slack(j)).fold(f32::NEG_INFINITY, f32::max);
    list.limit = list.limit.min(reached);
}
