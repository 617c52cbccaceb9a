//! What is kept on disk: the state of a fit, the predictions of a fold, the adapter.

use std::path::{Path, PathBuf};

use microtome_core::{Error, Progress, Result};
use microtome_train::finetune::{FitState, Watcher};
use microtome_train::net::NamedTensor;
use microtome_weights::{Checkpoint, TensorData, write_safetensors};
use serde::{Deserialize, Serialize};

/// A fit whose state is kept after every epoch.
pub(super) struct Keeper<'a> {
    pub(super) path: PathBuf,
    /// Hash of everything that decides the numbers.
    pub(super) asked: &'a str,
    pub(super) progress: &'a dyn Progress,
}

impl Watcher for Keeper<'_> {
    fn step(&mut self) -> Result<()> {
        self.progress.check()
    }

    fn epoch(&mut self, state: &FitState) -> Result<()> {
        self.progress.advance(1);
        self.write(state)
    }
}

impl Keeper<'_> {
    fn write(&self, state: &FitState) -> Result<()> {
        let notes = serde_json::to_string(state).map_err(json)?;
        let named: Vec<(String, &NamedTensor)> = state
            .parts()
            .into_iter()
            .flat_map(|(part, all)| all.iter().map(move |t| (format!("{part}/{}", t.name), t)))
            .collect();
        let tensors: Vec<_> =
            named.iter().map(|(n, t)| (n.clone(), t.shape.clone(), TensorData::F32(&t.values))).collect();
        let notes = [("asked".to_string(), self.asked.to_string()), ("state".to_string(), notes)];
        write_safetensors(&self.path, &tensors, &notes)
    }

    /// The state that was kept, if any.
    pub(super) fn read(&self) -> Result<Option<FitState>> {
        if !self.path.exists() {
            return Ok(None);
        }
        let checkpoint = Checkpoint::open(&self.path)?;
        let note =
            |name: &str| checkpoint.metadata().iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str());
        check_asked(note("asked"), self.asked, &self.path)?;
        let text = note("state").unwrap_or_default();
        let mut state: FitState = serde_json::from_str(text).map_err(|e| {
            Error::unreadable("the kept state cannot be read").in_file(&self.path).caused_by(e)
        })?;
        for (part, all) in state.parts_mut() {
            let own = |name: &&str| name.strip_prefix(part).is_some_and(|n| n.starts_with('/'));
            for name in checkpoint.names().into_iter().filter(own) {
                let shape = checkpoint.info(name).map(|t| t.shape.clone()).unwrap_or_default();
                let values = checkpoint.read_f32(name)?;
                all.push(NamedTensor { name: name[part.len() + 1..].into(), shape, values });
            }
            // Optimisers go by the order of the names.
            all.sort_by(|a, b| a.name.cmp(&b.name));
        }
        Ok(Some(state))
    }
}

fn check_asked(found: Option<&str>, asked: &str, path: &Path) -> Result<()> {
    if found == Some(asked) {
        return Ok(());
    }
    Err(Error::usage("the unfinished run was asked for something else")
        .in_file(path)
        .expected("the same data, checkpoint, options and version of the program")
        .remedy("repeat the command as it was, or pass --overwrite to begin again"))
}

/// A finished fold.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct FoldDone {
    asked: String,
    /// Class or number of every held-out cell of the fold, in its order.
    pub(super) predicted: Vec<f64>,
    /// Losses of the fit that made it.
    pub(super) epochs: Vec<microtome_train::finetune::Epoch>,
    /// Best epoch.
    pub(super) best: usize,
    /// Site that a probe learnt from.
    pub(super) site: Option<String>,
}

impl FoldDone {
    pub(super) fn new(asked: &str, predicted: Vec<f64>, state: &FitState, site: Option<String>) -> Self {
        let (epochs, best) = (state.epochs.clone(), state.best.map_or(0, |b| b.0));
        Self { asked: asked.into(), predicted, epochs, best, site }
    }

    pub(super) fn read(path: &Path, asked: &str, n: usize) -> Result<Option<Self>> {
        let done: Option<Self> = read_done(path, asked, |d: &Self| &d.asked)?;
        Ok(done.filter(|d| d.predicted.len() == n))
    }
}

/// What was kept of a finished fold, if any. `of` says what it was asked.
pub(super) fn read_done<T: serde::de::DeserializeOwned>(
    path: &Path,
    asked: &str,
    of: impl Fn(&T) -> &str,
) -> Result<Option<T>> {
    let Ok(text) = std::fs::read(path) else { return Ok(None) };
    let done: T = serde_json::from_slice(&text)
        .map_err(|e| Error::unreadable("a finished fold cannot be read").in_file(path).caused_by(e))?;
    check_asked(Some(of(&done)), asked, path)?;
    Ok(Some(done))
}

/// Keeps a finished fold.
pub(super) fn write_done<T: Serialize>(path: &Path, done: &T) -> Result<()> {
    crate::output::write_atomic(path, &serde_json::to_vec(done).map_err(json)?)
}

fn json(e: serde_json::Error) -> Error {
    Error::output("cannot be written as JSON").caused_by(e)
}

/// Writes `adapter.safetensors` and `adapter.json` into a folder.
pub(super) fn write_adapter(folder: &Path, weights: &[NamedTensor], card: &serde_json::Value) -> Result<()> {
    std::fs::create_dir_all(folder)
        .map_err(|e| Error::output("cannot make the folder").in_file(folder).caused_by(e))?;
    let tensors: Vec<_> =
        weights.iter().map(|t| (t.name.clone(), t.shape.clone(), TensorData::F32(&t.values))).collect();
    write_safetensors(&folder.join("adapter.safetensors"), &tensors, &[])?;
    let text = serde_json::to_string_pretty(card).map_err(json)?;
    crate::output::write_atomic(&folder.join("adapter.json"), format!("{text}\n").as_bytes())
}

/// Reads the weights of an adapter.
pub(super) fn read_adapter(folder: &Path) -> Result<Vec<NamedTensor>> {
    let checkpoint = Checkpoint::open(&folder.join("adapter.safetensors"))?;
    checkpoint
        .names()
        .into_iter()
        .map(|name| {
            let shape = checkpoint.info(name).map(|t| t.shape.clone()).unwrap_or_default();
            Ok(NamedTensor { name: name.into(), shape, values: checkpoint.read_f32(name)? })
        })
        .collect()
}
