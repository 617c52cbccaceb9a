//! Reading row ranges of chunked datasets: bands of chunks in parallel, each chunk unpacked straight to its place.

use std::ops::Range;
use std::sync::{Arc, PoisonError};

use microtome_core::{Error, Result};
use rayon::prelude::*;
use rust_hdf5::format::messages::filter::{
    FILTER_BLOSC, FILTER_DEFLATE, FILTER_FLETCHER32, FILTER_LZF, FILTER_SHUFFLE, FILTER_ZSTD,
    reverse_filters_masked_into,
};

use super::chunks::{self, Chunk};
use super::grid::Grid;
use super::{Array, damaged};

/// Decoded chunks that a row range used only in part are kept for the next range, up to this many bytes.
const KEPT: usize = 64 << 20;
/// A chunk may decode to at most this many times its stored bytes (deflate reaches 1032, zstd of zeros more).
const MAX_CHUNK_EXPANSION: u64 = 1 << 17;

/// What reading has found out so far.
#[derive(Debug, Default)]
pub(super) struct State {
    chunks: Option<Arc<Vec<Chunk>>>,
    kept: Vec<(u64, Arc<Vec<u8>>)>,
}

impl Array {
    /// Fills `out`, which holds zeros, with `rows` of `row` bytes each.
    pub(super) fn read_chunked(
        &self,
        grid: &Grid,
        rows: Range<usize>,
        row: usize,
        out: &mut [u8],
    ) -> Result<()> {
        self.check_filters()?;
        let chunks = self.chunks(grid)?;
        self.blank(out);
        let rows = rows.start as u64..rows.end as u64;
        let high = grid.chunk[0];
        // One task per band of chunks along the first axis: bands own disjoint parts of the output.
        let mut bands = vec![];
        let mut rest = out;
        for band in rows.start / high..rows.end.div_ceil(high) {
            let inside = (band * high).max(rows.start)..((band + 1) * high).min(rows.end);
            let (part, tail) = rest.split_at_mut((inside.end - inside.start) as usize * row);
            rest = tail;
            bands.push((band, inside, part));
        }
        let kept = std::mem::take(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner).kept);
        let partly_used: Vec<Vec<(u64, Arc<Vec<u8>>)>> = bands
            .into_par_iter()
            .map(|(band, inside, part)| self.read_band(grid, &chunks, &kept, band, &inside, part))
            .collect::<Result<_>>()?;
        // Who read up to the end goes on elsewhere.
        if rows.end == self.len() as u64 {
            return Ok(());
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut room = KEPT;
        for (at, bytes) in partly_used.into_iter().rev().flatten() {
            if bytes.len() <= room {
                room -= bytes.len();
                state.kept.push((at, bytes));
            }
        }
        Ok(())
    }

    /// Fills `part`, which holds the rows `inside` of one band. Returns the chunks whose rows go on after `inside`.
    fn read_band(
        &self,
        grid: &Grid,
        chunks: &[Chunk],
        kept: &[(u64, Arc<Vec<u8>>)],
        band: u64,
        inside: &Range<u64>,
        part: &mut [u8],
    ) -> Result<Vec<(u64, Arc<Vec<u8>>)>> {
        let first = band * grid.per_band();
        let from = chunks.partition_point(|c| c.at < first);
        let to = chunks.partition_point(|c| c.at < first + grid.per_band());
        let goes_on = inside.end < ((band + 1) * grid.chunk[0]).min(grid.shape[0]);
        let mut partly_used = vec![];
        for chunk in &chunks[from..to] {
            if let Some((_, decoded)) = kept.iter().find(|(at, _)| *at == chunk.at) {
                grid.copy(chunk.at, decoded, inside, part);
                if goes_on {
                    partly_used.push((chunk.at, decoded.clone()));
                }
            } else if part.len() as u64 == grid.chunk_bytes && grid.per_band() == 1 {
                self.decode_chunk(chunk, part)?;
            } else {
                let mut decoded = vec![0; self.chunk_len(grid, chunk)?];
                self.decode_chunk(chunk, &mut decoded)?;
                grid.copy(chunk.at, &decoded, inside, part);
                if goes_on {
                    partly_used.push((chunk.at, Arc::new(decoded)));
                }
            }
        }
        Ok(partly_used)
    }

    /// Bytes of a decoded chunk, refused when its stored bytes cannot be that much.
    fn chunk_len(&self, grid: &Grid, chunk: &Chunk) -> Result<usize> {
        let most = if self.filters.filters.is_empty() {
            chunk.size
        } else {
            chunk.size.saturating_mul(MAX_CHUNK_EXPANSION).min(self.file.plausible_bytes())
        };
        usize::try_from(grid.chunk_bytes).ok().filter(|&n| n as u64 <= most).ok_or_else(|| {
            Error::unreadable("a chunk cannot hold what its shape says")
                .expected(format!("at most {most} bytes from {} stored", chunk.size))
                .found(format!("{} bytes, shape {:?}", grid.chunk_bytes, grid.chunk))
                .remedy("the file is corrupt: copy or write it again")
        })
    }

    fn decode_chunk(&self, chunk: &Chunk, out: &mut [u8]) -> Result<()> {
        if self.filters.filters.is_empty() {
            if chunk.size != out.len() as u64 {
                return Err(Error::unreadable("a chunk has the wrong length")
                    .expected(out.len().to_string())
                    .found(chunk.size.to_string()));
            }
            return self.file.source.read_into(chunk.address, out);
        }
        let size = usize::try_from(chunk.size).map_err(|_| Error::unreadable("chunk too long"))?;
        let stored = self.file.source.read(chunk.address, size)?;
        reverse_filters_masked_into(&self.filters, &stored, chunk.mask, out)
            .map_err(|e| damaged(&self.key, &e))?;
        Ok(())
    }

    fn chunks(&self, grid: &Grid) -> Result<Arc<Vec<Chunk>>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(chunks) = &state.chunks {
            return Ok(chunks.clone());
        }
        let chunks =
            Arc::new(chunks::read(&self.file, &self.key, &self.layout, grid, self.max_shape.as_deref())?);
        state.chunks = Some(chunks.clone());
        Ok(chunks)
    }

    /// Names a filter that is not read before any chunk is touched.
    fn check_filters(&self) -> Result<()> {
        const READ: [u16; 6] =
            [FILTER_DEFLATE, FILTER_SHUFFLE, FILTER_FLETCHER32, FILTER_LZF, FILTER_BLOSC, FILTER_ZSTD];
        match self.filters.filters.iter().find(|f| !READ.contains(&f.id)) {
            None => Ok(()),
            Some(f) => Err(Error::unsupported("compression filter that is not read")
                .expected("gzip, lzf, zstd, blosc, shuffle or fletcher32")
                .found(filter_name(f.id))
                .remedy(
                    "write it again with gzip: anndata.read_h5ad(FILE).write_h5ad(OUT, compression=\"gzip\")",
                )),
        }
    }
}

fn filter_name(id: u16) -> String {
    let name = match id {
        4 => "szip",
        5 => "nbit",
        6 => "scaleoffset",
        307 => "bzip2",
        32004 => "lz4",
        32008 => "bitshuffle",
        32013 => "zfp",
        32026 => "blosc2",
        _ => "",
    };
    if name.is_empty() { format!("HDF5 filter {id}") } else { format!("{name} (HDF5 filter {id})") }
}
