//! The routing analysis of one category: strongest edges of every block, their union, and how blocks agree on them.

use super::agreement::{RankAgreement, union_spearman};
use super::edges::{Edge, ScoredEdge};
use super::rank::{RankRule, scores_and_ranks};
use super::source::ScoreSource;
use super::top::{Ties, TopOptions, prefix, top_edges};
use crate::outcome::Pairwise;
use microtome_core::{Error, Progress, Result};
use serde::{Deserialize, Serialize};

/// What [`route`] computes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutingOptions {
    /// Numbers of strongest edges; all come out of the same walks.
    pub ks: Vec<usize>,
    /// Rank by magnitude rather than by signed value.
    pub absolute: bool,
    /// Let edges of genes to themselves be selected.
    pub self_pairs: bool,
    /// What happens to edges that tie with the K-th.
    pub ties: Ties,
    /// Count edges of genes to themselves as competitors when ranking, and in the number of pairs that turns ranks into
    /// quantiles. Anything but `self_pairs` reproduces a quirk of Napistu-Torch 0.4.0.
    pub count_self: bool,
}

impl RoutingOptions {
    /// Signed scores, no edges to self in selection, ranks or number of pairs; exactly K edges.
    pub fn exact(ks: Vec<usize>) -> Self {
        Self { ks, absolute: false, self_pairs: false, ties: Ties::First, count_self: false }
    }

    /// As Napistu-Torch 0.4.0 with `ignore_self_attention`: edges to self are not selected but outrank others, quantiles
    /// divide by n^2, all ties at the K-th score are taken.
    pub fn napistu(ks: Vec<usize>, absolute: bool) -> Self {
        Self { ks, absolute, self_pairs: false, ties: Ties::All, count_self: true }
    }
}

/// Further edges whose ranks are wanted beside the strongest ones: a null, co-expressed pairs, a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdgeSet {
    /// What it is, such as `degree_matched`.
    pub name: String,
    /// Block whose strongest edges it stands beside; none for a set of its own.
    pub block: Option<usize>,
    /// The edges, in any order, repeats allowed.
    pub edges: Vec<Edge>,
}

/// Where an [`EdgeSet`] stands in every block.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SetAgreement {
    /// Name of the set.
    pub name: String,
    /// Block it was drawn for.
    pub block: Option<usize>,
    /// One entry per block; `query` repeats `block` (or the block itself).
    pub ranks: Vec<RankAgreement>,
}

/// What holds at one K.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AtK {
    /// K.
    pub k: usize,
    /// Edges selected in every block; more than K under [`Ties::All`], fewer when there are fewer.
    pub selected: Vec<u64>,
    /// Distinct edges over all blocks.
    pub union: u64,
    /// Spearman of scores over the union, block by block.
    pub spearman: Pairwise,
    /// Edges of rank K or better in one block, ranked in every other.
    pub agreement: Vec<RankAgreement>,
}

impl AtK {
    /// Agreement of every block with the next.
    pub fn consecutive(&self) -> Vec<&RankAgreement> {
        self.agreement.iter().filter(|a| a.eval == a.query + 1).collect()
    }

    /// Agreement of one block's strongest edges in another.
    pub fn between(&self, query: usize, eval: usize) -> Option<&RankAgreement> {
        self.agreement.iter().find(|a| (a.query, a.eval) == (query, eval))
    }
}

/// Everything about one category.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Routing {
    /// Names of the blocks.
    pub names: Vec<String>,
    /// Genes.
    pub n_genes: usize,
    /// Pairs that ranks are divided by.
    pub n_pairs: u64,
    /// Strongest edges of every block at the largest K, falling.
    pub top: Vec<Vec<ScoredEdge>>,
    /// What holds at each K, in the order asked for.
    pub at: Vec<AtK>,
    /// Where further sets of edges stand.
    pub sets: Vec<SetAgreement>,
}

impl Routing {
    /// The strongest `k` edges of one block, for a `k` up to the largest asked for.
    pub fn top_k(&self, block: usize, k: usize, options: &RoutingOptions) -> &[ScoredEdge] {
        let list = &self.top[block];
        &list[..prefix(list, k, options.ties, options.absolute)]
    }
}

/// Sets of edges that depend on the strongest ones (nulls): called once per block with its strongest edges.
pub type SetsOf<'a> = dyn Fn(usize, &[ScoredEdge]) -> Result<Vec<EdgeSet>> + 'a;

/// Finds the strongest edges of every block and ranks their union in every block.
///
/// Two walks over all n x n scores per block where they are one product (select; count), three where they come as rows of a softmax
/// (select; look up the union; count). Memory: projections of one block, and
/// 8 bytes per block and edge of the union.
///
/// Errors without K or when an input does not fit, or when stopped.
pub fn route(
    source: &dyn ScoreSource,
    options: &RoutingOptions,
    more: Option<&SetsOf<'_>>,
    progress: &dyn Progress,
) -> Result<Routing> {
    let names = source.names();
    let n = source.n_genes();
    let Some(&k) = options.ks.iter().max().filter(|&&k| k > 0) else {
        return Err(Error::usage("no number of strongest edges is asked for").expected("K of 1 or more"));
    };
    if n < 2 || options.ks.contains(&0) {
        return Err(Error::usage("routing needs two genes or more, and every K above 0")
            .found(format!("{n} genes, K = {:?}", options.ks)));
    }
    let pairs = (n as u64) * (n as u64);
    let top_options =
        TopOptions { k, absolute: options.absolute, self_pairs: options.self_pairs, ties: options.ties };

    progress.begin("strongest edges", pairs * names.len() as u64, "pairs");
    let top: Result<Vec<Vec<ScoredEdge>>> =
        (0..names.len()).map(|b| top_edges(&source.scores(b)?, &top_options, progress)).collect();
    progress.end();
    let top = top?;

    let mut sets = Vec::new();
    if let Some(more) = more {
        for (b, list) in top.iter().enumerate() {
            sets.extend(more(b, list)?);
        }
    }
    let mut all: Vec<Edge> = top.iter().flatten().map(|e| e.edge).collect();
    all.extend(sets.iter().flat_map(|s| &s.edges));
    all.sort_unstable();
    all.dedup();

    let rule = RankRule { absolute: options.absolute, count_self: options.count_self };
    progress.begin("ranks of edges", 2 * pairs * names.len() as u64, "pairs");
    let ranked: Result<Vec<(Vec<f32>, Vec<u32>)>> = (0..names.len())
        .map(|b| {
            let scores = source.scores(b)?;
            scores_and_ranks(&scores, &all, &rule, progress)
        })
        .collect();
    progress.end();
    let (values, ranks): (Vec<Vec<f32>>, Vec<Vec<u32>>) = ranked?.into_iter().unzip();

    let n_pairs = if options.count_self { pairs } else { pairs - n as u64 };
    let at = options
        .ks
        .iter()
        .map(|&k| at_k(k, &names, &top, &all, &values, &ranks, n_pairs, options))
        .collect::<Result<_>>()?;
    let sets = sets
        .into_iter()
        .map(|set| {
            let places: Vec<usize> = set.edges.iter().filter_map(|e| all.binary_search(e).ok()).collect();
            let ranks = (0..names.len()).map(|eval| {
                let found = places.iter().map(|&p| ranks[eval][p]).collect();
                RankAgreement::new(set.block.unwrap_or(eval), eval, found, n_pairs as f64)
            });
            SetAgreement { name: set.name, block: set.block, ranks: ranks.collect() }
        })
        .collect();
    Ok(Routing { names, n_genes: n, n_pairs, top, at, sets })
}

#[allow(clippy::too_many_arguments)]
fn at_k(
    k: usize,
    names: &[String],
    top: &[Vec<ScoredEdge>],
    all: &[Edge],
    values: &[Vec<f32>],
    ranks: &[Vec<u32>],
    n_pairs: u64,
    options: &RoutingOptions,
) -> Result<AtK> {
    let selected: Vec<usize> =
        top.iter().map(|list| prefix(list, k, options.ties, options.absolute)).collect();
    let mut union: Vec<usize> = top
        .iter()
        .zip(&selected)
        .flat_map(|(list, &count)| &list[..count])
        .filter_map(|e| all.binary_search(&e.edge).ok())
        .collect();
    union.sort_unstable();
    union.dedup();
    let of_union: Vec<Vec<f32>> = values.iter().map(|v| union.iter().map(|&p| v[p]).collect()).collect();
    let mut agreement = Vec::new();
    for query in 0..names.len() {
        let strong: Vec<usize> = union.iter().copied().filter(|&p| ranks[query][p] as usize <= k).collect();
        for eval in (0..names.len()).filter(|&e| e != query) {
            let found = strong.iter().map(|&p| ranks[eval][p]).collect();
            agreement.push(RankAgreement::new(query, eval, found, n_pairs as f64));
        }
    }
    Ok(AtK {
        k,
        selected: selected.iter().map(|&s| s as u64).collect(),
        union: union.len() as u64,
        spearman: union_spearman(names, &of_union)?,
        agreement,
    })
}
