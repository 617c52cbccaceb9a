//! Datasets that grow along their first axis, written chunk by chunk.

use std::sync::Arc;

use microtome_core::{Error, Result};
use rayon::prelude::*;
use rust_hdf5::format::messages::filter::{FilterPipeline, apply_filters};
use rust_hdf5::types::H5Type;
use rust_hdf5::{H5Dataset, H5Group};

use super::sink::{encode, failed};

/// Bytes of one chunk before compression.
const CHUNK_BYTES: usize = 512 << 10;
/// Chunks that are gathered and then compressed together.
const BATCH: usize = 8;

/// Values that can be streamed.
pub(super) trait Element: H5Type + Send + Sync {
    /// Appends the little-endian bytes.
    fn push_bytes(self, out: &mut Vec<u8>);
}

impl Element for f32 {
    fn push_bytes(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }
}

impl Element for i32 {
    fn push_bytes(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }
}

/// A dataset `[n]` or `[n, width]` of unknown `n`. At most [`BATCH`] chunks, and what one call brings, are in memory.
pub(super) struct Stream<T: Element> {
    group: Arc<H5Group>,
    name: String,
    key: String,
    /// `None` for one axis.
    width: Option<usize>,
    /// deflate level.
    gzip: Option<u32>,
    waiting: Vec<T>,
    /// Elements handed over so far.
    total: usize,
    open: Option<Open>,
}

/// The dataset, created when the first chunk is complete.
struct Open {
    dataset: H5Dataset,
    filters: FilterPipeline,
    /// Rows per chunk.
    rows: usize,
    n_chunks: usize,
}

impl<T: Element> Stream<T> {
    pub(super) fn new(
        group: &Arc<H5Group>,
        parent_key: &str,
        name: &str,
        width: Option<usize>,
        gzip: Option<u32>,
    ) -> Self {
        let key = format!("{parent_key}/{name}");
        Self {
            group: group.clone(),
            name: name.into(),
            key,
            width,
            gzip,
            waiting: vec![],
            total: 0,
            open: None,
        }
    }

    /// Elements per row.
    fn row(&self) -> usize {
        self.width.unwrap_or(1)
    }

    fn full_rows(&self) -> usize {
        (CHUNK_BYTES / (self.row().max(1) * size_of::<T>())).max(1)
    }

    /// Rows handed over so far.
    pub(super) fn n_rows(&self) -> usize {
        self.total / self.row().max(1)
    }

    /// Adds elements, whole rows.
    pub(super) fn append(&mut self, values: &[T]) -> Result<()> {
        let batch = self.full_rows() * self.row() * BATCH;
        let mut rest = values;
        while !rest.is_empty() {
            let take = rest.len().min(batch.saturating_sub(self.waiting.len()));
            self.waiting.extend_from_slice(&rest[..take]);
            self.total += take;
            rest = &rest[take..];
            if self.waiting.len() >= batch {
                self.write_waiting(self.full_rows())?;
            }
        }
        Ok(())
    }

    /// Writes what is left and closes the dataset.
    pub(super) fn finish(mut self) -> Result<()> {
        let n_rows = self.n_rows();
        let shape = self.shape(n_rows);
        if self.open.is_none() && self.gzip.is_none() || self.total == 0 {
            // Small enough to have waited until now: one piece.
            let dataset =
                self.group.new_dataset::<T>().shape(&shape).create(&self.name).map_err(failed(&self.key))?;
            if !self.waiting.is_empty() {
                dataset.write_raw(&self.waiting).map_err(failed(&self.key))?;
            }
            return encode(&dataset, &self.key, "array");
        }
        let rows = self.full_rows().min(n_rows.max(1));
        if !self.waiting.is_empty() {
            self.write_waiting(rows)?;
        }
        let open =
            self.open.ok_or_else(|| Error::output("dataset was not created").at_key(self.key.clone()))?;
        open.dataset.set_extent(&shape).map_err(failed(&self.key))?;
        encode(&open.dataset, &self.key, "array")
    }

    fn shape(&self, rows: usize) -> Vec<usize> {
        std::iter::once(rows).chain(self.width).collect()
    }

    /// Compresses and writes the waiting elements; a last partial chunk is filled up with zeros beyond the shape.
    fn write_waiting(&mut self, rows: usize) -> Result<()> {
        if self.open.is_none() {
            let chunk = self.shape(rows);
            let max: Vec<Option<usize>> = std::iter::once(None).chain(self.width.map(Some)).collect();
            let mut builder =
                self.group.new_dataset::<T>().shape(self.shape(0)).chunk(&chunk).max_shape(&max);
            let size = size_of::<T>() as u32;
            let mut filters = FilterPipeline::none();
            if let Some(level) = self.gzip {
                builder = builder.shuffle_deflate(level);
                filters = FilterPipeline::shuffle_deflate(size, level);
            }
            let dataset = builder.create(&self.name).map_err(failed(&self.key))?;
            self.open = Some(Open { dataset, filters, rows, n_chunks: 0 });
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        let elements = open.rows * self.width.unwrap_or(1);
        let key = &self.key;
        let chunks: Vec<Vec<u8>> = self
            .waiting
            .par_chunks(elements)
            .map(|part| {
                let mut bytes = Vec::with_capacity(elements * size_of::<T>());
                for &v in part {
                    v.push_bytes(&mut bytes);
                }
                bytes.resize(elements * size_of::<T>(), 0);
                if open.filters.filters.is_empty() {
                    return Ok(bytes);
                }
                apply_filters(&open.filters, &bytes).map_err(|e| {
                    Error::output("cannot compress").at_key(key.clone()).caused_by(e.to_string())
                })
            })
            .collect::<Result<_>>()?;
        for chunk in chunks {
            let at: Vec<usize> = std::iter::once(open.n_chunks).chain(self.width.map(|_| 0)).collect();
            if open.filters.filters.is_empty() {
                open.dataset.write_chunk_at(&at, &chunk)
            } else {
                open.dataset.write_chunk_raw_at(&at, &chunk, 0)
            }
            .map_err(failed(key))?;
            open.n_chunks += 1;
        }
        self.waiting.clear();
        Ok(())
    }
}
