//! AnnData and 10x files on disk to and from memory, streamed by row range.
//!
//! [`open`] tells `.h5ad`, 10x `.h5` and 10x `.mtx` folders apart by content. [`MatrixReader`] reads rows of `X`, a layer
//! or `raw` without loading the rest; gzip chunks are unpacked on all cores. [`Writer`] writes `.h5ad` files that current
//! anndata and scanpy read, in bounded memory, and puts them in place only when they are complete.
//!
//! Every file is treated as hostile: sizes and addresses are checked against the length of the file before anything is
//! allocated, and damage is an [`microtome_core::Error`] that names file and key.

mod anndata;
mod by_column;
mod column;
mod dataset;
mod dense;
mod frame;
mod hdf5;
mod matrix;
mod obs_rows;
mod open;
mod rows;
mod slot;
mod sparse;
mod tenx;
mod texts;
mod uns;
mod write;

pub use dataset::{Dataset, Format};
pub use matrix::{MatrixReader, Storage};
pub use obs_rows::ObsRows;
pub use open::open;
pub use rows::{ColumnKind, ROWS_PER_PART, TableRows, parts};
pub use slot::Slot;
pub use texts::read_texts;
pub use uns::UNS_LIST_LIMIT;
pub use write::Writer;
