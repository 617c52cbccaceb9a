//! Embeddings that others made: a matrix of `obsm`, or a `.npy` file with one row per cell of the data file. Any model can
//! stand in the comparison this way (scVI, Seurat, a hosted model); nothing of how it was made is known or checked.

use std::path::Path;

use microtome_core::{Error, InputFile, Matrix, Result, Role, Site};
use microtome_eval::Representation;
use microtome_weights::npy;

use super::ScanOptions;
use crate::data::Data;
use crate::hash;

/// Widest embedding that is read.
const MAX_WIDTH: usize = 100_000;

/// Embeddings of the chosen cells, and the files they came from.
pub(super) fn read(options: &ScanOptions, data: &Data) -> Result<(Vec<Representation>, Vec<InputFile>)> {
    let (mut out, mut files) = (vec![], vec![]);
    for key in &options.compare.import_obsm {
        let known = data.dataset.obsm_names();
        if !known.contains(key) {
            let near = microtome_core::closest(key, known.iter().map(String::as_str));
            return Err(Error::usage("the file has no such embedding")
                .in_file(data.dataset.path())
                .at_key("--import-obsm")
                .expected(format!("one of obsm: {}", known.join(", ")))
                .found(format!("\"{key}\""))
                .remedy(near.map_or("name another key".into(), |n| format!("did you mean {n}?"))));
        }
        let matrix = data.dataset.obsm(key).map_err(|e| e.in_file(data.dataset.path()))?;
        out.push(imported(key, &matrix, data, data.dataset.path())?);
    }
    for path in &options.compare.import {
        let name = path.file_stem().map_or_else(|| "imported".into(), |n| n.to_string_lossy().into_owned());
        out.push(imported(&name, &matrix(path)?, data, path)?);
        files.extend(hash::inputs("embedding", path)?);
    }
    Ok((out, files))
}

fn matrix(path: &Path) -> Result<Matrix> {
    let array = npy::read(path)?;
    let &[rows, cols] = array.shape() else {
        return Err(Error::unreadable("the array is not a matrix")
            .in_file(path)
            .expected("two dimensions, cells x features")
            .found(format!("shape {:?}", array.shape())));
    };
    if cols == 0 || cols > MAX_WIDTH {
        return Err(Error::unreadable("the embedding has an impossible width")
            .in_file(path)
            .expected(format!("1 to {MAX_WIDTH} features"))
            .found(cols.to_string()));
    }
    Matrix::new(rows, cols, array.to_f32().map_err(|e| e.in_file(path))?)
}

/// One embedding as a model of a single depth.
fn imported(name: &str, all: &Matrix, data: &Data, path: &Path) -> Result<Representation> {
    let n = data.dataset.n_cells();
    if all.rows() != n {
        return Err(Error::mismatch("the embedding does not hold the cells of the data set")
            .in_file(path)
            .expected(format!("{n} rows, one per cell of {} in its order", data.dataset.path().display()))
            .found(format!("{} rows", all.rows()))
            .remedy("write one row per cell, in the order of the file"));
    }
    Ok(Representation {
        model: format!("{name} (imported)"),
        family: None,
        role: Role::Model,
        site: Some(Site::CellEmbedding),
        block: None,
        depth: Some(1.0),
        pooling: Some("imported".into()),
        matrix: all.select_rows(&data.cells),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_matrices_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("e.npy");
        npy::write(&path, &[2, 3], &[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
        assert_eq!(matrix(&path).unwrap().row(1), [4.0, 5.0, 6.0]);
        npy::write(&path, &[6], &[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
        assert!(matrix(&path).unwrap_err().to_string().contains("two dimensions"));
        std::fs::write(&path, b"not an array").unwrap();
        assert!(matrix(&path).is_err());
    }
}
