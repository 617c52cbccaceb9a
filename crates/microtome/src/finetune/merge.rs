//! `merge`: an adapter put into the weights of its checkpoint.

use std::path::{Path, PathBuf};

use microtome_core::{Error, Result};
use microtome_train::finetune::{FitOptions, Network};
use microtome_train::net::Params;
use serde::{Deserialize, Serialize};

use super::blocks::Stored;
use super::{FINISHED, keep};
use crate::open::{OpenModel, SHARD};
use crate::output;

/// What was written.
#[derive(Clone, Debug, Serialize)]
pub struct MergeReport {
    /// Folder of the checkpoint.
    pub out: PathBuf,
    /// Family.
    pub family: &'static str,
    /// Blocks that were changed.
    pub n_blocks: usize,
}

/// What `adapter.json` says, as far as merging needs it.
#[derive(Deserialize)]
struct Card {
    base: Vec<Base>,
    fit: FitOptions,
    first_block: usize,
    classes: Vec<String>,
}

#[derive(Deserialize)]
struct Base {
    role: String,
    sha256: String,
}

/// Writes a native checkpoint of `model` with the adapter of a folder merged into its weights.
///
/// # Errors
/// When the adapter was trained on other weights, or a file cannot be read or written.
pub fn merge(adapter: &Path, model: &Path, out: &Path) -> Result<MergeReport> {
    // The folder of a run holds its adapter.
    let inside = adapter.join("adapter");
    let folder = if adapter.join(FINISHED).exists() { &inside } else { adapter };
    let path = folder.join("adapter.json");
    let bad = |e: &dyn std::fmt::Display| {
        Error::unreadable("no adapter in this folder")
            .in_file(&path)
            .found(e.to_string())
            .remedy("name the --out folder of finetune, or the adapter folder in it")
    };
    let text = std::fs::read(&path).map_err(|e| bad(&e))?;
    let card: Card = serde_json::from_slice(&text).map_err(|e| bad(&e))?;
    output::check_folder(out, "config.json", false, false)?;
    let opened = OpenModel::open(model)?;
    let base = opened.model.as_ref();
    // Of sharded weights the index and every shard count.
    let is_weights = |role: &str| role == "weights" || role == SHARD;
    let wanted: Vec<&str> =
        card.base.iter().filter(|b| is_weights(&b.role)).map(|b| b.sha256.as_str()).collect();
    let found: Vec<&str> =
        opened.inputs.iter().filter(|f| is_weights(&f.role)).map(|f| f.sha256.as_str()).collect();
    if wanted != found {
        return Err(Error::mismatch("the adapter was trained on other weights")
            .in_file(model)
            .expected(wanted.join(", "))
            .found(found.join(", "))
            .remedy("name the checkpoint that finetune was given"));
    }
    let stored = Stored::open(base)?;
    let blocks = stored.blocks(card.first_block)?;
    let n_blocks = blocks.len();
    let network = Network::new(blocks, base.info().d_model, card.classes.len().max(1), card.fit.method)?;
    let params = Params::new(keep::read_adapter(folder)?)?;
    stored.write_merged(base, card.first_block, &network.merged(&params)?, out)?;
    Ok(MergeReport { out: out.to_path_buf(), family: base.family().id, n_blocks })
}
