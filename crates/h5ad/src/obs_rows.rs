//! `obs` in parts.

use std::ops::Range;
use std::path::PathBuf;

use microtome_core::{Column, Error, ErrorKind, Result};

use crate::column::{self, Reader};
use crate::frame::Frame;
use crate::rows::{ColumnKind, TableRows, parts};

/// The table of cells, read in parts. Every value was read once when it was opened, so that damage shows before long work begins.
#[derive(Debug)]
pub struct ObsRows {
    path: PathBuf,
    n_rows: usize,
    names: Names,
    columns: Vec<(String, Reader)>,
}

#[derive(Debug)]
enum Names {
    Stored(Box<Reader>),
    Known(Vec<String>),
}

impl ObsRows {
    /// The table `frame` of the file `path`. Columns in an encoding that is not read are left out, each with a note.
    pub(crate) fn of_frame(path: PathBuf, frame: &Frame, notes: &mut Vec<String>) -> Result<Self> {
        let mut table = Self {
            path,
            n_rows: frame.len()?,
            names: Names::Stored(Box::new(frame.name_reader()?)),
            columns: vec![],
        };
        table.check_names()?;
        for name in frame.column_names()? {
            let checked = frame.reader(&name).and_then(|reader| {
                frame.check_length(&name, reader.len())?;
                for part in parts(table.n_rows) {
                    frame.check_part(&name, part.len(), reader.read(part)?.len())?;
                }
                Ok(reader)
            });
            match checked {
                Ok(reader) => table.columns.push((name, reader)),
                Err(e) if e.kind() == ErrorKind::Unsupported => {
                    notes.push(format!("{}[\"{name}\"] was left out: {e}", frame.key()));
                }
                Err(e) => return Err(e),
            }
        }
        Ok(table)
    }

    /// A table of stored names alone.
    pub(crate) fn of_names(path: PathBuf, names: Reader) -> Result<Self> {
        let table =
            Self { path, n_rows: names.len(), names: Names::Stored(Box::new(names)), columns: vec![] };
        table.check_names()?;
        Ok(table)
    }

    /// A table of names alone.
    pub(crate) fn of_known(path: PathBuf, names: Vec<String>) -> Self {
        Self { path, n_rows: names.len(), names: Names::Known(names), columns: vec![] }
    }

    fn check_names(&self) -> Result<()> {
        for part in parts(self.n_rows) {
            let (expected, found) = (part.len(), self.names_of(part)?.len());
            if expected != found {
                return Err(Error::unreadable("row names of the wrong shape")
                    .expected(format!("{expected} names"))
                    .found(format!("{found} values")));
            }
        }
        Ok(())
    }

    fn names_of(&self, rows: Range<usize>) -> Result<Vec<String>> {
        match &self.names {
            Names::Stored(reader) => Ok(column::texts(reader.read(rows)?)),
            Names::Known(names) => Ok(names[rows].to_vec()),
        }
    }
}

impl TableRows for ObsRows {
    fn n_rows(&self) -> usize {
        self.n_rows
    }

    fn columns(&self) -> Vec<(String, ColumnKind)> {
        self.columns.iter().map(|(name, reader)| (name.clone(), reader.kind())).collect()
    }

    fn names(&self, rows: Range<usize>) -> Result<Vec<String>> {
        self.names_of(rows).map_err(|e| e.in_file(&self.path))
    }

    fn column(&self, i: usize, rows: Range<usize>) -> Result<Column> {
        self.columns[i].1.read(rows).map_err(|e| e.in_file(&self.path))
    }
}
