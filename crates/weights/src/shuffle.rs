//! Reading a checkpoint with the entries of every tensor exchanged: a control that keeps the distribution of the weights and loses
//! what training put where.

use std::cell::Cell;

thread_local! {
    static SEED: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Tensors with more elements than this are shuffled in two steps: their rows, and then the entries within each row. So a table of
/// gigabytes can still be looked up row by row.
const WHOLE: usize = 1 << 26;

/// Runs `f`; every checkpoint that it opens on this thread gives out each floating-point tensor with its entries in random order.
///
/// The order depends on the seed, the tensor's name and its size alone, so that one tensor read twice is the same. Whole numbers and
/// booleans (positions, token ids) are not weights and stay as they are. Tensors that must be copies of each other
/// ([`crate::Loader::tied`]) are compared as they are stored.
pub fn with_shuffled_tensors<R>(seed: u64, f: impl FnOnce() -> R) -> R {
    struct Restore(Option<u64>);
    impl Drop for Restore {
        fn drop(&mut self) {
            SEED.set(self.0);
        }
    }
    let _restore = Restore(SEED.replace(Some(seed)));
    f()
}

/// How a checkpoint shuffles what it gives out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shuffle(u64);

impl Shuffle {
    /// That of [`with_shuffled_tensors`] on this thread.
    pub(crate) fn current() -> Option<Self> {
        SEED.get().map(Self)
    }

    /// Exchanges the entries of a tensor with rows of `width` elements.
    pub(crate) fn apply<T: Copy>(self, name: &str, width: usize, values: &mut [T]) {
        if Self::whole(values.len()) {
            return shuffle(values.len(), &mut self.stream(name, 0), |i, j| values.swap(i, j));
        }
        let width = width.max(1);
        let stored = values.to_vec();
        for ((at, from), row) in
            self.rows(name, values.len() / width).into_iter().enumerate().zip(values.chunks_mut(width))
        {
            row.copy_from_slice(&stored[from * width..(from + 1) * width]);
            self.within(name, at, row);
        }
    }

    /// Whether a tensor of `n` elements is shuffled as a whole.
    pub(crate) fn whole(n: usize) -> bool {
        n <= WHOLE
    }

    /// Where each row of a large tensor comes from.
    pub(crate) fn rows(self, name: &str, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        shuffle(n, &mut self.stream(name, 0), |i, j| order.swap(i, j));
        order
    }

    /// Exchanges the entries of the row that has come to place `at` of a large tensor.
    pub(crate) fn within<T>(self, name: &str, at: usize, row: &mut [T]) {
        shuffle(row.len(), &mut self.stream(name, at as u64 + 1), |i, j| row.swap(i, j));
    }

    fn stream(self, name: &str, part: u64) -> SplitMix {
        // One step of the generator between the parts of the seed keeps neighbouring seeds apart.
        let mut seed = SplitMix(self.0 ^ hash(name));
        SplitMix(seed.next() ^ part)
    }
}

/// Fisher and Yates; `swap` is given `i` and a place `j` before it.
fn shuffle(n: usize, random: &mut SplitMix, mut swap: impl FnMut(usize, usize)) {
    for i in (1..n).rev() {
        let j = random.below(i + 1);
        if j != i {
            swap(i, j);
        }
    }
}

/// FNV-1a, 64 bits.
fn hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

/// SplitMix64 (Steele, Lea and Flood 2014).
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in `0..n`, with a bias far below what could be seen (n / 2^64).
    fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Checkpoint, Loader, TensorData, write_safetensors};

    #[test]
    fn every_order_is_as_likely() {
        let mut counts = std::collections::HashMap::new();
        for seed in 0..6000 {
            let mut v = [0, 1, 2];
            Shuffle(seed).apply("w", 3, &mut v);
            *counts.entry(v).or_insert(0) += 1;
        }
        // Six orders, 1000 each; the standard deviation is 29.
        assert_eq!(counts.len(), 6);
        assert!(counts.values().all(|c| (880..1120).contains(c)), "{counts:?}");
    }

    #[test]
    fn a_checkpoint_opened_within_gives_the_same_entries_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.safetensors");
        let values: Vec<f32> = (0..600).map(|v| v as f32).collect();
        let whole: Vec<i64> = (0..50).collect();
        let list = [
            ("a".to_string(), vec![20, 30], TensorData::F32(&values)),
            ("b".to_string(), vec![20, 30], TensorData::F32(&values)),
            ("ids".to_string(), vec![50], TensorData::I64(&whole)),
        ];
        write_safetensors(&path, &list, &[]).unwrap();
        let plain = Checkpoint::open(&path).unwrap();
        assert_eq!(plain.read_f32("a").unwrap(), values);
        let open = |seed| with_shuffled_tensors(seed, || Checkpoint::open(&path).unwrap());
        let shuffled = open(7);
        let a = shuffled.read_f32("a").unwrap();
        let stayed = a.iter().zip(&values).filter(|(a, b)| a == b).count();
        assert!(stayed < 12, "{stayed} of 600 stay; one is expected");
        let mut sorted = a.clone();
        sorted.sort_by(f32::total_cmp);
        assert_eq!(sorted, values);
        assert_eq!(shuffled.read_f32("a").unwrap(), a, "read twice, the same");
        assert_eq!(open(7).read_f32("a").unwrap(), a, "the same seed, the same order");
        assert_ne!(open(8).read_f32("a").unwrap(), a);
        assert_ne!(shuffled.read_f32("b").unwrap(), a, "every tensor has an order of its own");
        assert_eq!(shuffled.read_i64("ids").unwrap(), whole);
        let rows: Vec<f32> = [3, 0].iter().flat_map(|r| a[r * 30..(r + 1) * 30].to_vec()).collect();
        assert_eq!(shuffled.read_rows_f32("a", &[3, 0]).unwrap(), rows);
        assert!(shuffled.read_rows_f32("a", &[20]).is_err());
        let double: Vec<f32> = shuffled.read_f64("a").unwrap().iter().map(|v| *v as f32).collect();
        assert_eq!(double, a);
        let loader = Loader::new(&shuffled);
        loader.f32("a", &[20, 30]).unwrap();
        loader.tied("b", "a").unwrap();
        assert_eq!(Checkpoint::open(&path).unwrap().read_f32("a").unwrap(), values, "not beyond the call");
    }

    #[test]
    fn a_table_too_large_for_one_walk_is_the_same_row_by_row() {
        let s = Shuffle(3);
        let (n, width) = (40, 3);
        let stored: Vec<usize> = (0..n * width).collect();
        let order = s.rows("t", n);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert!(sorted == (0..n).collect::<Vec<_>>() && order != sorted);
        for (at, &from) in order.iter().enumerate() {
            let mut row = stored[from * width..(from + 1) * width].to_vec();
            s.within("t", at, &mut row);
            row.sort_unstable();
            assert_eq!(row, stored[from * width..(from + 1) * width], "a row keeps its entries");
        }
        assert!(Shuffle::whole(WHOLE) && !Shuffle::whole(WHOLE + 1));
    }
}
