//! Soft clusters with a penalty on clusters that one batch dominates.

use super::{HarmonyOptions, Version};
use crate::kmeans::{KMeansOptions, kmeans};
use crate::resample::Rng;
use microtome_core::{Matrix, Result};
use rayon::prelude::*;

/// Cells, clusters and shares.
pub(super) struct State {
    pub(super) version: Version,
    pub(super) n: usize,
    pub(super) d: usize,
    pub(super) k: usize,
    /// Batch of every cell.
    pub(super) batch: Vec<usize>,
    /// Cells of every batch.
    pub(super) sizes: Vec<f64>,
    /// Membership, `[cell, cluster]`, rows sum to 1.
    pub(super) r: Vec<f64>,
    /// Expected and observed members, `[cluster, batch]`.
    pub(super) expected: Vec<f64>,
    pub(super) observed: Vec<f64>,
    theta: Vec<f64>,
    sigma: f64,
    /// Cells of unit length, `[cell, component]`.
    cells: Vec<f64>,
    /// Centres of unit length, `[cluster, component]`.
    centres: Vec<f64>,
    /// `2 (1 - cosine)`, `[cell, cluster]`.
    distances: Vec<f64>,
    objective: f64,
}

/// Rounds over which the objective is averaged to see whether it still moves.
const WINDOW: usize = 3;

pub(super) fn unit_rows(x: &[f64], d: usize) -> Vec<f64> {
    let mut out = x.to_vec();
    for row in out.chunks_exact_mut(d) {
        let length = row.iter().map(|v| v * v).sum::<f64>().sqrt();
        if length > 0.0 {
            row.iter_mut().for_each(|v| *v /= length);
        }
    }
    out
}

impl State {
    pub(super) fn new(
        x: &Matrix,
        original: &[f64],
        batch: Vec<usize>,
        n_batches: usize,
        options: &HarmonyOptions,
    ) -> Result<Self> {
        let (n, d) = (x.rows(), x.cols());
        // Python's and R's rounding differ only at halves, which is one cluster more or less.
        let k = options.clusters.unwrap_or_else(|| ((n as f64 / 30.0).round() as usize).clamp(1, 100)).min(n);
        let cells = unit_rows(original, d);
        let matrix = Matrix::new(n, d, cells.iter().map(|&v| v as f32).collect())?;
        let start = KMeansOptions { n_init: 1, max_iter: 25, seed: options.seed, ..KMeansOptions::default() };
        let found = kmeans(&matrix, k, &start)?;
        let centres = unit_rows(&found.centres.data().iter().map(|&v| f64::from(v)).collect::<Vec<_>>(), d);
        let mut sizes = vec![0.0; n_batches];
        batch.iter().for_each(|&b| sizes[b] += 1.0);
        let guarded = |cells: f64| {
            let share = cells / (k as f64 * options.tau);
            if options.tau > 0.0 { options.theta * (1.0 - (-share * share).exp()) } else { options.theta }
        };
        let theta = sizes.iter().map(|&s| guarded(s)).collect();
        let mut state = Self {
            version: options.version,
            n,
            d,
            k,
            batch,
            r: vec![0.0; n * k],
            expected: vec![0.0; k * n_batches],
            observed: vec![0.0; k * n_batches],
            theta,
            sigma: options.sigma,
            cells,
            centres,
            distances: vec![0.0; n * k],
            objective: 0.0,
            sizes,
        };
        state.measure();
        state.soften();
        state.objective = state.objective();
        Ok(state)
    }

    pub(super) fn last_objective(&self) -> f64 {
        self.objective
    }

    /// Takes corrected cells as the ones to cluster next.
    pub(super) fn set_cells(&mut self, corrected: &[f64]) {
        self.cells = unit_rows(corrected, self.d);
    }

    fn n_batches(&self) -> usize {
        self.sizes.len()
    }

    fn measure(&mut self) {
        let (d, k, cells, centres) = (self.d, self.k, &self.cells, &self.centres);
        self.distances.par_chunks_exact_mut(k).zip(cells.par_chunks_exact(d)).for_each(|(out, cell)| {
            for (out, centre) in out.iter_mut().zip(centres.chunks_exact(d)) {
                let dot: f64 = cell.iter().zip(centre).map(|(a, b)| a * b).sum();
                *out = 2.0 * (1.0 - dot);
            }
        });
    }

    /// Memberships from distances alone.
    fn soften(&mut self) {
        let (k, sigma) = (self.k, self.sigma);
        self.r.par_chunks_exact_mut(k).zip(self.distances.par_chunks_exact(k)).for_each(|(r, distances)| {
            kernel(distances, sigma, r);
            normalise(r);
        });
        self.count();
    }

    fn count(&mut self) {
        let nb = self.n_batches();
        self.observed.fill(0.0);
        for (r, &b) in self.r.chunks_exact(self.k).zip(&self.batch) {
            r.iter().enumerate().for_each(|(c, r)| self.observed[c * nb + b] += r);
        }
        for c in 0..self.k {
            let total: f64 = self.observed[c * nb..(c + 1) * nb].iter().sum();
            (0..nb).for_each(|b| self.expected[c * nb + b] = total * self.sizes[b] / self.n as f64);
        }
    }

    /// Centres are means of members, of unit length.
    fn centre(&mut self) {
        let mut sums = vec![0.0; self.k * self.d];
        for (r, cell) in self.r.chunks_exact(self.k).zip(self.cells.chunks_exact(self.d)) {
            for (r, sum) in r.iter().zip(sums.chunks_exact_mut(self.d)) {
                sum.iter_mut().zip(cell).for_each(|(s, v)| *s += r * v);
            }
        }
        self.centres = unit_rows(&sums, self.d);
    }

    /// Rounds of clustering until the objective settles.
    pub(super) fn cluster(&mut self, rng: &mut Rng) {
        let (rounds, least) = if self.version == Version::V2 { (4, 1e-3) } else { (20, 1e-5) };
        let mut seen: Vec<f64> = vec![];
        if self.version == Version::V2 {
            self.centre();
            self.measure();
            self.soften();
        }
        for _ in 0..rounds {
            if self.version != Version::V2 {
                self.centre();
                self.measure();
            }
            self.update(rng);
            seen.push(self.objective());
            if seen.len() > WINDOW {
                let sum = |end: usize| seen[end - WINDOW..end].iter().sum::<f64>();
                let (old, new) = (sum(seen.len() - 1), sum(seen.len()));
                if (old - new).abs() / old.abs() < least {
                    break;
                }
            }
        }
        self.objective = seen.last().copied().unwrap_or(self.objective);
    }

    /// Memberships of blocks of cells in random order, each judged by the shares of all other cells.
    fn update(&mut self, rng: &mut Rng) {
        let nb = self.n_batches();
        let order = rng.permutation(self.n);
        let share = if self.version == Version::V2 && self.n < 40 { 0.2 } else { 0.05 };
        let size = ((self.n as f64 * share).ceil() as usize).max(1);
        let mut fresh = vec![0.0; self.k];
        for block in order.chunks(size) {
            for &i in block {
                self.shift_counts(i, -1.0);
            }
            let ratio: Vec<f64> = (0..self.k * nb)
                .map(|at| {
                    // Rounding may leave a count slightly below zero once its block is out.
                    diversity(
                        self.version,
                        self.expected[at].max(0.0),
                        self.observed[at].max(0.0),
                        self.theta[at % nb],
                    )
                })
                .collect();
            for &i in block {
                kernel(&self.distances[i * self.k..(i + 1) * self.k], self.sigma, &mut fresh);
                fresh.iter_mut().enumerate().for_each(|(c, f)| *f *= ratio[c * nb + self.batch[i]]);
                normalise(&mut fresh);
                self.r[i * self.k..(i + 1) * self.k].copy_from_slice(&fresh);
                self.shift_counts(i, 1.0);
            }
        }
        // Sums taken anew, so that rounding does not pile up.
        self.count();
    }

    fn shift_counts(&mut self, cell: usize, by: f64) {
        let nb = self.sizes.len();
        let (b, n) = (self.batch[cell], self.n as f64);
        for c in 0..self.k {
            let r = by * self.r[cell * self.k + c];
            self.observed[c * nb + b] += r;
            for (e, s) in self.expected[c * nb..(c + 1) * nb].iter_mut().zip(&self.sizes) {
                *e += r * s / n;
            }
        }
    }

    /// Distances, entropy and diversity, summed over cells and clusters.
    pub(super) fn objective(&self) -> f64 {
        let nb = self.n_batches();
        let penalty = |c: usize, b: usize| {
            let (e, o) = (self.expected[c * nb + b], self.observed[c * nb + b]);
            self.sigma
                * self.theta[b]
                * match self.version {
                    Version::V0 => ((o + 1.0) / (e + 1.0)).ln(),
                    Version::V1 => ((o + e) / e).ln(),
                    Version::V2 => ((o + e + 1.0) / (2.0 * e + 1.0)).ln(),
                }
        };
        let mut sum = 0.0;
        for ((r, distances), &b) in
            self.r.chunks_exact(self.k).zip(self.distances.chunks_exact(self.k)).zip(&self.batch)
        {
            for (c, (&r, d)) in r.iter().zip(distances).enumerate().filter(|(_, (r, _))| **r > 0.0) {
                sum += r * d + self.sigma * r * r.ln() + r * penalty(c, b);
            }
        }
        sum
    }
}

/// `exp(-distance / sigma)`, scaled so that the largest is 1.
fn kernel(distances: &[f64], sigma: f64, out: &mut [f64]) {
    let least = distances.iter().copied().fold(f64::INFINITY, f64::min);
    out.iter_mut().zip(distances).for_each(|(o, d)| *o = ((least - d) / sigma).exp());
}

fn normalise(r: &mut [f64]) {
    let sum: f64 = r.iter().sum();
    if sum > 0.0 {
        r.iter_mut().for_each(|v| *v /= sum);
    }
}

/// What a batch's membership of a cluster is multiplied with.
fn diversity(version: Version, expected: f64, observed: f64, theta: f64) -> f64 {
    let ratio = match version {
        Version::V0 => (expected + 1.0) / (observed + 1.0),
        Version::V1 if observed + expected > 0.0 => expected / (observed + expected),
        Version::V1 => 0.5,
        Version::V2 => (2.0 * expected + 1.0) / (observed + expected + 1.0),
    };
    ratio.powf(theta)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_g18() {
        let o = [1.017986, 0.982014];
        let ratios = |v| o.map(|o| diversity(v, 1.0, o, 2.0));
        for (version, want) in [(Version::V1, [0.245563, 0.254558]), (Version::V2, [0.988117, 1.012100])] {
            for (a, b) in ratios(version).iter().zip(want) {
                assert!((a - b).abs() < 1e-6, "{version:?} {a} {b}");
            }
        }
    }
}
