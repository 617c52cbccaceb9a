//! Kits of checkpoints with several sub-models and a decoder over every gene (scFoundation).
//!
//! Tensors of the plain run are named as ever; `rde.*`, `gene.*` and `bulk.*` are further runs; `decoder.*`, `gene_embedding` and
//! `readout.expression` are of the sub-model `gene` for the cells and rows that the kit lists; `gene_batch.*` runs two cells as one
//! batch and `masked.*` hides genes from the encoder.

use microtome_core::{Error, Result, Site};
use microtome_weights::Checkpoint;

use super::actual::{Array, Computed, Values, padded};
use super::manifest::Manifest;
use super::run::{Kept, Run};
use super::site_of;
use crate::model::Model;
use crate::taps::{Recorded, Recorder};
use crate::{MASKED, Tokens};

/// Name of the plain run among the manifest's choices of tokenising.
pub(super) const PLAIN_RUN: &str = "cell";
/// The sub-model with the decoder's tensors.
const GENE: &str = "gene";
const GENE_BATCH: &str = "gene_batch";
/// Its presence says that the kit is of this kind.
const ROWS: &str = "decoder.rows";
const CELLS: &str = "decoder.cells";
const QUERIES: &str = "decoder.pattern_query_rows";
const EMBEDDING: &str = "gene_embedding";
const EXPRESSION: &str = "readout.expression";

/// The tensors of such a kit; none in any other kit.
pub(super) struct Tensors<'a>(Vec<&'a String>);

type Tokenize<'a> = dyn Fn(&[(&str, &str)]) -> Result<Tokens> + 'a;

impl<'a> Tensors<'a> {
    pub(super) fn of(names: &'a [String]) -> Self {
        if !names.iter().any(|n| n == ROWS) {
            return Self(vec![]);
        }
        let prefixes = ["rde.", "gene.", "bulk.", "decoder.", "gene_batch.", "masked.", "gene_embedding."];
        let ours = |n: &&String| {
            *n == EMBEDDING || *n == EXPRESSION || prefixes.iter().any(|p| n.starts_with(p))
        };
        Self(names.iter().filter(ours).collect())
    }

    pub(super) fn includes(&self, name: &str) -> bool {
        self.0.iter().any(|n| *n == name)
    }

    /// Computes every one of them.
    pub(super) fn compute(
        &self,
        model: &dyn Model,
        tokenize: &Tokenize<'_>,
        manifest: &Manifest,
        kit: &Checkpoint,
        out: &mut Computed<'_>,
    ) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let tokens_of = |run: &str| {
            let target = manifest.runs.get(run).map(|t| ("target", t.as_str()));
            tokenize(target.as_slice())
        };
        if self.0.iter().any(|n| n.starts_with("rde.")) {
            self.prefixed("rde", model.part("rde")?.as_ref(), tokens_of("rde")?, kit, out)?;
        }
        if self.0.iter().any(|n| n.starts_with("bulk.")) {
            self.prefixed("bulk", model, tokenize(&[("input", "bulk")])?, kit, out)?;
        }
        let gene = model.part(GENE)?;
        let tokens = tokens_of(GENE)?;
        let list = |name: &str| positions(kit, name, tokens.n_cells());
        let (cells, rows) = (list(CELLS)?, positions(kit, ROWS, usize::MAX)?);
        let chosen = tokens.select(&cells);
        self.prefixed(GENE, gene.as_ref(), chosen.clone(), kit, out)?;
        self.decoder(gene.as_ref(), &chosen, &rows, kit, out)?;
        if self.includes(EMBEDDING) {
            let of_embedding = tokens.select(&list("gene_embedding.cells")?);
            let all = record(gene.as_ref(), &of_embedding, &[Site::GeneEmbedding])?;
            let n_genes = gene.info().d_vocab - 2;
            out.put(EMBEDDING, all.rows(&Site::GeneEmbedding, &(0..n_genes).collect::<Vec<_>>()));
        }
        if self.includes("gene_batch.cells") {
            let pair = tokens.select(&list("gene_batch.cells")?);
            let together = gene.variant(GENE_BATCH, &pair).ok_or_else(|| {
                Error::unsupported("the model has no run over a whole batch").at_key(GENE_BATCH)
            })?;
            let all = record(gene.as_ref(), &together, &[Site::GeneEmbedding])?;
            out.put("gene_batch.gene_embedding_at_rows", all.rows(&Site::GeneEmbedding, &rows));
        }
        if self.includes("masked.rows") {
            self.masked(gene.as_ref(), &chosen, kit, out)?;
        }
        for name in [CELLS, ROWS, QUERIES, "gene_embedding.cells", "gene_batch.cells", "masked.rows"] {
            out.skip(name, "says which cells or rows the kit holds, so it is read rather than computed");
        }
        Ok(())
    }

    /// A further run whose tensors are named as in the plain one.
    fn prefixed(
        &self,
        prefix: &str,
        model: &dyn Model,
        tokens: Tokens,
        kit: &Checkpoint,
        out: &mut Computed<'_>,
    ) -> Result<()> {
        let inner = |n: &&String| n.strip_prefix(prefix)?.strip_prefix('.').map(str::to_string);
        let names: Vec<String> = self.0.iter().filter_map(inner).collect();
        let sites: Vec<Site> = names.iter().filter_map(|n| site_of(model, n)).collect();
        let run = Run::new(model, tokens, &sites, &Kept::default(), None)?;
        for name in names {
            let full = format!("{prefix}.{name}");
            if let Some(array) = run.get(&name, &Array::read(kit, &full)?) {
                out.put(&full, array);
            }
        }
        Ok(())
    }

    /// Sites over all rows, cut down to the kit's.
    fn decoder(
        &self,
        model: &dyn Model,
        tokens: &Tokens,
        rows: &[usize],
        kit: &Checkpoint,
        out: &mut Computed<'_>,
    ) -> Result<()> {
        const PATTERN_ROWS: &str = ".pattern_rows";
        let mut sites: Vec<Site> = self.0.iter().filter_map(|n| site_of(model, n)).collect();
        let of_pattern = |n: &String| site_of(model, n.strip_suffix("_rows").filter(|_| n.ends_with(PATTERN_ROWS))?);
        sites.extend(self.0.iter().filter_map(|n| of_pattern(n)));
        let all = record(model, tokens, &sites)?;
        for name in self.0.iter().filter(|n| n.starts_with("decoder.")) {
            if let Some(site) = of_pattern(name) {
                out.put(name, all.pattern_rows(&site, &positions(kit, QUERIES, usize::MAX)?));
            } else if let Some(site) = site_of(model, name) {
                out.put(name, all.rows(&site, rows));
            }
        }
        out.put(EXPRESSION, all.rows(&Site::Extra(EXPRESSION.into()), &[]));
        if self.includes("gene_embedding.at_rows") {
            out.put("gene_embedding.at_rows", all.rows(&Site::GeneEmbedding, rows));
        }
        Ok(())
    }

    /// The listed rows masked; rows are padded with zeros per cell, as many as `masked.len` says.
    fn masked(&self, model: &dyn Model, tokens: &Tokens, kit: &Checkpoint, out: &mut Computed<'_>) -> Result<()> {
        let rows = Array::read(kit, "masked.rows")?;
        let (width, Values::Int(rows)) = (rows.shape.last().copied().unwrap_or(0), rows.values) else {
            return Err(Error::unreadable("a list of rows is not of whole numbers").at_key("masked.rows"));
        };
        let lens = positions(kit, "masked.len", width.saturating_add(1))?;
        let n_genes = model.info().d_vocab - 2;
        let mut cells = Tokens::new();
        let mut hidden = vec![];
        for (cell, &len) in lens.iter().enumerate().take(tokens.n_cells()) {
            let given = rows.get(cell * width..).unwrap_or_default().iter().take(len);
            let given: Vec<usize> =
                given.filter_map(|&r| usize::try_from(r).ok()).filter(|r| *r < n_genes).collect();
            let (ids, values) = tokens.cell(cell);
            let mut all: Vec<(u32, f32)> = ids.iter().copied().zip(values.iter().copied()).collect();
            all.retain(|(id, _)| !given.contains(&(*id as usize)));
            all.extend(given.iter().map(|&r| (r as u32, MASKED)));
            all.sort_by_key(|(id, _)| *id);
            let (ids, values): (Vec<u32>, Vec<f32>) = all.into_iter().unzip();
            cells.push(&ids, &values, 0, 0);
            hidden.push(given);
        }
        let expression = Site::Extra(EXPRESSION.into());
        let all = record(model, &cells, &[Site::FinalNorm, expression.clone()])?;
        let read: Vec<Vec<f32>> =
            hidden.iter().enumerate().map(|(cell, rows)| rows.iter().map(|&r| all.number(&expression, cell, r)).collect()).collect();
        out.put("masked.readout", Array::floats(vec![read.len(), width], padded(&read, width)));
        out.put("masked.len", Array::ints(vec![hidden.len()], hidden.iter().map(|h| h.len() as i64).collect()));
        let like = Array::read(kit, "masked.final_norm")?;
        out.put("masked.final_norm", all.ragged(&Site::FinalNorm, &like));
        Ok(())
    }
}

/// Whole numbers below a bound.
fn positions(kit: &Checkpoint, name: &str, below: usize) -> Result<Vec<usize>> {
    let wrong = || Error::unreadable("the kit's list of positions is not usable").at_key(name);
    let Values::Int(values) = Array::read(kit, name)?.values else { return Err(wrong()) };
    values.iter().map(|&v| usize::try_from(v).ok().filter(|v| *v < below).ok_or_else(wrong)).collect()
}

/// One pass with sites recorded.
struct Pass {
    recorder: Recorder,
    n_cells: usize,
    /// Lengths of what the encoder saw.
    lengths: Vec<usize>,
}

fn record(model: &dyn Model, tokens: &Tokens, sites: &[Site]) -> Result<Pass> {
    let mut recorder = Recorder::new(sites.iter().cloned());
    model.forward(tokens, &mut recorder)?;
    let n_cells = tokens.n_cells();
    let seen = |c: usize| tokens.cell(c).1.iter().filter(|v| **v != MASKED).count();
    Ok(Pass { recorder, n_cells, lengths: (0..n_cells).map(seen).collect() })
}

impl Pass {
    /// `[cell, row, width]`, `[cell, head, row, d_head]` or `[cell, width]` of the given rows; all cells have the same rows.
    fn rows(&self, site: &Site, rows: &[usize]) -> Array {
        let n = self.n_cells.max(1);
        match self.recorder.get(site) {
            Some(Recorded::Tokens { data, width }) => {
                let per_cell = data.len() / n;
                let mut out = vec![];
                for cell in data.chunks_exact(per_cell.max(1)) {
                    out.extend(rows.iter().filter_map(|&r| cell.get(r * width..(r + 1) * width)).flatten());
                }
                Array::floats(vec![self.n_cells, rows.len(), *width], out)
            }
            Some(Recorded::Heads { data, n_heads, d_head }) => {
                let (per_cell, width) = (data.len() / n, n_heads * d_head);
                let mut out = vec![];
                for cell in data.chunks_exact(per_cell.max(1)) {
                    for head in 0..*n_heads {
                        let at = |r: &usize| r * width + head * d_head;
                        out.extend(rows.iter().filter_map(|r| cell.get(at(r)..at(r) + d_head)).flatten());
                    }
                }
                Array::floats(vec![self.n_cells, *n_heads, rows.len(), *d_head], out)
            }
            Some(Recorded::Cells { data, width }) => Array::floats(vec![self.n_cells, *width], data.clone()),
            _ => Array::floats(vec![], vec![]),
        }
    }

    /// `[cell, head, query, key]` of the given queries.
    fn pattern_rows(&self, site: &Site, queries: &[usize]) -> Array {
        let Some(Recorded::Maps { cells, n_heads, .. }) = self.recorder.get(site) else {
            return Array::floats(vec![], vec![]);
        };
        let n = cells.first().map_or(0, |c| (c.len() / n_heads.max(&1)).isqrt());
        let mut out = vec![];
        for map in cells.iter().flat_map(|c| c.chunks_exact((n * n).max(1))) {
            out.extend(queries.iter().filter_map(|&q| map.get(q * n..(q + 1) * n)).flatten());
        }
        Array::floats(vec![cells.len(), *n_heads, queries.len(), n], out)
    }

    /// One number of a site with one row per cell.
    fn number(&self, site: &Site, cell: usize, column: usize) -> f32 {
        match self.recorder.get(site) {
            Some(Recorded::Cells { data, width }) => data.get(cell * width + column).copied().unwrap_or(f32::NAN),
            _ => f32::NAN,
        }
    }

    /// `[cell, token, width]` of what the encoder saw, padded as the kit's.
    fn ragged(&self, site: &Site, like: &Array) -> Array {
        let Some(Recorded::Tokens { data, width }) = self.recorder.get(site) else {
            return Array::floats(vec![], vec![]);
        };
        let mut rest = &data[..];
        let mut rows = vec![];
        for len in &self.lengths {
            let (cell, after) = rest.split_at((len * width).min(rest.len()));
            rows.push(cell.to_vec());
            rest = after;
        }
        let longest = self.lengths.iter().copied().max().unwrap_or(0);
        let pad = like.shape.get(1).copied().unwrap_or(longest).max(longest);
        Array::floats(vec![rows.len(), pad, *width], padded(&rows, pad * width))
    }
}
