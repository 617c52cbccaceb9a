//! Matrices and embeddings on their way into the file.

use microtome_core::{Counts, Error, Result};

use super::sink::Sink;
use super::stream::Stream;

/// A CSR matrix being written.
pub(super) struct Sparse {
    group: Sink,
    n_genes: usize,
    data: Stream<f32>,
    indices: Stream<i32>,
    indptr: Vec<i64>,
}

/// An array of `obsm` being written.
pub(super) struct Dense {
    pub(super) name: String,
    pub(super) width: usize,
    pub(super) stream: Stream<f32>,
}

impl Sparse {
    /// Starts the group `name`; `shape` is that of the file, `n_genes` that of the matrix.
    pub(super) fn begin(
        parent: &Sink,
        name: &str,
        n_genes: usize,
        shape: [usize; 2],
        gzip: Option<u32>,
    ) -> Result<Self> {
        if n_genes != shape[1] || n_genes > i32::MAX as usize {
            return Err(Error::usage("matrix does not fit var")
                .at_key(parent.child_key(name))
                .expected(format!("{} genes", shape[1]))
                .found(format!("{n_genes} genes")));
        }
        let group = parent.create(name, "csr_matrix", "0.1.0")?;
        group.shape_attribute(shape)?;
        Ok(Self {
            n_genes,
            data: Stream::new(group.group(), group.key(), "data", None, gzip),
            indices: Stream::new(group.group(), group.key(), "indices", None, gzip),
            indptr: vec![0],
            group,
        })
    }

    /// Adds rows.
    pub(super) fn append(&mut self, counts: &Counts, n_cells: usize) -> Result<()> {
        if counts.n_genes() != self.n_genes {
            return Err(Error::usage("rows of the wrong width")
                .at_key(self.group.key())
                .expected(format!("{} genes", self.n_genes))
                .found(format!("{} genes", counts.n_genes())));
        }
        too_many(self.group.key(), self.indptr.len() - 1 + counts.n_cells(), n_cells)?;
        self.data.append(counts.values())?;
        let indices: Vec<i32> = counts.indices().iter().map(|&i| i as i32).collect();
        self.indices.append(&indices)?;
        let base = self.indptr.last().copied().unwrap_or(0);
        self.indptr.extend(counts.indptr()[1..].iter().map(|&p| base + p as i64));
        Ok(())
    }

    /// Writes what is left.
    pub(super) fn finish(self, n_cells: usize) -> Result<()> {
        too_few(self.group.key(), self.indptr.len() - 1, n_cells)?;
        self.data.finish()?;
        self.indices.finish()?;
        // scikit-learn wants pointers and indices of one type, so 32 bits wherever they suffice.
        match self.indptr.iter().map(|&p| i32::try_from(p)).collect::<std::result::Result<Vec<_>, _>>() {
            Ok(narrow) => self.group.numbers("indptr", &narrow),
            Err(_) => self.group.numbers("indptr", &self.indptr),
        }
    }
}

pub(super) fn too_many(key: &str, rows: usize, n_cells: usize) -> Result<()> {
    if rows <= n_cells {
        return Ok(());
    }
    Err(Error::usage("more rows than cells")
        .at_key(key)
        .expected(n_cells.to_string())
        .found(rows.to_string()))
}

pub(super) fn too_few(key: &str, rows: usize, n_cells: usize) -> Result<()> {
    if rows == n_cells {
        return Ok(());
    }
    Err(Error::output("fewer rows than cells")
        .at_key(key)
        .expected(n_cells.to_string())
        .found(rows.to_string()))
}
