//! Attention of the cells themselves: every cell's own softmax, averaged, beside the attention of the mean stream.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use microtome_core::{Error, Progress, Result, Role};
use microtome_models::minibatches;
use microtome_models::taps::{BlockEdges, EdgeMeanTap, HeadMeans};
use microtome_report::{LineSeries, Lines};

use super::analyse::CategoryResult;
use super::categories;
use super::figures::{Drawn, Source, drawn_lines, point};
use super::medians::{Of, median};
use super::options::ExtractOptions;
use super::subject::Subject;
use crate::budget::Budget;
use crate::data::{Data, DataOptions};
use crate::gene_store::{GeneStore, ModelEntry, stem_of};
use crate::open::OpenModel;
use crate::perturb::quoted;
use crate::twin;

/// File, title, caption and value of a curve over blocks.
type HeadCurve = (&'static str, &'static str, &'static str, fn(&HeadMeans) -> f64);

/// An edge by rows of the table of genes.
pub(super) struct ExactEdge {
    pub(super) query: usize,
    pub(super) key: usize,
    pub(super) attention: f64,
    pub(super) n_cells: u32,
}

/// One block.
pub(super) struct ExactBlock {
    /// The strongest edges between different genes, falling.
    pub(super) top: Vec<ExactEdge>,
    pub(super) heads: Vec<HeadMeans>,
}

/// Blocks by model and category.
pub(super) type ExactAttention = HashMap<(String, String), Vec<ExactBlock>>;

/// Runs the cells of every category through every model and twin that has softmax attention.
pub(super) fn attention(
    options: &ExtractOptions,
    store: &GeneStore,
    results: &[CategoryResult],
    k: usize,
    work: &Path,
    progress: &dyn Progress,
) -> Result<ExactAttention> {
    let mut data = Data::open(&DataOptions { max_cells: None, ..options.data.clone() })?;
    let seed = options.data.seed;
    let drawn = categories::draw(&mut data, &options.categories, options.min_cells, options.max_cells, seed)?;
    data.cells = drawn.iter().flat_map(|c| c.cells.iter().copied()).collect();
    let models = || store.manifest().models.iter().filter(|m| m.role == Role::Model);
    let mut out = ExactAttention::new();
    for (entry, path) in models().zip(&options.models) {
        if entry.attention.is_empty() {
            continue;
        }
        let mut subject = Subject::open(path, &data, &options.sites)?;
        data.add_contexts(subject.model())?;
        let cells = 2 * data.cells.len() as u64;
        progress.begin(&format!("attention of cells in {}", entry.name), cells, "cells");
        run(&subject, &entry.name, &data, &drawn, store, results, k, progress, &mut out)?;
        let folder = work.join(format!("untrained-{}", stem_of(&entry.name)));
        twin::ensure(&subject.opened, seed.wrapping_add(1), &folder)?;
        subject.opened = OpenModel::open(&folder)?;
        run(&subject, &twin::name_of(&entry.name), &data, &drawn, store, results, k, progress, &mut out)?;
        progress.end();
    }
    Ok(out)
}

#[allow(clippy::too_many_arguments, reason = "one model over all categories, and where its result goes")]
fn run(
    subject: &Subject,
    name: &str,
    data: &Data,
    drawn: &[categories::Category],
    store: &GeneStore,
    results: &[CategoryResult],
    k: usize,
    progress: &dyn Progress,
    out: &mut ExactAttention,
) -> Result<()> {
    let row_of_name: HashMap<&str, usize> =
        store.genes().genes.iter().enumerate().map(|(row, g)| (g.var_name.as_str(), row)).collect();
    let token_of_row: HashMap<usize, u32> = subject
        .gene_of_token()
        .into_iter()
        .filter_map(|(token, gene)| Some((*row_of_name.get(data.genes.names[gene].as_str())?, token)))
        .collect();
    let mut first = 0;
    for category in drawn {
        let range = first..first + category.cells.len();
        first = range.end;
        let Some(result) = results.iter().find(|r| r.category == category.entry.name) else { continue };
        let tokens_of =
            result.genes.iter().map(|g| token_of_row.get(g).copied()).collect::<Option<Vec<u32>>>();
        let genes = tokens_of.ok_or_else(|| {
            Error::mismatch("a gene of the store is not in the model's vocabulary")
                .at_key(name)
                .remedy("the checkpoint is another than the store was made with; run again with --overwrite")
        })?;
        let model = subject.model();
        let mut tap = EdgeMeanTap::new(model, &genes);
        let budget = Budget::free(model, &[], data);
        for start in range.clone().step_by(budget.chunk) {
            let (_, tokens) =
                data.tokenize(model, &subject.genes, start..(start + budget.chunk).min(range.end))?;
            for batch in minibatches(&tokens, budget.tokens) {
                progress.check()?;
                model.forward(&tokens.select(&batch), &mut tap)?;
                progress.advance(batch.len() as u64);
            }
        }
        let cells = tap.cells().to_vec();
        let blocks = tap.finish()?.into_iter().map(|b| strongest(b, &cells, &result.genes, k)).collect();
        out.insert((name.to_string(), category.entry.name.clone()), blocks);
    }
    Ok(())
}

fn strongest(block: BlockEdges, cells: &[u32], genes: &[usize], k: usize) -> ExactBlock {
    let n = genes.len();
    let mut order: Vec<usize> =
        (0..block.mean.len()).filter(|&i| i / n != i % n && block.mean[i].is_finite()).collect();
    let falling = |a: &usize, b: &usize| block.mean[*b].total_cmp(&block.mean[*a]).then(a.cmp(b));
    if order.len() > k {
        order.select_nth_unstable_by(k, falling);
        order.truncate(k);
    }
    order.sort_unstable_by(falling);
    let edge = |i: usize| ExactEdge {
        query: genes[i / n],
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
        let at = side.places.iter().position(|p| *p == (m, i))?;
        let of_stream = side.routing.as_ref()?.top.get(at)?;
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
