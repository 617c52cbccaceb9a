//! Effects: means of perturbed cells minus means of control cells of the same context.

use microtome_core::{Counts, Matrix};

use super::design::Design;

/// Rows that can be added up.
pub(super) trait Rows: Sync {
    fn width(&self) -> usize;
    fn add(&self, row: usize, weight: f64, to: &mut [f64]);
}

impl Rows for Matrix {
    fn width(&self) -> usize {
        self.cols()
    }
    fn add(&self, row: usize, weight: f64, to: &mut [f64]) {
        to.iter_mut().zip(self.row(row)).for_each(|(t, &v)| *t += weight * f64::from(v));
    }
}

impl Rows for Counts {
    fn width(&self) -> usize {
        self.n_genes()
    }
    fn add(&self, row: usize, weight: f64, to: &mut [f64]) {
        let (genes, values) = Counts::row(self, row);
        genes.iter().zip(values).for_each(|(&g, &v)| to[g as usize] += weight * f64::from(v));
    }
}

/// Effects of all perturbations, each measured twice against disjoint control cells.
pub(super) struct Effects {
    pub(super) width: usize,
    /// `[perturbation, feature]` against the first and the second part of the control cells.
    pub(super) against: [Vec<f64>; 2],
}

impl Effects {
    /// Effects in one half of one split.
    pub(super) fn of_half(x: &dyn Rows, design: &Design, split: usize, half: u8) -> Self {
        let s = &design.splits[split];
        Self::of(x, design, |i| s.half[i] == half, |i| s.quarter[i])
    }

    /// Effects over the rows in `keep`, the control parts given by `part`.
    pub(super) fn of(x: &dyn Rows, design: &Design, keep: impl Fn(usize) -> bool, part: impl Fn(usize) -> u8) -> Self {
        let width = x.width();
        let mut control = vec![[vec![0.0; width], vec![0.0; width]]; design.controls.len()];
        for (sums, cells) in control.iter_mut().zip(&design.controls) {
            for q in 0..2u8 {
                let mine: Vec<usize> = cells.iter().copied().filter(|&i| keep(i) && part(i) == q).collect();
                let weight = 1.0 / mine.len().max(1) as f64;
                mine.iter().for_each(|&i| x.add(i, weight, &mut sums[q as usize]));
            }
        }
        let p = design.len();
        let mut against = [vec![0.0; p * width], vec![0.0; p * width]];
        for (k, cells) in design.cells.iter().enumerate() {
            let mine: Vec<usize> = cells.iter().copied().filter(|&i| keep(i)).collect();
            let weight = 1.0 / mine.len().max(1) as f64;
            let mut mean = vec![0.0; width];
            let mut shares = vec![0.0; design.controls.len()];
            for &i in &mine {
                x.add(i, weight, &mut mean);
                shares[design.context[i]] += weight;
            }
            for q in 0..2 {
                let out = &mut against[q][k * width..(k + 1) * width];
                out.copy_from_slice(&mean);
                for (share, sums) in shares.iter().zip(&control).filter(|(s, _)| **s > 0.0) {
                    out.iter_mut().zip(&sums[q]).for_each(|(o, c)| *o -= share * c);
                }
            }
        }
        Self { width, against }
    }

    pub(super) fn row(&self, part: usize, p: usize) -> &[f64] {
        &self.against[part][p * self.width..(p + 1) * self.width]
    }

    /// The effect against all control cells.
    pub(super) fn mean(&self, p: usize) -> Vec<f64> {
        self.row(0, p).iter().zip(self.row(1, p)).map(|(a, b)| 0.5 * (a + b)).collect()
    }

    /// Cosine of every pair `p < q`, row by row, each side measured against other control cells; zero for an effect of
    /// nothing.
    pub(super) fn pair_similarities(&self, n: usize) -> Vec<f64> {
        let squared = |k: usize| 0.5 * (dot(self.row(0, k), self.row(0, k)) + dot(self.row(1, k), self.row(1, k)));
        let lengths: Vec<f64> = (0..n).map(|k| squared(k).sqrt()).collect();
        let mut out = Vec::with_capacity(n * (n - 1) / 2);
        for p in 0..n {
            for q in p + 1..n {
                let product = 0.5 * (dot(self.row(0, p), self.row(1, q)) + dot(self.row(1, p), self.row(0, q)));
                let scale = lengths[p] * lengths[q];
                out.push(if scale > 0.0 { product / scale } else { 0.0 });
            }
        }
        out
    }
}

pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
