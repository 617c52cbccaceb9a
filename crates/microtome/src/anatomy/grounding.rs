//! Are strongest edges known interactions, and are a gene's neighbours its pathway mates: per place, beside nulls and simple baselines.

use std::path::Path;

use microtome_anatomy::grounding::{
    EdgeEnrichment, EnrichmentOptions, SetOptions, SetsEnrichment, edge_enrichment, set_enrichment,
};
use microtome_anatomy::routing::Edge;
use microtome_core::{Matrix, Result};
use serde::{Deserialize, Serialize};

use super::analyse::About;
use super::geometry::{Member, NEIGHBOURS};
use super::networks::{Network, Sets};
use super::routes::{Asked, BaselineEdges, Routes};
use crate::gene_store::GeneList;

/// Draws of a null, and of the bootstrap over query genes.
const DRAWS: usize = 99;

/// Known interactions or sets, read.
pub(super) struct Reference {
    pub(super) name: String,
    /// What was read, in words.
    pub(super) note: String,
    what: What,
}

enum What {
    Network(Network),
    Sets(Sets),
}

/// One reference in one side of a category.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Grounded {
    /// Of the strongest edges of every place of the routing, and of every baseline.
    Edges { places: Vec<EdgeEnrichment>, baselines: Vec<(String, Option<usize>, EdgeEnrichment)> },
    /// Of the neighbourhoods at every site of every member, and of baselines.
    Neighbours { sites: Vec<Vec<SetsEnrichment>>, baselines: Vec<(String, SetsEnrichment)> },
}

impl Reference {
    pub(super) fn network(path: &Path, genes: &GeneList) -> Result<Self> {
        let network = Network::read(path, genes)?;
        Ok(Self { name: network.name.clone(), note: network.note.clone(), what: What::Network(network) })
    }

    pub(super) fn sets(path: &Path, genes: &GeneList) -> Result<Self> {
        let sets = Sets::read(path, genes)?;
        Ok(Self { name: sets.name.clone(), note: sets.note.clone(), what: What::Sets(sets) })
    }

    /// Whether it is a network, whose edges are looked for.
    pub(super) fn is_network(&self) -> bool {
        matches!(self.what, What::Network(_))
    }

    pub(super) fn ground(
        &self,
        about: &About<'_>,
        members: &[Member],
        routes: Option<&Routes>,
        baselines: &[BaselineEdges],
        asked: &Asked<'_>,
    ) -> Result<Grounded> {
        match &self.what {
            What::Network(network) => {
                let network = network.among(about.genes)?;
                let options = EnrichmentOptions { draws: DRAWS, seed: asked.seed, level: 0.95 };
                let enriched = |edges: &[Edge]| {
                    let edges = &edges[..asked.k().min(edges.len())];
                    edge_enrichment(edges, &network, Some(about.groups), &options, asked.progress)
                };
                let mut places = vec![];
                for top in routes.map_or(&[][..], |r| &r.routing.top) {
                    let edges: Vec<Edge> = top.iter().map(|e| e.edge).collect();
                    places.push(enriched(&edges)?);
                }
                let mut simple = vec![];
                for b in baselines {
                    simple.push((b.name.clone(), b.member, enriched(&b.edges)?));
                }
                Ok(Grounded::Edges { places, baselines: simple })
            }
            What::Sets(sets) => {
                let sets = sets.among(about.genes);
                let k = NEIGHBOURS.min(about.genes.len() - 1);
                let options = SetOptions { k, draws: DRAWS, seed: asked.seed, ..SetOptions::default() };
                let enriched = |x: &Matrix| set_enrichment(x, &sets, about.groups, &options, asked.progress);
                let of_member = |m: &Member| m.streams.iter().map(enriched).collect::<Result<Vec<_>>>();
                let sites = members.iter().map(of_member).collect::<Result<_>>()?;
                let mut simple = vec![];
                if !baselines.is_empty() {
                    let centred = centred(about.expression);
                    simple.push((
                        super::analyse::COEXPRESSION.replace("Spearman", "Pearson"),
                        enriched(&centred)?,
                    ));
                    let means: Vec<f32> = about.means.iter().map(|&m| m as f32).collect();
                    let level = Matrix::new(means.len(), 1, means)?;
                    let options =
                        SetOptions { metric: microtome_numerics::knn::Metric::Euclidean, ..options };
                    let near = set_enrichment(&level, &sets, about.groups, &options, asked.progress)?;
                    simple.push(("nearest mean expression".into(), near));
                }
                Ok(Grounded::Neighbours { sites, baselines: simple })
            }
        }
    }
}

/// Rows less their mean, so that cosines are correlations.
fn centred(x: &Matrix) -> Matrix {
    let mut out = x.clone();
    for i in 0..x.rows() {
        let row = out.row_mut(i);
        let mean = row.iter().map(|&v| f64::from(v)).sum::<f64>() / row.len().max(1) as f64;
        row.iter_mut().for_each(|v| *v = (f64::from(*v) - mean) as f32);
    }
    out
}
