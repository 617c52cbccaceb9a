//! Palantir's pseudotime (Setty et al. 2019, Nat. Biotechnol. 37:451; palantir 1.4): distances along a graph in a
//! multiscale diffusion space, seen from waypoints and averaged.

use crate::graph::{Graph, components, distance_graph, shortest_paths};
use crate::knn::{Metric, exact_knn};
use crate::krylov::{Which, leading};
use crate::ranks::pearson;
use crate::resample::Rng;
use microtome_core::{Error, Matrix, Result};
use rayon::prelude::*;

/// Choices of [`palantir`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PalantirOptions {
    /// Neighbours of a cell, the cell itself included, in both graphs.
    pub neighbours: usize,
    /// Diffusion components, of which the eigengap chooses.
    pub components: usize,
    /// Waypoints.
    pub waypoints: usize,
    /// Seed of the first waypoints.
    pub seed: u64,
}

impl Default for PalantirOptions {
    fn default() -> Self {
        Self { neighbours: 30, components: 10, waypoints: 1200, seed: 0 }
    }
}

/// Rounds in which pseudotime is refined, and the correlation between rounds at which it stops.
const ROUNDS: usize = 25;
const SETTLED: f64 = 0.9999;

/// Pseudotime of every cell from `early`, 0..1. `x [cell, component]` is usually principal components.
///
/// The start is the extreme cell of a diffusion component that lies nearest to `early`, as published.
///
/// Errors when numbers are out of range, a value is not finite, or either neighbour graph falls apart, where the
/// published repair joins parts by a guess.
pub fn palantir(x: &Matrix, early: usize, options: &PalantirOptions) -> Result<Vec<f64>> {
    let n = x.rows();
    if early >= n
        || options.neighbours < 6
        || options.components < 4
        || options.components >= n
        || options.waypoints == 0
    {
        return Err(Error::usage("Palantir setting out of range")
            .expected(format!(
                "an early cell below {n}, at least 6 neighbours, 4 to {} components, waypoints",
                n.saturating_sub(1)
            ))
            .found(format!("cell {early}, {options:?}")));
    }
    let space = multiscale(x, options)?;
    let graph = distance_graph(&exact_knn(&space, options.neighbours - 1, Metric::Euclidean)?)?;
    connected(&graph)?;
    let start = start(&space, early);
    let mut points = waypoints(&space, options.waypoints, &mut Rng::new(options.seed));
    points.retain(|&w| w != start);
    points.insert(0, start);
    let distances: Vec<Vec<f64>> =
        points.par_iter().map(|&w| shortest_paths(&graph, w)).collect::<Result<_>>()?;
    refine(&points, &distances)
}

fn connected(graph: &Graph) -> Result<()> {
    match components(graph).n() {
        1 => Ok(()),
        parts => Err(Error::mismatch(format!("the neighbour graph falls into {parts} parts"))
            .expected("one connected graph")
            .remedy("use more neighbours, or score the parts one by one")),
    }
}

/// Diffusion components of an adaptive kernel, scaled by `lambda / (1 - lambda)`, each to 0..1.
fn multiscale(x: &Matrix, o: &PalantirOptions) -> Result<Matrix> {
    let knn = exact_knn(x, o.neighbours - 1, Metric::Euclidean)?;
    let adaptive = o.neighbours / 3;
    let directed: Vec<f64> = (0..knn.n)
        .flat_map(|i| {
            let distances = knn.row(i).1;
            let width = f64::from(distances[adaptive - 1]);
            distances.iter().map(move |&d| if width > 0.0 { (-f64::from(d) / width).exp() } else { 1.0 })
        })
        .collect();
    let kernel = Graph::symmetrise(knn.n, knn.k, &knn.indices, &directed, |a, b| a + b);
    connected(&kernel)?;
    let degrees = kernel.degrees();
    // The random walk's spectrum is that of a symmetric matrix; its vectors follow by scaling rows.
    let symmetric = kernel.map(|i, j, w| w / (degrees[i] * degrees[j]).sqrt());
    let pairs = leading(&symmetric, o.components, Which::LargestMagnitude, 1e-11, o.seed, &[])?;
    let k = pairs.values.len();
    let mut order: Vec<usize> = (0..k).collect();
    order.sort_by(|&a, &b| pairs.values[b].total_cmp(&pairs.values[a]));
    let used = eigengap(&order.iter().map(|&c| pairs.values[c]).collect::<Vec<_>>());
    let mut out = Matrix::zeros(knn.n, used - 1);
    for (column, &c) in order[1..used].iter().enumerate() {
        let vector: Vec<f64> = (0..knn.n).map(|i| pairs.vectors[i * k + c] / degrees[i].sqrt()).collect();
        let scale = pairs.values[c] / (1.0 - pairs.values[c]);
        let scaled = vector.iter().map(|v| v * scale);
        let (low, high) =
            scaled.clone().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        for (i, v) in scaled.enumerate() {
            out.row_mut(i)[column] = if high > low { ((v - low) / (high - low)) as f32 } else { 0.0 };
        }
    }
    Ok(out)
}

/// Components up to the largest gap between falling eigenvalues, the second largest where that leaves fewer than three.
fn eigengap(values: &[f64]) -> usize {
    let mut gaps: Vec<(f64, usize)> =
        values.windows(2).enumerate().map(|(i, w)| (w[0] - w[1], i + 1)).collect();
    gaps.sort_by(|a, b| b.0.total_cmp(&a.0));
    let first = gaps.first().map_or(values.len(), |g| g.1);
    let chosen = if first < 3 { gaps.get(1).map_or(first, |g| g.1) } else { first };
    chosen.clamp(2, values.len())
}

fn squared(x: &Matrix, a: usize, b: usize) -> f64 {
    x.row(a).iter().zip(x.row(b)).map(|(p, q)| (f64::from(*p) - f64::from(*q)).powi(2)).sum()
}

/// The cell at an end of a component that lies nearest to the early one.
fn start(space: &Matrix, early: usize) -> usize {
    let mut ends = vec![];
    for c in 0..space.cols() {
        let value = |i: usize| space.row(i)[c];
        let pick = |better: fn(f32, f32) -> bool| {
            (0..space.rows()).fold(0, |best, i| if better(value(i), value(best)) { i } else { best })
        };
        ends.push(pick(|a, b| a > b));
        ends.push(pick(|a, b| a < b));
    }
    ends.into_iter()
        .min_by(|&a, &b| squared(space, a, early).total_cmp(&squared(space, b, early)))
        .unwrap_or(early)
}

/// Max-min sampling along every component: the next waypoint is the cell farthest from those there are.
fn waypoints(space: &Matrix, wanted: usize, rng: &mut Rng) -> Vec<usize> {
    let (n, d) = (space.rows(), space.cols());
    let rounds = (wanted / d.max(1)).max(1);
    let mut out = vec![];
    for c in 0..d {
        let value = |i: usize| f64::from(space.row(i)[c]);
        let first = rng.below(n);
        let mut chosen = vec![first];
        let mut nearest: Vec<f64> = (0..n).map(|i| (value(i) - value(first)).abs()).collect();
        for _ in 1..rounds.min(n) {
            let next = (0..n).fold(0, |best, i| if nearest[i] > nearest[best] { i } else { best });
            chosen.push(next);
            nearest.iter_mut().enumerate().for_each(|(i, d)| *d = d.min((value(i) - value(next)).abs()));
        }
        out.extend(chosen);
    }
    out.sort_unstable();
    out.dedup();
    out
}

/// Weighted mean over waypoints of the distance from the start as each waypoint sees it, until it settles.
fn refine(points: &[usize], distances: &[Vec<f64>]) -> Result<Vec<f64>> {
    let n = distances[0].len();
    let all = (distances.len() * n) as f64;
    let mean = distances.iter().flatten().sum::<f64>() / all;
    let variance = distances.iter().flatten().map(|d| (d - mean).powi(2)).sum::<f64>() / all;
    let width = variance.sqrt() * 1.06 * all.powf(-0.2);
    let kernel = |d: f64| if width > 0.0 { (-0.5 * (d / width) * (d / width)).exp() } else { 1.0 };
    let totals: Vec<f64> = (0..n).map(|i| distances.iter().map(|d| kernel(d[i])).sum()).collect();
    let mut time = distances[0].clone();
    for _ in 1..ROUNDS {
        let next: Vec<f64> = (0..n)
            .into_par_iter()
            .map(|i| {
                let seen = |w: usize| {
                    if w == 0 {
                        return distances[0][i];
                    }
                    let own = time[points[w]];
                    own + if time[i] < own { -distances[w][i] } else { distances[w][i] }
                };
                let sum: f64 = (0..points.len()).map(|w| kernel(distances[w][i]) * seen(w)).sum();
                if totals[i] > 0.0 { sum / totals[i] } else { time[i] }
            })
            .collect();
        let settled = pearson(&time, &next)?.is_none_or(|r| r > SETTLED);
        time = next;
        if settled {
            break;
        }
    }
    let (low, high) = time.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), &v| (l.min(v), h.max(v)));
    Ok(time.iter().map(|t| if high > low { (t - low) / (high - low) } else { 0.0 }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An arc of noisy cells: pseudotime follows it from the early end.
    #[test]
    fn an_arc_is_followed() {
        let mut rng = Rng::new(4);
        let n = 300;
        let truth: Vec<f64> = (0..n).map(|i| i as f64 / n as f64).collect();
        let data: Vec<f32> = truth
            .iter()
            .flat_map(|t| {
                [
                    (3.0 * t).cos() + 0.02 * rng.normal(),
                    (3.0 * t).sin() + 0.02 * rng.normal(),
                    0.02 * rng.normal(),
                ]
            })
            .map(|v| v as f32)
            .collect();
        let x = Matrix::new(n, 3, data).unwrap();
        let options = PalantirOptions { waypoints: 120, ..PalantirOptions::default() };
        let time = palantir(&x, 2, &options).unwrap();
        let rho = crate::spearman(&truth, &time).unwrap().unwrap();
        assert!(rho > 0.98, "{rho}");
        assert_eq!(palantir(&x, 2, &options).unwrap(), time);
        assert!(palantir(&x, n, &options).is_err());
        let mut apart = x.clone();
        (0..100).for_each(|i| apart.row_mut(i)[0] += 1000.0);
        assert!(palantir(&apart, 2, &options).unwrap_err().what().contains("parts"));
    }
}
