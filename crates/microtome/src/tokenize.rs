//! `tokenize`: what a model would see.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use microtome_core::{Error, Progress, Result};
use microtome_models::{Overlap, Tokens};
use microtome_weights::{TensorData, write_safetensors};
use serde::Serialize;

use crate::data::{Data, DataOptions};
use crate::open::OpenModel;
use crate::output;

/// What was written.
#[derive(Clone, Debug, Serialize)]
pub struct TokenReport {
    /// Output file.
    pub out: PathBuf,
    /// Cells.
    pub n_cells: usize,
    /// Tokens in all.
    pub n_tokens: usize,
    /// Cells without any known expressed gene.
    pub n_empty: usize,
    /// Cells with more known expressed genes than the model takes.
    pub n_cut_cells: usize,
    /// Cells in which genes tie exactly.
    pub n_tied_cells: usize,
    /// Gene overlap.
    pub overlap: Overlap,
}

const CHUNK: usize = 4096;

/// Writes `tokens.ids` and `tokens.values` `[token]`, all cells one after the other, and `tokens.offsets` `[cell + 1]`;
/// families with more numbers per token add `tokens.{name}` `[token]`.
pub fn tokenize(
    options: &DataOptions,
    model: &Path,
    out: &Path,
    progress: &dyn Progress,
) -> Result<TokenReport> {
    output::check_writable(out)?;
    let opened = OpenModel::open(model)?;
    let mut data = Data::open(options)?;
    data.add_contexts(opened.model.as_ref())?;
    let genes = opened.model.match_genes(&data.genes).map_err(|e| e.in_file(&options.path))?;
    let mut all = Tokens::new();
    let mut further: BTreeMap<&'static str, Vec<f32>> = BTreeMap::new();
    progress.begin("tokenising", data.cells.len() as u64, "cells");
    for start in (0..data.cells.len()).step_by(CHUNK) {
        progress.check()?;
        let range = start..(start + CHUNK).min(data.cells.len());
        let (_, tokens) = data.tokenize(opened.model.as_ref(), &genes, range.clone())?;
        for (name, column) in &tokens.per_token {
            further.entry(name).or_default().extend_from_slice(column);
        }
        for cell in 0..tokens.n_cells() {
            let (ids, values) = tokens.cell(cell);
            all.push(ids, values, tokens.n_ties[cell], tokens.n_cut[cell]);
        }
        progress.advance(range.len() as u64);
    }
    progress.end();
    write(&all, &further, out)?;
    let has_genes = |&c: &usize| !opened.model.gene_tokens(all.len_of(c)).is_empty();
    Ok(TokenReport {
        out: out.to_path_buf(),
        n_cells: all.n_cells(),
        n_tokens: all.ids.len(),
        n_empty: all.n_cells() - (0..all.n_cells()).filter(has_genes).count(),
        n_cut_cells: all.n_cut.iter().filter(|n| **n > 0).count(),
        n_tied_cells: all.n_ties.iter().filter(|n| **n > 0).count(),
        overlap: genes.overlap,
    })
}

fn write(tokens: &Tokens, further: &BTreeMap<&'static str, Vec<f32>>, out: &Path) -> Result<()> {
    let n = tokens.ids.len();
    let offsets = tokens.offsets.iter().map(|&o| i64::try_from(o)).collect::<Result<Vec<_>, _>>();
    let offsets = offsets.map_err(|e| Error::output("too many tokens for the file format").caused_by(e))?;
    let ids: Vec<i64> = tokens.ids.iter().map(|&i| i64::from(i)).collect();
    let mut tensors = vec![
        ("tokens.ids".to_string(), vec![n], TensorData::I64(&ids)),
        ("tokens.values".to_string(), vec![n], TensorData::F32(&tokens.values)),
        ("tokens.offsets".to_string(), vec![offsets.len()], TensorData::I64(&offsets)),
    ];
    for (name, column) in further {
        tensors.push((format!("tokens.{name}"), vec![column.len()], TensorData::F32(column)));
    }
    write_safetensors(out, &tensors, &[])
}
