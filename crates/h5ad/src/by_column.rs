//! Rows of a matrix that is stored by column (CSC), in bounded memory.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use microtome_core::{Counts, Error, Result};

use crate::hdf5::Rounding;
use crate::sparse::Compressed;

/// Rows are gathered for a window of at most this many stored values (8 bytes each) beyond what was asked for.
const WINDOW: u64 = 128 << 20;
/// Stored values read at a time.
const BLOCK: usize = 4 << 20;

/// A CSC matrix of cells x genes.
///
/// Rows are scattered over the whole file, so one pass over it gathers a window of consecutive rows, which also answers
/// the requests that follow. Reading all rows in order takes `8 bytes x stored values / 1 GiB` passes, rounded up, plus
/// one that counts the rows.
#[derive(Debug)]
pub(crate) struct ByColumn {
    stored: Compressed,
    n_cells: usize,
    /// Stored values of a window.
    window: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    row_sizes: Option<Arc<Vec<u64>>>,
    window: Option<(Range<usize>, Arc<Counts>)>,
}

impl ByColumn {
    pub(crate) fn new(stored: Compressed, n_cells: usize) -> Self {
        Self { stored, n_cells, window: WINDOW, state: Mutex::default() }
    }

    pub(crate) fn dtype(&self) -> String {
        self.stored.dtype()
    }

    /// Consecutive rows.
    pub(crate) fn rows(&self, rows: Range<usize>, rounding: &Rounding) -> Result<Counts> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((have, counts)) = &state.window
            && have.start <= rows.start
            && rows.end <= have.end
        {
            return counts_range(counts, rows.start - have.start..rows.end - have.start);
        }
        let sizes = match &state.row_sizes {
            Some(sizes) => sizes.clone(),
            None => {
                let sizes = Arc::new(self.row_sizes()?);
                state.row_sizes = Some(sizes.clone());
                sizes
            }
        };
        let mut end = rows.end;
        let mut total: u64 = sizes[rows.clone()].iter().sum();
        while end < self.n_cells && total + sizes[end] <= self.window {
            total += sizes[end];
            end += 1;
        }
        let mut slots = vec![u32::MAX; self.n_cells];
        for (slot, row) in (rows.start..end).enumerate() {
            slots[row] = slot as u32;
        }
        let gathered = Arc::new(self.gather(&slots, &sizes[rows.start..end], rounding)?);
        state.window = Some((rows.start..end, gathered.clone()));
        drop(state);
        if end == rows.end {
            return Ok(Arc::unwrap_or_clone(gathered));
        }
        counts_range(&gathered, 0..rows.len())
    }

    /// Any rows, sorted and without repeats: one pass over the file.
    pub(crate) fn select_sorted(&self, rows: &[usize], rounding: &Rounding) -> Result<Counts> {
        let all = self.row_sizes()?;
        let mut slots = vec![u32::MAX; self.n_cells];
        for (slot, &row) in rows.iter().enumerate() {
            slots[row] = slot as u32;
        }
        let sizes: Vec<u64> = rows.iter().map(|&r| all[r]).collect();
        self.gather(&slots, &sizes, rounding)
    }

    fn row_sizes(&self) -> Result<Vec<u64>> {
        if self.n_cells >= u32::MAX as usize {
            return Err(Error::unsupported("too many cells in a matrix stored by column"));
        }
        let mut sizes = vec![0; self.n_cells];
        let ignored = Rounding::default();
        for start in (0..self.stored.nnz()).step_by(BLOCK) {
            let (rows, _) = self.stored.entries(start..(start + BLOCK).min(self.stored.nnz()), &ignored)?;
            for row in rows {
                sizes[row as usize] += 1;
            }
        }
        Ok(sizes)
    }

    /// The rows with a slot, in slot order.
    fn gather(&self, slots: &[u32], sizes: &[u64], rounding: &Rounding) -> Result<Counts> {
        let mut indptr = vec![0];
        for &n in sizes {
            indptr.push(indptr[indptr.len() - 1] + n as usize);
        }
        let nnz = indptr[sizes.len()];
        let (mut indices, mut values) = (vec![0u32; nnz], vec![0f32; nnz]);
        let mut next = indptr.clone();
        let pointers = self.stored.indptr();
        let mut gene = 0;
        for start in (0..self.stored.nnz()).step_by(BLOCK) {
            let end = (start + BLOCK).min(self.stored.nnz());
            let (rows, part) = self.stored.entries(start..end, rounding)?;
            for (at, (row, value)) in (start..end).zip(rows.into_iter().zip(part)) {
                while pointers[gene + 1] <= at {
                    gene += 1;
                }
                let slot = slots[row as usize];
                if slot != u32::MAX {
                    let to = next[slot as usize];
                    (indices[to], values[to]) = (gene as u32, value);
                    next[slot as usize] += 1;
                }
            }
        }
        Counts::new(self.stored.major(), indptr, indices, values)
    }
}

/// A range of the rows of counts in memory.
pub(crate) fn counts_range(counts: &Counts, rows: Range<usize>) -> Result<Counts> {
    let pointers = &counts.indptr()[rows.start..=rows.end];
    let (start, end) = (pointers[0], pointers[rows.len()]);
    Counts::new(
        counts.n_genes(),
        pointers.iter().map(|p| p - start).collect(),
        counts.indices()[start..end].to_vec(),
        counts.values()[start..end].to_vec(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hdf5::File;

    #[test]
    fn windows_of_any_size_give_the_same_rows() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../golden/h5ad/layouts/anndata_0.6_records.h5ad");
        let group = File::open(&path).unwrap().root().unwrap().group("raw.X").unwrap();
        let rounding = Rounding::default();
        let all = ByColumn::new(Compressed::open(&group, 5, 9).unwrap(), 9).rows(0..9, &rounding).unwrap();
        assert_eq!(all.nnz(), 15);
        for window in [0, 1, 2, 5, 100] {
            let mut matrix = ByColumn::new(Compressed::open(&group, 5, 9).unwrap(), 9);
            matrix.window = window;
            for len in 1..4 {
                let mut joined = Counts::empty(5);
                for start in (0..9).step_by(len) {
                    joined.append(&matrix.rows(start..(start + len).min(9), &rounding).unwrap()).unwrap();
                }
                assert_eq!(joined, all, "window {window}, blocks of {len}");
            }
            // Going back leaves the window.
            assert_eq!(matrix.rows(0..2, &rounding).unwrap(), all.select_cells(&[0, 1]));
            assert_eq!(matrix.select_sorted(&[1, 8], &rounding).unwrap(), all.select_cells(&[1, 8]));
        }
    }
}
