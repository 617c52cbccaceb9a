//! Which file is the checkpoint, and the names of its tensors.

use std::path::{Path, PathBuf};

use microtome_core::{Error, Result};
use microtome_weights::Checkpoint;

/// Files that may hold a model of this family.
const EXTENSIONS: [&str; 2] = ["ckpt", "safetensors"];
/// Where Lightning keeps the weights; untrained models written here have no such level.
pub(super) const STATE: &str = "state_dict";
/// Metadata key of the hyper-parameters in safetensors files written here.
pub(super) const HYPER: &str = "hyper_parameters";
/// Together these belong to no other family.
const MARKS: [&str; 3] =
    ["expr_encoder.encoder.0.weight", "class_encoder.embedding.weight", "expr_decoder.fc.0.weight"];

/// The folder a checkpoint path means: itself, or the parent of a weights file.
pub(super) fn folder_of(path: &Path) -> PathBuf {
    if path.is_dir() {
        return path.to_path_buf();
    }
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// Checkpoints of this family at a path. Looks at names of tensors only; no tensor is read.
pub(super) fn find(path: &Path) -> Result<Vec<PathBuf>> {
    let fits = |p: &PathBuf| p.extension().and_then(|e| e.to_str()).is_some_and(|e| EXTENSIONS.contains(&e));
    let mut files: Vec<PathBuf> = if path.is_dir() {
        let entries = std::fs::read_dir(path)
            .map_err(|e| Error::unreadable("cannot read the folder").in_file(path).caused_by(e))?;
        entries.filter_map(|e| e.ok().map(|e| e.path())).filter(|p| p.is_file()).filter(fits).collect()
    } else {
        [path.to_path_buf()].into_iter().filter(fits).collect()
    };
    files.sort();
    files.retain(|p| Checkpoint::open(p).is_ok_and(|c| is_ours(&c)));
    Ok(files)
}

fn is_ours(checkpoint: &Checkpoint) -> bool {
    MARKS.iter().all(|m| {
        checkpoint.info(m).is_some() || checkpoint.info(&format!("{STATE}.{m}")).is_some()
    })
}

/// The one checkpoint at a path.
pub(super) fn sole(path: &Path) -> Result<PathBuf> {
    let mut files = find(path)?;
    match (files.pop(), files.is_empty()) {
        (Some(file), true) => Ok(file),
        (Some(last), false) => {
            let all: Vec<String> = files.iter().chain([&last]).map(|p| p.display().to_string()).collect();
            Err(Error::usage("the folder holds several checkpoints of this family")
                .in_file(path)
                .expected("one checkpoint")
                .found(all.join(", "))
                .remedy("name the file itself"))
        }
        (None, _) => Err(Error::unreadable("no scPRINT checkpoint here")
            .in_file(path)
            .expected("a Lightning file (*.ckpt) with state_dict and hyper_parameters")
            .remedy("download one from Hugging Face jkobject/scPRINT, such as small-v1.ckpt")),
    }
}
