//! The files that cells are read from.

use std::path::{Path, PathBuf};

use microtome_core::{Error, Result};

use crate::data::{Data, DataOptions};

/// Files as they are, folders as the `.h5ad` files in them in the order of their names.
pub(super) fn expand(named: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut all = vec![];
    for path in named {
        if !path.is_dir() || holds_matrix(path) {
            all.push(path.clone());
            continue;
        }
        let bad = |e: std::io::Error| Error::unreadable("cannot list the folder").in_file(path).caused_by(e);
        let mut inside = vec![];
        for entry in std::fs::read_dir(path).map_err(bad)? {
            let file = entry.map_err(bad)?.path();
            if file.extension().is_some_and(|e| e == "h5ad") {
                inside.push(file);
            }
        }
        if inside.is_empty() {
            return Err(Error::usage("the folder holds no .h5ad file").in_file(path));
        }
        inside.sort();
        all.append(&mut inside);
    }
    if all.is_empty() { Err(Error::usage("no data was named")) } else { Ok(all) }
}

/// A 10x matrix folder is one data set.
fn holds_matrix(path: &Path) -> bool {
    path.join("matrix.mtx").exists() || path.join("matrix.mtx.gz").exists()
}

pub(super) fn open_all(paths: &[PathBuf]) -> Result<Vec<Data>> {
    paths.iter().map(|p| Data::open(&DataOptions { path: p.clone(), ..DataOptions::default() })).collect()
}
