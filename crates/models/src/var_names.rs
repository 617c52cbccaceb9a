//! Gene orders that are published as the `var_names` of an AnnData file.
//!
//! This crate reads no HDF5. Who uses it together with a reader hands the reader in, once, before opening such a model.

use std::path::Path;
use std::sync::OnceLock;

use microtome_core::{Error, Result};

/// Reads the `var_names` of an AnnData file.
pub type ReadVarNames = fn(&Path) -> Result<Vec<String>>;

static READER: OnceLock<ReadVarNames> = OnceLock::new();

/// Hands in the reader. The first one stays.
pub fn provide_var_names(reader: ReadVarNames) {
    READER.get_or_init(|| reader);
}

/// The `var_names` of a file, through the reader that was handed in.
pub(crate) fn var_names(path: &Path) -> Result<Vec<String>> {
    let reader = READER.get().ok_or_else(|| {
        Error::unsupported("this program was built without a reader of AnnData files")
            .in_file(path)
            .remedy("write its var_names, one a line, to gene_order.txt beside the model")
    })?;
    reader(path)
}
