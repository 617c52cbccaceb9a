//! Labels and batches as metrics need them: without gaps, without missing values.

use crate::Groups;
use crate::metrics::score::{Score, same_number};
use microtome_core::{Matrix, Result};
use std::borrow::Cow;

/// A complete grouping with codes `0..n` in the order of the original codes.
#[derive(Clone, Debug)]
pub(crate) struct Grouping {
    /// Group of every cell.
    pub(crate) codes: Vec<u32>,
    /// Cells of every group, rising; never empty.
    pub(crate) members: Vec<Vec<usize>>,
    /// Original code of every group, rising.
    pub(crate) original: Vec<u32>,
}

impl Grouping {
    /// Renames codes to `0..n`. [`Groups::MISSING`] counts as a group: remove such cells before.
    pub(crate) fn new(codes: &[u32]) -> Self {
        let mut original = codes.to_vec();
        original.sort_unstable();
        original.dedup();
        let mut members = vec![Vec::new(); original.len()];
        let codes = codes
            .iter()
            .enumerate()
            .map(|(i, c)| {
                let at = original.partition_point(|o| o < c);
                members[at].push(i);
                at as u32
            })
            .collect();
        Self { codes, members, original }
    }

    /// Number of groups.
    pub(crate) fn n(&self) -> usize {
        self.original.len()
    }
}

/// The cells that can be used, and why others cannot.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usable {
    /// Cells that are kept, rising.
    pub(crate) cells: Vec<usize>,
    missing: usize,
    not_finite: usize,
}

impl Usable {
    /// Cells with a code in every column and finite values. Errors when numbers of cells differ.
    pub(crate) fn of(n: usize, x: &[&Matrix], columns: &[&[u32]]) -> Result<Self> {
        for column in columns {
            same_number("labels and cells", n, column.len())?;
        }
        for x in x {
            same_number("rows of the embedding and cells", n, x.rows())?;
        }
        let mut usable = Self::default();
        for i in 0..n {
            if columns.iter().any(|c| c[i] == Groups::MISSING) {
                usable.missing += 1;
            } else if x.iter().any(|x| x.row(i).iter().any(|v| !v.is_finite())) {
                usable.not_finite += 1;
            } else {
                usable.cells.push(i);
            }
        }
        Ok(usable)
    }

    fn all(&self) -> bool {
        self.missing + self.not_finite == 0
    }

    /// Rows of the kept cells.
    pub(crate) fn rows<'a>(&self, x: &'a Matrix) -> Cow<'a, Matrix> {
        if self.all() { Cow::Borrowed(x) } else { Cow::Owned(x.select_rows(&self.cells)) }
    }

    /// Codes of the kept cells.
    pub(crate) fn codes(&self, codes: &[u32]) -> Vec<u32> {
        self.cells.iter().map(|&i| codes[i]).collect()
    }

    /// Adds to a score what was left out here.
    pub(crate) fn note(&self, score: Score) -> Score {
        score
            .excluding(self.missing, "cells without a label or batch")
            .excluding(self.not_finite, "cells with values that are not finite")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_without_gaps_in_the_old_order() {
        let g = Grouping::new(&[9, 2, 9, 4_000_000_000]);
        assert_eq!(g.codes, [1, 0, 1, 2]);
        assert_eq!(g.original, [2, 9, 4_000_000_000]);
        assert_eq!(g.members, [vec![1], vec![0, 2], vec![3]]);
        assert_eq!(Grouping::new(&[]).n(), 0);
    }

    #[test]
    fn unusable_cells_are_counted_by_cause() {
        let x = Matrix::new(3, 1, vec![1.0, f32::NAN, 2.0]).unwrap();
        let u = Usable::of(3, &[&x], &[&[0, 0, Groups::MISSING]]).unwrap();
        assert_eq!(u.cells, [0]);
        let score = u.note(Score::new(1.0, 1));
        assert_eq!(score.n_excluded, 2);
        assert_eq!(
            score.reason.as_deref(),
            Some(
                "1 left out: cells without a label or batch; 1 left out: cells with values that are not finite"
            )
        );
        assert!(Usable::of(3, &[&x], &[&[0, 0]]).is_err());
    }
}
