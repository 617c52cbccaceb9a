//! The checkpoint: written untrained, read for training, exported trained.

use std::collections::BTreeMap;
use std::path::Path;

use microtome_core::{Error, Progress, Result};
use microtome_models::{Model, Precision, find_family};
use microtome_train::net::{Architecture, NamedTensor};
use microtome_weights::{Checkpoint, TensorData, write_safetensors};

use super::begin::Begin;
use super::imitation::{Asked, Imitation};
use super::vocabulary::Material;
use crate::open::{open_model, provide_readers};

/// The weights of a checkpoint of ours, whatever the family.
const WEIGHTS: &str = "model.safetensors";
/// Readouts that are trained beside the network and have no place in the family's checkpoint.
pub(crate) const HEADS: &str = "heads.safetensors";

/// Writes the checkpoint that training begins with, unless it is there: beside its place first.
pub(super) fn prepare(
    imitation: &dyn Imitation,
    begin: &Begin,
    material: &Material<'_>,
    seed: u64,
    folder: &Path,
    progress: &dyn Progress,
) -> Result<()> {
    if folder.exists() {
        return Ok(());
    }
    provide_readers();
    let begun = folder.with_extension("begun");
    let failed =
        |e: std::io::Error| Error::output("cannot write the first checkpoint").in_file(folder).caused_by(e);
    if begun.exists() {
        std::fs::remove_dir_all(&begun).map_err(failed)?;
    }
    match begin {
        Begin::New(shape) => {
            progress.note("making the vocabulary of the genes of the data");
            imitation.begin(shape.dimensions(), material, seed, &begun)?;
        }
        Begin::Published { preset, like } => {
            (find_family(imitation.family())?.init)(preset, like, seed, &begun)?;
        }
        Begin::Over { shape, like } => imitation.begin_over(like, shape.dimensions(), seed, &begun)?,
        Begin::From(path) => go_on(imitation, path, seed, &begun)?,
    }
    std::fs::rename(&begun, folder).map_err(failed)
}

/// The weights of another checkpoint under the family's own names.
fn go_on(imitation: &dyn Imitation, path: &Path, seed: u64, begun: &Path) -> Result<()> {
    let model = open_model(path, Precision::F32)?;
    if model.family().id != imitation.family() {
        return Err(Error::unsupported("training goes on only from a checkpoint of this family")
            .in_file(path)
            .expected(imitation.family())
            .found(model.family().id));
    }
    let files = &model.info().files;
    let weights = files.iter().find(|(role, _)| role == "weights").map_or(path, |(_, f)| f.as_path());
    let source = Checkpoint::open(weights)?;
    let architecture = imitation.architecture(model.as_ref(), &source).map_err(|e| e.in_file(path))?;
    (model.family().init_twin)(path, seed, begun)?;
    let mut all = tensors(&Checkpoint::open(&begun.join(WEIGHTS))?)?;
    // A readout that one way of training leaves out begins anew for another.
    let optional: Vec<&str> =
        imitation.asks().iter().flat_map(|a| imitation.untrained(*a)).copied().collect();
    for (name, shape) in architecture.tensors() {
        let spelled = imitation.spellings(&name).into_iter().find(|n| source.info(n).is_some());
        if spelled.is_none() && optional.iter().any(|o| name.starts_with(o)) {
            continue;
        }
        let values = source.read_f32(&spelled.unwrap_or_else(|| name.clone()))?;
        all.insert(name.clone(), NamedTensor { name, shape, values });
    }
    write_weights(all.values(), &begun.join(WEIGHTS))
}

/// The network of the checkpoint in a folder of ours, and its weights.
pub(super) fn network(
    imitation: &dyn Imitation,
    folder: &Path,
    model: &dyn Model,
) -> Result<(Box<dyn Architecture>, Vec<NamedTensor>)> {
    let weights = Checkpoint::open(&folder.join(WEIGHTS))?;
    let architecture = imitation.architecture(model, &weights)?;
    let tensors = architecture.tensors().into_iter().map(|(name, shape)| {
        let values = weights.read_f32(&name)?;
        Ok(NamedTensor { name, shape, values })
    });
    let tensors = tensors.collect::<Result<_>>()?;
    Ok((architecture, tensors))
}

fn tensors(weights: &Checkpoint) -> Result<BTreeMap<String, NamedTensor>> {
    let read = |name: &str| {
        let shape = weights.info(name).map(|t| t.shape.clone()).unwrap_or_default();
        let tensor = NamedTensor { name: name.into(), shape, values: weights.read_f32(name)? };
        Ok((name.to_string(), tensor))
    };
    weights.names().into_iter().map(read).collect()
}

fn write_weights<'t>(tensors: impl IntoIterator<Item = &'t NamedTensor>, path: &Path) -> Result<()> {
    let all: Vec<_> =
        tensors.into_iter().map(|t| (t.name.clone(), t.shape.clone(), TensorData::F32(&t.values))).collect();
    write_safetensors(path, &all, &[("format".into(), "pt".into())])
}

/// Puts the trained weights into the folder of the result and says which files it wrote. The file that makes it a checkpoint comes
/// last.
pub(super) fn export(
    imitation: &dyn Imitation,
    asked: Asked,
    folder: &Path,
    trained: &[NamedTensor],
    out: &Path,
) -> Result<Vec<String>> {
    let mut all = tensors(&Checkpoint::open(&folder.join(WEIGHTS))?)?;
    let (own, beside): (Vec<_>, Vec<_>) = trained.iter().cloned().partition(|t| all.contains_key(&t.name));
    all.extend(own.into_iter().map(|t| (t.name.clone(), t)));
    let untrained = imitation.untrained(asked);
    all.retain(|name, _| !untrained.iter().any(|u| name.starts_with(u)));
    write_weights(all.values(), &out.join(WEIGHTS))?;
    let mut written = vec![WEIGHTS.to_string()];
    if !beside.is_empty() {
        write_weights(&beside, &out.join(HEADS))?;
        written.push(HEADS.into());
    }
    let bad = |e: std::io::Error| Error::output("cannot write the checkpoint").in_file(out).caused_by(e);
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .map_err(bad)?
        .collect::<std::io::Result<Vec<_>>>()
        .map_err(bad)?
        .into_iter()
        .map(|e| e.file_name())
        .filter(|n| n != WEIGHTS)
        .collect();
    names.sort_by_key(|n| (n == imitation.last_file(), n.clone()));
    for name in names {
        let bytes = std::fs::read(folder.join(&name)).map_err(bad)?;
        crate::output::write_atomic(&out.join(&name), &bytes)?;
        written.push(name.to_string_lossy().into_owned());
    }
    Ok(written)
}

/// Removes the checkpoint of an earlier run from a folder that is to be written again: a folder with files of two families, or with
/// readouts of another run, would be read as what it is not. `card` is the earlier run card.
pub(super) fn clear(card: &Path, out: &Path) -> Result<()> {
    let Ok(text) = std::fs::read(card) else { return Ok(()) };
    let earlier: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    let files = earlier["files"].as_array().cloned().unwrap_or_default();
    for name in files.iter().filter_map(|f| f.as_str()) {
        let path = out.join(name);
        if Path::new(name).file_name() == Some(name.as_ref()) && path.is_file() {
            std::fs::remove_file(&path)
                .map_err(|e| Error::output("cannot replace an earlier result").in_file(&path).caused_by(e))?;
        }
    }
    Ok(())
}
