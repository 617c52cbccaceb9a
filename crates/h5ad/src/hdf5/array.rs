//! Datasets: shape, element kind, and parallel reads of row ranges.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use microtome_core::{Error, Result};
use rust_hdf5::format::UNDEF_ADDR;
use rust_hdf5::format::messages::data_layout::DataLayoutMessage;
use rust_hdf5::format::messages::dataspace::DataspaceMessage;
use rust_hdf5::format::messages::datatype::DatatypeMessage;
use rust_hdf5::format::messages::fill_value::FillValueMessage;
use rust_hdf5::format::messages::filter::FilterPipeline;
use rust_hdf5::format::messages::{
    MSG_DATA_LAYOUT, MSG_DATASPACE, MSG_DATATYPE, MSG_EXTERNAL_FILE_LIST, MSG_FILL_VALUE, MSG_FILTER_PIPELINE,
};

use super::chunked::State;
use super::grid::{Grid, product};
use super::header::Message;
use super::heap::Heap;
use super::{Attribute, File, Kind, Values, attribute, damaged, values};

/// A dataset.
#[derive(Clone, Debug)]
pub(crate) struct Array {
    pub(super) file: Arc<File>,
    pub(super) key: String,
    messages: Arc<Vec<Message>>,
    shape: Vec<u64>,
    pub(super) max_shape: Option<Vec<u64>>,
    null: bool,
    kind: Kind,
    pub(super) layout: Arc<DataLayoutMessage>,
    pub(super) filters: FilterPipeline,
    fill: Option<Vec<u8>>,
    /// Chunk shape, for chunked storage.
    grid: Option<Arc<Grid>>,
    pub(super) state: Arc<Mutex<State>>,
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
            max_shape: space.max_dims,
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
        self.values_of(0..self.len())
    }

    /// Elements of some rows, decoded.
    pub(crate) fn values_of(&self, rows: Range<usize>) -> Result<Values> {
        let bytes = self.bytes(rows)?;
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

    /// The field `name` of some records.
    pub(crate) fn field(&self, name: &str, rows: Range<usize>) -> Result<Values> {
        let Kind::Compound { size, fields } = &self.kind else {
            return Err(Error::unreadable("not records").at_key(&self.key).found(self.kind.name()));
        };
        let Some((_, at, kind)) = fields.iter().find(|(n, _, _)| n == name) else {
            return Err(Error::unreadable("no such field").at_key(&self.key).found(format!("\"{name}\"")));
        };
        let bytes = self.bytes(rows)?;
        let key = format!("{}[\"{name}\"]", self.key);
        let picked: Vec<u8> =
            bytes.chunks_exact(*size).flat_map(|r| r[*at..*at + kind.size()].iter().copied()).collect();
        values::decode(&mut Heap::new(&self.file), &key, kind, &picked)
    }

    /// Stored bytes of the rows (steps along the first axis), row-major, filters undone.
    pub(crate) fn bytes(&self, rows: Range<usize>) -> Result<Vec<u8>> {
        self.check_rows(&rows).map_err(|e| e.at_key(&self.key))?;
        let mut out = vec![0; rows.len() * self.row_bytes()];
        self.read_into(rows, &mut out)?;
        Ok(out)
    }

    /// How many elements the rows hold.
    pub(crate) fn n_values(&self, rows: &Range<usize>) -> Result<usize> {
        self.check_rows(rows).map_err(|e| e.at_key(&self.key))?;
        Ok(rows.len() * (self.row_bytes() / self.kind.size().max(1)))
    }

    /// As [`Array::bytes`], into zeroed memory of the right length.
    pub(crate) fn read_into(&self, rows: Range<usize>, out: &mut [u8]) -> Result<()> {
        self.check_rows(&rows).and_then(|()| self.fill(rows, out)).map_err(|e| e.at_key(&self.key))
    }

    fn check_rows(&self, rows: &Range<usize>) -> Result<()> {
        if rows.start <= rows.end && rows.end <= self.len() {
            return Ok(());
        }
        Err(Error::unreadable("rows outside of the dataset")
            .expected(format!("up to {}", self.len()))
            .found(format!("{} to {}", rows.start, rows.end)))
    }

    fn fill(&self, rows: Range<usize>, out: &mut [u8]) -> Result<()> {
        let row = self.row_bytes();
        if out.len() != rows.len() * row {
            return Err(Error::unreadable("the dataset does not fit where it should go"));
        }
        match (&*self.layout, &self.grid) {
            _ if out.is_empty() => Ok(()),
            (DataLayoutMessage::Compact { data }, _) => {
                let part = data.get(rows.start * row..rows.end * row);
                out.copy_from_slice(
                    part.ok_or_else(|| Error::unreadable("the dataset is shorter than its shape"))?,
                );
                Ok(())
            }
            (DataLayoutMessage::Contiguous { address, .. }, _) if *address == UNDEF_ADDR => {
                self.blank(out);
                Ok(())
            }
            (DataLayoutMessage::Contiguous { address, .. }, _) => {
                let offset = address
                    .checked_add((rows.start * row) as u64)
                    .ok_or_else(|| Error::unreadable("data address out of range"))?;
                self.file.source.read_into(offset, out)
            }
            (_, Some(grid)) => self.read_chunked(grid, rows, row, out),
            _ => Err(Error::unsupported("dataset layout that is not read")),
        }
    }

    /// Puts the fill value into zeroed memory.
    pub(super) fn blank(&self, out: &mut [u8]) {
        if let Some(fill) = &self.fill
            && fill.len() == self.kind.size()
            && fill.iter().any(|&b| b != 0)
        {
            for element in out.chunks_exact_mut(fill.len()) {
                element.copy_from_slice(fill);
            }
        }
    }
}
