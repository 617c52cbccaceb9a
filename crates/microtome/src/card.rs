//! Run cards and the hash that decides whether stored chunks can be reused.

use microtome_core::{InputFile, Result, RunCard, Site};
use microtome_models::taps::Pooling;
use serde_json::json;

use crate::data::Data;
use crate::hash;
use crate::open::OpenModel;

/// Version of this program.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Hash over everything that decides the representations of these cells.
pub(crate) fn representation_hash(
    data_files: &[InputFile],
    data: &Data,
    model: &OpenModel,
    sites: &[Site],
    pooling: Pooling,
) -> String {
    let sites: Vec<String> = sites.iter().map(ToString::to_string).collect();
    let cells: Vec<u8> = data.cells.iter().flat_map(|c| (*c as u64).to_le_bytes()).collect();
    let what = json!({
        "microtome": VERSION,
        "data": digests(data_files),
        "slot": data.slot.to_string(),
        "genes": [data.genes.ensembl_from, data.genes.symbols_from],
        "cells": hash::of_bytes(&cells),
        "model": digests(&model.inputs),
        "precision": model.precision.name(),
        "choices": model.model.info().choices,
        "prepare": data.prepared(),
        "sites": sites,
        "pooling": pooling.to_string(),
    });
    hash::of_bytes(what.to_string().as_bytes())
}

fn digests(files: &[InputFile]) -> Vec<&str> {
    files.iter().map(|f| f.sha256.as_str()).collect()
}

/// Hash of a run card: the `run_card` of its records.
pub(crate) fn card_hash(card: &RunCard) -> Result<String> {
    let text = serde_json::to_vec(card)
        .map_err(|e| microtome_core::Error::output("cannot write the run card as JSON").caused_by(e))?;
    Ok(hash::of_bytes(&text)[..16].to_string())
}

/// The command as a person would paste it into a shell.
pub(crate) fn shell(command: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    let quoted: Vec<String> = command
        .iter()
        .map(|word| {
            if !word.is_empty() && word.chars().all(plain) {
                word.clone()
            } else {
                format!("'{}'", word.replace('\'', "'\\''"))
            }
        })
        .collect();
    quoted.join(" ")
}

#[cfg(test)]
mod tests {
    #[test]
    fn shell_quotes_what_needs_it() {
        let words = ["embed", "blocks.*.resid_post", "it's", ""].map(String::from);
        assert_eq!(super::shell(&words), r"embed 'blocks.*.resid_post' 'it'\''s' ''");
    }
}
