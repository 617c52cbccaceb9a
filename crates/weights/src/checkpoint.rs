//! A checkpoint of any known container.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use microtome_core::{Error, Result, closest};

use crate::bytes::FileBytes;
use crate::npy;
use crate::pickle::{Dict, Value};
use crate::shuffle::Shuffle;
use crate::tensor::{Place, Tensor, TensorInfo, column_major};
use crate::zip::Archive;
use crate::{mindspore, npz, safetensors, shards, torch, walk};

/// Container of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// safetensors, one file.
    Safetensors,
    /// Several files with a JSON index.
    Sharded,
    /// `torch.save` since 1.6.
    TorchZip,
    /// `torch.save` before 1.6 (or with the new format turned off).
    TorchLegacy,
    /// NumPy archive.
    Npz,
    /// One NumPy array.
    Npy,
    /// MindSpore protobuf.
    MindSpore,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Safetensors => "safetensors",
            Self::Sharded => "sharded",
            Self::TorchZip => "torch zip",
            Self::TorchLegacy => "torch legacy",
            Self::Npz => "npz",
            Self::Npy => "npy",
            Self::MindSpore => "MindSpore",
        })
    }
}

/// An open checkpoint: every tensor is listed, none is read until asked for.
///
/// Tensors inside nested dictionaries are named by their path, joined with dots: `state_dict.model.encoder.weight`. A
/// file that is one bare tensor names it `tensor`.
pub struct Checkpoint {
    path: PathBuf,
    format: Format,
    files: Vec<FileBytes>,
    file_paths: Vec<PathBuf>,
    tensors: Vec<(String, Tensor)>,
    index: HashMap<String, usize>,
    root: Value,
    metadata: Vec<(String, String)>,
    /// Set by [`crate::with_shuffled_tensors`].
    shuffle: Option<Shuffle>,
    /// Shuffled tables that are read by rows.
    tables: Mutex<HashMap<String, Arc<Vec<f32>>>>,
}

impl Checkpoint {
    /// Opens a checkpoint, recognised by its content; takes the same time whatever its size.
    ///
    /// # Errors
    /// When the file is missing, damaged, of an unknown kind, or (pickles) names anything outside the allow-list.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = FileBytes::open(path)?;
        if path.extension().is_some_and(|e| e == "json") && bytes.trim_ascii_start().starts_with(b"{") {
            return Self::merge(path, shards::open(path, &bytes)?);
        }
        Self::from_file(path, bytes)
    }

    /// Opens a checkpoint that is already in memory; `path` only appears in messages.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn from_bytes(path: &Path, bytes: Vec<u8>) -> Result<Self> {
        Self::from_file(path, FileBytes::Owned(bytes))
    }

    /// Opens one file that is not a shard index.
    pub(crate) fn open_single(path: &Path) -> Result<Self> {
        Self::from_file(path, FileBytes::open(path)?)
    }

    fn from_file(path: &Path, bytes: FileBytes) -> Result<Self> {
        let parsed = parse(&bytes).map_err(|e| e.in_file(path))?;
        Self::assemble(path, parsed, vec![bytes], vec![path.to_owned()])
    }

    fn assemble(
        path: &Path,
        parsed: Parsed,
        files: Vec<FileBytes>,
        file_paths: Vec<PathBuf>,
    ) -> Result<Self> {
        let Parsed { format, tensors, root, metadata } = parsed;
        let mut index = HashMap::with_capacity(tensors.len());
        for (i, (name, _)) in tensors.iter().enumerate() {
            if index.insert(name.clone(), i).is_some() {
                return Err(Error::unreadable("two tensors share a name").in_file(path).at_key(name));
            }
        }
        Ok(Self {
            path: path.to_owned(),
            format,
            files,
            file_paths,
            tensors,
            index,
            root,
            metadata,
            shuffle: Shuffle::current(),
            tables: Mutex::default(),
        })
    }

    fn merge(path: &Path, shards: Vec<Self>) -> Result<Self> {
        let (mut files, mut file_paths) = (Vec::new(), vec![path.to_owned()]);
        let (mut tensors, mut metadata) = (Vec::new(), Vec::new());
        for shard in shards {
            let by = files.len();
            tensors.extend(shard.tensors.iter().map(|(name, t)| (name.clone(), t.shifted(by))));
            metadata.extend(shard.metadata);
            files.extend(shard.files);
            file_paths.extend(shard.file_paths);
        }
        let parsed = Parsed { format: Format::Sharded, tensors, root: Value::None, metadata };
        Self::assemble(path, parsed, files, file_paths)
    }

    /// The file that was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every file it is made of.
    pub fn files(&self) -> &[PathBuf] {
        &self.file_paths
    }

    /// Its container.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Names of all tensors in file order.
    pub fn names(&self) -> Vec<&str> {
        self.tensors.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// Shape and type of a tensor.
    pub fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.index.get(name).and_then(|i| self.tensors.get(*i)).map(|(_, t)| &t.info)
    }

    /// Free text pairs of a safetensors header.
    pub fn metadata(&self) -> &[(String, String)] {
        &self.metadata
    }

    /// The object at a dotted path, such as `hyper_parameters.genes`; the empty path is the whole object.
    pub fn value(&self, path: &str) -> Option<&Value> {
        walk::find(&self.root, path)
    }

    /// Elements of a tensor in row-major order as f32; f64 and wide integers round to nearest.
    ///
    /// # Errors
    /// When there is no such tensor, or its type or data cannot be read.
    pub fn read_f32(&self, name: &str) -> Result<Vec<f32>> {
        let tensor = self.tensor(name)?;
        self.at(name, tensor.to_f32(&self.files).map(|v| self.shuffled(name, tensor, v)))
    }

    /// Rows of a tensor of two dimensions as f32, in the order asked for, so that a table larger than the memory can be looked up.
    ///
    /// # Errors
    /// When there is no such tensor or row, or its type or data cannot be read.
    pub fn read_rows_f32(&self, name: &str, rows: &[usize]) -> Result<Vec<f32>> {
        let tensor = self.tensor(name)?;
        let Some(shuffle) = self.shuffle.filter(|_| !tensor.info.dtype.is_integer()) else {
            return self.at(name, tensor.rows_f32(rows, &self.files));
        };
        self.at(name, self.shuffled_rows(shuffle, name, tensor, rows))
    }

    /// Elements of a tensor in row-major order as f64.
    ///
    /// # Errors
    /// When there is no such tensor, or its type or data cannot be read.
    pub fn read_f64(&self, name: &str) -> Result<Vec<f64>> {
        let tensor = self.tensor(name)?;
        self.at(name, tensor.to_f64(&self.files).map(|v| self.shuffled(name, tensor, v)))
    }

    /// Elements of a tensor of whole numbers or booleans in row-major order.
    ///
    /// # Errors
    /// When there is no such tensor, it holds floats, or its data cannot be read.
    pub fn read_i64(&self, name: &str) -> Result<Vec<i64>> {
        self.at(name, self.tensor(name)?.to_i64(&self.files))
    }

    /// Whether two tensors have the same shape, type and bits.
    ///
    /// # Errors
    /// When either is absent or cannot be read.
    pub fn same_bits(&self, a: &str, b: &str) -> Result<bool> {
        self.at(a, self.tensor(a)?.same_bits(self.tensor(b)?, &self.files))
    }

    fn shuffled<T: Copy>(&self, name: &str, tensor: &Tensor, mut values: Vec<T>) -> Vec<T> {
        if let Some(shuffle) = self.shuffle.filter(|_| !tensor.info.dtype.is_integer()) {
            shuffle.apply(name, tensor.info.shape.last().copied().unwrap_or(1), &mut values);
        }
        values
    }

    fn shuffled_rows(
        &self,
        shuffle: Shuffle,
        name: &str,
        tensor: &Tensor,
        rows: &[usize],
    ) -> Result<Vec<f32>> {
        // Refuses what is no table of these rows.
        tensor.rows_f32(rows.iter().max().map_or(&[], std::slice::from_ref), &self.files)?;
        let (n, width) = (tensor.info.shape[0], tensor.info.shape[1]);
        if Shuffle::whole(n * width) {
            // The entries of a row may come from anywhere, so the table is kept once it has been made.
            let mut tables = self.tables.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let table = match tables.get(name) {
                Some(table) => table.clone(),
                None => {
                    let table: Arc<Vec<f32>> = Arc::new(self.read_f32(name)?);
                    tables.insert(name.into(), table.clone());
                    table
                }
            };
            return Ok(rows.iter().flat_map(|r| &table[r * width..(r + 1) * width]).copied().collect());
        }
        let order = shuffle.rows(name, n);
        let from: Vec<usize> = rows.iter().map(|&r| order[r]).collect();
        let mut values = tensor.rows_f32(&from, &self.files)?;
        for (row, &at) in values.chunks_mut(width.max(1)).zip(rows) {
            shuffle.within(name, at, row);
        }
        Ok(values)
    }

    fn at<T>(&self, name: &str, result: Result<T>) -> Result<T> {
        result.map_err(|e| e.in_file(&self.path).at_key(name))
    }

    fn tensor(&self, name: &str) -> Result<&Tensor> {
        self.index.get(name).and_then(|i| self.tensors.get(*i)).map(|(_, t)| t).ok_or_else(|| {
            let e = Error::mismatch("the checkpoint has no such tensor").in_file(&self.path).at_key(name);
            match closest(name, self.tensors.iter().map(|(n, _)| n.as_str())) {
                Some(near) => e.remedy(format!("did you mean {near}?")),
                None => e,
            }
        })
    }
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoint")
            .field("path", &self.path)
            .field("format", &self.format)
            .field("tensors", &self.tensors.len())
            .finish_non_exhaustive()
    }
}

struct Parsed {
    format: Format,
    tensors: Vec<(String, Tensor)>,
    root: Value,
    metadata: Vec<(String, String)>,
}

fn parse(bytes: &[u8]) -> Result<Parsed> {
    let plain = |format, tensors| Parsed { format, tensors, root: Value::None, metadata: Vec::new() };
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
        let archive = Archive::parse(bytes)?;
        if npz::matches(&archive) {
            let npz::Contents { tensors, others } = npz::parse(bytes, &archive, 0)?;
            return Ok(Parsed { root: Value::Dict(Arc::new(others)), ..plain(Format::Npz, tensors) });
        }
        let torch::Contents { tensors, root } = torch::parse_zip(bytes, &archive, 0)?;
        return Ok(Parsed { root, ..plain(Format::TorchZip, tensors) });
    }
    if bytes.starts_with(torch::LEGACY_MAGIC) {
        let torch::Contents { tensors, root } = torch::parse_legacy(bytes, 0)?;
        return Ok(Parsed { root, ..plain(Format::TorchLegacy, tensors) });
    }
    if bytes.starts_with(npy::MAGIC) {
        return parse_npy(bytes);
    }
    if safetensors::matches(bytes) {
        let safetensors::Contents { tensors, metadata } = safetensors::parse(bytes, 0)?;
        return Ok(Parsed { metadata, ..plain(Format::Safetensors, tensors) });
    }
    if mindspore::matches(bytes) {
        return Ok(plain(Format::MindSpore, mindspore::parse(bytes, 0)?));
    }
    Err(unknown(bytes))
}

fn parse_npy(bytes: &[u8]) -> Result<Parsed> {
    let header = npy::parse_header(bytes, bytes.len())?;
    let mut parsed =
        Parsed { format: Format::Npy, tensors: Vec::new(), root: Value::None, metadata: Vec::new() };
    match header.element.dtype() {
        Some(dtype) => {
            let strides = if header.fortran { column_major(&header.shape) } else { None };
            let place = Arc::new(Place::Range { file: 0, start: header.start, len: header.len });
            let info = TensorInfo { shape: header.shape, dtype };
            let tensor = Tensor::new(info, 0, strides, place, header.element.big_endian)?;
            parsed.tensors.push((walk::SOLE.to_owned(), tensor));
        }
        None => {
            let mut dict = Dict::default();
            dict.insert(Value::Str(walk::SOLE.into()), Value::Array(Arc::new(npy::parse(bytes)?)));
            parsed.root = Value::Dict(Arc::new(dict));
        }
    }
    Ok(parsed)
}

/// Names what the file is instead, where that can be told.
fn unknown(bytes: &[u8]) -> Error {
    let found = match bytes {
        [] => "an empty file",
        _ if bytes.starts_with(b"version https://git-lfs") => "a Git LFS pointer, not the file it stands for",
        _ if bytes.starts_with(b"\x89HDF\r\n\x1a\n") => "an HDF5 file",
        _ if bytes.starts_with(&[0x1f, 0x8b]) => "a gzip file",
        _ if bytes.get(257..262) == Some(b"ustar") => "a tar archive (torch before 0.2 wrote these)",
        _ if bytes.starts_with(b"<") => "a web page or XML",
        [0x80, 2..=5, ..] => "a bare Python pickle without tensors",
        _ => "something else",
    };
    let remedy = match bytes {
        _ if bytes.starts_with(b"version https://git-lfs") => "fetch the real file with git lfs pull",
        _ => "give the weight file of the model itself",
    };
    Error::unreadable("not a checkpoint of a known kind")
        .expected("safetensors, a torch checkpoint, npz, npy or a MindSpore checkpoint")
        .found(found)
        .remedy(remedy)
}
