//! Chunk indexes of files written with `libver="latest"`: fixed array, extensible array and version-2 B-tree.

use microtome_core::{Error, Result};
use rust_hdf5::format::UNDEF_ADDR;
use rust_hdf5::format::chunk_index::btree_v2::{BT2_TYPE_CHUNK_FILT, Bt2Header, collect_btree_v2_records};
use rust_hdf5::format::chunk_index::extensible_array::{
    EA_CLS_FILT_CHUNK, EaGeometry, ExtensibleArrayDataBlock, ExtensibleArrayHeader, ExtensibleArraySuperBlock,
};
use rust_hdf5::format::chunk_index::fixed_array::{
    FA_CLIENT_FILT_CHUNK, FixedArrayHeader, FixedArrayPagedPrefix,
};

use super::chunks::Chunk;
use super::grid::Grid;
use super::header::word;
use super::source::Blocks;
use super::{File, damaged};

/// Bytes of a block before its first element: signature, version, class and address of the header.
const PREFIX: u64 = 14;
/// A page or block ends with a checksum.
const CHECKSUM: u64 = 4;
/// Address and filter mask of a filtered element; its size lies between.
const FILTERED: u8 = 12;

/// How elements of an array are stored and numbered.
struct Elements<'a> {
    file: &'a File,
    key: &'a str,
    grid: &'a Grid,
    max: Option<&'a [u64]>,
    /// Bytes of one element.
    size: u64,
    /// Width of the stored size of a filtered chunk, 0 for unfiltered ones.
    size_width: usize,
    chunks: Vec<Chunk>,
}

impl Elements<'_> {
    /// Takes `n` elements stored one after the other at `address`, the first of which is number `first`.
    fn take(&mut self, address: u64, first: u64, n: u64) -> Result<()> {
        let len = n.checked_mul(self.size).and_then(|b| usize::try_from(b).ok()).unwrap_or(usize::MAX);
        let bytes = self.file.source.read(address, len).map_err(|e| e.at_key(self.key))?;
        for (i, element) in bytes.chunks_exact(self.size as usize).enumerate() {
            let chunk_address = word(element, 0).unwrap_or(UNDEF_ADDR);
            let at = self.grid.position_of(first + i as u64, self.max);
            let (Some(at), true) = (at, chunk_address != UNDEF_ADDR) else { continue };
            let (size, mask) = if self.size_width == 0 {
                (self.grid.chunk_bytes, 0)
            } else {
                let field = |from: usize, to: usize| {
                    element[from..to].iter().rev().fold(0u64, |v, &b| v << 8 | u64::from(b))
                };
                (field(8, 8 + self.size_width), field(8 + self.size_width, self.size as usize) as u32)
            };
            self.chunks.push(Chunk { at, address: chunk_address, size, mask });
        }
        Ok(())
    }
}

fn element_width(key: &str, size: u8, filtered: bool) -> Result<usize> {
    let width = if filtered { size.checked_sub(FILTERED).filter(|w| (1..=8).contains(w)) } else { Some(0) };
    match width {
        Some(width) if filtered || size == 8 => Ok(usize::from(width)),
        _ => Err(Error::unreadable("chunk index with impossible elements")
            .at_key(key)
            .found(format!("{size} bytes"))),
    }
}

/// Chunks of a dataset whose axes are all limited.
pub(super) fn fixed(
    file: &File,
    key: &str,
    address: u64,
    grid: &Grid,
    max: Option<&[u64]>,
) -> Result<Vec<Chunk>> {
    let header = file.source.read_up_to(address, 64)?;
    let header = FixedArrayHeader::decode(&header, &file.ctx).map_err(|e| damaged(key, &e))?;
    if header.data_blk_addr == UNDEF_ADDR {
        return Ok(vec![]);
    }
    let size_width = element_width(key, header.element_size, header.client_id == FA_CLIENT_FILT_CHUNK)?;
    let size = u64::from(header.element_size);
    let total = header.num_elmts;
    file.source.check(header.data_blk_addr, total.saturating_mul(size)).map_err(|e| e.at_key(key))?;
    let mut elements = Elements { file, key, grid, max, size, size_width, chunks: vec![] };
    if !header.is_paged() {
        elements.take(header.data_blk_addr + PREFIX, 0, total)?;
        return Ok(elements.chunks);
    }
    let (n_pages, per_page) = (header.npages(), header.dblk_page_nelmts());
    let prefix = file.source.read_up_to(header.data_blk_addr, 32 + n_pages.div_ceil(8) as usize)?;
    let prefix = FixedArrayPagedPrefix::decode(&prefix, &file.ctx, n_pages).map_err(|e| damaged(key, &e))?;
    let mut at = header.data_blk_addr + prefix.prefix_size as u64;
    for page in 0..n_pages {
        let first = page * per_page;
        if prefix.page_initialized(page as usize) {
            elements.take(at, first, per_page.min(total - first))?;
        }
        at = at.saturating_add(per_page.saturating_mul(size).saturating_add(CHECKSUM));
    }
    Ok(elements.chunks)
}

/// Chunks of a dataset with one unlimited axis.
pub(super) fn extensible(
    file: &File,
    key: &str,
    address: u64,
    grid: &Grid,
    max: Option<&[u64]>,
) -> Result<Vec<Chunk>> {
    let header = file.source.read_up_to(address, 128)?;
    let header = ExtensibleArrayHeader::decode(&header, &file.ctx).map_err(|e| damaged(key, &e))?;
    if header.idx_blk_addr == UNDEF_ADDR {
        return Ok(vec![]);
    }
    let geometry = EaGeometry::new(
        header.idx_blk_elmts,
        header.data_blk_min_elmts,
        header.sup_blk_min_data_ptrs,
        header.max_nelmts_bits,
        header.max_dblk_page_nelmts_bits,
    )
    .map_err(|e| damaged(key, &e))?;
    let size_width = element_width(key, header.raw_elmt_size, header.class_id == EA_CLS_FILT_CHUNK)?;
    let size = u64::from(header.raw_elmt_size);
    let mut elements = Elements { file, key, grid, max, size, size_width, chunks: vec![] };

    // The index block: its own elements, then addresses of data blocks, then of super blocks.
    let n_own = u64::from(header.idx_blk_elmts);
    let own = header.idx_blk_addr.saturating_add(PREFIX);
    elements.take(own, 0, n_own)?;
    let n_addresses = geometry.ndblk_addrs + geometry.nsblk_addrs;
    let addresses = file.source.read(own.saturating_add(n_own * size), n_addresses * 8)?;
    let address_of = |i: usize| word(&addresses, i * 8).unwrap_or(UNDEF_ADDR);

    let offset_bytes = ExtensibleArrayDataBlock::block_offset_size(header.max_nelmts_bits) as u64;
    for (u, info) in geometry.sblk.iter().enumerate() {
        let first = n_own + info.start_idx;
        if first > header.max_idx_set {
            break;
        }
        let n_blocks = usize::try_from(info.ndblks).unwrap_or(usize::MAX);
        let paged = geometry.is_sblk_paged(u);
        let n_pages = geometry.npages(u);
        let (blocks, initialised): (Vec<u64>, Vec<u8>) = if u < geometry.iblock_nsblks {
            ((0..n_blocks).map(|d| address_of(info.start_dblk as usize + d)).collect(), vec![])
        } else {
            let at = address_of(geometry.ndblk_addrs + u - geometry.iblock_nsblks);
            if at == UNDEF_ADDR {
                continue;
            }
            let bitmap = n_blocks.saturating_mul(geometry.dblk_page_init_size(u));
            let len = n_blocks.saturating_mul(8).saturating_add(bitmap).saturating_add(64);
            let block = file.source.read_up_to(at, len)?;
            let block = ExtensibleArraySuperBlock::decode(
                &block,
                &file.ctx,
                header.max_nelmts_bits,
                n_blocks,
                bitmap,
            )
            .map_err(|e| damaged(key, &e))?;
            (block.dblk_addrs, block.page_init)
        };
        for (d, &block) in blocks.iter().enumerate() {
            if block == UNDEF_ADDR {
                continue;
            }
            let first = first + d as u64 * info.dblk_nelmts;
            let start = block.saturating_add(PREFIX + offset_bytes);
            if !paged {
                elements.take(start, first, info.dblk_nelmts)?;
                continue;
            }
            // Pages follow the checksum of the prefix; the bitmap runs over all pages of the super block.
            let per_page = geometry.dblk_page_nelmts;
            for page in 0..n_pages {
                let bit = d as u64 * n_pages + page;
                let byte = initialised.get((bit / 8) as usize).copied().unwrap_or(0);
                if byte & (0x80 >> (bit % 8)) != 0 {
                    let stride = per_page.saturating_mul(size).saturating_add(CHECKSUM);
                    let at = start.saturating_add(CHECKSUM).saturating_add(page.saturating_mul(stride));
                    elements.take(at, first + page * per_page, per_page)?;
                }
            }
        }
    }
    Ok(elements.chunks)
}

/// Chunks of a dataset with several unlimited axes.
pub(super) fn tree(file: &File, key: &str, address: u64, grid: &Grid) -> Result<Vec<Chunk>> {
    let header = file.source.read_up_to(address, 64)?;
    let header = Bt2Header::decode(&header, &file.ctx).map_err(|e| damaged(key, &e))?;
    let rank = grid.chunk.len();
    let filtered = header.record_type == BT2_TYPE_CHUNK_FILT;
    let size = usize::from(header.record_size);
    // A record is an element followed by the coordinates of the chunk.
    let element = size.checked_sub(8 * rank).and_then(|n| u8::try_from(n).ok()).unwrap_or(0);
    let size_width = element_width(key, element, filtered)?;
    file.source.check(0, header.total_num_records.saturating_mul(size as u64)).map_err(|e| e.at_key(key))?;
    let records = collect_btree_v2_records(&header, &file.ctx, &mut Blocks(&file.source));
    let records = records.map_err(|e| damaged(key, &e))?;
    let mut chunks = vec![];
    for record in records.chunks_exact(size) {
        let number =
            |from: usize, to: usize| record[from..to].iter().rev().fold(0u64, |v, &b| v << 8 | u64::from(b));
        let coordinates: Option<Vec<u64>> = (0..rank)
            .map(|axis| {
                let from = usize::from(element) + 8 * axis;
                number(from, from + 8).checked_mul(grid.chunk[axis])
            })
            .collect();
        let Some(at) = coordinates.and_then(|c| grid.position(&c)) else { continue };
        let (size, mask) = if filtered {
            (number(8, 8 + size_width), number(8 + size_width, usize::from(element)) as u32)
        } else {
            (grid.chunk_bytes, 0)
        };
        chunks.push(Chunk { at, address: number(0, 8), size, mask });
    }
    Ok(chunks)
}
