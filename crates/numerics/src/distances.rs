//! Distances between all pairs of rows, handed out in blocks and never stored.
//!
//! A block comes from an `f64` matrix product, `|x|^2 + |y|^2 - 2 xy`, on centred rows. That form cancels for pairs
//! that are close compared with their distance from the centre; those are measured again directly, so that every
//! distance is good to about nine digits and equal rows are at distance exactly 0.

use crate::dense::check_finite_matrix;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use microtome_core::{Error, Matrix, Result};
use rayon::prelude::*;

/// How far apart two rows are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Distance {
    /// Square root of the sum of squared differences.
    #[default]
    Euclidean,
    /// Sum of squared differences.
    SquaredEuclidean,
    /// 1 - cosine of the angle, 0..2. A row of zeros has no angle: its distance to every other row is 1.
    Cosine,
}

/// Rows of one product; with [`REFERENCE_BLOCK`] the size of a block (1 MiB per thread).
const QUERY_BLOCK: usize = 128;
const REFERENCE_BLOCK: usize = 1024;
/// Pairs closer than this share of `|x|^2 + |y|^2` are measured directly.
const CANCELS: f64 = 1e-5;

/// Rows moved to a common centre (or scaled to unit length), with their squared lengths.
pub(crate) struct Prepared {
    pub(crate) width: usize,
    /// `[n, width]`.
    pub(crate) rows: Vec<f64>,
    pub(crate) squared: Vec<f64>,
}

impl Prepared {
    /// For Euclidean distances: `centre` is subtracted.
    pub(crate) fn centred(x: &Matrix, centre: &[f64]) -> Self {
        let row = |i: usize| x.row(i).iter().zip(centre).map(|(&v, c)| f64::from(v) - c);
        Self::from_rows(x, |i, out| out.iter_mut().zip(row(i)).for_each(|(o, v)| *o = v))
    }

    /// For cosine distances: unit length, zeros where a row has no direction.
    fn unit(x: &Matrix) -> Self {
        Self::from_rows(x, |i, out| {
            let length = x.row(i).iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt();
            let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
            out.iter_mut().zip(x.row(i)).for_each(|(o, &v)| *o = f64::from(v) * scale);
        })
    }

    fn from_rows(x: &Matrix, fill: impl Fn(usize, &mut [f64]) + Sync) -> Self {
        let (n, width) = (x.rows(), x.cols());
        let mut rows = vec![0.0; n * width];
        let mut squared = vec![0.0; n];
        if width > 0 {
            rows.par_chunks_mut(width).zip(&mut squared).enumerate().for_each(|(i, (row, squared))| {
                fill(i, row);
                *squared = row.iter().map(|v| v * v).sum();
            });
        }
        Self { width, rows, squared }
    }

    pub(crate) fn row(&self, i: usize) -> &[f64] {
        &self.rows[i * self.width..(i + 1) * self.width]
    }

    pub(crate) fn n(&self) -> usize {
        self.squared.len()
    }
}

/// Column means of all rows.
pub(crate) fn centre(x: &Matrix) -> Vec<f64> {
    let mut mean = vec![0.0; x.cols()];
    for i in 0..x.rows() {
        mean.iter_mut().zip(x.row(i)).for_each(|(m, &v)| *m += f64::from(v));
    }
    mean.iter_mut().for_each(|m| *m /= x.rows().max(1) as f64);
    mean
}

/// Squared distances of `count` rows of `q` from row `first` on to `columns` rows of `r` from `start` on, into
/// row-major `out [count, columns]`.
pub(crate) fn squared_block(
    q: &Prepared,
    first: usize,
    r: &Prepared,
    start: usize,
    columns: usize,
    out: &mut [f64],
) {
    let d = q.width;
    let count = out.len() / columns.max(1);
    if d == 0 {
        out.fill(0.0);
        return;
    }
    matmul(
        MatMut::from_row_major_slice_mut(out, count, columns),
        Accum::Replace,
        MatRef::from_row_major_slice(&q.rows[first * d..(first + count) * d], count, d),
        MatRef::from_row_major_slice(&r.rows[start * d..(start + columns) * d], columns, d).transpose(),
        1.0,
        Par::Seq,
    );
    for (local, out) in out.chunks_exact_mut(columns).enumerate() {
        let i = first + local;
        let own = q.squared[i];
        let mut closest = f64::INFINITY;
        for (o, s) in out.iter_mut().zip(&r.squared[start..start + columns]) {
            let sum = own + s;
            *o = sum - 2.0 * *o;
            closest = closest.min(*o - CANCELS * sum);
        }
        if closest >= 0.0 {
            continue;
        }
        for (column, o) in out.iter_mut().enumerate() {
            let j = start + column;
            if *o < CANCELS * (own + r.squared[j]) {
                *o = q.row(i).iter().zip(r.row(j)).map(|(a, b)| (a - b) * (a - b)).sum();
            }
        }
    }
}

/// Visits the distances of every query row to all reference rows, in rising order of reference rows.
///
/// `start(i)` makes the state of query row `i`, `add(state, first, distances)` takes the distances to reference rows
/// from `first` on, `finish(state)` makes the answer; answers come in the order of the query rows. Memory: one
/// `f64` copy of the rows and a block per thread. Time: `n m d`.
///
/// Errors when widths differ or a value is NaN or infinite.
pub fn fold_distances<A, T: Send>(
    query: &Matrix,
    reference: &Matrix,
    distance: Distance,
    start: impl Fn(usize) -> A + Sync,
    add: impl Fn(&mut A, usize, &[f64]) + Sync,
    finish: impl Fn(A) -> T + Sync,
) -> Result<Vec<T>> {
    if query.cols() != reference.cols() {
        return Err(Error::usage("rows to compare differ in width")
            .expected(format!("{} columns", reference.cols()))
            .found(format!("{} columns", query.cols())));
    }
    check_finite_matrix(reference, "values to compare")?;
    let same = std::ptr::eq(query, reference);
    if !same {
        check_finite_matrix(query, "values to compare")?;
    }
    let prepare = |x: &Matrix| match distance {
        Distance::Cosine => Prepared::unit(x),
        Distance::Euclidean | Distance::SquaredEuclidean => Prepared::centred(x, &centre(reference)),
    };
    let r = prepare(reference);
    let own = (!same).then(|| prepare(query));
    let q = own.as_ref().unwrap_or(&r);
    let blocks: Vec<usize> = (0..q.n()).step_by(QUERY_BLOCK).collect();
    let answers: Vec<Vec<T>> = blocks
        .into_par_iter()
        .map_init(
            || vec![0.0; QUERY_BLOCK * REFERENCE_BLOCK],
            |buffer, first| {
                let count = QUERY_BLOCK.min(q.n() - first);
                let mut states: Vec<A> = (first..first + count).map(&start).collect();
                for at in (0..r.n()).step_by(REFERENCE_BLOCK) {
                    let columns = REFERENCE_BLOCK.min(r.n() - at);
                    let block = &mut buffer[..count * columns];
                    squared_block(q, first, &r, at, columns, block);
                    for (local, (state, row)) in
                        states.iter_mut().zip(block.chunks_exact_mut(columns)).enumerate()
                    {
                        from_squares(row, distance, q.squared[first + local], &r.squared[at..at + columns]);
                        if same && (at..at + columns).contains(&(first + local)) {
                            row[first + local - at] = 0.0;
                        }
                        add(state, at, row);
                    }
                }
                states.into_iter().map(&finish).collect()
            },
        )
        .collect();
    Ok(answers.into_iter().flatten().collect())
}

fn from_squares(row: &mut [f64], distance: Distance, own: f64, others: &[f64]) {
    match distance {
        Distance::SquaredEuclidean => row.iter_mut().for_each(|v| *v = v.max(0.0)),
        Distance::Euclidean => row.iter_mut().for_each(|v| *v = v.max(0.0).sqrt()),
        Distance::Cosine => {
            for (v, &other) in row.iter_mut().zip(others) {
                let directed = own > 0.0 && other > 0.0;
                *v = if directed { (0.5 * *v).clamp(0.0, 2.0) } else { 1.0 };
            }
        }
    }
}

/// Sums of distances of every query row to the members of each group of reference rows.
///
/// `groups[j]` is the group of reference row `j`, below `n_groups`; `visit(i, sums)` sees the `n_groups` sums of query
/// row `i` and makes its answer. Memory does not grow with the number of groups beyond one block of rows.
///
/// Errors when `groups` does not fit, widths differ, or a value is NaN or infinite.
pub fn sums_to_groups<T: Send>(
    query: &Matrix,
    reference: &Matrix,
    groups: &[u32],
    n_groups: usize,
    distance: Distance,
    visit: impl Fn(usize, &[f64]) -> T + Sync,
) -> Result<Vec<T>> {
    if groups.len() != reference.rows() || groups.iter().any(|&g| g as usize >= n_groups) {
        return Err(Error::usage("groups do not fit the rows")
            .expected(format!("{} groups below {n_groups}", reference.rows()))
            .found(format!("{} groups, largest {:?}", groups.len(), groups.iter().max())));
    }
    // Members of a group side by side, so that a sum runs over consecutive distances.
    let mut order: Vec<usize> = (0..groups.len()).collect();
    order.sort_by_key(|&j| groups[j]);
    let mut ends = vec![0usize; n_groups];
    groups.iter().for_each(|&g| ends[g as usize] += 1);
    let mut total = 0;
    for end in &mut ends {
        total += *end;
        *end = total;
    }
    let sorted = reference.select_rows(&order);
    let add = |state: &mut (usize, usize, Vec<f64>), first: usize, distances: &[f64]| {
        let (_, group, sums) = state;
        let mut at = 0;
        while at < distances.len() {
            while ends[*group] <= first + at {
                *group += 1;
            }
            let end = (ends[*group] - first).min(distances.len());
            sums[*group] += sum(&distances[at..end]);
            at = end;
        }
    };
    fold_distances(
        query,
        &sorted,
        distance,
        |i| (i, 0, vec![0.0; n_groups]),
        add,
        |(i, _, sums)| visit(i, &sums),
    )
}

/// Sum in eight lanes, so that additions overlap; the order is fixed.
fn sum(values: &[f64]) -> f64 {
    let mut lanes = [0.0; 8];
    let chunks = values.chunks_exact(8);
    let rest: f64 = chunks.remainder().iter().sum();
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(l, v)| *l += v);
    }
    lanes.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resample::Rng;

    fn random(n: usize, d: usize, seed: u64) -> Matrix {
        let mut rng = Rng::new(seed);
        Matrix::new(n, d, (0..n * d).map(|_| rng.normal() as f32 + 100.0).collect()).unwrap()
    }

    fn direct(a: &[f32], b: &[f32], distance: Distance) -> f64 {
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
        };
        let squared: f64 = a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum();
        match distance {
            Distance::Euclidean => squared.sqrt(),
            Distance::SquaredEuclidean => squared,
            Distance::Cosine => 1.0 - dot(a, b) / (dot(a, a) * dot(b, b)).sqrt(),
        }
    }

    #[test]
    fn every_block_equals_direct_measurement() {
        let mut x = random(300, 7, 1);
        for c in 0..7 {
            // A duplicate and a near duplicate, far from the centre.
            let v = x.row(3)[c] + 1e4;
            x.row_mut(4)[c] = v;
            x.row_mut(200)[c] = v;
            x.row_mut(201)[c] = v + 0.01;
        }
        let y = random(1500, 7, 2);
        for distance in [Distance::Euclidean, Distance::SquaredEuclidean, Distance::Cosine] {
            for reference in [&x, &y] {
                let all = fold_distances(
                    &x,
                    reference,
                    distance,
                    |_| Vec::new(),
                    |v: &mut Vec<f64>, first, d| {
                        assert_eq!(v.len(), first);
                        v.extend_from_slice(d);
                    },
                    |v| v,
                )
                .unwrap();
                for (i, row) in all.iter().enumerate() {
                    for (j, &got) in row.iter().enumerate() {
                        let want = direct(x.row(i), reference.row(j), distance);
                        assert!(
                            (got - want).abs() <= 1e-9 * want + 1e-13,
                            "{distance:?} {i} {j}: {got} {want}"
                        );
                    }
                }
            }
        }
        let zero =
            fold_distances(&x, &x, Distance::Euclidean, |_| 0.0, |s, _, d| *s += d[200], |s| s).unwrap();
        assert_eq!(zero[4], 0.0, "equal rows are at distance 0");
    }

    #[test]
    fn rows_of_zeros_have_no_angle() {
        let x = Matrix::new(3, 2, vec![0.0, 0.0, 0.0, 0.0, 1.0, 1.0]).unwrap();
        let all = fold_distances(
            &x,
            &x,
            Distance::Cosine,
            |_| vec![],
            |v, _, d| v.extend_from_slice(d),
            |v: Vec<f64>| v,
        );
        assert_eq!(all.unwrap(), [vec![0.0, 1.0, 1.0], vec![1.0, 0.0, 1.0], vec![1.0, 1.0, 0.0]]);
    }

    #[test]
    fn sums_equal_a_loop_over_members() {
        let (x, y) = (random(50, 3, 1), random(2100, 3, 5));
        let groups: Vec<u32> = (0..2100).map(|j| [0, 2, 3, 2][j % 4]).collect();
        let got = sums_to_groups(&x, &y, &groups, 5, Distance::Euclidean, |_, s| s.to_vec()).unwrap();
        for (i, sums) in got.iter().enumerate() {
            let mut want = [0.0; 5];
            for j in 0..2100 {
                want[groups[j] as usize] += direct(x.row(i), y.row(j), Distance::Euclidean);
            }
            assert!(sums.iter().zip(&want).all(|(a, b)| (a - b).abs() <= 1e-10 * b), "{sums:?} {want:?}");
        }
        assert!(sums_to_groups(&x, &y, &groups, 3, Distance::Euclidean, |_, _| ()).is_err());
        assert!(sums_to_groups(&x, &y, &groups[1..], 5, Distance::Euclidean, |_, _| ()).is_err());
    }

    #[test]
    fn nothing_in_nothing_out() {
        let empty = Matrix::zeros(0, 3);
        let some = Matrix::zeros(2, 3);
        assert!(
            sums_to_groups(&empty, &some, &[0, 0], 1, Distance::Euclidean, |_, _| ()).unwrap().is_empty()
        );
        let sums = sums_to_groups(&some, &empty, &[], 2, Distance::Cosine, |_, s| s.to_vec()).unwrap();
        assert_eq!(sums, [vec![0.0; 2], vec![0.0; 2]]);
        let bad = Matrix::new(1, 3, vec![f32::NAN, 0.0, 0.0]).unwrap();
        assert!(sums_to_groups(&bad, &some, &[0, 0], 1, Distance::Euclidean, |_, _| ()).is_err());
    }
}
