//! Model folders in the layout of Hugging Face: `config.json` and weights under one of four names.

use std::path::{Path, PathBuf};

use microtome_core::{Error, Result};
use serde_json::Value;

/// Weight files in the order in which they are preferred.
const WEIGHTS: [&str; 4] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
];

/// The folder a checkpoint path means: itself, or the parent of a file.
pub(crate) fn folder_of(path: &Path) -> PathBuf {
    if path.is_dir() {
        return path.to_path_buf();
    }
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// The weights that a path means: itself when it is a file other than `config.json`, or the first published name in its folder.
pub(crate) fn weights_file(path: &Path, remedy: &str) -> Result<PathBuf> {
    if path.is_file() && path.file_name().is_some_and(|n| n != "config.json") {
        return Ok(path.to_path_buf());
    }
    let folder = folder_of(path);
    WEIGHTS.iter().map(|name| folder.join(name)).find(|p| p.is_file()).ok_or_else(|| {
        Error::unreadable("the model's weights are missing")
            .in_file(&folder)
            .expected(WEIGHTS.join(", "))
            .remedy(remedy)
    })
}

/// Makes the folder of a new model; refuses one that holds a model already.
pub(crate) fn create(out: &Path) -> Result<()> {
    if out.join("config.json").exists() {
        return Err(Error::output("the folder holds a model already")
            .in_file(out)
            .remedy("name another folder, or remove that one"));
    }
    std::fs::create_dir_all(out)
        .map_err(|e| Error::output("cannot make the folder").in_file(out).caused_by(e))
}

/// Copies files into a folder under their own names. The copies are writable even where the sources are not.
pub(crate) fn copy_into<'a>(files: impl IntoIterator<Item = &'a PathBuf>, out: &Path) -> Result<()> {
    for file in files {
        let target = out.join(file.file_name().unwrap_or_default());
        let bytes = std::fs::read(file).map_err(|e| {
            Error::unreadable("cannot read a file of the vocabulary").in_file(file).caused_by(e)
        })?;
        std::fs::write(&target, bytes).map_err(|e| {
            Error::output("cannot write a file of the vocabulary").in_file(&target).caused_by(e)
        })?;
    }
    Ok(())
}

/// Writes `config.json`; it comes last, because a folder without it is not taken for a checkpoint.
pub(crate) fn write_config(config: &Value, out: &Path) -> Result<()> {
    let path = out.join("config.json");
    std::fs::write(&path, format!("{config:#}\n"))
        .map_err(|e| Error::output("cannot write the configuration").in_file(&path).caused_by(e))
}
