//! Random numbers by purpose and place, so that any of them can be drawn again.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What numbers are for. Different purposes never share numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// Order of the chunks of an epoch.
    Chunks = 0,
    /// Order of the cells of a window.
    Window = 1,
    /// Masks of training cells.
    Mask = 2,
    /// Masks of held-out cells.
    HeldOut = 3,
    /// Which cells are held out or looked at.
    Choice = 4,
    /// First values of adapters and heads of a fine-tuning.
    Adapter = 5,
    /// Order of the cells of an epoch of a fine-tuning.
    Examples = 6,
    /// Masks of dropout.
    Dropout = 7,
}

/// One stream of random numbers.
pub(crate) struct Draws(ChaCha8Rng);

impl Draws {
    /// The stream of `purpose` at `(a, b)`.
    pub(crate) fn new(seed: u64, purpose: Purpose, a: u64, b: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&a.to_le_bytes());
        key[16..24].copy_from_slice(&b.to_le_bytes());
        key[24] = purpose as u8;
        // Apart from the streams of the simulator, which leave this byte at 0.
        key[31] = 1;
        Self(ChaCha8Rng::from_seed(key))
    }

    /// Uniform in `[0, 1)` with 53 bits.
    pub(crate) fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// So many words of random bits.
    pub(crate) fn words(&mut self, n: usize) -> Vec<u32> {
        (0..n).map(|_| self.0.next_u32()).collect()
    }

    /// Uniform in `0..n`; 0 when `n` is 0. The bias is below `n / 2^64`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.0.next_u64()) * n as u128) >> 64) as usize
    }

    /// Standard normal (Box-Muller, cosine half).
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Fisher and Yates.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}
