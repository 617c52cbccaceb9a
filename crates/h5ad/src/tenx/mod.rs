//! 10x Genomics count matrices.

mod features;
mod folder;
mod h5;
mod mtx;

pub(crate) use folder::Folder;
pub(crate) use h5::TenxH5;
