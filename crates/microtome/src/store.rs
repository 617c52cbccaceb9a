//! Representations on disk: one folder of chunks, each written whole, so that a killed run goes on where it stopped.
//!
//! `manifest.json` names the sites, widths and chunk size; `chunk-000012.safetensors` holds one `[cell, width]` array per
//! site for its cells, in the order of the run, and the SHA-256 of the values of each. A chunk whose hashes or shapes do not fit is
//! computed again.

use std::path::{Path, PathBuf};

use microtome_core::{Error, Matrix, Result};
use microtome_weights::{Checkpoint, TensorData, write_safetensors};
use serde::{Deserialize, Serialize};

use crate::{hash, output};

/// What a store holds. Equal manifests mean that chunks can be reused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Layout version.
    pub version: u32,
    /// Hash over everything that decides the values: data, model, cells, choices.
    pub inputs: String,
    /// Cells in all.
    pub n_cells: usize,
    /// Cells per chunk.
    pub chunk: usize,
    /// Arrays by name.
    pub arrays: Vec<String>,
}

/// A folder of chunks.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    manifest: Manifest,
}

/// Layout version written now.
pub(crate) const VERSION: u32 = 2;

impl Store {
    /// Makes a store, or opens the one that is there when it holds the same; that one keeps its chunk size. A store of other inputs is
    /// an error: its chunks belong to another run.
    pub fn create(dir: &Path, manifest: Manifest) -> Result<Self> {
        std::fs::create_dir_all(dir)
            .map_err(|e| Error::output("cannot make the folder").in_file(dir).caused_by(e))?;
        let path = dir.join("manifest.json");
        if path.exists() {
            let old = Self::open(dir)?;
            if old.manifest != (Manifest { chunk: old.manifest.chunk, ..manifest }) {
                return Err(Error::usage(
                    "the unfinished run in this folder was made from other inputs or options",
                )
                .in_file(dir)
                .remedy("repeat the command with the options it was begun with, or pass --overwrite"));
            }
            output::sweep(dir)?;
            return Ok(old);
        }
        let text = serde_json::to_vec_pretty(&manifest)
            .map_err(|e| Error::output("cannot write JSON").caused_by(e))?;
        output::write_atomic(&path, &text)?;
        Ok(Self { dir: dir.to_path_buf(), manifest })
    }

    /// Opens a store.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join("manifest.json");
        let bad = |e: Box<dyn std::error::Error + Send + Sync>| {
            Error::unreadable("cannot read the manifest of stored representations")
                .in_file(&path)
                .caused_by(e)
        };
        let text = std::fs::read(&path).map_err(|e| bad(e.into()))?;
        let manifest: Manifest = serde_json::from_slice(&text).map_err(|e| bad(e.into()))?;
        if manifest.chunk == 0 || manifest.arrays.is_empty() {
            return Err(bad("chunks without cells or arrays".into()));
        }
        Ok(Self { dir: dir.to_path_buf(), manifest })
    }

    /// What it holds.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Number of chunks of a complete store.
    pub fn n_chunks(&self) -> usize {
        self.manifest.n_cells.div_ceil(self.manifest.chunk)
    }

    /// Cells of a chunk.
    pub fn cells_of(&self, chunk: usize) -> std::ops::Range<usize> {
        let start = chunk * self.manifest.chunk;
        start..(start + self.manifest.chunk).min(self.manifest.n_cells)
    }

    fn path_of(&self, chunk: usize) -> PathBuf {
        self.dir.join(format!("chunk-{chunk:06}.safetensors"))
    }

    /// Whether the chunk is there, whole and unharmed; reads it.
    pub(crate) fn state(&self, chunk: usize) -> State {
        if !self.path_of(chunk).exists() {
            return State::Absent;
        }
        match self.read(chunk) {
            Ok(_) => State::Whole,
            Err(e) => State::Damaged(e),
        }
    }

    /// Writes one chunk: one `[cell, width]` array per array of the manifest, in its order.
    pub fn write(&self, chunk: usize, arrays: &[Matrix]) -> Result<()> {
        let named = || self.manifest.arrays.iter().zip(arrays);
        let tensors: Vec<_> = named()
            .map(|(name, m)| (name.clone(), vec![m.rows(), m.cols()], TensorData::F32(m.data())))
            .collect();
        let hashes: Vec<_> = named().map(|(name, m)| (hash_key(name), digest(m))).collect();
        write_safetensors(&self.path_of(chunk), &tensors, &hashes)
    }

    /// Reads one chunk, checking shapes and hashes.
    pub fn read(&self, chunk: usize) -> Result<Vec<Matrix>> {
        let file = Checkpoint::open(&self.path_of(chunk))?;
        self.manifest.arrays.iter().map(|name| self.array(&file, chunk, name)).collect()
    }

    /// Reads one array of one chunk and nothing else, checking its shape and hash.
    pub fn read_array(&self, chunk: usize, array: usize) -> Result<Matrix> {
        let file = Checkpoint::open(&self.path_of(chunk))?;
        self.array(&file, chunk, &self.manifest.arrays[array])
    }

    fn array(&self, file: &Checkpoint, chunk: usize, name: &str) -> Result<Matrix> {
        let n = self.cells_of(chunk).len();
        let values = match file.info(name).map(|i| i.shape.as_slice()) {
            Some(&[rows, width]) if rows == n => Matrix::new(n, width, file.read_f32(name)?),
            other => Err(Error::unreadable("stored representation has another shape")
                .in_file(file.path())
                .at_key(name)
                .expected(format!("[{n}, width]"))
                .found(format!("{other:?}"))),
        }?;
        let (key, hash) = (hash_key(name), digest(&values));
        if !file.metadata().iter().any(|(k, v)| *k == key && *v == hash) {
            return Err(Error::unreadable("stored representation is damaged")
                .in_file(file.path())
                .at_key(name)
                .expected("values that fit the hash they were written with")
                .remedy("delete this file and repeat the command with --resume"));
        }
        Ok(values)
    }

    /// All cells of every array, in the manifest's order.
    pub fn read_all(&self) -> Result<Vec<Matrix>> {
        let mut all: Vec<(usize, Vec<f32>)> = vec![(0, Vec::new()); self.manifest.arrays.len()];
        for chunk in 0..self.n_chunks() {
            for ((width, data), part) in all.iter_mut().zip(self.read(chunk)?) {
                *width = part.cols();
                data.extend_from_slice(part.data());
            }
        }
        all.into_iter().map(|(width, data)| Matrix::new(self.manifest.n_cells, width, data)).collect()
    }
}

/// What became of a chunk.
#[derive(Debug)]
pub(crate) enum State {
    /// Not there.
    Absent,
    /// As it was written.
    Whole,
    /// There, and not as it was written.
    Damaged(Error),
}

/// Name under which a chunk keeps the hash of an array.
fn hash_key(array: &str) -> String {
    format!("sha256 {array}")
}

fn digest(array: &Matrix) -> String {
    hash::of_values(array.data())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest { version: VERSION, inputs: "x".into(), n_cells: 3, chunk: 2, arrays: vec!["embed".into()] }
    }

    #[test]
    fn round_trip_resume_and_damage() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::create(dir.path(), manifest()).unwrap();
        assert!(matches!(store.state(0), State::Absent));
        store.write(0, &[Matrix::new(2, 2, vec![1.0, 2.0, 3.0, 4.0]).unwrap()]).unwrap();
        store.write(1, &[Matrix::new(1, 2, vec![5.0, 6.0]).unwrap()]).unwrap();
        let again = Store::create(dir.path(), manifest()).unwrap();
        assert_eq!(again.read_all().unwrap()[0].row(2), [5.0, 6.0]);
        let other = Manifest { inputs: "y".into(), ..manifest() };
        assert!(Store::create(dir.path(), other).unwrap_err().what().contains("other inputs"));
        let path = dir.path().join("chunk-000000.safetensors");
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert!(matches!(again.state(0), State::Damaged(e) if e.what().contains("damaged")));
        assert!(again.read_array(0, 0).is_err());
        assert!(matches!(again.state(1), State::Whole));
        // Half a file, no file, and another file under its name.
        std::fs::write(&path, &std::fs::read(&path).unwrap()[..40]).unwrap();
        assert!(matches!(again.state(0), State::Damaged(_)));
        std::fs::copy(dir.path().join("chunk-000001.safetensors"), &path).unwrap();
        assert!(matches!(again.state(0), State::Damaged(e) if e.what().contains("shape")));
    }

    #[test]
    fn goes_on_with_its_own_chunk_size_and_tidies_up() {
        let dir = tempfile::tempdir().unwrap();
        Store::create(dir.path(), manifest()).unwrap();
        let left = dir.path().join(".a1b2c3.part");
        std::fs::write(&left, "half").unwrap();
        let again = Store::create(dir.path(), Manifest { chunk: 50, ..manifest() }).unwrap();
        assert_eq!(again.manifest().chunk, 2);
        assert!(!left.exists());
        std::fs::write(
            dir.path().join("manifest.json"),
            serde_json::to_vec(&Manifest { chunk: 0, ..manifest() }).unwrap(),
        )
        .unwrap();
        assert!(Store::open(dir.path()).is_err());
    }
}
