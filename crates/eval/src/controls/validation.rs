//! Controls that test the task itself.

use microtome_core::Matrix;

use crate::protocol::random::stream;

/// Dimensions of both matrices; enough that neighbours are not decided along a single line.
const WIDTH: usize = 10;
/// Standard deviation of the noise around the truth, whose range is 1.
const NOISE: f64 = 0.05;

/// Standard normal noise, `[cell, 10]`.
pub(super) fn random_embedding(truth: &[f64], seed: u64) -> Matrix {
    fill(truth.len(), seed, "random embedding", |_, _, noise| noise)
}

/// The truth as a line in noise, `[cell, 10]`: the first dimension is the rank of the cell's truth scaled to 0..1, ties
/// in random order so that a truth of few values still makes one connected line; all dimensions carry normal noise
/// of standard deviation 0.05. Cells without truth get a random place.
pub(super) fn noisy_truth(truth: &[f64], seed: u64) -> Matrix {
    let n = truth.len();
    let mut random = stream(seed, "noisy truth ranks", 0);
    let mut known: Vec<usize> = (0..n).filter(|&i| !truth[i].is_nan()).collect();
    random.shuffle(&mut known);
    known.sort_by(|&a, &b| truth[a].total_cmp(&truth[b]));
    let mut place: Vec<f64> = (0..n).map(|_| random.uniform()).collect();
    for (rank, &i) in known.iter().enumerate() {
        place[i] = rank as f64 / known.len().max(2) as f64;
    }
    fill(n, seed, "noisy truth", |i, j, noise| NOISE * noise + if j == 0 { place[i] } else { 0.0 })
}

/// Every class at a random place of its own (standard normal, drawn by the class's code) with normal noise of standard
/// deviation 0.05 around it, `[cell, 10]`. Cells without truth get a random place.
pub(super) fn noisy_classes(truth: &[f64], seed: u64) -> Matrix {
    let place = |i: usize| -> Vec<f64> {
        let index = if truth[i].is_nan() { u64::MAX - i as u64 } else { truth[i].to_bits() };
        let mut random = stream(seed, "place of a class", index);
        (0..WIDTH).map(|_| random.normal()).collect()
    };
    let places: Vec<Vec<f64>> = (0..truth.len()).map(place).collect();
    fill(truth.len(), seed, "noisy classes", |i, j, noise| NOISE * noise + places[i][j])
}

fn fill(n: usize, seed: u64, what: &str, value: impl Fn(usize, usize, f64) -> f64) -> Matrix {
    let mut m = Matrix::zeros(n, WIDTH);
    let mut random = stream(seed, what, 0);
    for i in 0..n {
        for (j, out) in m.row_mut(i).iter_mut().enumerate() {
            *out = value(i, j, random.normal()) as f32;
        }
    }
    m
}
