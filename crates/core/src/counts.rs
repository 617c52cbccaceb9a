//! Counts of cells x genes as compressed sparse rows.

use crate::{Error, Result};

/// Sparse `[cell, gene]` matrix in CSR form, validated on construction.
///
/// Values are what the file holds: raw counts for most tasks, but the type does not promise it;
/// ask [`Counts::check_raw`].
#[derive(Clone, Debug, PartialEq)]
pub struct Counts {
    n_genes: usize,
    indptr: Vec<usize>,
    indices: Vec<u32>,
    values: Vec<f32>,
}

/// Whether the values can be raw counts.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct CountCheck {
    /// Stored values looked at.
    pub n_values: usize,
    /// How many are not whole numbers.
    pub n_fractional: usize,
    /// How many are below zero.
    pub n_negative: usize,
    /// How many are NaN or infinite.
    pub n_non_finite: usize,
    /// Largest finite value.
    pub max: f32,
}

impl CountCheck {
    /// True when every stored value is a non-negative whole number.
    pub fn is_raw(&self) -> bool {
        self.n_fractional == 0 && self.n_negative == 0 && self.n_non_finite == 0
    }

    /// Adds another part of the same matrix.
    pub fn merge(&mut self, other: &Self) {
        self.n_values += other.n_values;
        self.n_fractional += other.n_fractional;
        self.n_negative += other.n_negative;
        self.n_non_finite += other.n_non_finite;
        self.max = self.max.max(other.max);
    }
}

impl Counts {
    /// Checks and wraps CSR parts. Column indices may be unsorted within a row (some writers do that) but
    /// must be below `n_genes` and must not repeat within a row.
    pub fn new(n_genes: usize, indptr: Vec<usize>, indices: Vec<u32>, values: Vec<f32>) -> Result<Self> {
        let bad = |what: &str, expected: String, found: String| {
            Err(Error::unreadable(what).expected(expected).found(found))
        };
        if indptr.first() != Some(&0) {
            return bad("sparse row pointers must start at 0", "0".into(), format!("{:?}", indptr.first()));
        }
        if let Some(w) = indptr.windows(2).find(|w| w[0] > w[1]) {
            return bad(
                "sparse row pointers must not decrease",
                format!("at least {}", w[0]),
                w[1].to_string(),
            );
        }
        let nnz = indptr[indptr.len() - 1];
        if indices.len() != nnz || values.len() != nnz {
            return bad(
                "sparse parts disagree in length",
                format!("{nnz} indices and values (last row pointer)"),
                format!("{} indices, {} values", indices.len(), values.len()),
            );
        }
        if let Some(&i) = indices.iter().find(|&&i| i as usize >= n_genes) {
            return bad(
                "sparse column index out of range",
                format!("below {n_genes} (number of genes)"),
                i.to_string(),
            );
        }
        let counts = Self { n_genes, indptr, indices, values };
        let mut seen = vec![usize::MAX; n_genes];
        for cell in 0..counts.n_cells() {
            for &g in counts.row(cell).0 {
                if std::mem::replace(&mut seen[g as usize], cell) == cell {
                    return bad(
                        "a gene is stored twice in one sparse row",
                        "each column index at most once per row".into(),
                        format!("column {g} twice in row {cell} of this part"),
                    )
                    .map_err(|e| e.remedy("in Python: adata.X.sum_duplicates(), then write the file again"));
                }
            }
        }
        Ok(counts)
    }

    /// No cells.
    pub fn empty(n_genes: usize) -> Self {
        Self { n_genes, indptr: vec![0], indices: vec![], values: vec![] }
    }

    /// Number of cells.
    pub fn n_cells(&self) -> usize {
        self.indptr.len() - 1
    }

    /// Number of genes.
    pub fn n_genes(&self) -> usize {
        self.n_genes
    }

    /// Number of stored values.
    pub fn nnz(&self) -> usize {
        self.values.len()
    }

    /// Row pointers, `n_cells + 1`.
    pub fn indptr(&self) -> &[usize] {
        &self.indptr
    }

    /// Column indices of all rows.
    pub fn indices(&self) -> &[u32] {
        &self.indices
    }

    /// Values of all rows.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Gene indices and values of one cell. Stored zeros may occur.
    pub fn row(&self, cell: usize) -> (&[u32], &[f32]) {
        let range = self.indptr[cell]..self.indptr[cell + 1];
        (&self.indices[range.clone()], &self.values[range])
    }

    /// Sum of one cell's values over all genes, in `f64`.
    pub fn total(&self, cell: usize) -> f64 {
        self.row(cell).1.iter().map(|&v| f64::from(v)).sum()
    }

    /// The given cells in the given order (repeats allowed). Panics when an index is out of range.
    pub fn select_cells(&self, cells: &[usize]) -> Self {
        let mut out = Self::empty(self.n_genes);
        for &c in cells {
            let (indices, values) = self.row(c);
            out.indices.extend_from_slice(indices);
            out.values.extend_from_slice(values);
            out.indptr.push(out.values.len());
        }
        out
    }

    /// Puts the cells of `other` after these. Errors when the genes differ in number.
    pub fn append(&mut self, other: &Self) -> Result<()> {
        if other.n_genes != self.n_genes {
            return Err(Error::usage("cannot join matrices of different gene number")
                .expected(self.n_genes.to_string())
                .found(other.n_genes.to_string()));
        }
        let base = self.values.len();
        self.indices.extend_from_slice(&other.indices);
        self.values.extend_from_slice(&other.values);
        self.indptr.extend(other.indptr[1..].iter().map(|p| p + base));
        Ok(())
    }

    /// Looks at every stored value.
    pub fn check_raw(&self) -> CountCheck {
        let mut check = CountCheck { n_values: self.values.len(), ..CountCheck::default() };
        for &v in &self.values {
            if !v.is_finite() {
                check.n_non_finite += 1;
                continue;
            }
            check.n_fractional += usize::from(v.fract() != 0.0);
            check.n_negative += usize::from(v < 0.0);
            check.max = check.max.max(v);
        }
        check
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_bad_parts() {
        assert!(
            Counts::new(3, vec![0, 2], vec![0, 3], vec![1.0, 1.0])
                .unwrap_err()
                .what()
                .contains("out of range")
        );
        assert!(Counts::new(3, vec![0, 2], vec![1, 1], vec![1.0, 1.0]).unwrap_err().what().contains("twice"));
        assert!(
            Counts::new(3, vec![0, 2, 1], vec![1, 2], vec![1.0, 1.0])
                .unwrap_err()
                .what()
                .contains("decrease")
        );
        assert!(
            Counts::new(3, vec![1, 2], vec![1, 2], vec![1.0, 1.0]).unwrap_err().what().contains("start at 0")
        );
        assert!(Counts::new(3, vec![], vec![], vec![]).is_err());
    }

    #[test]
    fn selects_appends_and_checks() {
        let mut a = Counts::new(3, vec![0, 1, 3], vec![2, 0, 1], vec![1.0, 2.0, 0.5]).unwrap();
        let b = a.select_cells(&[1, 1]);
        assert_eq!(b.row(1), (&[0u32, 1][..], &[2.0f32, 0.5][..]));
        a.append(&b).unwrap();
        assert_eq!(a.n_cells(), 4);
        assert_eq!(a.check_raw().n_fractional, 3);
        assert!(!a.check_raw().is_raw());
        assert_eq!(a.total(3), 2.5);
    }
}
