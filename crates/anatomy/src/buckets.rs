//! Many small counters with few cache misses: what falls into one slice of the counters is collected and counted together.

/// Values collected before a slice is counted.
const HELD: usize = 2048;

/// Collects values by slice and hands each slice's values on when there are enough.
pub(crate) struct Buckets<T> {
    held: Vec<Vec<T>>,
}

impl<T> Buckets<T> {
    /// For this many slices.
    pub(crate) fn new(slices: usize) -> Self {
        let empty = || Vec::with_capacity(HELD);
        Self { held: std::iter::repeat_with(empty).take(slices).collect() }
    }

    /// Adds a value to a slice below the number of slices; `full(slice, values)` sees them when there are many.
    #[inline]
    pub(crate) fn add(&mut self, slice: usize, value: T, full: &mut impl FnMut(usize, &[T])) {
        let held = &mut self.held[slice];
        held.push(value);
        if held.len() == HELD {
            full(slice, held);
            held.clear();
        }
    }

    /// Hands on what is left.
    pub(crate) fn finish(&mut self, full: &mut impl FnMut(usize, &[T])) {
        for (slice, held) in self.held.iter_mut().enumerate().filter(|(_, h)| !h.is_empty()) {
            full(slice, held);
            held.clear();
        }
    }
}
