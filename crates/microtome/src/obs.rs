//! `obs` of a run's cells on its way from the input to the output, a part at a time.

use std::ops::Range;

use microtome_core::{Column, Result};
use microtome_h5ad::{ColumnKind, ObsRows, ROWS_PER_PART, TableRows};

/// Rows of a column, by position among the chosen cells.
type Rows<'a> = Box<dyn Fn(Range<usize>) -> Result<Column> + 'a>;

/// `obs` of chosen cells of a file, with columns of our own after its own.
pub(crate) struct ChosenObs<'a> {
    file: &'a ObsRows,
    cells: &'a [usize],
    /// Positions in the file's table of the columns that are kept, with their kinds.
    kept: Vec<(usize, String, ColumnKind)>,
    own: Vec<(String, ColumnKind, Rows<'a>)>,
}

impl<'a> ChosenObs<'a> {
    /// The rows `cells` (ascending) of the file.
    pub(crate) fn new(file: &'a ObsRows, cells: &'a [usize]) -> Self {
        let columns = file.columns().into_iter().enumerate();
        let kept = columns.map(|(i, (name, kind))| (i, name, kind)).collect();
        Self { file, cells, kept, own: vec![] }
    }

    /// Adds a column; one of this name that the file has is left out.
    pub(crate) fn add(
        &mut self,
        name: &str,
        kind: ColumnKind,
        rows: impl Fn(Range<usize>) -> Result<Column> + 'a,
    ) {
        self.kept.retain(|(_, n, _)| n != name);
        self.own.push((name.into(), kind, Box::new(rows)));
    }

    /// Reads rows of the file block by block and joins what is chosen of them.
    fn gather<T>(
        &self,
        rows: Range<usize>,
        read: impl Fn(Range<usize>) -> Result<T>,
        mut take: impl FnMut(T, &[usize]) -> Result<()>,
    ) -> Result<()> {
        for block in self.cells[rows].chunk_by(|a, b| a / ROWS_PER_PART == b / ROWS_PER_PART) {
            let (Some(&first), Some(&last)) = (block.first(), block.last()) else { continue };
            let chosen: Vec<usize> = block.iter().map(|&cell| cell - first).collect();
            take(read(first..last + 1)?, &chosen)?;
        }
        Ok(())
    }
}

impl TableRows for ChosenObs<'_> {
    fn n_rows(&self) -> usize {
        self.cells.len()
    }

    fn columns(&self) -> Vec<(String, ColumnKind)> {
        let kept = self.kept.iter().map(|(_, name, kind)| (name.clone(), kind.clone()));
        kept.chain(self.own.iter().map(|(name, kind, _)| (name.clone(), kind.clone()))).collect()
    }

    fn names(&self, rows: Range<usize>) -> Result<Vec<String>> {
        let mut names = Vec::with_capacity(rows.len());
        self.gather(
            rows,
            |part| self.file.names(part),
            |mut part, chosen| {
                names.extend(chosen.iter().map(|&i| std::mem::take(&mut part[i])));
                Ok(())
            },
        )?;
        Ok(names)
    }

    fn column(&self, i: usize, rows: Range<usize>) -> Result<Column> {
        let Some((at, _, _)) = self.kept.get(i) else {
            return (self.own[i - self.kept.len()].2)(rows);
        };
        let mut whole: Option<Column> = None;
        self.gather(
            rows,
            |part| self.file.column(*at, part),
            |part, chosen| {
                let part = if chosen.len() == part.len() { part } else { part.select(chosen) };
                match &mut whole {
                    None => whole = Some(part),
                    Some(column) => column.extend(part)?,
                }
                Ok(())
            },
        )?;
        // Parts are never empty: `parts` of no cells has none.
        Ok(whole.unwrap_or(Column::Float(vec![])))
    }
}
