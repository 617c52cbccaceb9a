//! Attention routing of one side of a category: strongest edges, ranks, heads, lengths of what is moved, consensus over blocks.

use microtome_anatomy::models::{Recovered, RecoveredOptions, recovered};
use microtome_anatomy::nulls::degree_matched;
use microtome_anatomy::routing::{
    Consensus, Edge, EdgeSet, Head, MeanStream, Overlay, Routing, ScoreOptions, ScoreSource, ScoredEdge,
    Scores, Scoring, heads, route, value_norms,
};
use microtome_anatomy::{AttentionWeights, Blocks};
use microtome_core::{Matrix, Progress, Result};
use microtome_numerics::ranks::spearman;
use microtome_numerics::resample::Rng;
use serde::{Deserialize, Serialize};

use super::options::{Quirk, RoutingChoice};

/// Keys whose mass is counted as a head's strongest.
const TOP_KEYS: usize = 10;
/// Draws of the null of edges that several models find.
const DRAWS: usize = 199;

/// Edges that a simple reading of the same genes gives, strongest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct BaselineEdges {
    /// What they are.
    pub(super) name: String,
    /// The member whose vectors they are of; none where they are of the data.
    pub(super) member: Option<usize>,
    pub(super) edges: Vec<Edge>,
}

/// Lengths of what the strongest edges of one place move.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Moved {
    /// Spearman of attention and length over the edges.
    pub(super) agreement: Option<f64>,
    /// Length per edge, in the order of the strongest edges.
    pub(super) lengths: Vec<f32>,
}

/// One side of a category.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Routes {
    pub(super) routing: Routing,
    /// Member and block of every place of `routing`.
    pub(super) places: Vec<(usize, usize)>,
    /// Heads of every place.
    pub(super) heads: Vec<Vec<Head>>,
    /// Per place; none without output weights.
    pub(super) moved: Vec<Option<Moved>>,
    /// Members that have a consensus, in its order.
    pub(super) members: Vec<usize>,
    /// Per rule: the consensus over the blocks of every member, member by member, at the middle K.
    pub(super) consensus: Vec<(String, Routing)>,
    /// Edges that several members have among the strongest of their consensus of mean ranks.
    pub(super) recovered: Vec<Recovered>,
}

/// A member with its streams that enter blocks, and the weights of those.
pub(super) struct Routed<'a> {
    pub(super) member: usize,
    pub(super) name: String,
    pub(super) entering: Vec<&'a Matrix>,
    pub(super) weights: Vec<AttentionWeights>,
}

/// How routing is looked at.
pub(super) struct Asked<'a> {
    pub(super) ks: &'a [usize],
    pub(super) choice: &'a RoutingChoice,
    pub(super) seed: u64,
    pub(super) progress: &'a dyn Progress,
}

impl Asked<'_> {
    /// The K that single numbers are shown at.
    pub(super) fn k(&self) -> usize {
        self.ks[self.ks.len() / 2]
    }

    /// `None` without members. `strata` groups the genes by expression.
    pub(super) fn routes(
        &self,
        routed: &[Routed<'_>],
        strata: &[u32],
        baselines: &[BaselineEdges],
    ) -> Result<Option<Routes>> {
        if routed.is_empty() {
            return Ok(None);
        }
        let sources: Vec<MeanStream<'_>> = routed
            .iter()
            .map(|r| {
                let names = (0..r.weights.len()).map(|i| format!("blocks.{i}")).collect();
                let blocks = Blocks::new(names, r.entering.clone())?;
                let source = MeanStream::new(blocks, r.weights.iter().collect(), self.choice.scores())?;
                Ok(if self.choice.has(Quirk::LayerOrder) {
                    source.with_string_sorted_weights()
                } else {
                    source
                })
            })
            .collect::<Result<_>>()?;
        let parts = routed.iter().zip(&sources).map(|(r, s)| (r.name.clone(), s as &dyn ScoreSource));
        let overlay = Overlay::new(parts.collect())?;
        let more = |block: usize, top: &[ScoredEdge]| self.sets(block, top, strata, baselines);
        let options = self.choice.ranks(self.ks.to_vec());
        let routing = route(&overlay, &options, Some(&more), self.progress)?;
        let places: Vec<(usize, usize)> =
            routed.iter().flat_map(|r| (0..r.weights.len()).map(|i| (r.member, i))).collect();

        let (mut of_heads, mut moved) = (vec![], vec![]);
        let all = routed.iter().flat_map(|r| r.weights.iter().zip(&r.entering));
        for ((weights, stream), top) in all.zip(&routing.top) {
            // Heads have a softmax whatever edges are scored by.
            let scores = Scores::new(stream, weights, &ScoreOptions::mean_stream())?;
            of_heads.push(heads(&scores, TOP_KEYS.min(stream.rows()), self.progress)?);
            moved.push(self.moved(stream, weights, &top[..self.k().min(top.len())])?);
        }
        let consensus = self.consensus(&sources, routed, strata)?;
        let lists = consensus.iter().find(|(name, _)| name == "mean_rank");
        let lists: Vec<Vec<Edge>> =
            lists.map_or(vec![], |(_, r)| r.top.iter().map(|t| t.iter().map(|e| e.edge).collect()).collect());
        let null = RecoveredOptions { draws: DRAWS, seed: self.seed, ..RecoveredOptions::default() };
        Ok(Some(Routes {
            recovered: if lists.len() > 1 { recovered(&lists, &null, self.progress)? } else { vec![] },
            members: routed.iter().map(|r| r.member).collect(),
            routing,
            places,
            heads: of_heads,
            moved,
            consensus,
        }))
    }

    /// What the strongest edges of a place are compared with, at every K.
    fn sets(
        &self,
        block: usize,
        top: &[ScoredEdge],
        strata: &[u32],
        baselines: &[BaselineEdges],
    ) -> Result<Vec<EdgeSet>> {
        let mut out = vec![];
        for (at, &k) in self.ks.iter().enumerate() {
            out.push(self.null(block, block * self.ks.len() + at, top, k, strata)?);
            if block == 0 {
                out.extend(baselines.iter().map(|b| EdgeSet {
                    name: baseline_set(b, k),
                    block: None,
                    edges: b.edges[..k.min(b.edges.len())].to_vec(),
                }));
            }
        }
        Ok(out)
    }

    /// Edges that keep every gene's number of edges among the strongest `k` of a place, and its group of expression.
    fn null(
        &self,
        place: usize,
        draw: usize,
        top: &[ScoredEdge],
        k: usize,
        strata: &[u32],
    ) -> Result<EdgeSet> {
        let edges: Vec<Edge> = top.iter().take(k).map(|e| e.edge).collect();
        let mut rng = Rng::stream(self.seed, draw as u64);
        let null = degree_matched(&edges, Some(strata), &mut rng)?;
        Ok(EdgeSet { name: matched(k), block: Some(place), edges: null.edges })
    }

    fn moved(
        &self,
        stream: &Matrix,
        weights: &AttentionWeights,
        top: &[ScoredEdge],
    ) -> Result<Option<Moved>> {
        if weights.w_v.is_none() || weights.w_o.is_none() {
            return Ok(None);
        }
        let mut order: Vec<usize> = (0..top.len()).collect();
        order.sort_unstable_by_key(|&i| top[i].edge);
        let edges: Vec<Edge> = order.iter().map(|&i| top[i].edge).collect();
        let found = value_norms(stream, weights, &edges, self.progress)?;
        let mut lengths = vec![0.0; top.len()];
        order.iter().zip(found).for_each(|(&i, v)| lengths[i] = v);
        let wide = |v: &mut dyn Iterator<Item = f32>| v.map(f64::from).collect::<Vec<f64>>();
        let agreement =
            spearman(&wide(&mut top.iter().map(|e| e.score)), &wide(&mut lengths.iter().copied()))?;
        Ok(Some(Moved { agreement, lengths }))
    }

    /// The consensus of every member's blocks by every rule, and how members agree on it.
    fn consensus(
        &self,
        sources: &[MeanStream<'_>],
        routed: &[Routed<'_>],
        strata: &[u32],
    ) -> Result<Vec<(String, Routing)>> {
        let rules = [
            ("max", Consensus::Max),
            ("sum", Consensus::Sum),
            ("abs_argmax", Consensus::AbsArgmax),
            ("mean_rank", Consensus::MeanRank),
        ];
        let names: Vec<String> = routed.iter().map(|r| r.name.clone()).collect();
        // No softmax is below 0, so that the largest is the one of largest magnitude.
        let positive = self.choice.scores().scoring == Scoring::Softmax;
        let mut out: Vec<(String, Routing)> = vec![];
        for (name, how) in rules {
            if let (Consensus::AbsArgmax, true, Some((_, max))) = (how, positive, out.first()) {
                out.push((name.to_string(), max.clone()));
                continue;
            }
            let source = OverBlocks { sources, names: &names, how, progress: self.progress };
            let options = self.choice.ranks(vec![self.k()]);
            let null = |member: usize, top: &[ScoredEdge]| {
                Ok(vec![self.null(member, member, top, self.k(), strata)?])
            };
            out.push((name.to_string(), route(&source, &options, Some(&null), self.progress)?));
        }
        Ok(out)
    }
}

/// Name of the set of degree-matched edges at one K.
pub(super) fn matched(k: usize) -> String {
    format!("degree_matched@{k}")
}

/// Name of a baseline's set at one K.
pub(super) fn baseline_set(b: &BaselineEdges, k: usize) -> String {
    match b.member {
        Some(m) => format!("{}#{m}@{k}", b.name),
        None => format!("{}@{k}", b.name),
    }
}

/// Members as places: the consensus over the blocks of each.
struct OverBlocks<'a> {
    sources: &'a [MeanStream<'a>],
    names: &'a [String],
    how: Consensus,
    progress: &'a dyn Progress,
}

impl ScoreSource for OverBlocks<'_> {
    fn names(&self) -> Vec<String> {
        self.names.to_vec()
    }

    fn n_genes(&self) -> usize {
        self.sources.first().map_or(0, ScoreSource::n_genes)
    }

    fn scores(&self, index: usize) -> Result<Scores> {
        let source = &self.sources[index];
        let parts = (0..source.names().len()).map(|b| source.scores(b)).collect::<Result<_>>()?;
        Scores::consensus(parts, self.how, self.progress)
    }
}
