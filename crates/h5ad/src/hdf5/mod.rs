//! The HDF5 objects an AnnData file is made of, read lazily and in parallel.
//!
//! Messages, trees and filters are decoded by `rust_hdf5::format`; this module walks them. Every address and
//! length is checked against the file before anything is allocated, so that a hostile file yields an [`Error`].

mod array;
mod arrays;
mod attribute;
mod chunked;
mod chunks;
mod grid;
mod group;
mod header;
mod heap;
mod kind;
mod links;
mod numbers;
mod source;
mod values;

use std::path::Path;
use std::sync::Arc;

use microtome_core::{Error, Result};
use rust_hdf5::format::FormatContext;
use rust_hdf5::format::superblock::{
    HDF5_SIGNATURE, SuperblockV0V1, SuperblockV2V3, detect_superblock_version,
};

pub(crate) use array::Array;
pub(crate) use attribute::Attribute;
pub(crate) use group::{Group, Node};
pub(crate) use kind::Kind;
pub(crate) use numbers::{Rounding, read_f32, read_indices};
pub(crate) use source::Source;
pub(crate) use values::Values;

/// No stored byte can become more than this many bytes through deflate, so no dataset of a file can be larger than
/// the file times this (small files get [`SMALL`] for free).
const MAX_EXPANSION: u64 = 1032;
/// What a dataset may take whatever the length of the file: chunks that were never written cost nothing on disk.
const SMALL: u64 = 16 << 20;

/// An open HDF5 file.
#[derive(Debug)]
pub(crate) struct File {
    source: Source,
    ctx: FormatContext,
    root: u64,
    /// Capacities of old-style group and chunk tree nodes, `2 * K`.
    leaf_entries: u16,
    group_entries: u16,
    chunk_entries: u16,
}

/// Whether the first bytes of a file are those of HDF5.
pub(crate) fn is_hdf5(first: &[u8]) -> bool {
    first.starts_with(&HDF5_SIGNATURE)
}

impl File {
    /// Opens and reads the superblock.
    pub(crate) fn open(path: &Path) -> Result<Arc<Self>> {
        let source = Source::open(path)?;
        let first = source.read_up_to(0, 256)?;
        let version = detect_superblock_version(&first)
            .map_err(|e| damaged("superblock", &e).remedy("is this an HDF5 file?"))?;
        let (sizes, base, end, root, k) = match version {
            0 | 1 => {
                let s = SuperblockV0V1::decode(&first).map_err(|e| damaged("superblock", &e))?;
                let k = (s.sym_leaf_k, s.btree_internal_k, s.indexed_storage_k.unwrap_or(32));
                let root = s.root_symbol_table_entry.obj_header_addr;
                ((s.sizeof_offsets, s.sizeof_lengths), s.base_address, s.end_of_file_address, root, k)
            }
            _ => {
                let s = SuperblockV2V3::decode(&first).map_err(|e| damaged("superblock", &e))?;
                let root = s.root_group_object_header_address;
                (
                    (s.sizeof_offsets, s.sizeof_lengths),
                    s.base_address,
                    s.end_of_file_address,
                    root,
                    (4, 16, 32),
                )
            }
        };
        if sizes != (8, 8) || base != 0 {
            return Err(Error::unsupported("HDF5 file with an unusual address layout")
                .at_key("superblock")
                .expected("8-byte addresses counted from the start of the file")
                .found(format!("{}-byte addresses, {}-byte lengths, base {base}", sizes.0, sizes.1))
                .remedy("rewrite it with h5repack"));
        }
        if end > source.len() {
            return Err(Error::unreadable("the file is truncated")
                .at_key("superblock")
                .expected(format!("{end} bytes"))
                .found(format!("{} bytes", source.len()))
                .remedy("copy or download it again"));
        }
        let twice = |k: u16| k.saturating_mul(2);
        Ok(Arc::new(Self {
            source,
            ctx: FormatContext { sizeof_addr: 8, sizeof_size: 8 },
            root,
            leaf_entries: twice(k.0),
            group_entries: twice(k.1),
            chunk_entries: twice(k.2),
        }))
    }

    /// The root group.
    pub(crate) fn root(self: &Arc<Self>) -> Result<Group> {
        match group::node_at(self, String::new(), self.root)? {
            Node::Group(group) => Ok(group),
            Node::Array(_) => Err(Error::unreadable("the root of the file is not a group")),
        }
    }

    /// The object whose header an object reference names.
    pub(crate) fn dereference(self: &Arc<Self>, key: &str, address: u64) -> Result<Node> {
        group::node_at(self, key.to_string(), address)
    }

    /// Most bytes a dataset of this file may hold.
    fn plausible_bytes(&self) -> u64 {
        self.source.len().saturating_mul(MAX_EXPANSION).saturating_add(SMALL)
    }
}

/// A piece of the file does not decode.
fn damaged(key: &str, cause: &rust_hdf5::format::FormatError) -> Error {
    use rust_hdf5::format::FormatError;
    match cause {
        FormatError::UnsupportedFeature(what) => {
            Error::unsupported("HDF5 feature that is not read").at_key(key).found(what.clone())
        }
        _ => Error::unreadable("damaged HDF5 structure")
            .at_key(key)
            .found(cause.to_string())
            .remedy("the file is corrupt: copy or write it again"),
    }
}
