//! Aligned arrays (`obsm`, `varm`) as dense matrices.

use std::path::Path;

use microtome_core::{Error, Matrix, Result};

use crate::frame::Frame;
use crate::hdf5::{Group, Node, Rounding, read_f32};
use crate::matrix::MatrixReader;
use crate::sparse::describe;

/// A matrix of `n_rows`. Arrays of one axis become one column; further axes are joined into the columns; sparse arrays
/// are filled up; data frames must be numeric.
pub(crate) fn read(path: &Path, root: &Group, parent: &Group, name: &str, n_rows: usize) -> Result<Matrix> {
    let key = parent.child_key(name);
    let wrong_rows = |found: usize| {
        Err(Error::unreadable("array of the wrong length")
            .at_key(key.clone())
            .expected(format!("{n_rows} rows"))
            .found(format!("{found} rows")))
    };
    match parent.node(name)? {
        Node::Array(array) => {
            if array.shape().is_empty() || array.len() != n_rows {
                return wrong_rows(array.len());
            }
            let cols = array.shape()[1..].iter().product::<u64>() as usize;
            let values = read_f32(&array, 0..n_rows, &Rounding::default())?;
            Matrix::new(n_rows, cols, values)
        }
        Node::Group(group) if group.text_attribute("encoding-type")?.as_deref() == Some("dataframe") => {
            let frame = Frame::open(root, parent, name)?;
            if frame.len()? != n_rows {
                return wrong_rows(frame.len()?);
            }
            let names = frame.column_names()?;
            let mut out = Matrix::zeros(n_rows, names.len());
            for (j, name) in names.iter().enumerate() {
                let numbers = frame.column(name)?.numbers().ok_or_else(|| {
                    Error::unsupported("column that is not numeric")
                        .at_key(format!("{key}[\"{name}\"]"))
                        .remedy("keep such columns in obs")
                })?;
                for (i, v) in numbers.into_iter().enumerate() {
                    out.row_mut(i)[j] = v as f32;
                }
            }
            Ok(out)
        }
        Node::Group(group) => {
            let (_, shape) = describe(&group)?;
            if shape[0] != n_rows {
                return wrong_rows(shape[0]);
            }
            let reader = MatrixReader::open(path, Node::Group(group), (shape[0], shape[1]))?;
            fill(&reader, &key)
        }
    }
}

/// Largest sparse array that is filled up, in values (4 GiB).
const MAX_FILLED: usize = 1 << 30;

fn fill(reader: &MatrixReader, key: &str) -> Result<Matrix> {
    let (rows, cols) = (reader.n_cells(), reader.n_genes());
    if rows.checked_mul(cols).is_none_or(|n| n > MAX_FILLED) {
        return Err(Error::unsupported("sparse array too large to be made dense")
            .at_key(key)
            .expected(format!("at most {MAX_FILLED} values"))
            .found(format!("{rows} x {cols}")));
    }
    let mut out = Matrix::zeros(rows, cols);
    let counts = reader.rows(0..rows)?;
    for i in 0..rows {
        let (indices, values) = counts.row(i);
        for (&j, &v) in indices.iter().zip(values) {
            out.row_mut(i)[j as usize] = v;
        }
    }
    Ok(out)
}
