//! The files of a checkpoint: weights, which of their sub-models, and the gene list.

use std::path::{Path, PathBuf};

use microtome_core::{Error, Result};
use microtome_weights::Checkpoint;

use super::config;
use crate::families::split_part;
use crate::tokenize::gene_list;

/// Published name of the weights.
const WEIGHTS: &str = "models.ckpt";
/// Name under which untrained models are written.
pub(super) const UNTRAINED: &str = "models.safetensors";

/// The sub-models, in the order of preference.
pub(super) const PARTS: [&str; 3] = ["cell", "rde", "gene"];

/// The weights that a folder or file means.
fn find(path: &Path) -> Option<PathBuf> {
    if path.is_file() {
        return Some(path.to_path_buf());
    }
    // The repository keeps the weights in `models/` beside the gene list.
    [WEIGHTS, UNTRAINED, "models/models.ckpt"].iter().map(|name| path.join(name)).find(|p| p.is_file())
}

/// By name beside a gene list, or by the configuration inside; tensors are never read.
pub(super) fn is_ours(path: &Path) -> bool {
    let Some(file) = find(path) else { return false };
    let name = file.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    if name == WEIGHTS && gene_list::find(&gene_list::folder_of(&file), None).is_ok() {
        return true;
    }
    let container = ["ckpt", "pt", "pth", "safetensors"].iter().any(|e| file.extension().is_some_and(|x| x == *e));
    container && Checkpoint::open(&file).is_ok_and(|c| !parts(&c).is_empty())
}

/// Sub-models that a checkpoint holds.
pub(super) fn parts(checkpoint: &Checkpoint) -> Vec<&'static str> {
    PARTS.into_iter().filter(|p| config::is_there(checkpoint, p)).collect()
}

/// The weights, and the sub-model that was named.
pub(super) fn weights(path: &Path) -> Result<(PathBuf, Option<String>)> {
    let (path, part) = split_part(path);
    let file = find(&path).ok_or_else(|| {
        Error::unreadable("the model's weights are missing")
            .in_file(&path)
            .expected(format!("{WEIGHTS} in the folder or in models/ of it"))
            .remedy("download it as model/README.md of github biomap-research/scFoundation says")
    })?;
    Ok((file, part))
}

/// The sub-model to open: the one that was named, otherwise the first there is.
pub(super) fn choose(checkpoint: &Checkpoint, named: Option<&str>) -> Result<&'static str> {
    let there = parts(checkpoint);
    let chosen = there.iter().copied().find(|p| named.is_none_or(|n| n == *p));
    chosen.ok_or_else(|| {
        Error::mismatch("the checkpoint holds no such sub-model")
            .in_file(checkpoint.path())
            .expected(if there.is_empty() {
                format!("one of: {}, each with config and state_dict", PARTS.join(", "))
            } else {
                format!("one of: {}", there.join(", "))
            })
            .found(named.unwrap_or("none of them"))
    })
}
