//! Texts of an HDF5 file that is no data set, such as the gene list of a model's vocabulary.

use std::path::Path;

use microtome_core::{Error, Result};

use crate::hdf5::File;

/// The texts of the dataset `key` at the root of an HDF5 file.
///
/// # Errors
/// When the file is not HDF5, or has no such dataset of texts.
pub fn read_texts(path: &Path, key: &str) -> Result<Vec<String>> {
    let read = || -> Result<Vec<String>> {
        let array = File::open(path)?.root()?.array(key)?;
        if array.shape().len() != 1 {
            return Err(Error::unreadable("the texts are not a plain list")
                .at_key(key)
                .found(format!("shape {:?}", array.shape())));
        }
        array.texts()
    };
    read().map_err(|e| e.in_file(path))
}
