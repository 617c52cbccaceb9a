//! `perturb`: genes deleted or overexpressed in silico, and how far each cell moves.

use std::path::{Path, PathBuf};

use microtome_core::{Error, Progress, Result, closest, strip_version};
use microtome_models::GeneMatch;
use microtome_models::isp::{self, Edit, Truncation};
use serde::Serialize;

use crate::budget::tokens_together;
use crate::data::{Data, DataOptions};
use crate::open::OpenModel;
use crate::output;

/// What is done to the genes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Perturbation {
    /// Taken out of the cell; cells that lack any of them are skipped, as published.
    Delete,
    /// Put in front of the cell's ranking, whether expressed or not.
    Overexpress,
}

/// What was written.
#[derive(Clone, Debug, Serialize)]
pub struct PerturbReport {
    /// Output table.
    pub out: PathBuf,
    /// Cells compared.
    pub n_compared: usize,
    /// Cells that lack one of the genes.
    pub n_skipped: usize,
    /// Mean of the shifts `cos - 1` over compared cells; null when none was.
    pub mean_shift: Option<f64>,
    /// Genes as the model names them.
    pub genes: Vec<String>,
}

const CHUNK: usize = 256;

/// Writes one row per cell: cell, number of tokens, cosine similarity with the unperturbed cell, shift `cos - 1`.
pub fn perturb(
    options: &DataOptions,
    model: &Path,
    genes: &[String],
    kind: Perturbation,
    out: &Path,
    progress: &dyn Progress,
) -> Result<PerturbReport> {
    output::check_writable(out)?;
    let opened = OpenModel::open(model)?;
    let model = opened.model.as_ref();
    let mut data = Data::open(options)?;
    data.add_contexts(model)?;
    let matched = model.match_genes(&data.genes).map_err(|e| e.in_file(&options.path))?;
    let tokens_of: Vec<u32> = genes.iter().map(|g| token_of(g, &data, &matched)).collect::<Result<_>>()?;
    let names = data.dataset.obs_names()?;
    let mut table = String::from("cell,n_tokens,cosine,shift,note\n");
    let (mut sum, mut n_compared) = (0.0, 0usize);
    let n = data.cells.len();
    progress.begin("perturbing", n as u64, "cells");
    for start in (0..n).step_by(CHUNK) {
        progress.check()?;
        let range = start..(start + CHUNK).min(n);
        let (_, tokens) = data.tokenize(model, &matched, range.clone())?;
        let mut edits: Vec<Edit> = Vec::new();
        let edited: Vec<Option<usize>> = (0..tokens.n_cells())
            .map(|cell| {
                let ids = tokens.cell(cell).0;
                let span = model.gene_tokens(ids.len());
                let edit = match kind {
                    Perturbation::Delete => isp::delete(ids, span, &tokens_of)?,
                    Perturbation::Overexpress => isp::overexpress(
                        ids,
                        span,
                        &tokens_of,
                        model.info().max_tokens,
                        Truncation::AsPublished,
                    ),
                };
                edits.push(edit);
                Some(edits.len() - 1)
            })
            .collect();
        let effects = isp::effects(model, &edits, tokens_together(), &microtome_core::Silent)?;
        for (cell, edit) in edited.iter().enumerate() {
            let name = quoted(&names[data.cells[range.start + cell]]);
            let n_tokens = tokens.len_of(cell);
            match edit.map(|e| &effects[e]) {
                Some(e) if e.cos.is_finite() => {
                    sum += e.cos - 1.0;
                    n_compared += 1;
                    let note = if e.uneven { "compared on the genes both sides share" } else { "" };
                    table.push_str(&format!("{name},{n_tokens},{},{},{note}\n", e.cos, e.cos - 1.0));
                }
                Some(_) => table.push_str(&format!("{name},{n_tokens},,,no gene is left to compare\n")),
                None => table.push_str(&format!("{name},{n_tokens},,,the cell lacks a perturbed gene\n")),
            }
        }
        progress.advance(range.len() as u64);
    }
    progress.end();
    output::write_atomic(out, table.as_bytes())?;
    Ok(PerturbReport {
        out: out.to_path_buf(),
        n_compared,
        n_skipped: n - n_compared,
        mean_shift: (n_compared > 0).then(|| sum / n_compared as f64),
        genes: tokens_of.iter().map(|t| model.token_name(*t).unwrap_or("?").to_string()).collect(),
    })
}

/// The token of a gene named by id, symbol or `var_names`.
pub(crate) fn token_of(gene: &str, data: &Data, matched: &GeneMatch) -> Result<u32> {
    let wanted = strip_version(gene.trim());
    let columns = [data.genes.ensembl.as_ref(), data.genes.symbols.as_ref(), Some(&data.genes.names)];
    let found = columns
        .into_iter()
        .flatten()
        .find_map(|names| names.iter().position(|n| n.eq_ignore_ascii_case(wanted)));
    match found.map(|i| matched.token_of_gene[i]) {
        Some(Some(token)) => Ok(token),
        Some(None) => Err(Error::mismatch("the model does not know this gene")
            .at_key("--genes")
            .found(gene.to_string())
            .remedy("choose a gene of the model's vocabulary; microtome doctor shows the overlap")),
        None => {
            let names = data.genes.symbols.as_ref().unwrap_or(&data.genes.names);
            let near = closest(wanted, names.iter().map(String::as_str));
            Err(Error::usage("no such gene in the data")
                .in_file(data.dataset.path())
                .at_key("--genes")
                .found(gene.to_string())
                .remedy(
                    near.map_or("name genes by Ensembl id or symbol".into(), |n| {
                        format!("did you mean {n}?")
                    }),
                ))
        }
    }
}

/// A CSV field (RFC 4180).
pub(crate) fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_string()
    }
}
