//! Files of a checkpoint, and what they do not say: the published checkpoint has no configuration, its constants are in the scripts.

use std::path::{Path, PathBuf};

use microtome_core::{Error, Result};
use serde_json::{Value, json};

use crate::json::{JsonConfig, MAX_DIMENSION};

pub(super) const OFFSETS: &str = "species_offsets.pkl";
pub(super) const CHROMOSOMES: &str = "species_chrom.csv";
pub(super) const TOKENS: &str = "all_tokens.torch";
/// Settings of models that differ from the published constants; written beside untrained models.
pub(super) const SETTINGS: &str = "uce_config.json";

/// What the tensors do not tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) n_heads: usize,
    /// Genes drawn per cell.
    pub(super) sample_size: usize,
    /// Longest sentence.
    pub(super) max_tokens: usize,
    /// Row of the first chromosome token; the rows behind those of all genes when `None`.
    pub(super) chromosome_offset: Option<usize>,
}

impl Settings {
    /// `evaluate.py` and `eval_single_anndata.py` of the reference.
    pub(super) const PUBLISHED: Self =
        Self { n_heads: 20, sample_size: 1024, max_tokens: 1536, chromosome_offset: None };

    /// The folder's own settings, the published ones where it has none.
    pub(super) fn find(folder: &Path) -> Result<(Self, Option<PathBuf>)> {
        let path = folder.join(SETTINGS);
        if !path.is_file() {
            return Ok((Self::PUBLISHED, None));
        }
        let file = JsonConfig::read(&path)?;
        let settings = Self {
            n_heads: file.dimension("n_heads")?,
            sample_size: file.dimension("sample_size")?,
            max_tokens: file.dimension("max_tokens")?,
            chromosome_offset: Some(file.dimension("chromosome_offset")?),
        };
        Ok((settings, Some(path)))
    }

    /// `config` of a kit's manifest.
    pub(super) fn of_kit(manifest: &Value) -> Result<Self> {
        let number = |key: &str| {
            let found = manifest["config"][key].as_u64().filter(|n| (1..=MAX_DIMENSION).contains(n));
            found.map(|n| n as usize).ok_or_else(|| {
                Error::unreadable("the manifest lacks a setting that the checkpoint does not hold")
                    .at_key(format!("config.{key}"))
                    .expected("a positive whole number")
            })
        };
        Ok(Self {
            n_heads: number("heads")?,
            sample_size: number("sample_size")?,
            max_tokens: number("pad_length")?,
            chromosome_offset: Some(number("CHROM_TOKEN_OFFSET")?),
        })
    }

    pub(super) fn to_json(&self, chromosome_offset: usize) -> Value {
        json!({
            "n_heads": self.n_heads,
            "sample_size": self.sample_size,
            "max_tokens": self.max_tokens,
            "chromosome_offset": chromosome_offset,
        })
    }
}

/// The folder of a checkpoint that may be named by one of its files.
pub(super) fn folder_of(path: &Path) -> PathBuf {
    if path.is_file() { path.parent().unwrap_or(Path::new(".")).to_path_buf() } else { path.to_path_buf() }
}

/// The file itself, or the only one of the folder that holds weights.
pub(super) fn weights_file(path: &Path, folder: &Path) -> Result<PathBuf> {
    let is_weights = |p: &Path| {
        let name = p.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        (name.ends_with(".torch") && name != TOKENS) || name == "model.safetensors"
    };
    if path.is_file() && is_weights(path) {
        return Ok(path.to_path_buf());
    }
    let unreadable =
        |e: std::io::Error| Error::unreadable("cannot list the folder").in_file(folder).caused_by(e);
    let mut found = vec![];
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?.path();
        if is_weights(&entry) && entry.is_file() {
            found.push(entry);
        }
    }
    found.sort();
    match &found[..] {
        [one] => Ok(one.clone()),
        [] => Err(Error::unreadable("the model's weights are missing")
            .in_file(folder)
            .expected("4layer_model.torch or 33l_8ep_1024t_1280.torch")
            .remedy("download them from the figshare record of UCE")),
        many => Err(Error::usage("the folder holds several models")
            .in_file(folder)
            .found(many.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", "))
            .remedy("name the file instead of the folder")),
    }
}
