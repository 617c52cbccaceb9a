//! Reading matrices by row, whatever way they are stored.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use microtome_core::{Counts, Error, Result};

use crate::by_column::{ByColumn, counts_range};
use crate::hdf5::{Array, Group, Node, Rounding, read_f32};
use crate::sparse::{Compressed, GeneMap, describe};

/// How a matrix is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// Compressed rows: any rows are read directly.
    Csr,
    /// Compressed columns: rows are gathered in passes over the whole matrix, see [`MatrixReader::rows`].
    Csc,
    /// A dense array; zeros are dropped while reading.
    Dense,
}

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Csr => "csr",
            Self::Csc => "csc",
            Self::Dense => "dense",
        })
    }
}

#[derive(Debug)]
enum Inner {
    Csr(Compressed, Option<GeneMap>),
    Csc(ByColumn),
    Dense(Array),
    Memory(Arc<Counts>),
}

/// Reads rows of one matrix; can be shared between threads.
#[derive(Debug)]
pub struct MatrixReader {
    path: PathBuf,
    key: String,
    n_cells: usize,
    n_genes: usize,
    inner: Inner,
    rounding: Rounding,
}

/// Dense rows are read in strips of at most this many bytes.
const STRIP: usize = 64 << 20;
/// Rows asked for one by one are read together when less than this many stored values lie between them.
const GAP: usize = 32 << 10;
/// Most stored values read together for rows asked for one by one.
const RUN: usize = 16 << 20;

impl MatrixReader {
    /// Opens a matrix of `expected` shape (cells, genes).
    pub(crate) fn open(path: &Path, node: Node, expected: (usize, usize)) -> Result<Self> {
        let (key, inner, shape) = match node {
            Node::Array(array) => {
                let shape = match array.shape() {
                    &[rows, cols] => [rows as usize, cols as usize],
                    // AnnData once squeezed matrices of one column.
                    &[rows] if expected.1 == 1 => [rows as usize, 1],
                    other => {
                        return Err(Error::unreadable("not a matrix")
                            .at_key(array.key())
                            .expected("two axes")
                            .found(format!("shape {other:?}")));
                    }
                };
                (array.key().to_string(), Inner::Dense(array), shape)
            }
            Node::Group(group) => {
                let (by_row, shape) = describe(&group)?;
                check_shape(group.key(), shape, expected)?;
                let inner = if by_row {
                    Inner::Csr(Compressed::open(&group, shape[0], shape[1])?, None)
                } else {
                    Inner::Csc(ByColumn::new(Compressed::open(&group, shape[1], shape[0])?, shape[0]))
                };
                (group.key().to_string(), inner, shape)
            }
        };
        check_shape(&key, shape, expected)?;
        Ok(Self::new(path, key, expected, inner))
    }

    /// A 10x group: genes x cells by column, which is cells x genes by row.
    pub(crate) fn tenx(
        path: &Path,
        group: &Group,
        n_cells: usize,
        n_stored: usize,
        genes: GeneMap,
    ) -> Result<Self> {
        let stored = Compressed::open(group, n_cells, n_stored)?;
        let n_genes = genes.n_kept;
        let map = (n_genes != n_stored).then_some(genes);
        Ok(Self::new(path, group.key().to_string(), (n_cells, n_genes), Inner::Csr(stored, map)))
    }

    /// A matrix that is in memory already.
    pub(crate) fn memory(path: &Path, key: &str, counts: Arc<Counts>) -> Self {
        let shape = (counts.n_cells(), counts.n_genes());
        Self::new(path, key.to_string(), shape, Inner::Memory(counts))
    }

    fn new(path: &Path, key: String, (n_cells, n_genes): (usize, usize), inner: Inner) -> Self {
        Self { path: path.to_path_buf(), key, n_cells, n_genes, inner, rounding: Rounding::default() }
    }

    /// Number of cells.
    pub fn n_cells(&self) -> usize {
        self.n_cells
    }

    /// Number of genes.
    pub fn n_genes(&self) -> usize {
        self.n_genes
    }

    /// How it is stored.
    pub fn storage(&self) -> Storage {
        match self.inner {
            Inner::Csr(..) | Inner::Memory(_) => Storage::Csr,
            Inner::Csc(_) => Storage::Csc,
            Inner::Dense(_) => Storage::Dense,
        }
    }

    /// Type of the stored values, numpy's name of it (`float32`, `int64`, ...).
    pub fn dtype(&self) -> String {
        match &self.inner {
            Inner::Csr(stored, _) => stored.dtype(),
            Inner::Csc(stored) => stored.dtype(),
            Inner::Dense(array) => array.kind().name(),
            Inner::Memory(_) => "float32".into(),
        }
    }

    /// How many of the values read so far `f32` could not hold exactly and which were rounded to the nearest.
    pub fn n_rounded(&self) -> u64 {
        self.rounding.count()
    }

    /// Sentence for the reader of a report when values were rounded.
    pub fn rounding_note(&self) -> Option<String> {
        let n = self.n_rounded();
        (n > 0).then(|| {
            format!(
                "{n} values of {} ({}) read so far were rounded to the nearest 32-bit float",
                self.key,
                self.dtype()
            )
        })
    }

    /// Consecutive cells. Memory: the rows asked for, plus for [`Storage::Csc`] a window of up to 1 GiB and 16 bytes per
    /// cell of the file, which later calls reuse: reading on in order costs one pass over the matrix per window.
    ///
    /// # Errors
    /// A range outside of the matrix; a damaged file; indices out of range; a gene stored twice in one cell.
    pub fn rows(&self, rows: Range<usize>) -> Result<Counts> {
        if rows.start > rows.end || rows.end > self.n_cells {
            return Err(self.out_of_range(format!("{}..{}", rows.start, rows.end)));
        }
        self.read(rows).map_err(|e| self.place(e))
    }

    fn read(&self, rows: Range<usize>) -> Result<Counts> {
        match &self.inner {
            Inner::Csr(stored, genes) => stored.rows(rows, genes.as_ref(), &self.rounding),
            Inner::Csc(stored) => stored.rows(rows, &self.rounding),
            Inner::Memory(counts) => counts_range(counts, rows),
            Inner::Dense(array) => self.dense_rows(array, rows),
        }
    }

    fn dense_rows(&self, array: &Array, rows: Range<usize>) -> Result<Counts> {
        let row_bytes = self.n_genes.max(1) * array.kind().size();
        let strip = (STRIP / row_bytes).max(1);
        let (mut indptr, mut indices, mut values) = (vec![0], vec![], vec![]);
        for start in rows.clone().step_by(strip) {
            let dense = read_f32(array, start..(start + strip).min(rows.end), &self.rounding)?;
            for row in dense.chunks_exact(self.n_genes.max(1)) {
                for (gene, &value) in row.iter().enumerate() {
                    if value != 0.0 {
                        indices.push(gene as u32);
                        values.push(value);
                    }
                }
                indptr.push(values.len());
            }
        }
        // Without genes there are no bytes to count rows by.
        indptr.resize(rows.len() + 1, values.len());
        Counts::new(self.n_genes, indptr, indices, values)
    }

    /// The given cells in the given order; repeats are allowed. Neighbouring cells are read together.
    ///
    /// # Errors
    /// As [`MatrixReader::rows`].
    pub fn select(&self, rows: &[usize]) -> Result<Counts> {
        if let Some(&row) = rows.iter().find(|&&r| r >= self.n_cells) {
            return Err(self.out_of_range(row.to_string()));
        }
        let mut sorted = rows.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        let unique = self.select_sorted(&sorted).map_err(|e| self.place(e))?;
        if sorted == rows {
            return Ok(unique);
        }
        let order: Vec<usize> = rows.iter().map(|r| sorted.binary_search(r).unwrap_or_default()).collect();
        Ok(unique.select_cells(&order))
    }

    fn select_sorted(&self, rows: &[usize]) -> Result<Counts> {
        if let Inner::Csc(stored) = &self.inner {
            return stored.select_sorted(rows, &self.rounding);
        }
        // Position of a row in the stored values.
        let position = |row: usize| match &self.inner {
            Inner::Csr(stored, _) => stored.indptr()[row],
            _ => row * self.n_genes,
        };
        let mut out = Counts::empty(self.n_genes);
        let mut at = 0;
        while at < rows.len() {
            let first = rows[at];
            let mut end = at + 1;
            while end < rows.len()
                && position(rows[end]) - position(rows[end - 1] + 1) <= GAP
                && position(rows[end] + 1) - position(first) <= RUN
            {
                end += 1;
            }
            let part = self.read(first..rows[end - 1] + 1)?;
            let wanted: Vec<usize> = rows[at..end].iter().map(|r| r - first).collect();
            if wanted.len() == part.n_cells() {
                out.append(&part)?;
            } else {
                out.append(&part.select_cells(&wanted))?;
            }
            at = end;
        }
        Ok(out)
    }

    fn place(&self, e: Error) -> Error {
        e.at_key(&self.key).in_file(&self.path)
    }

    fn out_of_range(&self, found: String) -> Error {
        self.place(
            Error::usage("no such cell")
                .expected(format!("cells 0 to {}", self.n_cells.saturating_sub(1)))
                .found(found),
        )
    }
}

fn check_shape(key: &str, shape: [usize; 2], expected: (usize, usize)) -> Result<()> {
    if shape == [expected.0, expected.1] && expected.1 < u32::MAX as usize {
        return Ok(());
    }
    Err(Error::unreadable("matrix and tables disagree")
        .at_key(key)
        .expected(format!("{} x {} (rows of obs x rows of var)", expected.0, expected.1))
        .found(format!("{} x {}", shape[0], shape[1]))
        .remedy("the file is inconsistent: write it again with anndata"))
}
