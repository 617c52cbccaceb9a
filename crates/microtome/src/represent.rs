//! Cells through a model, chunk by chunk: reading and tokenising one chunk overlaps with running the one before.

use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::time::Instant;

use microtome_core::{Counts, Error, Matrix, Progress, Result, Site};
use microtome_models::taps::Pooling;
use microtome_models::{GeneMatch, Model, Tokens, pool_cells};
use serde::Serialize;

use crate::data::Data;
use crate::store::{Manifest, Store, VERSION};

/// Which representations of which cells.
pub(crate) struct Request<'a> {
    pub(crate) data: &'a Data,
    pub(crate) model: &'a dyn Model,
    pub(crate) genes: &'a GeneMatch,
    pub(crate) sites: &'a [Site],
    pub(crate) pooling: Pooling,
    /// Hash over everything that decides the values.
    pub(crate) inputs: String,
    /// Stage name shown to the user.
    pub(crate) stage: String,
}

/// Facts about the cells that went through, for reports.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CellStats {
    /// Cells.
    pub n_cells: usize,
    /// Cells without a single known expressed gene; their rows are NaN.
    pub n_empty: usize,
    /// Tokens per cell: mean.
    pub mean_tokens: f64,
    /// Tokens per cell: largest.
    pub max_tokens: usize,
    /// Cells with more known expressed genes than the model takes.
    pub n_cut_cells: usize,
    /// Cells in which genes tie exactly, so that their order is a convention.
    pub n_tied_cells: usize,
    /// Share of all counts that fall on genes of the vocabulary.
    pub matched_counts: f64,
    /// Chunks taken from an earlier, unfinished run.
    pub n_reused_chunks: usize,
    /// Seconds spent running the model (not reading).
    pub forward_seconds: f64,
}

const RESUME: &str = "finished chunks are kept: repeat the command with --resume to go on";

/// Per-cell facts kept beside the representations: tokens, ties, genes cut, total counts, matched counts.
pub(crate) const FACTS: &str = "cell_facts";
const N_FACTS: usize = 5;

/// Tokens run together. Enough to keep the cores busy, little enough that a minibatch's activations stay small.
pub(crate) const TOKEN_BUDGET: usize = 16_384;

/// Work per chunk in floating-point operations, about half a minute on two cores: what a killed run can lose at most.
const CHUNK_WORK: f64 = 6e12;

/// Cells per chunk: depends on the model only, so that a resumed run cuts the cells in the same places.
pub(crate) fn chunk_size(model: &dyn Model) -> usize {
    let info = model.info();
    let per_token =
        2.0 * info.n_parameters as f64 + 4.0 * (info.n_blocks * info.d_model * info.max_tokens) as f64;
    // Whole batches of 25: UCE's published run pads within them.
    ((CHUNK_WORK / (per_token * info.max_tokens as f64)) as usize).clamp(25, 1000) / 25 * 25
}

/// Runs all cells of the request, keeping finished chunks in `dir`. Chunks that are there already are reused.
pub(crate) fn represent(
    request: &Request<'_>,
    dir: &Path,
    progress: &dyn Progress,
) -> Result<(Store, CellStats)> {
    let Request { data, model, sites, .. } = *request;
    let arrays = sites.iter().map(ToString::to_string).chain([FACTS.to_string()]).collect();
    let n_cells = data.cells.len();
    let manifest = Manifest {
        version: VERSION,
        inputs: request.inputs.clone(),
        n_cells,
        chunk: chunk_size(model),
        arrays,
    };
    let store = Store::create(dir, manifest)?;
    let todo: Vec<usize> = (0..store.n_chunks()).filter(|&c| !store.has(c)).collect();
    let n_reused = store.n_chunks() - todo.len();
    if n_reused > 0 {
        progress.note(&format!(
            "going on with an unfinished run: {n_reused} of {} chunks are done",
            store.n_chunks()
        ));
    }
    let n_todo: usize = todo.iter().map(|&c| store.cells_of(c).len()).sum();
    progress.begin(&request.stage, n_todo as u64, "cells");
    let forward_seconds = run_chunks(request, &store, &todo, progress)?;
    progress.end();
    let mut stats = facts(&store)?;
    stats.n_reused_chunks = n_reused;
    stats.forward_seconds = forward_seconds;
    Ok((store, stats))
}

struct Prepared {
    chunk: usize,
    tokens: Tokens,
    facts: Matrix,
}

fn run_chunks(request: &Request<'_>, store: &Store, todo: &[usize], progress: &dyn Progress) -> Result<f64> {
    std::thread::scope(|scope| {
        let (send, receive) = sync_channel::<Result<Prepared>>(1);
        scope.spawn(move || {
            for &chunk in todo {
                let prepared = prepare(request, store, chunk);
                let failed = prepared.is_err();
                // The receiver is gone when the run failed or was stopped.
                if send.send(prepared).is_err() || failed {
                    return;
                }
            }
        });
        let mut seconds = 0.0;
        for prepared in receive {
            progress.check().map_err(|e| e.remedy(RESUME))?;
            let Prepared { chunk, tokens, facts } = prepared?;
            let begun = Instant::now();
            let pooled =
                pool_cells(request.model, &tokens, request.sites, request.pooling, TOKEN_BUDGET, progress)
                    .map_err(|e| if progress.stopped() { e.remedy(RESUME) } else { e })?;
            seconds += begun.elapsed().as_secs_f64();
            let mut arrays = pooled.matrices;
            arrays.push(facts);
            store.write(chunk, &arrays)?;
        }
        Ok(seconds)
    })
}

fn prepare(request: &Request<'_>, store: &Store, chunk: usize) -> Result<Prepared> {
    let (counts, tokens) = request.data.tokenize(request.model, request.genes, store.cells_of(chunk))?;
    let facts = cell_facts(&counts, &tokens, request.genes)?;
    Ok(Prepared { chunk, tokens, facts })
}

fn cell_facts(counts: &Counts, tokens: &Tokens, genes: &GeneMatch) -> Result<Matrix> {
    let mut facts = Vec::with_capacity(counts.n_cells() * N_FACTS);
    for cell in 0..counts.n_cells() {
        let (indices, values) = counts.row(cell);
        let matched: f64 = indices
            .iter()
            .zip(values)
            .filter(|(g, _)| genes.token_of_gene[**g as usize].is_some())
            .map(|(_, v)| f64::from(*v))
            .sum();
        facts.extend([
            tokens.len_of(cell) as f32,
            tokens.n_ties[cell] as f32,
            tokens.n_cut[cell] as f32,
            counts.total(cell) as f32,
            matched as f32,
        ]);
    }
    Matrix::new(counts.n_cells(), N_FACTS, facts)
}

/// Sums the per-cell facts of a finished store.
fn facts(store: &Store) -> Result<CellStats> {
    let mut stats = CellStats { n_cells: store.manifest().n_cells, ..CellStats::default() };
    let (mut tokens, mut total, mut matched) = (0.0, 0.0, 0.0);
    for chunk in 0..store.n_chunks() {
        let arrays = store.read(chunk)?;
        let facts = arrays.last().ok_or_else(|| Error::unreadable("a stored chunk holds no arrays"))?;
        for cell in 0..facts.rows() {
            let &[n, ties, cut, sum, known] = facts.row(cell) else {
                return Err(
                    Error::unreadable("stored cell facts have another width").expected(N_FACTS.to_string())
                );
            };
            tokens += f64::from(n);
            total += f64::from(sum);
            matched += f64::from(known);
            stats.max_tokens = stats.max_tokens.max(n as usize);
            stats.n_empty += usize::from(known == 0.0);
            stats.n_tied_cells += usize::from(ties > 0.0);
            stats.n_cut_cells += usize::from(cut > 0.0);
        }
    }
    stats.mean_tokens = tokens / stats.n_cells.max(1) as f64;
    stats.matched_counts = if total > 0.0 { matched / total } else { 0.0 };
    Ok(stats)
}
