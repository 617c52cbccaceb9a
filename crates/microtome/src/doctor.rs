//! `doctor`: does this data set fit this model, and what will running it cost?

use std::path::Path;
use std::time::Instant;

use microtome_core::{BlockSite, CountCheck, Organism, Progress, Result, Silent, Site};
use microtome_models::taps::Pooling;
use microtome_models::{LicenceInfo, Overlap, pool_cells};
use serde::Serialize;

use crate::budget::{self, Budget};
use crate::data::{Data, DataOptions};
use crate::open::OpenModel;

/// The diagnosis. Predictions come from running a few of the cells, not from a formula.
#[derive(Clone, Debug, Serialize)]
pub struct Diagnosis {
    /// Cells that would be run.
    pub n_cells: usize,
    /// Genes of the data.
    pub n_genes: usize,
    /// Where counts are read from.
    pub slot: String,
    /// What the sampled values looked like.
    pub counts: CountCheck,
    /// Organism by gene names.
    pub organism: Organism,
    /// Where ids and symbols were found.
    pub ensembl_from: Option<String>,
    /// Where symbols were found.
    pub symbols_from: Option<String>,
    /// Genes matched.
    pub overlap: Overlap,
    /// Share of all counts of the tried cells that fall on matched genes.
    pub matched_counts: f64,
    /// Cells tried.
    pub n_tried: usize,
    /// Mean tokens per tried cell.
    pub mean_tokens: f64,
    /// Measured seconds per cell.
    pub seconds_per_cell: f64,
    /// Predicted seconds for all cells.
    pub predicted_seconds: f64,
    /// Predicted peak memory in bytes: what is there now (weights, tables), activations of one minibatch, two chunks of cells and results.
    pub predicted_bytes: u64,
    /// Licences.
    pub licence: LicenceInfo,
    /// Things to know.
    pub notes: Vec<String>,
}

const TRIED: usize = 24;

/// Checks a data set against a model without a long run.
pub fn doctor(options: &DataOptions, model: &Path, progress: &dyn Progress) -> Result<Diagnosis> {
    let opened = OpenModel::open(model)?;
    let mut data = Data::open(options)?;
    let model = opened.model.as_ref();
    data.add_contexts(model)?;
    let genes = model.match_genes(&data.genes).map_err(|e| e.in_file(&options.path))?;
    let mut trial = Data::open(options)?;
    trial.add_contexts(model)?;
    trial.keep_at_most(TRIED, options.seed);
    let n_tried = trial.cells.len();
    let (counts, tokens) = trial.tokenize(model, &genes, 0..n_tried)?;
    let last = Site::Block(model.info().n_blocks - 1, BlockSite::ResidPost);
    progress.begin("trying a few cells", n_tried as u64, "cells");
    // Once to warm up caches and threads, once to measure.
    let sites = [last];
    let budget = Budget::free(model, &sites, &data);
    pool_cells(model, &tokens, &sites, Pooling::Mean, budget.tokens, &Silent)?;
    let begun = Instant::now();
    pool_cells(model, &tokens, &sites, Pooling::Mean, budget.tokens, progress)?;
    let seconds_per_cell = begun.elapsed().as_secs_f64() / n_tried as f64;
    progress.end();
    let (mut total, mut matched) = (0.0, 0.0);
    for cell in 0..n_tried {
        let (indices, values) = counts.row(cell);
        for (g, v) in indices.iter().zip(values) {
            total += f64::from(*v);
            matched += if genes.token_of_gene[*g as usize].is_some() { f64::from(*v) } else { 0.0 };
        }
    }
    Ok(Diagnosis {
        n_cells: data.cells.len(),
        n_genes: data.genes.len(),
        slot: data.slot.to_string(),
        counts: data.check,
        organism: data.genes.organism.clone(),
        ensembl_from: data.genes.ensembl_from.as_ref().map(|c| c.source.clone()),
        symbols_from: data.genes.symbols_from.as_ref().map(|c| c.source.clone()),
        matched_counts: if total > 0.0 { matched / total } else { 0.0 },
        n_tried,
        mean_tokens: tokens.ids.len() as f64 / n_tried as f64,
        seconds_per_cell,
        predicted_seconds: seconds_per_cell * data.cells.len() as f64,
        predicted_bytes: budget::resident(model) + budget.working_bytes(data.cells.len()),
        licence: opened.model.family().licence.clone(),
        overlap: genes.overlap,
        notes: data.notes,
    })
}
