//! How all pairs of rows are walked: tiles of fixed size, so that results do not depend on threads.

/// Rows of one tile.
pub(crate) const ROWS: usize = 256;
/// Columns of one tile.
pub(crate) const COLS: usize = 512;

/// A rectangle of pairs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tile {
    /// First row.
    pub(crate) row: usize,
    /// Number of rows.
    pub(crate) rows: usize,
    /// First column.
    pub(crate) col: usize,
    /// Number of columns.
    pub(crate) cols: usize,
}

impl Tile {
    /// Range of the row-major data of a matrix of width `d` that holds the rows.
    pub(crate) fn row_range(&self, d: usize) -> std::ops::Range<usize> {
        self.row * d..(self.row + self.rows) * d
    }

    /// Range of the row-major data of a matrix of width `d` that holds the columns.
    pub(crate) fn col_range(&self, d: usize) -> std::ops::Range<usize> {
        self.col * d..(self.col + self.cols) * d
    }
}

/// Tiles that cover all pairs `(i, j)` with `i < j < n` (and some others).
pub(crate) fn upper(n: usize) -> Vec<Tile> {
    let mut out = Vec::new();
    for row in (0..n).step_by(ROWS) {
        let rows = ROWS.min(n - row);
        for col in (row / COLS * COLS..n).step_by(COLS) {
            out.push(Tile { row, rows, col, cols: COLS.min(n - col) });
        }
    }
    out
}

/// Tiles that cover all pairs `(i, j)`, rows first.
pub(crate) fn square(n: usize) -> Vec<Tile> {
    let mut out = Vec::new();
    for row in (0..n).step_by(ROWS) {
        for col in (0..n).step_by(COLS) {
            out.push(Tile { row, rows: ROWS.min(n - row), col, cols: COLS.min(n - col) });
        }
    }
    out
}

/// Whole rows, few at a time.
pub(crate) fn stripes(n: usize) -> Vec<Tile> {
    const STRIPE: usize = 64;
    (0..n).step_by(STRIPE).map(|row| Tile { row, rows: STRIPE.min(n - row), col: 0, cols: n }).collect()
}
