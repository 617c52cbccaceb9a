//! k-means: greedy k-means++ starts (Arthur and Vassilvitskii 2007) and Lloyd's iterations.

use crate::dense::check_finite_matrix;
use crate::distances::{Prepared, centre, squared_block};
use crate::resample::Rng;
use microtome_core::{Error, Matrix, Result};
use rayon::prelude::*;

/// Choices of [`kmeans`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KMeansOptions {
    /// Independent starts; the one with the least inertia is kept (the first of equals).
    pub n_init: usize,
    /// Most iterations of one start.
    pub max_iter: usize,
    /// Stop once the centres move less than this share of the mean variance of the columns (squared distance).
    pub tolerance: f64,
    /// Seed of the starts.
    pub seed: u64,
}

impl Default for KMeansOptions {
    fn default() -> Self {
        Self { n_init: 10, max_iter: 300, tolerance: 1e-4, seed: 0 }
    }
}

/// A partition around means.
#[derive(Clone, Debug, PartialEq)]
pub struct KMeans {
    /// Cluster of every row, below `k`.
    pub labels: Vec<u32>,
    /// Means, `[k, d]`.
    pub centres: Matrix,
    /// Sum of squared distances of rows to the mean of their cluster.
    pub inertia: f64,
    /// Iterations of the start that was kept.
    pub n_iter: usize,
}

/// Partitions rows into `k` clusters. The same seed gives the same answer on any number of threads.
///
/// Errors when `k` is 0 or above the number of rows, `n_init` is 0, or a value is NaN or infinite. With fewer distinct
/// rows than `k` some clusters stay empty.
pub fn kmeans(x: &Matrix, k: usize, options: &KMeansOptions) -> Result<KMeans> {
    if k == 0 || k > x.rows() || u32::try_from(k).is_err() {
        return Err(Error::usage("this number of clusters does not exist")
            .expected(format!("k from 1 to {} (number of rows)", x.rows()))
            .found(format!("k = {k}")));
    }
    if options.n_init == 0 {
        return Err(Error::usage("k-means needs a start").expected("n_init of at least 1").found("0"));
    }
    check_finite_matrix(x, "values to cluster")?;
    let middle = centre(x);
    let rows = Prepared::centred(x, &middle);
    let variance = rows.squared.iter().sum::<f64>() / (rows.n() * rows.width.max(1)) as f64;
    let mut best: Option<Run> = None;
    for start in 0..options.n_init {
        let mut rng = Rng::stream(options.seed, start as u64);
        let run = lloyd(&rows, plus_plus(&rows, k, &mut rng), options.max_iter, options.tolerance * variance);
        if best.as_ref().is_none_or(|b| run.inertia < b.inertia) {
            best = Some(run);
        }
    }
    let run = best.ok_or_else(|| Error::usage("k-means needs a start"))?;
    let d = rows.width;
    let centres = run.centres.iter().enumerate().map(|(i, v)| (v + middle[i % d]) as f32).collect();
    Ok(KMeans {
        labels: run.labels,
        centres: Matrix::new(k, d, centres)?,
        inertia: run.inertia,
        n_iter: run.n_iter,
    })
}

struct Run {
    labels: Vec<u32>,
    centres: Vec<f64>,
    inertia: f64,
    n_iter: usize,
}

fn squared(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// Rows per unit of parallel work; fixed, so that sums never depend on the number of threads.
const CHUNK: usize = 512;

/// Starting centres: each is the best of `2 + ln k` rows drawn in proportion to the squared distance to the nearest
/// centre so far.
fn plus_plus(rows: &Prepared, k: usize, rng: &mut Rng) -> Vec<f64> {
    let n = rows.n();
    let trials = 2 + libm::log(k as f64) as usize;
    let first = rng.below(n);
    let mut centres = rows.row(first).to_vec();
    let mut nearest: Vec<f64> =
        (0..n).into_par_iter().map(|i| squared(rows.row(i), rows.row(first))).collect();
    for _ in 1..k {
        let mut cumulated = nearest.clone();
        let mut total = 0.0;
        for v in &mut cumulated {
            total += *v;
            *v = total;
        }
        let draws: Vec<usize> = (0..trials)
            .map(|_| {
                let at = rng.uniform() * total;
                cumulated.partition_point(|&c| c <= at).min(n - 1)
            })
            .collect();
        let options: Vec<Vec<f64>> = draws
            .par_iter()
            .map(|&c| (0..n).map(|i| squared(rows.row(i), rows.row(c)).min(nearest[i])).collect())
            .collect();
        let potential: Vec<f64> = options.iter().map(|o| o.iter().sum()).collect();
        let best = (1..trials).fold(0, |b, t| if potential[t] < potential[b] { t } else { b });
        centres.extend_from_slice(rows.row(draws[best]));
        nearest.clone_from(&options[best]);
    }
    centres
}

/// Nearest centre (smallest number of equals) and squared distance of every row.
fn assign(rows: &Prepared, centres: &Prepared) -> Vec<(u32, f64)> {
    let k = centres.n();
    let starts: Vec<usize> = (0..rows.n()).step_by(CHUNK).collect();
    starts
        .into_par_iter()
        .flat_map_iter(|first| {
            let count = CHUNK.min(rows.n() - first);
            let mut block = vec![0.0; count * k];
            squared_block(rows, first, centres, 0, k, &mut block);
            let nearest = |row: &[f64]| {
                let best = (1..k).fold(0, |b, c| if row[c] < row[b] { c } else { b });
                (best as u32, row[best].max(0.0))
            };
            block.chunks_exact(k).map(nearest).collect::<Vec<_>>()
        })
        .collect()
}

fn prepared(centres: &[f64], k: usize, width: usize) -> Prepared {
    let squared = (0..k).map(|c| centres[c * width..(c + 1) * width].iter().map(|v| v * v).sum()).collect();
    Prepared { width, rows: centres.to_vec(), squared }
}

fn lloyd(rows: &Prepared, mut centres: Vec<f64>, max_iter: usize, tolerance: f64) -> Run {
    let d = rows.width;
    let k = centres.len().checked_div(d).unwrap_or(1);
    let mut assigned = assign(rows, &prepared(&centres, k, d));
    let mut n_iter = 0;
    while n_iter < max_iter {
        n_iter += 1;
        let moved = means(rows, &assigned, k, &centres);
        let shift = squared(&moved, &centres);
        centres = moved;
        let next = assign(rows, &prepared(&centres, k, d));
        let settled = next.iter().zip(&assigned).all(|(a, b)| a.0 == b.0);
        assigned = next;
        if settled || shift <= tolerance {
            break;
        }
    }
    Run {
        inertia: assigned.iter().map(|a| a.1).sum(),
        labels: assigned.into_iter().map(|a| a.0).collect(),
        centres,
        n_iter,
    }
}

/// Means of the clusters. An empty cluster takes over the row that is farthest from its own mean; where no row is
/// away from its mean there is nothing to take, and the old centre stays.
fn means(rows: &Prepared, assigned: &[(u32, f64)], k: usize, old: &[f64]) -> Vec<f64> {
    let d = rows.width;
    let starts: Vec<usize> = (0..rows.n()).step_by(CHUNK).collect();
    let mut sums = vec![0.0; k * d];
    let mut sizes = vec![0usize; k];
    // In groups, so that partial sums need the memory of a few sets of centres only.
    for group in starts.chunks(32) {
        let parts: Vec<Vec<f64>> = group
            .par_iter()
            .map(|&first| {
                let mut part = vec![0.0; k * d];
                for (i, &(c, _)) in assigned.iter().enumerate().skip(first).take(CHUNK) {
                    let c = c as usize;
                    part[c * d..(c + 1) * d].iter_mut().zip(rows.row(i)).for_each(|(s, v)| *s += v);
                }
                part
            })
            .collect();
        for part in parts {
            sums.iter_mut().zip(part).for_each(|(s, v)| *s += v);
        }
    }
    assigned.iter().for_each(|a| sizes[a.0 as usize] += 1);
    let mut far: Vec<usize> = Vec::new();
    if sizes.contains(&0) {
        far = (0..rows.n()).filter(|&i| assigned[i].1 > 0.0).collect();
        far.sort_by(|&a, &b| assigned[b].1.total_cmp(&assigned[a].1).then(a.cmp(&b)));
    }
    let mut far = far.into_iter();
    for c in 0..k {
        let range = c * d..(c + 1) * d;
        if sizes[c] > 0 {
            continue;
        }
        let Some(i) = far.find(|&i| sizes[assigned[i].0 as usize] > 1) else {
            sums[range.clone()].copy_from_slice(&old[range]);
            sizes[c] = 1;
            continue;
        };
        let donor = assigned[i].0 as usize;
        sizes[donor] -= 1;
        sums[donor * d..(donor + 1) * d].iter_mut().zip(rows.row(i)).for_each(|(s, v)| *s -= v);
        sums[range].copy_from_slice(rows.row(i));
        sizes[c] = 1;
    }
    for (c, size) in sizes.iter().enumerate() {
        sums[c * d..(c + 1) * d].iter_mut().for_each(|v| *v /= *size as f64);
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blobs(n: usize, k: usize, spread: f64) -> (Matrix, Vec<u32>) {
        let mut rng = Rng::new(11);
        let mut data = vec![];
        let mut truth = vec![];
        for i in 0..n {
            let c = i % k;
            truth.push(c as u32);
            for j in 0..4 {
                let middle = if j == c % 4 { 10.0 * (1 + c / 4) as f64 } else { 0.0 };
                data.push((middle + spread * rng.normal()) as f32);
            }
        }
        (Matrix::new(n, 4, data).unwrap(), truth)
    }

    #[test]
    fn finds_separated_blobs_and_is_deterministic() {
        let (x, truth) = blobs(1500, 6, 0.3);
        let fit = kmeans(&x, 6, &KMeansOptions::default()).unwrap();
        for i in 0..1500 {
            for j in (0..i).step_by(97) {
                assert_eq!(fit.labels[i] == fit.labels[j], truth[i] == truth[j]);
            }
        }
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let again = one.install(|| kmeans(&x, 6, &KMeansOptions::default()).unwrap());
        assert_eq!(fit, again);
        // Inertia is the sum of squared distances to the reported means.
        let direct: f64 = (0..1500)
            .map(|i| {
                let c = fit.centres.row(fit.labels[i] as usize);
                x.row(i).iter().zip(c).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>()
            })
            .sum();
        assert!((fit.inertia - direct).abs() < 1e-4 * direct);
    }

    #[test]
    fn inertia_falls_with_k_and_is_zero_for_every_row_its_own() {
        let (x, _) = blobs(40, 4, 1.0);
        let inertia: Vec<f64> = [1, 2, 4, 8, 40]
            .iter()
            .map(|&k| kmeans(&x, k, &KMeansOptions::default()).unwrap().inertia)
            .collect();
        assert!(inertia.windows(2).all(|w| w[1] < w[0]), "{inertia:?}");
        assert!(inertia[4] < 1e-9);
    }

    #[test]
    fn duplicates_constants_and_bad_requests() {
        let same = Matrix::new(5, 2, vec![1.0; 10]).unwrap();
        let fit = kmeans(&same, 3, &KMeansOptions::default()).unwrap();
        assert!(fit.labels.iter().all(|&l| l == fit.labels[0]) && fit.inertia == 0.0);
        let none = Matrix::zeros(4, 0);
        assert_eq!(kmeans(&none, 1, &KMeansOptions::default()).unwrap().labels, [0; 4]);
        assert!(kmeans(&same, 0, &KMeansOptions::default()).is_err());
        assert!(kmeans(&same, 6, &KMeansOptions::default()).is_err());
        let bad = Matrix::new(2, 1, vec![f32::INFINITY, 0.0]).unwrap();
        assert!(kmeans(&bad, 1, &KMeansOptions::default()).is_err());
    }
}
