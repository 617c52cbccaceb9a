//! Datasets: shape, element kind, and parallel reads of row ranges.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use microtome_core::{Error, Result};
use rayon::prelude::*;
use rust_hdf5::format::UNDEF_ADDR;
use rust_hdf5::format::messages::data_layout::DataLayoutMessage;
use rust_hdf5::format::messages::dataspace::DataspaceMessage;
use rust_hdf5::format::messages::datatype::DatatypeMessage;
use rust_hdf5::format::messages::fill_value::FillValueMessage;
use rust_hdf5::format::messages::filter::{
    FILTER_BLOSC, FILTER_DEFLATE, FILTER_FLETCHER32, FILTER_LZF, FILTER_SHUFFLE, FILTER_ZSTD, FilterPipeline,
    reverse_filters_masked_into,
};
use rust_hdf5::format::messages::{
    MSG_DATA_LAYOUT, MSG_DATASPACE, MSG_DATATYPE, MSG_EXTERNAL_FILE_LIST, MSG_FILL_VALUE, MSG_FILTER_PIPELINE,
};

use super::chunks::{self, Chunk};
use super::grid::{Grid, product};
use super::header::Message;
use super::heap::Heap;
use super::{Attribute, File, Kind, Values, attribute, damaged, values};

/// Decoded chunks that a row range used only in part are kept for the next range, up to this many bytes.
const KEPT: usize = 64 << 20;
/// A chunk may decode to at most this many times its stored bytes (deflate reaches 1032, zstd of zeros more).
const MAX_CHUNK_EXPANSION: u64 = 1 << 17;

/// A dataset.
#[derive(Clone, Debug)]
pub(crate) struct Array {
    file: Arc<File>,
    key: String,
    messages: Arc<Vec<Message>>,
    shape: Vec<u64>,
    null: bool,
    kind: Kind,
    layout: Arc<DataLayoutMessage>,
    filters: FilterPipeline,
    fill: Option<Vec<u8>>,
    /// Chunk shape, for chunked storage.
    grid: Option<Arc<Grid>>,
    state: Arc<Mutex<State>>,
}

/// What reading has found out so far.
#[derive(Debug, Default)]
struct State {
    chunks: Option<Arc<Vec<Chunk>>>,
    kept: Vec<(u64, Arc<Vec<u8>>)>,
}

impl Array {
    pub(super) fn new(file: Arc<File>, key: String, messages: Vec<Message>) -> Result<Self> {
        let find = |id: u8| messages.iter().find(|m| m.id == id).map(|m| m.data.as_slice());
        let need = |id: u8, what: &str| {
            find(id).ok_or_else(|| Error::unreadable(format!("dataset without a {what}")).at_key(key.clone()))
        };
        let broken = |e: &rust_hdf5::format::FormatError| damaged(&key, e);
        let space =
            DataspaceMessage::decode(need(MSG_DATASPACE, "shape")?, &file.ctx).map_err(|e| broken(&e))?.0;
        let datatype =
            DatatypeMessage::decode(need(MSG_DATATYPE, "type")?, &file.ctx).map_err(|e| broken(&e))?.0;
        let layout =
            DataLayoutMessage::decode(need(MSG_DATA_LAYOUT, "layout")?, &file.ctx).map_err(|e| broken(&e))?.0;
        layout.check_against_dataset(&space, &datatype, &file.ctx).map_err(|e| broken(&e))?;
        let filters = match find(MSG_FILTER_PIPELINE) {
            Some(data) => FilterPipeline::decode(data).map_err(|e| broken(&e))?.0,
            None => FilterPipeline::none(),
        };
        let fill = match find(MSG_FILL_VALUE) {
            Some(data) => FillValueMessage::decode(data).map_err(|e| broken(&e))?.0.fill_value,
            None => None,
        };
        let kind = Kind::of(&datatype);
        if let Kind::Other { what, .. } = &kind {
            // Kept: attributes and shape can still be asked for; reading values says what it is.
            debug_assert!(!what.is_empty());
        }
        if find(MSG_EXTERNAL_FILE_LIST).is_some() {
            return Err(Error::unsupported("dataset stored in another file").at_key(key));
        }
        let (shape, null) = (space.dims.clone(), space.is_null());
        let bytes = product(&shape).and_then(|n| n.checked_mul(kind.size() as u64));
        if bytes.is_none_or(|b| b > file.plausible_bytes()) {
            return Err(Error::unreadable("dataset larger than its file can hold")
                .at_key(key)
                .expected(format!(
                    "at most {} bytes in a file of {}",
                    file.plausible_bytes(),
                    file.source.len()
                ))
                .found(format!("shape {shape:?} of {}", kind.name()))
                .remedy("the file is corrupt: copy or write it again"));
        }
        let grid = match &layout {
            DataLayoutMessage::ChunkedV3 { chunk_dims, .. }
            | DataLayoutMessage::ChunkedV4 { chunk_dims, .. } => {
                let chunk = &chunk_dims[..chunk_dims.len().saturating_sub(1)];
                let grid = Grid::new(&shape, chunk, kind.size());
                Some(Arc::new(grid.ok_or_else(|| {
                    Error::unreadable("impossible chunk shape")
                        .at_key(key.clone())
                        .found(format!("{chunk:?}"))
                })?))
            }
            DataLayoutMessage::Virtual { .. } => {
                return Err(Error::unsupported("virtual dataset")
                    .at_key(key)
                    .remedy("write the data into one file: anndata.read_h5ad(...).write_h5ad(...)"));
            }
            _ => None,
        };
        Ok(Self {
            file,
            key,
            messages: Arc::new(messages),
            shape,
            null,
            kind,
            layout: Arc::new(layout),
            filters,
            fill,
            grid,
            state: Arc::default(),
        })
    }

    /// Path from the root.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// The file it belongs to.
    pub(crate) fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Shape; empty for a scalar.
    pub(crate) fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// Length of the first axis; 1 for a scalar, 0 for a dataset without values.
    pub(crate) fn len(&self) -> usize {
        if self.null { 0 } else { self.shape.first().map_or(1, |&n| n as usize) }
    }

    /// Element kind.
    pub(crate) fn kind(&self) -> &Kind {
        &self.kind
    }

    /// The attribute called `name`, if there is one.
    pub(crate) fn attribute(&self, name: &str) -> Result<Option<Attribute>> {
        attribute::read(&self.file, &self.key, &self.messages, name)
    }

    /// A text attribute, if there is one.
    pub(crate) fn text_attribute(&self, name: &str) -> Result<Option<String>> {
        Ok(self.attribute(name)?.and_then(Attribute::into_text))
    }

    /// Bytes per step along the first axis.
    fn row_bytes(&self) -> usize {
        self.shape.iter().skip(1).product::<u64>() as usize * self.kind.size()
    }

    /// All elements, decoded.
    pub(crate) fn values(&self) -> Result<Values> {
        let bytes = self.bytes(0..self.len())?;
        values::decode(&mut Heap::new(&self.file), &self.key, &self.kind, &bytes)
    }

    /// Elements as 64-bit integers.
    pub(crate) fn integers(&self) -> Result<Vec<i64>> {
        match self.values()? {
            Values::Int(v) => Ok(v),
            _ => Err(Error::unreadable("not integers")
                .at_key(&self.key)
                .expected("an integer type")
                .found(self.kind.name())),
        }
    }

    /// Elements as text.
    pub(crate) fn texts(&self) -> Result<Vec<String>> {
        match self.values()? {
            Values::Text(v) => Ok(v),
            _ => {
                Err(Error::unreadable("not text").at_key(&self.key).expected("text").found(self.kind.name()))
            }
        }
    }

    /// The field `name` of every record.
    pub(crate) fn field(&self, name: &str) -> Result<Values> {
        let Kind::Compound { size, fields } = &self.kind else {
            return Err(Error::unreadable("not records").at_key(&self.key).found(self.kind.name()));
        };
        let Some((_, at, kind)) = fields.iter().find(|(n, _, _)| n == name) else {
            return Err(Error::unreadable("no such field").at_key(&self.key).found(format!("\"{name}\"")));
        };
        let bytes = self.bytes(0..self.len())?;
        let key = format!("{}[\"{name}\"]", self.key);
        let picked: Vec<u8> =
            bytes.chunks_exact(*size).flat_map(|r| r[*at..*at + kind.size()].iter().copied()).collect();
        values::decode(&mut Heap::new(&self.file), &key, kind, &picked)
    }

    /// Stored bytes of the rows (steps along the first axis), row-major, filters undone.
    pub(crate) fn bytes(&self, rows: Range<usize>) -> Result<Vec<u8>> {
        self.read(rows).map_err(|e| e.at_key(&self.key))
    }

    fn read(&self, rows: Range<usize>) -> Result<Vec<u8>> {
        if rows.start > rows.end || rows.end > self.len() {
            return Err(Error::unreadable("rows outside of the dataset")
                .expected(format!("up to {}", self.len()))
                .found(format!("{} to {}", rows.start, rows.end)));
        }
        let row = self.row_bytes();
        let len = rows.len() * row;
        match (&*self.layout, &self.grid) {
            (DataLayoutMessage::Compact { data }, _) => data
                .get(rows.start * row..rows.end * row)
                .map(<[u8]>::to_vec)
                .ok_or_else(|| Error::unreadable("the dataset is shorter than its shape")),
            (DataLayoutMessage::Contiguous { address, .. }, _) if *address == UNDEF_ADDR => {
                Ok(self.blank(len))
            }
            (DataLayoutMessage::Contiguous { address, .. }, _) => {
                let offset = address
                    .checked_add((rows.start * row) as u64)
                    .ok_or_else(|| Error::unreadable("data address out of range"))?;
                self.file.source.read(offset, len)
            }
            (_, Some(grid)) if len > 0 => self.read_chunked(grid, rows, row),
            _ => Ok(vec![]),
        }
    }

    /// `len` bytes of the fill value.
    fn blank(&self, len: usize) -> Vec<u8> {
        match &self.fill {
            Some(fill) if fill.len() == self.kind.size() && fill.iter().any(|&b| b != 0) => {
                fill.iter().copied().cycle().take(len).collect()
            }
            _ => vec![0; len],
        }
    }

    fn read_chunked(&self, grid: &Grid, rows: Range<usize>, row: usize) -> Result<Vec<u8>> {
        self.check_filters()?;
        let chunks = self.chunks(grid)?;
        let mut out = self.blank(rows.len() * row);
        let rows = rows.start as u64..rows.end as u64;
        let high = grid.chunk[0];
        // One task per band of chunks along the first axis: bands own disjoint parts of the output.
        let mut bands = vec![];
        let mut rest = out.as_mut_slice();
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
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut room = KEPT;
        for (at, bytes) in partly_used.into_iter().rev().flatten() {
            if bytes.len() <= room {
                room -= bytes.len();
                state.kept.push((at, bytes));
            }
        }
        Ok(out)
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
        let chunks = Arc::new(chunks::read(&self.file, &self.key, &self.layout, grid)?);
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
