//! Cells through a model, chunk by chunk: reading and tokenising one chunk overlaps with running the one before.

use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::time::Instant;

use microtome_core::{Counts, Error, Matrix, Progress, Result, Site};
use microtome_models::taps::Pooling;
use microtome_models::{GeneMatch, Precision, Tokens, pool_cells, release_activations};
use serde::Serialize;

use crate::budget::{Budget, RunOptions};
use crate::data::Data;
use crate::drift::{self, SiteDrift};
use crate::open::OpenModel;
use crate::output;
use crate::preview::Planned;
use crate::store::{Manifest, State, Store, VERSION};

/// Which representations of which cells.
pub(crate) struct Request<'a> {
    pub(crate) data: &'a Data,
    pub(crate) opened: &'a OpenModel,
    pub(crate) genes: &'a GeneMatch,
    pub(crate) sites: &'a [Site],
    pub(crate) pooling: Pooling,
    pub(crate) run: RunOptions,
    /// Bytes of results that the caller will hold in memory.
    pub(crate) kept: u64,
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
    /// How far another precision is from f32 at every site; empty for a run in f32.
    pub drift: Vec<SiteDrift>,
}

const RESUME: &str = "finished chunks are kept: repeat the command with --resume to go on";

/// Per-cell facts kept beside the representations: tokens, ties, genes cut, total counts, matched counts.
pub(crate) const FACTS: &str = "cell_facts";
const N_FACTS: usize = 5;

/// Runs all cells of the request, keeping finished chunks in `dir`. Chunks that are there already are reused.
pub(crate) fn represent(
    request: &Request<'_>,
    dir: &Path,
    progress: &dyn Progress,
) -> Result<(Store, CellStats)> {
    let Request { data, opened, genes, sites, pooling, .. } = *request;
    let model = opened.model.as_ref();
    let arrays = sites.iter().map(ToString::to_string).chain([FACTS.to_string()]).collect();
    let n_cells = data.cells.len();
    let budget = Budget::plan(model, sites, data, request.run.memory, request.kept)?;
    let inputs = request.inputs.clone();
    let manifest = Manifest { version: VERSION, inputs, n_cells, chunk: budget.chunk, arrays };
    let store = Store::create(dir, manifest).map_err(output::or_make_room)?;
    // An unfinished run keeps the cuts it was begun with.
    let budget = budget.with_chunk(store.manifest().chunk);
    let todo = unfinished(&store, progress)?;
    let n_reused = store.n_chunks() - todo.len();
    let cells: Vec<usize> = todo.iter().flat_map(|&c| store.cells_of(c)).collect();
    let drift = if opened.precision != Precision::F32 {
        drift::measure(opened, data, genes, sites, pooling, &budget, progress)?
    } else {
        vec![]
    };
    if let Some(said) = drift::sentence(opened.precision, &drift) {
        progress.note(&format!("{}: {said}", opened.name));
    }
    if let Some(preview) =
        (Planned { data, model, genes, sites, pooling, budget: &budget }).preview(&cells, progress)?
    {
        progress.note(&format!("{}: {}", request.stage, preview.sentence(cells.len())));
    }
    progress.begin(&request.stage, cells.len() as u64, "cells");
    let forward_seconds = run_chunks(request, &budget, &store, &todo, progress)?;
    progress.end();
    release_activations();
    let mut stats = facts(&store)?;
    stats.n_reused_chunks = n_reused;
    stats.forward_seconds = forward_seconds;
    stats.drift = drift;
    Ok((store, stats))
}

/// Chunks that are not there, or not as they were written; says what it finds.
fn unfinished(store: &Store, progress: &dyn Progress) -> Result<Vec<usize>> {
    let mut todo = vec![];
    for chunk in 0..store.n_chunks() {
        progress.check()?;
        match store.state(chunk) {
            State::Whole => {}
            State::Absent => todo.push(chunk),
            State::Damaged(e) => {
                progress.note(&format!("a chunk of the unfinished run is damaged and is made again: {e}"));
                todo.push(chunk);
            }
        }
    }
    let n_done = store.n_chunks() - todo.len();
    if n_done > 0 {
        progress.note(&format!(
            "going on with an unfinished run: {n_done} of {} chunks are done",
            store.n_chunks()
        ));
    }
    Ok(todo)
}

struct Prepared {
    chunk: usize,
    tokens: Tokens,
    facts: Matrix,
}

fn run_chunks(
    request: &Request<'_>,
    budget: &Budget,
    store: &Store,
    todo: &[usize],
    progress: &dyn Progress,
) -> Result<f64> {
    let model = request.opened.model.as_ref();
    std::thread::scope(|scope| {
        // No room in the channel: the chunk that was read waits in the reader's hands, so that two chunks are alive, not three.
        let (send, receive) = sync_channel::<Result<Prepared>>(0);
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
            let pooled = pool_cells(model, &tokens, request.sites, request.pooling, budget.tokens, progress)
                .map_err(|e| if progress.stopped() { e.remedy(RESUME) } else { e })?;
            seconds += begun.elapsed().as_secs_f64();
            let mut arrays = pooled.matrices;
            arrays.push(facts);
            store.write(chunk, &arrays).map_err(output::or_make_room)?;
        }
        Ok(seconds)
    })
}

fn prepare(request: &Request<'_>, store: &Store, chunk: usize) -> Result<Prepared> {
    let (counts, tokens) =
        request.data.tokenize(request.opened.model.as_ref(), request.genes, store.cells_of(chunk))?;
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

/// The facts of some cells of a finished store.
pub(crate) fn cell_facts_of(store: &Store, cells: std::ops::Range<usize>) -> Result<Vec<[f32; N_FACTS]>> {
    let mut found = Vec::with_capacity(cells.len());
    let array = store.manifest().arrays.len() - 1;
    for chunk in cells.start / store.manifest().chunk..cells.end.div_ceil(store.manifest().chunk) {
        let facts = store.read_array(chunk, array)?;
        for (cell, row) in store.cells_of(chunk).zip(0..facts.rows()) {
            if cells.contains(&cell) {
                found.push(facts_of(facts.row(row))?);
            }
        }
    }
    Ok(found)
}

fn facts_of(row: &[f32]) -> Result<[f32; N_FACTS]> {
    row.try_into()
        .map_err(|_| Error::unreadable("stored cell facts have another width").expected(N_FACTS.to_string()))
}

/// Sums the per-cell facts of a finished store.
fn facts(store: &Store) -> Result<CellStats> {
    let mut stats = CellStats { n_cells: store.manifest().n_cells, ..CellStats::default() };
    let (mut tokens, mut total, mut matched) = (0.0, 0.0, 0.0);
    for chunk in 0..store.n_chunks() {
        let facts = store.read_array(chunk, store.manifest().arrays.len() - 1)?;
        for cell in 0..facts.rows() {
            let [n, ties, cut, sum, known] = facts_of(facts.row(cell))?;
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
