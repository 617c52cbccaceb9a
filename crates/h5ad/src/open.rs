//! Finding out what a file is.

use std::io::Read;
use std::path::Path;

use microtome_core::{Error, Result};

use crate::anndata::AnnData;
use crate::dataset::{Body, Dataset, Format};
use crate::hdf5::{self, File};
use crate::tenx::{Folder, TenxH5};

const FORMATS: &str = "an AnnData .h5ad file, a 10x .h5 file, or a folder with a 10x matrix.mtx(.gz)";

/// Opens a data set: AnnData `.h5ad`, 10x `.h5` (Cell Ranger 2 and later) or a folder with 10x `matrix.mtx(.gz)`, told
/// apart by content, not by name.
///
/// # Errors
/// A path that does not exist, a file of another kind, a damaged file; the message says which and what to do.
pub fn open(path: &Path) -> Result<Dataset> {
    open_any(path).map_err(|e| e.in_file(path))
}

fn open_any(path: &Path) -> Result<Dataset> {
    let metadata = std::fs::metadata(path)
        .map_err(|e| Error::unreadable("cannot open the data set").caused_by(e).remedy("check the path"))?;
    if metadata.is_dir() {
        if ["zarr.json", ".zgroup", ".zattrs"].iter().any(|n| path.join(n).exists()) {
            return Err(Error::unsupported("Zarr stores are not read")
                .expected(FORMATS)
                .remedy("in Python: anndata.read_zarr(PATH).write_h5ad(\"cells.h5ad\")"));
        }
        let (folder, notes) = Folder::open(path)?;
        return Ok(Dataset::new(path, Format::TenxMtx, Body::Folder(folder), notes));
    }
    let mut first = [0; 16];
    let n = std::fs::File::open(path).and_then(|mut f| f.read(&mut first)).map_err(|e| {
        Error::unreadable("cannot read the file").caused_by(e).remedy("check its permissions")
    })?;
    if !hdf5::is_hdf5(&first[..n]) {
        return Err(not_hdf5(path, &first[..n]));
    }
    let root = File::open(path)?.root()?;
    if root.has("obs") && root.has("var") {
        return Ok(Dataset::new(
            path,
            Format::AnnData,
            Body::AnnData(Box::new(AnnData::open(root)?)),
            vec![],
        ));
    }
    if let Some((tenx, format, notes)) = TenxH5::open(&root)? {
        return Ok(Dataset::new(path, format, Body::TenxH5(tenx), notes));
    }
    let names: Vec<&str> = root.names().take(20).collect();
    let remedy = if root.has("row_attrs") && root.has("col_attrs") {
        "this is a Loom file; in Python: anndata.io.read_loom(PATH).write_h5ad(\"cells.h5ad\")"
    } else {
        "in Python: write it with adata.write_h5ad(...)"
    };
    Err(Error::unsupported("an HDF5 file, but not a data set of cells")
        .expected("groups obs and var (AnnData), or barcodes and features (10x)")
        .found(if names.is_empty() { "nothing".into() } else { names.join(", ") })
        .remedy(remedy))
}

fn not_hdf5(path: &Path, first: &[u8]) -> Error {
    let (found, remedy) = match first {
        [] => ("an empty file", "copy or download it again"),
        [0x1f, 0x8b, ..] => ("gzip data", "unpack it first; for 10x matrix.mtx.gz name the folder it is in"),
        [b'P', b'K', 3, 4, ..] => ("a zip archive", "unpack it first"),
        [b'%', b'%', b'M', ..] => ("a Matrix Market file", "name the folder it is in"),
        _ if first.iter().all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace()) => {
            ("text", "read it with scanpy or pandas and write adata.write_h5ad(\"cells.h5ad\")")
        }
        _ => ("something else", "check that this is the right file"),
    };
    Error::unreadable("not a data set of cells").in_file(path).expected(FORMATS).found(found).remedy(remedy)
}
