//! Where the chunks of a chunked dataset are.

use std::collections::HashSet;

use microtome_core::{Error, Result};
use rust_hdf5::format::UNDEF_ADDR;
use rust_hdf5::format::btree_v1::ChunkBTreeV1Node;
use rust_hdf5::format::messages::data_layout::{ChunkIndexType, DataLayoutMessage};

use super::grid::Grid;
use super::{File, damaged};

/// One stored chunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk {
    /// Row-major position in the grid of chunks.
    pub(super) at: u64,
    /// Offset in the file.
    pub(super) address: u64,
    /// Stored bytes.
    pub(super) size: u64,
    /// Bit i set: filter i was not applied.
    pub(super) mask: u32,
}

/// All stored chunks in grid order. Chunks that were never written are absent.
pub(super) fn read(file: &File, key: &str, layout: &DataLayoutMessage, grid: &Grid) -> Result<Vec<Chunk>> {
    let mut chunks = match layout {
        DataLayoutMessage::ChunkedV3 { b_tree_address, .. } => old_tree(file, key, *b_tree_address, grid)?,
        DataLayoutMessage::ChunkedV4 { index_address, .. } if *index_address == UNDEF_ADDR => vec![],
        DataLayoutMessage::ChunkedV4 { index_type, index_address, single_chunk_filter, .. } => {
            match index_type {
                ChunkIndexType::SingleChunk => {
                    let (size, mask) = single_chunk_filter
                        .as_ref()
                        .map_or((grid.chunk_bytes, 0), |f| (f.nbytes, f.filter_mask));
                    vec![Chunk { at: 0, address: *index_address, size, mask }]
                }
                ChunkIndexType::Implicit => {
                    file.source.check(*index_address, grid.n_chunks().saturating_mul(grid.chunk_bytes))?;
                    (0..grid.n_chunks())
                        .map(|at| Chunk {
                            at,
                            address: index_address + at * grid.chunk_bytes,
                            size: grid.chunk_bytes,
                            mask: 0,
                        })
                        .collect()
                }
                other => {
                    return Err(Error::unsupported("chunk index of the newest HDF5 file format")
                    .at_key(key)
                    .found(format!("{other:?}"))
                    .remedy("rewrite the file with anndata (adata.write_h5ad) or with h5repack --low=0 --high=1"));
                }
            }
        }
        _ => return Err(Error::unreadable("not a chunked dataset").at_key(key)),
    };
    chunks.sort_unstable_by_key(|c| c.at);
    for c in &chunks {
        file.source.check(c.address, c.size).map_err(|e| e.at_key(key))?;
    }
    Ok(chunks)
}

fn old_tree(file: &File, key: &str, root: u64, grid: &Grid) -> Result<Vec<Chunk>> {
    let mut chunks = vec![];
    if root == UNDEF_ADDR {
        return Ok(chunks);
    }
    let rank = grid.chunk.len();
    let entries = usize::from(file.chunk_entries);
    let node_bytes = 24 + (entries + 1) * (8 + (rank + 1) * 8) + entries * 8;
    let mut pending = vec![root];
    let mut seen = HashSet::new();
    while let Some(address) = pending.pop() {
        if !seen.insert(address) {
            return Err(Error::unreadable("chunk tree forms a loop").at_key(key));
        }
        let node = file.source.read_up_to(address, node_bytes)?;
        let node =
            ChunkBTreeV1Node::decode(&node, 8, rank, file.chunk_entries).map_err(|e| damaged(key, &e))?;
        if node.level > 0 {
            pending.extend(node.children);
            continue;
        }
        for (chunk_key, address) in node.keys.iter().zip(node.children) {
            let Some(at) = grid.position(&chunk_key.offsets) else {
                // A dataset that was shrunk may keep chunks outside of its shape; they hold nothing of it.
                continue;
            };
            let size = u64::from(chunk_key.chunk_size);
            chunks.push(Chunk { at, address, size, mask: chunk_key.filter_mask });
        }
    }
    Ok(chunks)
}
