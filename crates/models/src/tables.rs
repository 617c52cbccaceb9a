//! Vocabularies in HDF5 files. This crate links no HDF5: the program provides the reader once, before it opens models.

use std::path::Path;
use std::sync::OnceLock;

use microtome_core::{Error, Result};

/// Reads a dataset of texts of an HDF5 file: path of the file, name of the dataset.
pub type TextsReader = fn(&Path, &str) -> Result<Vec<String>>;

static READER: OnceLock<TextsReader> = OnceLock::new();

/// Provides the reader for vocabularies in HDF5 files; the first one stays.
pub fn provide_hdf5_texts(reader: TextsReader) {
    READER.get_or_init(|| reader);
}

/// A dataset of texts of an HDF5 file.
pub(crate) fn texts(path: &Path, key: &str) -> Result<Vec<String>> {
    if !path.is_file() {
        return Err(Error::unreadable("a vocabulary file is missing")
            .in_file(path)
            .remedy("take the folder vocabs from the published model"));
    }
    let reader = READER.get().ok_or_else(|| {
        Error::unsupported("vocabularies in HDF5 files need a reader, and the program provided none")
            .in_file(path)
            .remedy("call microtome_models::provide_hdf5_texts before opening models")
    })?;
    reader(path, key)
}
