//! Tables that are read and written in parts, so that memory does not grow with the number of cells.

use std::ops::Range;

use microtome_core::{Column, Error, Result, Table};

/// Rows that are in memory at one time when a table is copied.
pub const ROWS_PER_PART: usize = 16_384;

/// What a column holds, known before its rows are read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ColumnKind {
    /// Floats; NaN is missing.
    Float,
    /// Whole numbers.
    Int {
        /// Whether values may be missing.
        nullable: bool,
    },
    /// Yes or no.
    Bool {
        /// Whether values may be missing.
        nullable: bool,
    },
    /// Text.
    Text {
        /// Whether values may be missing.
        nullable: bool,
    },
    /// Codes of categories, which may be missing.
    Categorical {
        /// The categories, in their stored order.
        categories: Vec<String>,
        /// Whether their order means something.
        ordered: bool,
    },
}

impl ColumnKind {
    /// The kind of a column in memory.
    pub fn of(column: &Column) -> Self {
        match column {
            Column::Int(v) => Self::Int { nullable: v.iter().any(Option::is_none) },
            Column::Bool(v) => Self::Bool { nullable: v.iter().any(Option::is_none) },
            Column::Text(v) => Self::Text { nullable: v.iter().any(Option::is_none) },
            Column::Categorical { categories, ordered, .. } => {
                Self::Categorical { categories: categories.clone(), ordered: *ordered }
            }
            // `Column` may grow; what is not known is refused when its rows are written.
            _ => Self::Float,
        }
    }
}

/// A table that hands out its rows in parts.
pub trait TableRows {
    /// Number of rows.
    fn n_rows(&self) -> usize;

    /// Columns in order.
    fn columns(&self) -> Vec<(String, ColumnKind)>;

    /// Names of some rows.
    ///
    /// # Errors
    /// When they cannot be read.
    fn names(&self, rows: Range<usize>) -> Result<Vec<String>>;

    /// Some rows of the column at position `i` of [`TableRows::columns`]; of the kind stated there.
    ///
    /// # Errors
    /// When they cannot be read.
    fn column(&self, i: usize, rows: Range<usize>) -> Result<Column>;
}

impl TableRows for Table {
    fn n_rows(&self) -> usize {
        self.index.len()
    }

    fn columns(&self) -> Vec<(String, ColumnKind)> {
        self.columns.iter().map(|(name, column)| (name.clone(), ColumnKind::of(column))).collect()
    }

    fn names(&self, rows: Range<usize>) -> Result<Vec<String>> {
        Ok(self.index[rows].to_vec())
    }

    fn column(&self, i: usize, rows: Range<usize>) -> Result<Column> {
        let (name, column) = &self.columns[i];
        if column.len() != self.index.len() {
            return Err(Error::usage("column of the wrong length")
                .at_key(name)
                .expected(format!("{} rows", self.index.len()))
                .found(format!("{} rows", column.len())));
        }
        Ok(if rows == (0..column.len()) { column.clone() } else { column.select(&rows.collect::<Vec<_>>()) })
    }
}

/// The parts in which `n` rows are copied.
pub fn parts(n: usize) -> impl Iterator<Item = Range<usize>> {
    (0..n).step_by(ROWS_PER_PART).map(move |start| start..(start + ROWS_PER_PART).min(n))
}
