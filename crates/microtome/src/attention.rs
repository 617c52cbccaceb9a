//! `attention`: which gene looks at which, averaged over cells, in bounded memory.

use std::collections::HashMap;
use std::path::PathBuf;

use microtome_core::{BlockSite, Error, Progress, Result, Site};
use microtome_models::grn::thresholded;
use microtome_models::taps::MeanQueryKeyTap;
use microtome_models::{GeneMatch, MapKind, Model, SiteData, Tap, Tokens, minibatches};
use serde::Serialize;

use crate::budget::Budget;
use crate::data::{Data, DataOptions};
use crate::open::OpenModel;
use crate::output;
use crate::perturb::{quoted, token_of};

/// What is averaged over cells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttentionOf {
    /// The map of every cell at this site, mean over heads. The default is the family's published network where it is a map of
    /// one cell (`grn.rank_mean` of scGPT), otherwise the attention pattern of the last block.
    Site(Option<String>),
    /// The attention between the mean queries and keys of all cells, mean over all heads of all blocks, entries below one over the
    /// number of tokens set to zero (the published network of scPRINT). Needs cells that all hold the same tokens.
    MeanCell,
}

/// What to write.
#[derive(Clone, Debug)]
pub struct AttentionOptions {
    /// Cells.
    pub data: DataOptions,
    /// Checkpoint.
    pub model: PathBuf,
    /// What is averaged.
    pub of: AttentionOf,
    /// Genes between which edges are kept; those expressed in most cells when empty.
    pub genes: Vec<String>,
    /// How many genes are kept when none are named.
    pub n_genes: usize,
    /// Output table.
    pub out: PathBuf,
}

/// What was written.
#[derive(Clone, Debug, Serialize)]
pub struct AttentionReport {
    /// Output table.
    pub out: PathBuf,
    /// Site, or `mean queries and keys`.
    pub of: String,
    /// Meaning of the numbers.
    pub kind: MapKind,
    /// Cells averaged.
    pub n_cells: usize,
    /// Genes kept.
    pub n_genes: usize,
    /// Edges written.
    pub n_edges: usize,
}

/// Largest map of one cell that is materialised.
const MAX_MAP_BYTES: usize = 4 << 30;

/// Writes `query_gene,key_gene,weight,n_cells`: the query looks at the key. Edges a cell does not show (one of the genes is not
/// among its tokens) are averaged over the other cells.
pub fn attention(options: &AttentionOptions, progress: &dyn Progress) -> Result<AttentionReport> {
    output::check_writable(&options.out)?;
    let opened = OpenModel::open(&options.model)?;
    let mut data = Data::open(&options.data)?;
    let model = opened.model.as_ref();
    data.add_contexts(model)?;
    let matched = model.match_genes(&data.genes).map_err(|e| e.in_file(&options.data.path))?;
    let tokens = if options.genes.is_empty() {
        most_expressed(&data, &matched, options.n_genes)?
    } else {
        options.genes.iter().map(|g| token_of(g, &data, &matched)).collect::<Result<_>>()?
    };
    let names: Vec<String> = tokens.iter().map(|&t| model.token_name(t).unwrap_or("?").to_string()).collect();
    let (edges, of, kind) = match &options.of {
        AttentionOf::Site(site) => {
            let site = map_site(model, site.as_deref())?;
            let mut tap = EdgeTap::new(site.clone(), &tokens);
            run(&data, model, &matched, &mut tap, progress)?;
            (tap.edges(), site.to_string(), tap.kind)
        }
        AttentionOf::MeanCell => {
            let mut tap = MeanQueryKeyTap::new(0..model.info().n_blocks);
            run(&data, model, &matched, &mut tap, progress)?;
            let mean = tap.finish()?;
            let genes = model.gene_tokens(mean.tokens.len());
            let network = thresholded(&mean.mean_attention(), genes.clone());
            let place: HashMap<u32, usize> =
                mean.tokens[genes].iter().enumerate().map(|(i, &t)| (t, i)).collect();
            let at: Vec<Option<usize>> = tokens.iter().map(|t| place.get(t).copied()).collect();
            let mut edges = Vec::new();
            for (q, i) in at.iter().enumerate().filter_map(|(q, i)| i.map(|i| (q, i))) {
                for (k, j) in at.iter().enumerate().filter_map(|(k, j)| j.map(|j| (k, j))) {
                    edges.push((q, k, f64::from(network.row(i)[j]), mean.n_cells));
                }
            }
            (edges, "mean queries and keys of all blocks".into(), MapKind::NonNegative)
        }
    };
    let mut edges = edges;
    edges.sort_by(|a, b| b.2.total_cmp(&a.2).then((a.0, a.1).cmp(&(b.0, b.1))));
    let mut table = String::from("query_gene,key_gene,weight,n_cells\n");
    for (q, k, weight, n) in &edges {
        table.push_str(&format!("{},{},{weight},{n}\n", quoted(&names[*q]), quoted(&names[*k])));
    }
    output::write_atomic(&options.out, table.as_bytes())?;
    Ok(AttentionReport {
        out: options.out.clone(),
        of,
        kind,
        n_cells: data.cells.len(),
        n_genes: names.len(),
        n_edges: edges.len(),
    })
}

fn map_site(model: &dyn Model, wanted: Option<&str>) -> Result<Site> {
    let known: Vec<Site> = model.sites().into_iter().map(|s| s.site).collect();
    let published = Site::Extra("grn.rank_mean".into());
    let site = match wanted {
        Some(name) => name.parse()?,
        None if known.contains(&published) => published,
        None => Site::Block(model.info().n_blocks.saturating_sub(1), BlockSite::Pattern),
    };
    if known.contains(&site) {
        return Ok(site);
    }
    let maps: Vec<String> = known
        .iter()
        .map(ToString::to_string)
        .filter(|n| n.contains("pattern") || n.contains("scores"))
        .collect();
    Err(Error::usage("the model offers no such attention map").at_key(site.to_string()).expected(
        if maps.is_empty() { "nothing: the family has no attention map".into() } else { maps.join(", ") },
    ))
}

fn run(
    data: &Data,
    model: &dyn Model,
    genes: &GeneMatch,
    tap: &mut dyn Tap,
    progress: &dyn Progress,
) -> Result<()> {
    let budget = Budget::free(model, &[], data);
    let (n, chunk) = (data.cells.len(), budget.chunk);
    let maps = tap.wants(&Site::Block(0, BlockSite::Q));
    progress.begin("attention", n as u64, "cells");
    for start in (0..n).step_by(chunk) {
        let (_, tokens) = data.tokenize(model, genes, start..(start + chunk).min(n))?;
        let longest = (0..tokens.n_cells()).map(|c| tokens.len_of(c)).max().unwrap_or(0);
        let bytes = longest.saturating_mul(longest).saturating_mul(model.info().n_heads * 4);
        if !maps && bytes > MAX_MAP_BYTES {
            return Err(Error::unsupported("the attention map of one cell is too large to materialise")
                .expected(format!("at most {MAX_MAP_BYTES} bytes"))
                .found(format!("{bytes} bytes for {longest} tokens and {} heads", model.info().n_heads))
                .remedy("use --mean-cell, which never holds a map per cell and head"));
        }
        for batch in minibatches(&tokens, budget.tokens) {
            progress.check()?;
            model.forward(&tokens.select(&batch), tap)?;
            progress.advance(batch.len() as u64);
        }
    }
    progress.end();
    Ok(())
}

/// The genes that most cells express among those the model knows; ties keep the order of the data.
fn most_expressed(data: &Data, genes: &GeneMatch, n: usize) -> Result<Vec<u32>> {
    let mut cells_of: HashMap<u32, (usize, usize)> = HashMap::new();
    for start in (0..data.cells.len()).step_by(4096) {
        let counts = data.counts(start..(start + 4096).min(data.cells.len()))?;
        for cell in 0..counts.n_cells() {
            let (indices, values) = counts.row(cell);
            for (&gene, _) in indices.iter().zip(values).filter(|(_, v)| **v > 0.0) {
                if let Some(token) = genes.token_of_gene[gene as usize] {
                    cells_of.entry(token).or_insert((0, gene as usize)).0 += 1;
                }
            }
        }
    }
    let mut order: Vec<(u32, (usize, usize))> = cells_of.into_iter().collect();
    order.sort_by(|a, b| b.1.0.cmp(&a.1.0).then(a.1.1.cmp(&b.1.1)));
    Ok(order.into_iter().take(n).map(|(token, _)| token).collect())
}

/// Query, key, weight, cells.
type Edge = (usize, usize, f64, u64);

/// Sums the map of every cell over the chosen genes. Memory grows with the square of the genes, never with the cells.
struct EdgeTap {
    site: Site,
    index: HashMap<u32, usize>,
    sums: Vec<f64>,
    counts: Vec<u64>,
    kind: MapKind,
}

impl EdgeTap {
    fn new(site: Site, tokens: &[u32]) -> Self {
        let n = tokens.len();
        let index = tokens.iter().enumerate().map(|(i, &t)| (t, i)).collect();
        Self { site, index, sums: vec![0.0; n * n], counts: vec![0; n * n], kind: MapKind::RowStochastic }
    }

    fn edges(&self) -> Vec<Edge> {
        let n = self.index.len();
        let seen = self.counts.iter().enumerate().filter(|(_, c)| **c > 0);
        seen.map(|(at, &c)| (at / n, at % n, self.sums[at] / c as f64, c)).collect()
    }
}

impl Tap for EdgeTap {
    fn wants(&self, site: &Site) -> bool {
        *site == self.site
    }

    fn offer(&mut self, site: &Site, tokens: &Tokens, data: SiteData<'_>) -> Result<()> {
        let SiteData::Map { cell, data, n_heads, n_tokens, kind } = data else {
            return Err(Error::usage("this site is no attention map").at_key(site.to_string()));
        };
        self.kind = kind;
        let n = self.index.len();
        let ids = tokens.cell(cell).0;
        let chosen: Vec<(usize, usize)> =
            ids.iter().enumerate().filter_map(|(at, t)| self.index.get(t).map(|&i| (at, i))).collect();
        for &(query, i) in &chosen {
            for &(key, j) in &chosen {
                let over_heads: f64 =
                    (0..n_heads).map(|h| f64::from(data[(h * n_tokens + query) * n_tokens + key])).sum();
                self.sums[i * n + j] += over_heads / n_heads.max(1) as f64;
                self.counts[i * n + j] += 1;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_average_heads_and_the_cells_that_show_both_genes() {
        let mut tokens = Tokens::new();
        tokens.push(&[7, 9], &[0.0; 2], 0, 0);
        tokens.push(&[9], &[0.0], 0, 0);
        let mut tap = EdgeTap::new(Site::Block(0, BlockSite::Pattern), &[9, 7]);
        let site = tap.site.clone();
        let map = |cell, data, n_tokens| SiteData::Map {
            cell,
            data,
            n_heads: 2,
            n_tokens,
            kind: MapKind::RowStochastic,
        };
        tap.offer(&site, &tokens, map(0, &[0.1, 0.9, 0.2, 0.8, 0.3, 0.7, 0.4, 0.6], 2)).unwrap();
        tap.offer(&site, &tokens, map(1, &[1.0, 1.0], 1)).unwrap();
        let edges: Vec<(usize, usize, i64, u64)> =
            tap.edges().into_iter().map(|(q, k, w, c)| (q, k, (w * 1e6).round() as i64, c)).collect();
        assert_eq!(edges, [(0, 0, 850_000, 2), (0, 1, 300_000, 1), (1, 0, 800_000, 1), (1, 1, 200_000, 1)]);
    }
}
