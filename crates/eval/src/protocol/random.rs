//! Seeded random numbers with independent streams, so that no result depends on the order of the work.

/// SplitMix64 (Steele, Lea and Flood 2014), started from a seed, the name of what is drawn, and an index.
pub(crate) struct Random(u64);

impl Random {
    /// The stream of `what`, item `index` (a replicate, a repeat).
    pub(crate) fn new(seed: u64, what: &str, index: u64) -> Self {
        let mut r = Self(seed ^ 0x6d69_6372_6f74_6f6d);
        for part in what.bytes().map(u64::from).chain([index]) {
            r.0 = r.next() ^ part;
        }
        r
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform below `n`, which must not be 0. The bias is below `n / 2^64`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }

    /// Uniform in the open interval 0..1.
    pub(crate) fn uniform(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// Standard normal (Box and Muller 1958).
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Random order in place (Fisher and Yates).
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_and_repeat() {
        let draw = |what, index| Random::new(1, what, index).next();
        assert_eq!(draw("a", 0), draw("a", 0));
        assert_ne!(draw("a", 0), draw("a", 1));
        assert_ne!(draw("a", 0), draw("b", 0));
    }

    #[test]
    fn normal_has_unit_variance_and_below_is_even() {
        let mut r = Random::new(7, "test", 0);
        let n = 20_000;
        let (mut sum, mut squares, mut counts) = (0.0, 0.0, [0usize; 5]);
        for _ in 0..n {
            let x = r.normal();
            sum += x;
            squares += x * x;
            counts[r.below(5)] += 1;
        }
        // Five standard errors each.
        assert!((sum / n as f64).abs() < 5.0 / (n as f64).sqrt());
        assert!((squares / n as f64 - 1.0).abs() < 5.0 * (2.0 / n as f64).sqrt());
        assert!(counts.iter().all(|&c| (c as f64 - n as f64 / 5.0).abs() < 5.0 * (n as f64 * 0.16).sqrt()));
    }
}
