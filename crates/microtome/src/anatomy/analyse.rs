//! Everything that is computed about one category: models side by side, and their untrained twins side by side.

use microtome_anatomy::AttentionWeights;
use microtome_anatomy::models::{GeneLoss, align};
use microtome_anatomy::nulls::{coexpression, embedding_cosine, gene_level, strata};
use microtome_anatomy::routing::{Edge, Scores, Ties, TopOptions, top_edges};
use microtome_core::{Matrix, Progress, Result, Role};
use serde::{Deserialize, Serialize};

use super::expression::Cells;
use super::geometry::{Geometry, Member, Rotations};
use super::grounding::{Grounded, Reference};
use super::options::RoutingChoice;
use super::parts::Parts;
use super::routes::{Asked, BaselineEdges, Routed, Routes};
use super::{shared, weights};
use crate::gene_store::{GeneStore, ModelEntry, StoredFlow, stem_of};

/// Fewest genes that a category is looked at with.
pub(super) const MIN_GENES: usize = 20;
/// Groups of genes by mean expression, within which nulls are drawn.
const STRATA: usize = 5;

/// One category.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct CategoryResult {
    pub(super) category: String,
    /// Rows of the table of genes that are compared.
    pub(super) genes: Vec<usize>,
    /// What became of the genes of every model.
    pub(super) losses: Vec<GeneLoss>,
    pub(super) models: Side,
    pub(super) twins: Side,
}

/// Models, or twins, over the same genes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Side {
    pub(super) geometry: Geometry,
    /// Per member and block: the stream of the cells themselves.
    pub(super) flow: Vec<Vec<StoredFlow>>,
    /// None where no member has softmax attention.
    pub(super) routes: Option<Routes>,
    /// One per network or file of gene sets.
    pub(super) grounded: Vec<Grounded>,
}

/// What is asked of every category.
pub(super) struct Question<'a> {
    pub(super) store: &'a GeneStore,
    pub(super) cells: &'a Cells,
    pub(super) references: &'a [Reference],
    pub(super) n_genes: usize,
    pub(super) ks: &'a [usize],
    pub(super) choice: &'a RoutingChoice,
    /// Bytes for tables of ranks.
    pub(super) memory: usize,
    pub(super) rotations: Rotations,
    pub(super) seed: u64,
    pub(super) parts: &'a Parts<'a>,
    pub(super) progress: &'a dyn Progress,
}

impl Question<'_> {
    /// `None` with fewer than [`MIN_GENES`] shared genes; the number is given back.
    pub(super) fn answer(&self, category: &str) -> Result<std::result::Result<CategoryResult, usize>> {
        let (genes, ids) = shared::genes(self.store, category, self.n_genes)?;
        if genes.len() < MIN_GENES {
            return Ok(Err(genes.len()));
        }
        let losses = align(&ids)?.losses;
        let expression = self.cells.expression(category, &genes)?;
        let mean = |row: &[f32]| row.iter().map(|&v| f64::from(v)).sum::<f64>() / row.len().max(1) as f64;
        let means: Vec<f64> = (0..genes.len()).map(|i| mean(expression.row(i))).collect();
        let groups = strata(&means, STRATA.min(genes.len()))?;
        let about =
            About { category, genes: &genes, expression: &expression, means: &means, groups: &groups };
        Ok(Ok(CategoryResult {
            category: category.into(),
            losses,
            models: self.side(&about, Role::Model)?,
            twins: self.side(&about, Role::Control)?,
            genes,
        }))
    }

    fn side(&self, about: &About<'_>, role: Role) -> Result<Side> {
        let entries: Vec<&ModelEntry> =
            self.store.manifest().models.iter().filter(|m| m.role == role).collect();
        let which = if role == Role::Model { "models" } else { "twins" };
        let name = |part: &str| format!("{}-{which}-{part}", stem_of(about.category));
        let mut members = Vec::with_capacity(entries.len());
        let mut flow = vec![];
        for entry in &entries {
            members.push(Member {
                name: entry.name.clone(),
                sites: entry.sites.iter().map(|s| s.site.clone()).collect(),
                streams: shared::streams(self.store, entry, about.category, about.genes)?,
            });
            flow.push(self.store.flow(entry, about.category)?);
        }
        let geometry = self
            .parts
            .get(&name("geometry"), || Geometry::of(&members, self.memory, self.rotations, self.progress))?;
        let weights = entries.iter().map(|e| self.weights(e)).collect::<Result<Vec<_>>>()?;
        let routed: Vec<Routed<'_>> = (0..entries.len())
            .filter_map(|member| {
                // Every block needs the stream that enters it.
                let (w, streams) = (weights[member].as_ref()?, &members[member].streams);
                (streams.len() > w.len()).then(|| Routed {
                    member,
                    name: entries[member].name.clone(),
                    entering: streams.iter().take(w.len()).collect(),
                    weights: w.clone(),
                })
            })
            .collect();
        let baselines = self.parts.get(&name("baselines"), || self.baselines(&entries, about))?;
        let asked = Asked { ks: self.ks, choice: self.choice, seed: self.seed, progress: self.progress };
        let routes = self.parts.get(&name("routing"), || asked.routes(&routed, about.groups, &baselines))?;
        let mut grounded = vec![];
        for reference in self.references {
            let found = self.parts.get(&name(&stem_of(&reference.name)), || {
                let with_baselines: &[BaselineEdges] = if role == Role::Model { &baselines } else { &[] };
                reference.ground(about, &members, routes.as_ref(), with_baselines, &asked)
            })?;
            grounded.push(found);
        }
        Ok(Side { geometry, flow, routes, grounded })
    }

    /// Weights of every block; none without softmax attention, or with scores that no sum of products states.
    fn weights(&self, entry: &ModelEntry) -> Result<Option<Vec<AttentionWeights>>> {
        let stored = self.store.attention(entry)?;
        let all: Option<Vec<AttentionWeights>> = stored.iter().map(weights::of_stored).collect();
        Ok(all.filter(|w| !w.is_empty()))
    }

    /// The strongest edges of co-expression in the same cells, of gene-level products and of static vectors.
    fn baselines(&self, entries: &[&ModelEntry], about: &About<'_>) -> Result<Vec<BaselineEdges>> {
        let k = self.ks.last().copied().unwrap_or(1);
        let options = TopOptions { k, absolute: false, self_pairs: false, ties: Ties::First };
        let top = |scores: &Scores| -> Result<Vec<Edge>> {
            Ok(top_edges(scores, &options, self.progress)?.into_iter().map(|e| e.edge).collect())
        };
        let means: Vec<f32> = about.means.iter().map(|&v| v as f32).collect();
        let mut out = vec![];
        // Two cells correlate all genes fully.
        if about.expression.cols() >= 3 {
            let edges = top(&coexpression(about.expression, true)?)?;
            out.push(BaselineEdges { name: COEXPRESSION.into(), member: None, edges });
        }
        out.push(BaselineEdges {
            name: "product of mean expression".into(),
            member: None,
            edges: top(&gene_level(&means)?)?,
        });
        for (member, entry) in entries.iter().enumerate() {
            if let Some(vectors) = shared::static_vectors(self.store, entry, about.genes)? {
                out.push(BaselineEdges {
                    name: STATIC.into(),
                    member: Some(member),
                    edges: top(&embedding_cosine(&vectors)?)?,
                });
            }
        }
        Ok(out)
    }
}

/// Name of the baseline of correlated expression.
pub(super) const COEXPRESSION: &str = "co-expression in the same cells (Spearman)";
/// Name of the baseline of gene vectors that need no cells.
pub(super) const STATIC: &str = "cosine of static gene vectors";

/// The genes of a category and what the cells say about them.
pub(super) struct About<'a> {
    pub(super) category: &'a str,
    pub(super) genes: &'a [usize],
    /// `[gene, cell]`.
    pub(super) expression: &'a Matrix,
    pub(super) means: &'a [f64],
    /// Group of every gene by mean expression.
    pub(super) groups: &'a [u32],
}
