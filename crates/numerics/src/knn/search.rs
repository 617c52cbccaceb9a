//! The blocked search: bracket all pairs, keep what could be near, measure that exactly.

use super::measure::{Exact, Prepared};
use super::{Knn, Metric};
use crate::dense::cross_f32;
use microtome_core::Matrix;
use rayon::prelude::*;

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

pub(super) fn search(
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
