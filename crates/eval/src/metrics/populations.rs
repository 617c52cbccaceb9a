//! Distances between two populations of cells: energy distance and maximum mean discrepancy, in their variants.
//!
//! All pairs in blocks: `(n + m)^2 d` time, `O(n + m)` memory.

use super::definition::{Definition, Need};
use super::score::Score;
use microtome_core::{Direction, Error, Matrix, Result};
use microtome_numerics::distances::{Distance, fold_distances, sums_to_groups};
use microtome_numerics::hierarchical::Condensed;
use microtome_numerics::resample::Rng;

/// The proper energy distance.
pub static ENERGY_DISTANCE: Definition = Definition {
    id: "energy_distance",
    version: 1,
    direction: Direction::Lower,
    range: (f64::NEG_INFINITY, f64::INFINITY),
    needs: &[Need::Populations],
    words: "Energy distance of two populations: twice the mean distance between them less the mean distances within, \
            Euclidean, without pairs of a cell with itself",
    citation: "Szekely and Rizzo 2013, J. Stat. Plan. Inference 143:1249",
    deviations: "",
};

/// pertpy's variant.
pub static ENERGY_DISTANCE_BIASED: Definition = Definition {
    id: "energy_distance_plain_biased",
    range: (0.0, f64::INFINITY),
    words: "Energy distance, Euclidean, pairs of a cell with itself included: grows as populations shrink",
    citation: "pertpy 1.0.3",
    ..ENERGY_DISTANCE
};

/// scPerturb's variant.
pub static ENERGY_DISTANCE_SQUARED: Definition = Definition {
    id: "energy_distance_squared",
    words: "Energy distance with squared Euclidean distances, without pairs of a cell with itself: estimates twice the \
            squared distance of the means, blind to spread",
    citation: "Peidli et al. 2024, Nat. Methods 21:531 (scPerturb)",
    ..ENERGY_DISTANCE
};

/// Squared distances with self pairs.
pub static ENERGY_DISTANCE_SQUARED_BIASED: Definition = Definition {
    id: "energy_distance_squared_biased",
    range: (0.0, f64::INFINITY),
    words: "Energy distance with squared Euclidean distances, pairs of a cell with itself included",
    citation: "Peidli et al. 2024, Nat. Methods 21:531, biased form",
    ..ENERGY_DISTANCE
};

/// Squared distance of the means.
pub static MMD_LINEAR: Definition = Definition {
    id: "mmd_linear",
    range: (0.0, f64::INFINITY),
    words: "Maximum mean discrepancy with a linear kernel: squared distance of the means",
    citation: "Gretton et al. 2012, JMLR 13:723",
    ..ENERGY_DISTANCE
};

/// Mixture of kernels at the scale of the data.
pub static MMD_RBF_MEDIAN: Definition = Definition {
    id: "mmd_rbf_median",
    range: (f64::NEG_INFINITY, 1.0),
    words: "Squared maximum mean discrepancy, mean over Gaussian kernels of width 1/2, 1 and 2 times the median distance, \
            without pairs of a cell with itself",
    citation: "Gretton et al. 2012, JMLR 13:723",
    deviations: "above 2000 cells the median is that of a drawn sample",
    ..ENERGY_DISTANCE
};

pub(super) static DEFINITIONS: &[&Definition] = &[
    &ENERGY_DISTANCE,
    &ENERGY_DISTANCE_BIASED,
    &ENERGY_DISTANCE_SQUARED,
    &ENERGY_DISTANCE_SQUARED_BIASED,
    &MMD_LINEAR,
    &MMD_RBF_MEDIAN,
];

/// Which distance, and whether a cell's pair with itself counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Energy {
    /// [`ENERGY_DISTANCE`].
    PlainUnbiased,
    /// [`ENERGY_DISTANCE_BIASED`].
    PlainBiased,
    /// [`ENERGY_DISTANCE_SQUARED`].
    SquaredUnbiased,
    /// [`ENERGY_DISTANCE_SQUARED_BIASED`].
    SquaredBiased,
}

/// Two populations of finite rows.
struct Pair {
    x: Matrix,
    y: Matrix,
    dropped: usize,
}

impl Pair {
    /// Drops rows that are not finite. Errors when widths differ; a score where too few rows are left.
    fn new(x: &Matrix, y: &Matrix, least: usize) -> Result<Result<Self, Score>> {
        if x.cols() != y.cols() {
            return Err(Error::usage("two populations differ in width")
                .expected(format!("{} columns", x.cols()))
                .found(format!("{} columns", y.cols())));
        }
        let finite = |m: &Matrix| -> Vec<usize> {
            (0..m.rows()).filter(|&i| m.row(i).iter().all(|v| v.is_finite())).collect()
        };
        let (kx, ky) = (finite(x), finite(y));
        let dropped = x.rows() + y.rows() - kx.len() - ky.len();
        let pair = Self { x: x.select_rows(&kx), y: y.select_rows(&ky), dropped };
        if kx.len().min(ky.len()) < least {
            let reason = format!("a population has fewer than {least} cells");
            return Ok(Err(pair.note(Score::undefined(reason))));
        }
        Ok(Ok(pair))
    }

    fn n(&self) -> usize {
        self.x.rows() + self.y.rows()
    }

    fn note(&self, score: Score) -> Score {
        score.excluding(self.dropped, "cells with values that are not finite")
    }

    /// Both populations below each other, and which is which.
    fn joined(&self) -> Result<(Matrix, Vec<u32>)> {
        let mut data = self.x.data().to_vec();
        data.extend_from_slice(self.y.data());
        let mut side = vec![0; self.x.rows()];
        side.resize(self.n(), 1);
        Ok((Matrix::new(self.n(), self.x.cols(), data)?, side))
    }

    /// `2 E f(X, Y) - E f(X, X') - E f(Y, Y')` from the sums over ordered pairs.
    fn combine(&self, within_x: f64, within_y: f64, between: f64, unbiased: bool) -> f64 {
        let (n, m) = (self.x.rows() as f64, self.y.rows() as f64);
        let pairs = |n: f64| if unbiased { n * (n - 1.0) } else { n * n };
        2.0 * between / (n * m) - within_x / pairs(n) - within_y / pairs(m)
    }
}

/// Energy distance. `n_used` counts cells of both. No number with fewer than two cells on a side (one, when biased).
/// Errors when widths differ.
pub fn energy_distance(x: &Matrix, y: &Matrix, variant: Energy) -> Result<Score> {
    let (distance, unbiased) = match variant {
        Energy::PlainUnbiased => (Distance::Euclidean, true),
        Energy::PlainBiased => (Distance::Euclidean, false),
        Energy::SquaredUnbiased => (Distance::SquaredEuclidean, true),
        Energy::SquaredBiased => (Distance::SquaredEuclidean, false),
    };
    let pair = match Pair::new(x, y, if unbiased { 2 } else { 1 })? {
        Ok(pair) => pair,
        Err(score) => return Ok(score),
    };
    let (all, side) = pair.joined()?;
    let sums = sums_to_groups(&all, &all, &side, 2, distance, |_, s| (s[0], s[1]))?;
    let (first, second) = sums.split_at(pair.x.rows());
    let within_x = first.iter().map(|s| s.0).sum();
    let within_y = second.iter().map(|s| s.1).sum();
    let between = first.iter().map(|s| s.1).sum();
    Ok(pair.note(Score::new(pair.combine(within_x, within_y, between, unbiased), pair.n())))
}

/// Squared distance of the means. Errors when widths differ.
pub fn mmd_linear(x: &Matrix, y: &Matrix) -> Result<Score> {
    let pair = match Pair::new(x, y, 1)? {
        Ok(pair) => pair,
        Err(score) => return Ok(score),
    };
    let mean = |m: &Matrix, c: usize| (0..m.rows()).map(|i| f64::from(m.row(i)[c])).sum::<f64>() / m.rows() as f64;
    let value = (0..pair.x.cols()).map(|c| (mean(&pair.x, c) - mean(&pair.y, c)).powi(2)).sum();
    Ok(pair.note(Score::new(value, pair.n())))
}

/// Squared discrepancy, mean over kernels `exp(-gamma d^2)`. Errors when widths differ or a gamma is not finite and
/// positive.
pub fn mmd_rbf(x: &Matrix, y: &Matrix, gammas: &[f64], unbiased: bool) -> Result<Score> {
    if gammas.is_empty() || gammas.iter().any(|g| !(g.is_finite() && *g > 0.0)) {
        return Err(Error::usage("not kernels").expected("finite gammas above 0").found(format!("{gammas:?}")));
    }
    let pair = match Pair::new(x, y, if unbiased { 2 } else { 1 })? {
        Ok(pair) => pair,
        Err(score) => return Ok(score),
    };
    let scale = 1.0 / gammas.len() as f64;
    mmd(&pair, unbiased, |d| scale * gammas.iter().map(|g| (-g * d).exp()).sum::<f64>())
}

/// Squared discrepancy for a kernel of squared distances.
fn mmd(pair: &Pair, unbiased: bool, kernel: impl Fn(f64) -> f64 + Sync) -> Result<Score> {
    let (all, _) = pair.joined()?;
    let n = pair.x.rows();
    let add = |(to_x, to_y): &mut (f64, f64), first: usize, squares: &[f64]| {
        let split = n.saturating_sub(first).min(squares.len());
        *to_x += squares[..split].iter().map(|&d| kernel(d)).sum::<f64>();
        *to_y += squares[split..].iter().map(|&d| kernel(d)).sum::<f64>();
    };
    let sums = fold_distances(&all, &all, Distance::SquaredEuclidean, |_| (0.0, 0.0), add, |s| s)?;
    let (first, second) = sums.split_at(n);
    // A cell's kernel with itself is 1, and does not count when unbiased.
    let own = |count: usize| if unbiased { count as f64 } else { 0.0 };
    let within_x = first.iter().map(|s| s.0).sum::<f64>() - own(n);
    let within_y = second.iter().map(|s| s.1).sum::<f64>() - own(second.len());
    let between = first.iter().map(|s| s.1).sum();
    Ok(pair.note(Score::new(-pair.combine(within_x, within_y, between, unbiased), pair.n())))
}

/// [`MMD_RBF_MEDIAN`]; `seed` matters above 2000 cells only, for the median. Errors when widths differ.
pub fn mmd_rbf_median(x: &Matrix, y: &Matrix, seed: u64) -> Result<Score> {
    const SAMPLE: usize = 2000;
    let pair = match Pair::new(x, y, 2)? {
        Ok(pair) => pair,
        Err(score) => return Ok(score),
    };
    let (all, _) = pair.joined()?;
    let mut drawn = Rng::new(seed).choose(all.rows(), SAMPLE);
    drawn.sort_unstable();
    let mut distances = Condensed::of(&all.select_rows(&drawn), Distance::Euclidean)?.values().to_vec();
    let middle = distances.len() / 2;
    let median = *distances.select_nth_unstable_by(middle, f64::total_cmp).1;
    if median <= 0.0 {
        return Ok(pair.note(Score::undefined("most cells are at the same place")));
    }
    // The three kernels are t, t^4 and t^16 of the widest one.
    let widest = 1.0 / (8.0 * median * median);
    let mixture = |d: f64| {
        let t = (-widest * d).exp();
        let narrow = t * t * t * t;
        (t + narrow + narrow.powi(4)) / 3.0
    };
    mmd(&pair, true, mixture)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Energy; 4] =
        [Energy::PlainBiased, Energy::PlainUnbiased, Energy::SquaredBiased, Energy::SquaredUnbiased];

    fn toy() -> (Matrix, Matrix) {
        let x = Matrix::new(3, 2, vec![0.0, 0.0, 1.0, 0.0, 0.0, 1.0]).unwrap();
        (x, Matrix::new(2, 2, vec![2.0, 2.0, 3.0, 2.0]).unwrap())
    }

    #[test]
    fn golden_g13_and_g14() {
        let (x, y) = toy();
        for (variant, want) in ALL.into_iter().zip([4.373_559, 3.494_202, 14.944_444, 14.0]) {
            let got = energy_distance(&x, &y, variant).unwrap();
            assert!((got.value.unwrap() - want).abs() < 1e-6 && got.n_used == 5, "{variant:?} {got:?}");
        }
        assert!((mmd_linear(&x, &y).unwrap().value.unwrap() - 7.472_222).abs() < 1e-6);
        assert!((mmd_rbf(&x, &y, &[1.0], false).unwrap().value.unwrap() - 1.206_118).abs() < 1e-6);
    }

    fn cloud(n: usize, shift: f32, seed: u64) -> Matrix {
        let mut rng = Rng::new(seed);
        Matrix::new(n, 4, (0..4 * n).map(|_| rng.normal() as f32 + shift).collect()).unwrap()
    }

    #[test]
    fn zero_between_equal_laws_and_growing_with_the_shift() {
        let (a, b) = (cloud(800, 0.0, 1), cloud(700, 0.0, 2));
        let (near, far) = (cloud(700, 0.5, 3), cloud(700, 2.0, 3));
        for variant in [Energy::PlainUnbiased, Energy::SquaredUnbiased] {
            let d = |y: &Matrix| energy_distance(&a, y, variant).unwrap().value.unwrap();
            assert!(d(&b).abs() < 0.02 && d(&b) < d(&near) && d(&near) < d(&far));
        }
        let d = |y: &Matrix| mmd_rbf_median(&a, y, 0).unwrap().value.unwrap();
        assert!(d(&b).abs() < 0.01 && d(&b) < d(&near) && d(&near) < d(&far));
        // Biased forms never fall below 0, not even between a population and itself.
        assert!(energy_distance(&a, &a, Energy::PlainBiased).unwrap().value.unwrap().abs() < 1e-9);
        let squared = energy_distance(&a, &far, Energy::SquaredBiased).unwrap().value.unwrap();
        assert!((squared - 2.0 * mmd_linear(&a, &far).unwrap().value.unwrap()).abs() < 1e-6);
    }

    #[test]
    fn the_mixture_is_the_mean_of_three_widths() {
        let (a, b) = (cloud(40, 0.0, 1), cloud(30, 1.0, 2));
        let mut rows = a.data().to_vec();
        rows.extend_from_slice(b.data());
        let all = Matrix::new(70, 4, rows).unwrap();
        let mut d = Condensed::of(&all, Distance::Euclidean).unwrap().values().to_vec();
        d.sort_by(f64::total_cmp);
        let gammas = [0.5, 1.0, 2.0].map(|c| 1.0 / (2.0 * (c * d[d.len() / 2]).powi(2)));
        let want = mmd_rbf(&a, &b, &gammas, true).unwrap().value.unwrap();
        assert!((mmd_rbf_median(&a, &b, 0).unwrap().value.unwrap() - want).abs() < 1e-12);
    }

    #[test]
    fn symmetric_and_blind_to_order() {
        let (a, b) = (cloud(60, 0.0, 1), cloud(50, 1.0, 2));
        let moved = a.select_rows(&Rng::new(4).permutation(60));
        for variant in ALL {
            let want = energy_distance(&a, &b, variant).unwrap().value.unwrap();
            assert!((energy_distance(&b, &moved, variant).unwrap().value.unwrap() - want).abs() < 1e-9);
        }
        let want = mmd_rbf_median(&a, &b, 0).unwrap().value.unwrap();
        assert!((mmd_rbf_median(&b, &moved, 7).unwrap().value.unwrap() - want).abs() < 1e-9);
    }

    #[test]
    fn edges_have_reasons() {
        let (x, y) = toy();
        let one = x.select_rows(&[0]);
        assert!(energy_distance(&one, &y, Energy::PlainUnbiased).unwrap().value.is_none());
        assert!(energy_distance(&one, &y, Energy::PlainBiased).unwrap().value.is_some());
        assert!(energy_distance(&Matrix::zeros(0, 2), &y, Energy::PlainBiased).unwrap().value.is_none());
        assert!(energy_distance(&x, &Matrix::zeros(2, 3), Energy::PlainBiased).is_err());
        assert!(mmd_rbf(&x, &y, &[], true).is_err() && mmd_rbf(&x, &y, &[-1.0], true).is_err());
        let flat = Matrix::zeros(5, 2);
        assert!(mmd_rbf_median(&flat, &flat, 0).unwrap().value.is_none());
        let bad = Matrix::new(3, 2, vec![0.0, 0.0, 1.0, 0.0, f32::NAN, 1.0]).unwrap();
        assert_eq!(energy_distance(&bad, &y, Energy::PlainUnbiased).unwrap().n_excluded, 1);
    }
}
