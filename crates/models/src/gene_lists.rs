//! Gene lists that checkpoints keep in `.h5ad` files. Nothing here can read HDF5: whoever can says how.

use std::path::Path;
use std::sync::OnceLock;

use microtome_core::{Error, Result};

/// Reads the names of the genes (`var_names`) of an `.h5ad` file, in file order.
pub type ReadGenes = fn(&Path) -> Result<Vec<String>>;

static READER: OnceLock<ReadGenes> = OnceLock::new();

/// Says how genes of `.h5ad` files are read, once per process; later calls change nothing. Nicheformer's checkpoints need it unless
/// they come with `vocab.json`.
pub fn read_h5ad_genes_with(reader: ReadGenes) {
    READER.get_or_init(|| reader);
}

/// Names of the genes of an `.h5ad` file.
pub(crate) fn h5ad_genes(path: &Path) -> Result<Vec<String>> {
    let reader = READER.get().ok_or_else(|| {
        Error::unsupported("the gene list is an .h5ad file, and this program cannot read HDF5")
            .in_file(path)
            .expected("vocab.json beside the weights, or a call of read_h5ad_genes_with at start")
    })?;
    reader(path).map_err(|e| e.in_file(path))
}
