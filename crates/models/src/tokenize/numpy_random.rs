//! Random numbers as numpy draws them, for published tokenisers that sample with it: the legacy Mersenne twister of `np.random.seed`
//! (Matsumoto and Nishimura 1998) and the PCG64 of `np.random.default_rng` (O'Neill 2014, seeded by numpy's `SeedSequence`).

/// What a sampling tokeniser draws.
pub(crate) trait Draws {
    /// A number of `[0, 1)`.
    fn uniform(&mut self) -> f64;
    /// Puts items into random order.
    fn shuffle(&mut self, items: &mut [u32]);
}

/// `n` draws with replacement under unnormalised probabilities: numpy's `choice(len, n, p=weights)`. Empty without positive weight.
pub(crate) fn choice(weights: &[f32], n: usize, draws: &mut impl Draws) -> Vec<usize> {
    let mut total = 0.0f64;
    let sums: Vec<f64> = weights
        .iter()
        .map(|&w| {
            total += f64::from(w);
            total
        })
        .collect();
    if total <= 0.0 || !total.is_finite() {
        return vec![];
    }
    let cumulative: Vec<f64> = sums.iter().map(|s| s / total).collect();
    (0..n)
        .map(|_| {
            let u = draws.uniform();
            cumulative.partition_point(|c| *c <= u).min(weights.len() - 1)
        })
        .collect()
}

/// 53 bits as a number of `[0, 1)`.
fn unit(bits: u64) -> f64 {
    bits as f64 / (1u64 << 53) as f64
}

/// `np.random.RandomState`.
pub(crate) struct LegacyNumpy {
    state: [u32; Self::N],
    at: usize,
}

impl LegacyNumpy {
    const N: usize = 624;

    /// `np.random.seed(seed)`.
    pub(crate) fn new(seed: u32) -> Self {
        let mut state = [seed; Self::N];
        for i in 1..Self::N {
            let last = state[i - 1];
            state[i] = 1_812_433_253u32.wrapping_mul(last ^ (last >> 30)).wrapping_add(i as u32);
        }
        Self { state, at: Self::N }
    }

    fn next(&mut self) -> u32 {
        if self.at == Self::N {
            for i in 0..Self::N {
                let y = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % Self::N] & 0x7fff_ffff);
                let odd = if y & 1 == 1 { 0x9908_b0df } else { 0 };
                self.state[i] = self.state[(i + 397) % Self::N] ^ (y >> 1) ^ odd;
            }
            self.at = 0;
        }
        let mut y = self.state[self.at];
        self.at += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }
}

impl Draws for LegacyNumpy {
    fn uniform(&mut self) -> f64 {
        let high = u64::from(self.next() >> 5);
        unit((high << 26) | u64::from(self.next() >> 6))
    }

    fn shuffle(&mut self, items: &mut [u32]) {
        shuffle(items, || self.next());
    }
}

/// numpy's shuffle in place: each item from the last on changes places with one at or before it, drawn by refusing masked bits.
fn shuffle(items: &mut [u32], mut next: impl FnMut() -> u32) {
    for i in (1..items.len()).rev() {
        let mask = u32::MAX >> (i as u32).leading_zeros();
        let other = loop {
            let j = (next() & mask) as usize;
            if j <= i {
                break j;
            }
        };
        items.swap(i, other);
    }
}

/// `np.random.default_rng`.
pub(crate) struct Pcg64 {
    state: u128,
    increment: u128,
    /// The unused half of the last 64 bits.
    half: Option<u32>,
}

impl Pcg64 {
    const FACTOR: u128 = 0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645;

    /// `np.random.default_rng(seed)`.
    pub(crate) fn new(seed: u64) -> Self {
        let words = seed_sequence(seed);
        let wide = |high: usize| (u128::from(words[high]) << 64) | u128::from(words[high + 1]);
        let mut out = Self { state: 0, increment: (wide(2) << 1) | 1, half: None };
        out.step();
        out.state = out.state.wrapping_add(wide(0));
        out.step();
        out
    }

    fn step(&mut self) {
        self.state = self.state.wrapping_mul(Self::FACTOR).wrapping_add(self.increment);
    }

    fn next(&mut self) -> u64 {
        self.step();
        let folded = (self.state >> 64) as u64 ^ self.state as u64;
        folded.rotate_right((self.state >> 122) as u32)
    }

    fn next_half(&mut self) -> u32 {
        self.half.take().unwrap_or_else(|| {
            let bits = self.next();
            self.half = Some((bits >> 32) as u32);
            bits as u32
        })
    }
}

impl Draws for Pcg64 {
    fn uniform(&mut self) -> f64 {
        unit(self.next() >> 11)
    }

    fn shuffle(&mut self, items: &mut [u32]) {
        shuffle(items, || self.next_half());
    }
}

/// numpy's `SeedSequence(seed).generate_state(4, uint64)`.
fn seed_sequence(seed: u64) -> [u64; 4] {
    let scramble = |value: u32, factor: &mut u32, by: u32| {
        let value = value ^ *factor;
        *factor = factor.wrapping_mul(by);
        let value = value.wrapping_mul(*factor);
        value ^ (value >> 16)
    };
    let mut factor = 0x43b0_d7e5u32;
    let mut pool = [seed as u32, (seed >> 32) as u32, 0, 0].map(|w| scramble(w, &mut factor, 0x931e_8875));
    for from in 0..4 {
        for to in 0..4 {
            if from != to {
                let other = scramble(pool[from], &mut factor, 0x931e_8875);
                let mixed =
                    0xca01_f9ddu32.wrapping_mul(pool[to]).wrapping_sub(0x4973_f715u32.wrapping_mul(other));
                pool[to] = mixed ^ (mixed >> 16);
            }
        }
    }
    let mut factor = 0x8b51_f9ddu32;
    let mut words = [0u64; 4];
    for i in 0..8 {
        let word = u64::from(scramble(pool[i % 4], &mut factor, 0x58f3_8ded));
        words[i / 2] |= word << (32 * (i % 2));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shuffled(draws: &mut impl Draws) -> Vec<u32> {
        let mut items: Vec<u32> = (0..10).collect();
        draws.shuffle(&mut items);
        items
    }

    /// Expected numbers were drawn by numpy 2.4.6.
    #[test]
    fn draws_are_those_of_numpy() {
        let mut legacy = LegacyNumpy::new(7);
        assert_eq!([legacy.uniform(), legacy.uniform()], [0.07630828937395717, 0.7799187922401146]);
        assert_eq!(shuffled(&mut legacy), [8, 6, 2, 5, 0, 1, 4, 7, 9, 3]);
        let mut pcg = Pcg64::new(42);
        assert_eq!([pcg.uniform(), pcg.uniform()], [0.7739560485559633, 0.4388784397520523]);
        assert_eq!(shuffled(&mut pcg), [0, 8, 7, 1, 9, 3, 6, 5, 2, 4]);
        let mut pcg = Pcg64::new((1 << 40) + 3);
        assert_eq!([pcg.uniform(), pcg.uniform()], [0.7736560850714245, 0.9958573802012665]);
        assert_eq!(shuffled(&mut pcg), [2, 4, 7, 9, 6, 5, 3, 1, 0, 8]);
        let weights = [0.1, 0.2, 0.3, 0.4];
        assert_eq!(choice(&weights, 8, &mut Pcg64::new(42)), [3, 2, 3, 3, 0, 3, 3, 3]);
        assert_eq!(choice(&weights, 8, &mut Pcg64::new((1 << 40) + 3)), [3, 3, 2, 0, 1, 2, 3, 2]);
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert!(choice(&[], 3, &mut Pcg64::new(0)).is_empty());
        assert!(choice(&[0.0, 0.0], 3, &mut Pcg64::new(0)).is_empty());
        assert!(choice(&[f32::NAN], 3, &mut Pcg64::new(0)).is_empty());
        assert_eq!(choice(&[0.0, 1.0, 0.0], 2, &mut Pcg64::new(0)), [1, 1]);
    }
}
