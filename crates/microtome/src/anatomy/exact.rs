//! Attention of the cells themselves: every cell's own softmax, averaged, beside the attention of the mean stream.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use microtome_core::{Error, Progress, Result, Role};
use microtome_models::minibatches;
use microtome_models::taps::{BlockEdges, EdgeMeanTap, HeadMeans};
use microtome_report::{LineSeries, Lines};
use serde::{Deserialize, Serialize};

use super::analyse::CategoryResult;
use super::expression::Cells;
use super::figures::{Drawn, Source, drawn_lines, point};
use super::medians::{Of, median};
use super::options::ExtractOptions;
use super::parts::Parts;
use super::subject::{Plan, Subject};
use crate::gene_store::{GeneStore, ModelEntry, stem_of};
use crate::open::OpenModel;
use crate::perturb::quoted;
use crate::twin;

/// File, title, caption and value of a curve over blocks.
type HeadCurve = (&'static str, &'static str, &'static str, fn(&HeadMeans) -> f64);

/// An edge by rows of the table of genes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ExactEdge {
    pub(super) query: usize,
    pub(super) key: usize,
    pub(super) attention: f64,
    pub(super) n_cells: u32,
}

/// One block.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ExactBlock {
    /// The strongest edges between different genes, falling.
    pub(super) top: Vec<ExactEdge>,
    pub(super) heads: Vec<HeadMeans>,
}

/// Blocks by model and category.
pub(super) type ExactAttention = HashMap<(String, String), Vec<ExactBlock>>;

/// Bytes of sums at one time where nobody says how much.
const SUMS: u64 = 1 << 30;

/// Runs the cells of every category through every model and twin that has softmax attention.
pub(super) struct ExactQuestion<'a> {
    pub(super) options: &'a ExtractOptions,
    pub(super) store: &'a GeneStore,
    pub(super) cells: &'a Cells,
    pub(super) results: &'a [CategoryResult],
    /// Strongest edges that are kept.
    pub(super) k: usize,
    pub(super) work: &'a Path,
    pub(super) parts: &'a Parts<'a>,
    pub(super) progress: &'a dyn Progress,
}

impl ExactQuestion<'_> {
    pub(super) fn attention(&self) -> Result<ExactAttention> {
        let mut out = ExactAttention::new();
        let (data, run) = (&self.cells.data, self.options.run);
        let models = self.store.manifest().models.iter().filter(|m| m.role == Role::Model);
        for (entry, path) in models.zip(&self.options.models) {
            if entry.attention.is_empty() {
                continue;
            }
            let (plan, opened) = Plan::of(path, &entry.name, data, &self.options.sites, run)?;
            let folder = self.work.join(format!("untrained-{}", stem_of(&entry.name)));
            twin::ensure(&opened, data.seed().wrapping_add(1), &folder)?;
            let mut subject = Subject { plan: &plan, opened, run };
            for name in [entry.name.clone(), twin::name_of(&entry.name)] {
                if name != entry.name {
                    // The first is dropped before the other is opened.
                    drop(subject);
                    subject =
                        Subject { plan: &plan, opened: OpenModel::open_in(&folder, run.precision)?, run };
                }
                for result in self.results {
                    let part = format!("{}-{}-attention", stem_of(&result.category), stem_of(&name));
                    let blocks = self.parts.get(&part, || self.of_category(&subject, &name, result))?;
                    out.insert((name.clone(), result.category.clone()), blocks);
                }
            }
        }
        Ok(out)
    }

    /// One category. Sums for all query genes at once where they fit; else the cells run once per stripe of queries.
    fn of_category(
        &self,
        subject: &Subject<'_>,
        name: &str,
        result: &CategoryResult,
    ) -> Result<Vec<ExactBlock>> {
        let (data, model) = (&self.cells.data, subject.model());
        let genes = self.tokens_of(subject, name, result)?;
        let range = self.cells.range(&result.category);
        let n_blocks = model.info().n_blocks;
        let budget = subject.budget(data, range.len())?;
        let memory = self.options.run.memory.map_or(SUMS, |m| m / 4);
        // Sums of every block, and the cells of every edge.
        let per_query = (genes.len() * (8 * n_blocks + 4)) as u64;
        let rows = usize::try_from(memory / per_query.max(1)).unwrap_or(usize::MAX).clamp(1, genes.len());
        let stripes = genes.len().div_ceil(rows);
        let what = if stripes > 1 { format!(", {stripes} passes") } else { String::new() };
        let work = (stripes * range.len()) as u64;
        self.progress.begin(
            &format!("attention of cells in {name}: {}{what}", result.category),
            work,
            "cells",
        );
        let mut blocks: Vec<ExactBlock> = vec![];
        for first in (0..genes.len()).step_by(rows) {
            let queries = first..(first + rows).min(genes.len());
            let mut tap = EdgeMeanTap::of_queries(model, &genes, queries.clone());
            for start in range.clone().step_by(budget.chunk) {
                let chunk = start..(start + budget.chunk).min(range.end);
                let (_, tokens) = data.tokenize(model, &subject.plan.genes, chunk)?;
                for batch in minibatches(&tokens, budget.tokens) {
                    self.progress.check()?;
                    model.forward(&tokens.select(&batch), &mut tap)?;
                    self.progress.advance(batch.len() as u64);
                }
            }
            let cells = tap.cells().to_vec();
            for (i, block) in tap.finish()?.into_iter().enumerate() {
                let found = strongest(block, &cells, &result.genes, &queries, self.k);
                match blocks.get_mut(i) {
                    None => blocks.push(found),
                    Some(held) => held.join(found, self.k),
                }
            }
        }
        self.progress.end();
        Ok(blocks)
    }

    /// The compared genes as the model's vocabulary counts them.
    fn tokens_of(&self, subject: &Subject<'_>, name: &str, result: &CategoryResult) -> Result<Vec<u32>> {
        let row_of_name: HashMap<&str, usize> =
            self.store.genes().genes.iter().enumerate().map(|(row, g)| (g.var_name.as_str(), row)).collect();
        let names = &self.cells.data.genes.names;
        let token_of_row: HashMap<usize, u32> = subject
            .gene_of_token()
            .into_iter()
            .filter_map(|(token, gene)| Some((*row_of_name.get(names[gene].as_str())?, token)))
            .collect();
        let tokens = result.genes.iter().map(|g| token_of_row.get(g).copied()).collect::<Option<Vec<u32>>>();
        tokens.ok_or_else(|| {
            Error::mismatch("a gene of the store is not in the model's vocabulary")
                .at_key(name)
                .remedy("the checkpoint is another than the store was made with; run again with --overwrite")
        })
    }
}

impl ExactBlock {
    /// The strongest of both; heads are of the same tokens in every stripe.
    fn join(&mut self, other: Self, k: usize) {
        self.top.extend(other.top);
        self.top.sort_by(|a, b| {
            b.attention.total_cmp(&a.attention).then((a.query, a.key).cmp(&(b.query, b.key)))
        });
        self.top.truncate(k);
    }
}

fn strongest(
    block: BlockEdges,
    cells: &[u32],
    genes: &[usize],
    queries: &std::ops::Range<usize>,
    k: usize,
) -> ExactBlock {
    let n = genes.len();
    let own = |i: usize| queries.start + i / n == i % n;
    let mut order: Vec<usize> =
        (0..block.mean.len()).filter(|&i| !own(i) && block.mean[i].is_finite()).collect();
    let falling = |a: &usize, b: &usize| block.mean[*b].total_cmp(&block.mean[*a]).then(a.cmp(b));
    if order.len() > k {
        order.select_nth_unstable_by(k, falling);
        order.truncate(k);
    }
    order.sort_unstable_by(falling);
    let edge = |i: usize| ExactEdge {
        query: genes[queries.start + i / n],
        key: genes[i % n],
        attention: block.mean[i],
        n_cells: cells[i],
    };
    ExactBlock { top: order.into_iter().map(edge).collect(), heads: block.heads }
}

impl Source<'_> {
    /// What a figure of the cells' own attention shows, one curve per model and twin.
    pub(super) fn exact(&self, exact: &ExactAttention) -> Result<Vec<Drawn>> {
        let k = self.ks[self.ks.len() / 2];
        let mut out = vec![self.exact_lines(
            exact,
            "exact_overlap.csv",
            "Mean stream against cells",
            &format!("Share of the strongest {k} edges of the cells' own attention (softmax in every cell, mean over cells) that are among the strongest {k} of the attention of the mean stream; edges to self left out. Below 1, an analysis of mean streams alone misleads"),
            "share of edges in common",
            |c, of, m, i, block| self.in_common(c, of, m, i, block, k),
        )?];
        let heads: [HeadCurve; 3] = [
            (
                "exact_keys.csv",
                "Keys in effect",
                "exp of the entropy of a query's attention, mean over heads and gene tokens of all cells: how many keys a gene looks at",
                |h| h.effective_keys,
            ),
            (
                "exact_sink.csv",
                "Attention on the sink",
                "Share of a cell's attention on the one token that receives most, mean over heads and cells",
                |h| h.sink_share,
            ),
            (
                "exact_special.csv",
                "Attention on special tokens",
                "Share of a cell's attention on tokens that are no genes, mean over heads and cells",
                |h| h.special_share,
            ),
        ];
        for (file, title, note, read) in heads {
            let y = title.to_lowercase();
            out.push(self.exact_lines(exact, file, title, note, &y, |_, _, _, _, block| {
                let n = block.heads.len();
                (n > 0).then(|| block.heads.iter().map(read).sum::<f64>() / n as f64)
            })?);
        }
        Ok(out)
    }

    fn exact_lines(
        &self,
        exact: &ExactAttention,
        file: &str,
        title: &str,
        note: &str,
        y: &str,
        read: impl Fn(&CategoryResult, Of, usize, usize, &ExactBlock) -> Option<f64>,
    ) -> Result<Drawn> {
        let mut lines = Lines {
            section: "Attention of the cells themselves".into(),
            title: title.into(),
            note: format!("{note}. Median over categories. Grey: the untrained twin."),
            x: "depth of the stream that enters the block".into(),
            y: y.into(),
            ..Lines::default()
        };
        for of in [Of::Models, Of::Twins] {
            for (m, entry) in self.entries(of).iter().enumerate() {
                let mut points = vec![];
                for i in 0..entry.n_blocks {
                    let value = median(self.results, self.seed, |c| {
                        let blocks = exact.get(&(entry.name.clone(), c.category.clone()))?;
                        read(c, of, m, i, blocks.get(i)?)
                    })?;
                    points.push(point(i as f64 / entry.n_blocks as f64, &value));
                }
                if points.iter().any(|p| p.y.is_some()) {
                    let control = of == Of::Twins;
                    let role = if control { Role::Control } else { Role::Model };
                    lines.series.push(LineSeries {
                        name: entry.name.clone(),
                        role,
                        of: control.then_some(m),
                        points,
                    });
                }
            }
        }
        Ok(drawn_lines(lines, file.into()))
    }

    fn in_common(
        &self,
        c: &CategoryResult,
        of: Of,
        m: usize,
        i: usize,
        block: &ExactBlock,
        k: usize,
    ) -> Option<f64> {
        let side = of.side(c);
        let routes = side.routes.as_ref()?;
        let at = routes.places.iter().position(|p| *p == (m, i))?;
        let of_stream = routes.routing.top.get(at)?;
        let of_stream: HashSet<(usize, usize)> = of_stream
            .iter()
            .take(k)
            .map(|e| (c.genes[e.edge.from as usize], c.genes[e.edge.to as usize]))
            .collect();
        let top = &block.top[..k.min(block.top.len())];
        let n = top.len().min(of_stream.len());
        let held = top.iter().filter(|e| of_stream.contains(&(e.query, e.key))).count();
        (n > 0).then(|| held as f64 / n as f64)
    }
}

/// Tables of a model: strongest edges, and heads.
pub(super) fn tables(
    exact: &ExactAttention,
    store: &GeneStore,
    categories: &[String],
) -> Vec<(String, String)> {
    let mut heads = String::from(
        "model,category,block,head,entropy,effective_keys,top10_share,special_share,sink_share\n",
    );
    let mut out = vec![];
    for entry in &store.manifest().models {
        let mut edges = String::from("category,block,query_gene,key_gene,attention,n_cells\n");
        let mut any = false;
        for category in categories {
            let Some(blocks) = exact.get(&(entry.name.clone(), category.clone())) else { continue };
            any = true;
            for (i, block) in blocks.iter().enumerate() {
                push_block(&mut edges, &mut heads, entry, category, (i, block), store);
            }
        }
        if any && entry.role == Role::Model {
            out.push((format!("exact_edges_{}.csv", entry.folder), edges));
        }
    }
    if !exact.is_empty() {
        out.push(("exact_heads.csv".into(), heads));
    }
    out
}

fn push_block(
    edges: &mut String,
    heads: &mut String,
    entry: &ModelEntry,
    category: &str,
    (i, block): (usize, &ExactBlock),
    store: &GeneStore,
) {
    let id = |row: usize| quoted(&store.genes().genes[row].id);
    for e in &block.top {
        edges.push_str(&format!(
            "{},{i},{},{},{},{}\n",
            quoted(category),
            id(e.query),
            id(e.key),
            e.attention,
            e.n_cells
        ));
    }
    for (head, h) in block.heads.iter().enumerate() {
        heads.push_str(&format!(
            "{},{},{i},{head},{},{},{},{},{}\n",
            quoted(&entry.name),
            quoted(category),
            h.entropy,
            h.effective_keys,
            h.top_share,
            h.special_share,
            h.sink_share
        ));
    }
}
