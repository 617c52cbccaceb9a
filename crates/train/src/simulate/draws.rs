//! Random numbers: ChaCha8 streams and the samplers on top.
//!
//! The samplers are our own and few, so that a seed means the same cells for good: library samplers may change their
//! method between versions, and the mathematical functions of the platform differ in the last digit.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Largest count a cell can have of a gene: the largest run of whole numbers that `f32` holds exactly.
const MAX_COUNT: f64 = 16_777_216.0;

/// What a stream of random numbers is for. Different purposes never share numbers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    /// One stream per cell.
    Cell = 0,
    /// Row order of donors, one stream per round of donors.
    DonorOrder = 1,
    /// Which genes belong to which program, edges and weights.
    Network = 2,
    /// Base expression and dispersion, one stream per gene.
    Gene = 3,
    /// Effects of batches, one stream per batch.
    Batch = 4,
    /// Effects of donors, one stream per donor.
    Donor = 5,
    /// Guides and pairs of a screen.
    Screen = 6,
    /// What a cell of a screen got, one stream per cell.
    ScreenCell = 7,
    /// Drugs, one stream per drug.
    Drug = 8,
    /// What a cell was treated with, one stream per cell.
    DrugCell = 9,
    /// Clones, one stream per clone.
    Clone = 10,
    /// Clone of a cell, one stream per cell.
    CloneCell = 11,
    /// How another species differs.
    Species = 12,
    /// One stream per cell of another species.
    OtherCell = 13,
    /// Effects of donors of another species, one stream per donor.
    OtherDonor = 14,
}

/// One stream of random numbers.
pub(super) struct Draws(ChaCha8Rng);

impl Draws {
    /// Stream number `stream` for `purpose`.
    pub(super) fn new(seed: u64, purpose: Purpose, stream: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8] = purpose as u8;
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(stream);
        Self(rng)
    }

    /// Uniform in `[0, 1)` with 53 bits.
    pub(super) fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform in `[low, high)`.
    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// Uniform in `0..n`; `n` must not be 0. The bias is below `n / 2^64`.
    pub(super) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.0.next_u64()) * n as u128) >> 64) as usize
    }

    /// Standard normal (Box-Muller, cosine half: always two uniforms).
    pub(super) fn normal(&mut self) -> f64 {
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.uniform()));
        radius * libm::cos(std::f64::consts::TAU * self.uniform())
    }

    /// A random order (Fisher-Yates).
    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }

    /// Index drawn with the given non-negative weights; the last one when rounding leaves nothing.
    pub(super) fn choose(&mut self, weights: &[f64]) -> usize {
        let mut left = self.uniform() * weights.iter().sum::<f64>();
        for (i, w) in weights.iter().enumerate() {
            if left < *w {
                return i;
            }
            left -= w;
        }
        weights.len().saturating_sub(1)
    }

    /// Negative binomial with the given mean and variance `mean + dispersion * mean^2`, by inversion: one uniform
    /// per count, time in proportion to the count. `mean` is positive, `dispersion` at least 0.02 (below, the
    /// probability of 0 would underflow for large means).
    pub(super) fn negative_binomial(&mut self, mean: f64, dispersion: f64) -> f64 {
        let u = self.uniform();
        let size = 1.0 / dispersion;
        let odds = dispersion * mean;
        let ratio = odds / (1.0 + odds);
        let mut p = libm::exp(-size * libm::log1p(odds));
        let (mut cumulative, mut count) = (p, 0.0);
        // The second condition ends the walk where the rest of the tail is lost to rounding.
        while u >= cumulative && !(count > mean && cumulative + p == cumulative) && count < MAX_COUNT {
            p *= ratio * (size + count) / (count + 1.0);
            count += 1.0;
            cumulative += p;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(mut draw: impl FnMut() -> f64, n: usize) -> (f64, f64) {
        let values: Vec<f64> = (0..n).map(|_| draw()).collect();
        let mean = values.iter().sum::<f64>() / n as f64;
        (mean, values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / (n - 1) as f64)
    }

    #[test]
    fn negative_binomial_has_its_moments_and_zeros() {
        for (k, (mean, dispersion)) in
            [(0.01, 5.0), (0.5, 0.2), (3.0, 1.0), (40.0, 0.02), (900.0, 0.05), (30_000.0, 0.02)]
                .iter()
                .enumerate()
        {
            let mut draws = Draws::new(7, Purpose::Cell, k as u64);
            let n = if *mean > 1000.0 { 4_000 } else { 100_000 };
            let mut zeros = 0;
            let (m, v) = moments(
                || {
                    let count = draws.negative_binomial(*mean, *dispersion);
                    assert!(count >= 0.0 && count.fract() == 0.0);
                    zeros += usize::from(count == 0.0);
                    count
                },
                n,
            );
            let variance = mean + dispersion * mean * mean;
            let error = (variance / n as f64).sqrt();
            assert!((m - mean).abs() < 4.5 * error, "mean {m} instead of {mean}");
            assert!((v / variance - 1.0).abs() < 0.12, "variance {v} instead of {variance}");
            let p0 = (1.0 + dispersion * mean).powf(-1.0 / dispersion);
            let spread = (p0 * (1.0 - p0) / n as f64).sqrt();
            assert!((zeros as f64 / n as f64 - p0).abs() <= 4.5 * spread + 1e-12);
        }
    }

    #[test]
    fn normal_is_standard_and_choice_follows_weights() {
        let mut draws = Draws::new(1, Purpose::Gene, 0);
        let (m, v) = moments(|| draws.normal(), 100_000);
        assert!(m.abs() < 0.015 && (v - 1.0).abs() < 0.02, "{m} {v}");
        let mut seen = [0; 3];
        (0..10_000).for_each(|_| seen[draws.choose(&[1.0, 0.0, 3.0])] += 1);
        assert_eq!(seen[1], 0);
        assert!((seen[2] as f64 / 10_000.0 - 0.75).abs() < 0.02);
    }

    #[test]
    fn streams_and_purposes_are_apart_and_stable() {
        let first = |seed, purpose, stream| Draws::new(seed, purpose, stream).0.next_u64();
        let all = [
            first(0, Purpose::Cell, 0),
            first(0, Purpose::Cell, 1),
            first(0, Purpose::Gene, 0),
            first(1, Purpose::Cell, 0),
        ];
        assert!((0..4).all(|i| (0..i).all(|j| all[i] != all[j])));
        // First word of the key stream of ChaCha8 with an all-zero key and nonce (estreambench test vectors).
        assert_eq!(all[0], u64::from_le_bytes([0x3e, 0x00, 0xef, 0x2f, 0x89, 0x5f, 0x40, 0xd6]));
    }
}
