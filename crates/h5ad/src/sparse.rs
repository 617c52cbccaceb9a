//! Compressed sparse matrices on disk, read by ranges of the major axis.

use std::ops::Range;

use microtome_core::{Counts, Error, Result};

use crate::hdf5::{Array, Group, Rounding, Values, read_f32, read_indices};

/// CSR or CSC parts: `indptr` in memory (8 bytes per row or column), the rest on disk.
#[derive(Debug)]
pub(crate) struct Compressed {
    data: Array,
    indices: Array,
    indptr: Vec<usize>,
    minor: usize,
}

impl Compressed {
    /// Opens `data`, `indices` and `indptr` of a group. `major` and `minor` are the lengths of the two axes.
    pub(crate) fn open(group: &Group, major: usize, minor: usize) -> Result<Self> {
        let (data, indices, pointers) =
            (group.array("data")?, group.array("indices")?, group.array("indptr")?);
        let bad = |what: &str, expected: String, found: String| {
            Err(Error::unreadable(what.to_string())
                .at_key(pointers.key())
                .expected(expected)
                .found(found)
                .remedy("the file is corrupt: write it again"))
        };
        if Some(pointers.len()) != major.checked_add(1) {
            return bad(
                "sparse row pointers do not fit the shape",
                format!("{major} + 1 pointers"),
                format!("{} pointers", pointers.len()),
            );
        }
        if data.len() != indices.len() {
            return Err(Error::unreadable("sparse values and indices disagree in length")
                .at_key(group.key())
                .expected(format!("{} indices", data.len()))
                .found(format!("{} indices", indices.len())));
        }
        let mut indptr = Vec::with_capacity(pointers.len());
        let mut last = 0;
        for p in pointers.integers()? {
            match usize::try_from(p) {
                Ok(p) if p >= last && p <= data.len() && (p == 0 || !indptr.is_empty()) => {
                    indptr.push(p);
                    last = p;
                }
                _ => {
                    let expected = format!("numbers that start at 0, never fall and end at {}", data.len());
                    return bad("sparse row pointers out of order", expected, p.to_string());
                }
            }
        }
        Ok(Self { data, indices, indptr, minor })
    }

    /// Stored values.
    pub(crate) fn nnz(&self) -> usize {
        self.indptr.last().copied().unwrap_or(0)
    }

    /// Length of the major axis.
    pub(crate) fn major(&self) -> usize {
        self.indptr.len() - 1
    }

    /// Pointers along the major axis.
    pub(crate) fn indptr(&self) -> &[usize] {
        &self.indptr
    }

    /// Data type of the values, numpy's name.
    pub(crate) fn dtype(&self) -> String {
        self.data.kind().name()
    }

    /// Indices and values of a range of stored entries, indices checked.
    pub(crate) fn entries(&self, range: Range<usize>, rounding: &Rounding) -> Result<(Vec<u32>, Vec<f32>)> {
        let indices = || read_indices(&self.indices, range.clone(), self.minor);
        let values = || read_f32(&self.data, range.clone(), rounding);
        let (indices, values) = rayon::join(indices, values);
        Ok((indices?, values?))
    }

    /// Rows of a CSR matrix. `genes` renumbers columns; those mapped to `u32::MAX` are dropped.
    pub(crate) fn rows(
        &self,
        rows: Range<usize>,
        genes: Option<&GeneMap>,
        rounding: &Rounding,
    ) -> Result<Counts> {
        let base = self.indptr[rows.start];
        let (mut indices, mut values) = self.entries(base..self.indptr[rows.end], rounding)?;
        let mut indptr: Vec<usize> = self.indptr[rows.start..=rows.end].iter().map(|p| p - base).collect();
        let mut n_genes = self.minor;
        if let Some(genes) = genes {
            n_genes = genes.n_kept;
            let mut kept = 0;
            let mut row_start = 0;
            for pointer in indptr.iter_mut().skip(1) {
                for at in row_start..*pointer {
                    let gene = genes.map[indices[at] as usize];
                    if gene != u32::MAX {
                        (indices[kept], values[kept]) = (gene, values[at]);
                        kept += 1;
                    }
                }
                row_start = std::mem::replace(pointer, kept);
            }
            indices.truncate(kept);
            values.truncate(kept);
        }
        Counts::new(n_genes, indptr, indices, values).map_err(|e| e.at_key(self.indices.key()))
    }
}

/// Which columns are kept, and their new numbers.
#[derive(Clone, Debug)]
pub(crate) struct GeneMap {
    /// New number per stored column, `u32::MAX` for dropped ones.
    pub(crate) map: Vec<u32>,
    /// Columns kept.
    pub(crate) n_kept: usize,
}

/// How a sparse group is compressed and its shape, from its attributes.
pub(crate) fn describe(group: &Group) -> Result<(bool, [usize; 2])> {
    let encoding = match group.text_attribute("encoding-type")? {
        Some(encoding) => encoding,
        None => group.text_attribute("h5sparse_format")?.unwrap_or_default(),
    };
    let by_row = match encoding.as_str() {
        "csr_matrix" | "csr" => true,
        "csc_matrix" | "csc" => false,
        _ => {
            return Err(Error::unsupported("matrix encoding that is not read")
                .at_key(group.key())
                .expected("csr_matrix, csc_matrix or a dense array")
                .found(if encoding.is_empty() { "a group without an encoding".into() } else { encoding }));
        }
    };
    let shape = match group.attribute("shape")? {
        Some(shape) => Some(shape),
        None => group.attribute("h5sparse_shape")?,
    };
    let shape = shape.and_then(|a| match a.values {
        Values::Int(v) => match v.as_slice() {
            &[rows, cols] => Some([usize::try_from(rows).ok()?, usize::try_from(cols).ok()?]),
            _ => None,
        },
        _ => None,
    });
    let shape = shape.ok_or_else(|| {
        Error::unreadable("sparse matrix without a shape")
            .at_key(group.key())
            .expected("an attribute of two integers")
    })?;
    Ok((by_row, shape))
}
