//! The grid of chunks over a dataset's shape.

use std::ops::Range;

/// Shape, chunk shape and number of chunks along each axis.
#[derive(Clone, Debug)]
pub(super) struct Grid {
    pub(super) shape: Vec<u64>,
    pub(super) chunk: Vec<u64>,
    pub(super) counts: Vec<u64>,
    pub(super) element: usize,
    /// Bytes of one decoded chunk.
    pub(super) chunk_bytes: u64,
}

impl Grid {
    /// `None` when a chunk is empty or something overflows.
    pub(super) fn new(shape: &[u64], chunk: &[u64], element: usize) -> Option<Self> {
        if shape.is_empty() || shape.len() != chunk.len() || chunk.contains(&0) {
            return None;
        }
        let counts: Vec<u64> = shape.iter().zip(chunk).map(|(&s, &c)| s.div_ceil(c)).collect();
        product(&counts)?;
        let chunk_bytes = product(chunk)?.checked_mul(element as u64)?;
        Some(Self { shape: shape.to_vec(), chunk: chunk.to_vec(), counts, element, chunk_bytes })
    }

    /// Chunks in the whole grid.
    pub(super) fn n_chunks(&self) -> u64 {
        self.counts.iter().product()
    }

    /// Chunks per step along the first axis.
    pub(super) fn per_band(&self) -> u64 {
        self.counts[1..].iter().product()
    }

    /// Grid position of the chunk whose first element has these coordinates; `None` outside of the shape.
    pub(super) fn position(&self, offsets: &[u64]) -> Option<u64> {
        let mut at = 0;
        for ((&o, &c), &n) in offsets.iter().zip(&self.chunk).zip(&self.counts) {
            if o % c != 0 || o / c >= n {
                return None;
            }
            at = at * n + o / c;
        }
        Some(at)
    }

    /// First coordinate along each axis of the chunk at a grid position.
    fn origin(&self, at: u64) -> Vec<u64> {
        let mut rest = at;
        let mut origin = vec![0; self.counts.len()];
        for axis in (0..self.counts.len()).rev() {
            let n = self.counts[axis].max(1);
            origin[axis] = rest % n * self.chunk[axis];
            rest /= n;
        }
        origin
    }

    /// Copies the part of a decoded chunk that lies in `rows` into `out`, which holds `rows` of the dataset.
    pub(super) fn copy(&self, at: u64, decoded: &[u8], rows: &Range<u64>, out: &mut [u8]) {
        let origin = self.origin(at);
        let rank = self.shape.len();
        // The part of the chunk inside the shape and, along the first axis, inside the rows.
        let low = |axis: usize| if axis == 0 { origin[0].max(rows.start) } else { origin[axis] };
        let high = |axis: usize| {
            let end = (origin[axis] + self.chunk[axis]).min(self.shape[axis]);
            if axis == 0 { end.min(rows.end) } else { end }
        };
        let extent: Vec<u64> = (0..rank).map(|a| high(a).saturating_sub(low(a))).collect();
        if extent.contains(&0) {
            return;
        }
        let line = extent[rank - 1] as usize * self.element;
        let n_lines: u64 = extent[..rank - 1].iter().product();
        let mut step = vec![0; rank];
        for _ in 0..n_lines {
            let (mut from, mut to) = (0u64, 0u64);
            for axis in 0..rank {
                let coordinate = low(axis) + step[axis];
                from = from * self.chunk[axis] + (coordinate - origin[axis]);
                let (first, width) = if axis == 0 { (rows.start, 0) } else { (0, self.shape[axis]) };
                to = to * width + (coordinate - first);
            }
            let (from, to) = (from as usize * self.element, to as usize * self.element);
            out[to..to + line].copy_from_slice(&decoded[from..from + line]);
            for axis in (0..rank - 1).rev() {
                step[axis] += 1;
                if step[axis] < extent[axis] {
                    break;
                }
                step[axis] = 0;
            }
        }
    }
}

/// Checked product.
pub(super) fn product(factors: &[u64]) -> Option<u64> {
    factors.iter().try_fold(1u64, |p, &f| p.checked_mul(f))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_of_a_matrix_come_together() {
        // 5 x 4 bytes in 2 x 3 chunks; rows 1..4.
        let grid = Grid::new(&[5, 4], &[2, 3], 1).unwrap();
        assert_eq!((grid.n_chunks(), grid.per_band(), grid.chunk_bytes), (6, 2, 6));
        let mut out = vec![0; 12];
        for at in 0..grid.n_chunks() {
            let o = grid.origin(at);
            assert_eq!(grid.position(&o), Some(at));
            let chunk: Vec<u8> = (0..6).map(|i| ((o[0] + i / 3) * 4 + (o[1] + i % 3)) as u8).collect();
            grid.copy(at, &chunk, &(1..4), &mut out);
        }
        assert_eq!(out, (4..16).collect::<Vec<u8>>());
        assert_eq!(grid.position(&[1, 0]), None);
        assert_eq!(grid.position(&[6, 0]), None);
    }

    #[test]
    fn nonsense_shapes_are_refused() {
        assert!(Grid::new(&[5], &[0], 1).is_none());
        assert!(Grid::new(&[u64::MAX, u64::MAX], &[1, 1], 1).is_none());
        assert!(Grid::new(&[5, 5], &[5], 1).is_none());
    }
}
