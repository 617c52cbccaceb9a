//! The model side of a run: an opened checkpoint with a name and the hashes of its files.

use std::path::{Path, PathBuf};

use microtome_core::{InputFile, Result};
use microtome_h5ad::Slot;
use microtome_models::{Model, Precision};
use microtome_weights::Checkpoint;

use crate::hash;

/// Role of a file that an index of weights names.
pub(crate) const SHARD: &str = "weights shard";

/// An opened checkpoint.
pub struct OpenModel {
    /// The model.
    pub model: Box<dyn Model>,
    /// Where it was opened.
    pub path: PathBuf,
    /// Name in records: the folder's or file's own name.
    pub name: String,
    /// Files it was read from, with hashes.
    pub inputs: Vec<InputFile>,
    /// Precision it was opened in.
    pub precision: Precision,
}

impl OpenModel {
    /// Opens a checkpoint of any family in f32.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_in(path, Precision::F32)
    }

    /// Opens a checkpoint of any family.
    pub fn open_in(path: &Path, precision: Precision) -> Result<Self> {
        let model = open_model(path, precision)?;
        let mut inputs = vec![];
        for (role, file) in &model.info().files {
            inputs.push(hash::input_file(role, file)?);
            if role == "weights" && file.extension().is_some_and(|e| e == "json") {
                for shard in Checkpoint::open(file)?.files().iter().filter(|f| *f != file) {
                    inputs.push(hash::input_file(SHARD, shard)?);
                }
            }
        }
        Ok(Self { model, path: path.to_path_buf(), name: name_of(path), inputs, precision })
    }

    /// The same checkpoint with the entries of every tensor in random order.
    pub(crate) fn shuffled(&self, seed: u64) -> Result<Self> {
        provide_readers();
        let model = microtome_models::open_shuffled(&self.path, self.precision, seed)?;
        let (path, name, inputs) = (self.path.clone(), self.name.clone(), self.inputs.clone());
        Ok(Self { model, path, name, inputs, precision: self.precision })
    }
}

/// Opens a checkpoint, with our reader for vocabularies that are published as AnnData files.
pub(crate) fn open_model(path: &Path, precision: Precision) -> Result<Box<dyn Model>> {
    provide_readers();
    microtome_models::open_in(path, precision)
}

/// Hands the model families what they need of HDF5, which they do not link themselves.
pub(crate) fn provide_readers() {
    microtome_models::provide_var_names(|path| Ok(microtome_h5ad::open(path)?.var(&Slot::X)?.index));
    microtome_models::provide_hdf5_texts(microtome_h5ad::read_texts);
}

/// Last part of a path that names something: `models/Geneformer-V1-10M/` gives `Geneformer-V1-10M`.
pub(crate) fn name_of(path: &Path) -> String {
    let full = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let stem = if full.is_dir() { full.file_name() } else { full.file_stem() };
    stem.map_or_else(|| "model".into(), |n| n.to_string_lossy().into_owned())
}
