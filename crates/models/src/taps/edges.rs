//! The model's own attention between chosen genes, averaged over cells, and what its heads do.

use std::collections::HashMap;
use std::ops::Range;

use microtome_core::{Error, Result, Site};
use serde::{Deserialize, Serialize};

use crate::{Model, SiteData, Tap, Tokens, attention_site};

/// Keys whose share is counted as a head's greatest.
const N_TOP: usize = 10;

/// Attention between chosen genes in one block, mean over heads and over the cells that hold both genes.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockEdges {
    /// `[query, gene]`, query by key; NaN where no cell holds both genes.
    pub mean: Vec<f64>,
    /// One per head.
    pub heads: Vec<HeadMeans>,
}

/// What a head does, mean over the gene tokens of all cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HeadMeans {
    /// Entropy in nats.
    pub entropy: f64,
    /// `exp(entropy)`: how many keys a query looks at in effect.
    pub effective_keys: f64,
    /// Share of the ten greatest keys.
    pub top_share: f64,
    /// Share of all attention of a cell that falls on special tokens, mean over cells.
    pub special_share: f64,
    /// Share of all attention of a cell that falls on the token that receives most, mean over cells.
    pub sink_share: f64,
}

/// Sums the attention of real cells between chosen genes: softmax over all tokens of the cell, per head, with biases, norms and masks as
/// the model has them. Not the attention of a mean cell. Memory: blocks x queries x
/// genes x 8 bytes, whatever the number of cells.
pub struct EdgeMeanTap<'a> {
    model: &'a dyn Model,
    genes: HashMap<u32, usize>,
    /// Places of the genes that are asked as queries.
    queries: Range<usize>,
    sums: Vec<Vec<f64>>,
    /// Cells that hold both genes.
    cells: Vec<u32>,
    heads: Vec<Vec<HeadMeans>>,
    n_queries: u64,
    n_cells: u64,
}

impl<'a> EdgeMeanTap<'a> {
    /// Listens to all blocks; `genes` as [`Model::gene_ids`] counts them.
    pub fn new(model: &'a dyn Model, genes: &[u32]) -> Self {
        Self::of_queries(model, genes, 0..genes.len())
    }

    /// The same for some of the genes as queries and all as keys: what does not fit into memory at once is summed in several passes over
    /// the cells. Heads are of all gene tokens in every pass.
    pub fn of_queries(model: &'a dyn Model, genes: &[u32], queries: Range<usize>) -> Self {
        let n = genes.len();
        let size = queries.len() * n;
        let n_blocks = model.info().n_blocks;
        Self {
            model,
            genes: genes.iter().enumerate().map(|(i, &g)| (g, i)).collect(),
            queries,
            sums: vec![vec![0.0; size]; n_blocks],
            cells: vec![0; size],
            heads: vec![vec![]; n_blocks],
            n_queries: 0,
            n_cells: 0,
        }
    }

    fn block(&self, site: &Site) -> Option<usize> {
        (0..self.sums.len()).find(|&i| *site == attention_site(i))
    }

    /// Cells per edge, `[query, gene]`.
    pub fn cells(&self) -> &[u32] {
        &self.cells
    }

    /// The means of every block. Errors when a block was never offered: the family has no softmax attention.
    pub fn finish(self) -> Result<Vec<BlockEdges>> {
        let (queries, cells) = (self.n_queries.max(1) as f64, self.n_cells.max(1) as f64);
        let mut out = Vec::with_capacity(self.sums.len());
        for (block, (sums, heads)) in self.sums.into_iter().zip(self.heads).enumerate() {
            if heads.is_empty() && self.n_cells > 0 {
                return Err(Error::unsupported("a block offers no softmax attention")
                    .at_key(format!("block {block}")));
            }
            let mean = sums.iter().zip(&self.cells).map(|(s, &n)| s / f64::from(n)).collect();
            let heads = heads.into_iter().map(|h| HeadMeans {
                entropy: h.entropy / queries,
                effective_keys: h.effective_keys / queries,
                top_share: h.top_share / queries,
                special_share: h.special_share / cells,
                sink_share: h.sink_share / cells,
            });
            out.push(BlockEdges { mean, heads: heads.collect() });
        }
        Ok(out)
    }
}

impl Tap for EdgeMeanTap<'_> {
    fn wants(&self, site: &Site) -> bool {
        self.block(site).is_some()
    }

    fn offer(&mut self, site: &Site, tokens: &Tokens, data: SiteData<'_>) -> Result<()> {
        let (Some(block), SiteData::Attention(view)) = (self.block(site), data) else { return Ok(()) };
        let (n, n_heads) = (self.genes.len(), view.n_heads());
        let statistics = view.statistics(&tokens.offsets, N_TOP);
        let heads = &mut self.heads[block];
        heads.resize(n_heads, HeadMeans::default());
        let ids = self.model.gene_ids(tokens);
        for cell in 0..tokens.n_cells() {
            let span = tokens.offsets[cell]..tokens.offsets[cell + 1];
            let own = self.model.gene_tokens(span.len());
            for (head, sums) in heads.iter_mut().enumerate() {
                let of = |values: &[f32], at: usize| f64::from(values[(span.start + at) * n_heads + head]);
                for at in own.clone() {
                    let entropy = of(&statistics.entropy, at);
                    sums.entropy += entropy;
                    sums.effective_keys += entropy.exp();
                    sums.top_share += of(&statistics.top, at);
                }
                let all = span.len().max(1) as f64;
                let received = |at: usize| of(&statistics.received, at) / all;
                sums.special_share +=
                    (0..span.len()).filter(|at| !own.contains(at)).map(received).sum::<f64>();
                sums.sink_share += (0..span.len()).map(received).fold(0.0, f64::max);
            }
            if block == 0 {
                self.n_queries += own.len() as u64;
                self.n_cells += 1;
            }
            // A gene that a cell holds several times counts with its first token.
            let mut seen = vec![false; n];
            let mut held: Vec<(usize, usize)> = vec![];
            for at in own {
                if let Some(&gene) = self.genes.get(&ids[span.start + at])
                    && !std::mem::replace(&mut seen[gene], true)
                {
                    held.push((at, gene));
                }
            }
            let asked: Vec<(usize, usize)> =
                held.iter().copied().filter(|(_, gene)| self.queries.contains(gene)).collect();
            let queries: Vec<usize> = asked.iter().map(|(at, _)| *at).collect();
            let rows = view.mean_rows(span.clone(), &queries);
            for (row, &(_, gene)) in rows.chunks_exact(span.len().max(1)).zip(&asked) {
                let query = gene - self.queries.start;
                for &(at, key) in &held {
                    self.sums[block][query * n + key] += f64::from(row[at]);
                    self.cells[query * n + key] += u32::from(block == 0);
                }
            }
        }
        Ok(())
    }
}
