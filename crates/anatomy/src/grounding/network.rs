//! Enrichment of strongest edges in a network of known interactions.

use crate::nulls::degree_matched;
use crate::outcome::Estimated;
use crate::routing::Edge;
use microtome_core::{Error, Progress, Result};
use microtome_numerics::resample::{Rng, percentile, permutation_p};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Known interactions between genes, by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    edges: Vec<Edge>,
    covered: Vec<bool>,
    directed: bool,
}

impl Network {
    /// Of `n_genes` genes. Undirected interactions count either way; repeats and self pairs are dropped. A gene is covered
    /// when it has an interaction; edges with other genes say nothing and are not counted against a model.
    ///
    /// Errors when an interaction names a row that does not exist.
    pub fn new(n_genes: usize, pairs: &[Edge], directed: bool) -> Result<Self> {
        let mut edges: Vec<Edge> = pairs.iter().copied().filter(|e| !e.is_self()).collect();
        if !directed {
            let turned: Vec<Edge> = edges.iter().map(|e| Edge::new(e.to, e.from)).collect();
            edges.extend(turned);
        }
        edges.sort_unstable();
        edges.dedup();
        let mut covered = vec![false; n_genes];
        for e in &edges {
            for row in [e.from, e.to] {
                *covered.get_mut(row as usize).ok_or_else(|| {
                    Error::usage("an interaction names a gene that does not exist")
                        .expected(format!("rows below {n_genes}"))
                        .found(row.to_string())
                })? = true;
            }
        }
        Ok(Self { edges, covered, directed })
    }

    /// True when the interaction is known.
    pub fn contains(&self, edge: Edge) -> bool {
        self.edges.binary_search(&edge).is_ok()
    }

    /// True when both genes have some known interaction and are different.
    pub fn can_tell(&self, edge: Edge) -> bool {
        let covered = |row: u32| self.covered.get(row as usize).copied().unwrap_or(false);
        !edge.is_self() && covered(edge.from) && covered(edge.to)
    }

    /// Genes with an interaction.
    pub fn n_covered(&self) -> usize {
        self.covered.iter().filter(|&&c| c).count()
    }

    /// Known interactions, one per direction.
    pub fn n_edges(&self) -> usize {
        if self.directed { self.edges.len() } else { self.edges.len() / 2 }
    }
}

/// How [`edge_enrichment`] works.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EnrichmentOptions {
    /// Draws of the null and of the bootstrap.
    pub draws: usize,
    /// Seed.
    pub seed: u64,
    /// Level of the intervals.
    pub level: f64,
}

impl Default for EnrichmentOptions {
    fn default() -> Self {
        Self { draws: 499, seed: 0, level: 0.95 }
    }
}

/// Enrichment of one list of edges in one network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EdgeEnrichment {
    /// Edges given.
    pub listed: u64,
    /// Edges between covered genes: the others are left out everywhere.
    pub n: u64,
    /// Of those, known interactions.
    pub known: u64,
    /// Share of known interactions; interval by bootstrap over **query genes** (`n` of them), since edges of one gene are not
    /// independent.
    pub rate: Estimated,
    /// The same share in the matched null: mean, with the interval of draws (`n` draws).
    pub null_rate: Estimated,
    /// Rate divided by null rate, with the bootstrap interval of the rate.
    pub enrichment: Estimated,
    /// Share of known interactions among all ordered pairs of covered genes: the weak background, for comparison only.
    pub background: f64,
    /// Permutation p against the matched null, one-sided; none without edges.
    pub p: Option<f64>,
    /// Mean share of null edges that could not be made valid.
    pub unmended: f64,
}

/// Enrichment of `edges` against the null of [`degree_matched`], within `strata` (groups by expression) where given.
///
/// Errors without draws, when a gene has no group, or when stopped.
pub fn edge_enrichment(
    edges: &[Edge],
    network: &Network,
    strata: Option<&[u32]>,
    options: &EnrichmentOptions,
    progress: &dyn Progress,
) -> Result<EdgeEnrichment> {
    if options.draws == 0 {
        return Err(Error::usage("enrichment needs draws of the null").expected("1 or more").found("0"));
    }
    let mut told: Vec<Edge> = edges.iter().copied().filter(|&e| network.can_tell(e)).collect();
    told.sort_unstable();
    let n = told.len() as u64;
    let known = told.iter().filter(|&&e| network.contains(e)).count() as u64;
    let covered = network.n_covered() as f64;
    let background = network.edges.len() as f64 / (covered * (covered - 1.0)).max(1.0);
    let mut out = EdgeEnrichment {
        listed: edges.len() as u64,
        n,
        known,
        rate: Estimated::missing(0, "no edge is between genes that the network covers"),
        null_rate: Estimated::missing(0, "no edge is between genes that the network covers"),
        enrichment: Estimated::missing(0, "no edge is between genes that the network covers"),
        background,
        p: None,
        unmended: 0.0,
    };
    if n == 0 {
        return Ok(out);
    }
    let observed = known as f64 / n as f64;

    let draws: Vec<(f64, f64)> = (0..options.draws)
        .into_par_iter()
        .map(|draw| {
            progress.check()?;
            let null = degree_matched(&told, strata, &mut Rng::stream(options.seed, draw as u64))?;
            let hits = null.edges.iter().filter(|&&e| network.contains(e)).count();
            Ok((hits as f64 / n as f64, null.unmended as f64 / n as f64))
        })
        .collect::<Result<_>>()?;
    let null: Vec<f64> = draws.iter().map(|d| d.0).collect();
    let count = draws.len() as f64;
    let expected = null.iter().sum::<f64>() / count;
    let interval = percentile(&null, options.level)?;
    out.unmended = draws.iter().map(|d| d.1).sum::<f64>() / count;
    out.p = Some(permutation_p(observed, &null)?);
    out.null_rate = Estimated {
        low: interval.map(|i| i.low),
        high: interval.map(|i| i.high),
        ..Estimated::exact(expected, null.len() as u64)
    };

    // Query genes with their edges and known ones.
    let genes: Vec<(f64, f64)> = told
        .chunk_by(|a, b| a.from == b.from)
        .map(|g| (g.len() as f64, g.iter().filter(|&&e| network.contains(e)).count() as f64))
        .collect();
    let units = genes.len() as u64;
    out.rate = Estimated::exact(observed, units);
    // Few edges between covered genes cannot be paired anew: a null that never moves says nothing.
    if null.iter().all(|&rate| rate == observed) && null.len() > 1 {
        let why = "no draw of the null differs from the edges: there are too few that can be paired anew";
        out.enrichment = Estimated::missing(units, why);
        out.p = None;
        return Ok(out);
    }
    out.enrichment = Estimated::or_reason(
        (expected > 0.0).then(|| observed / expected),
        units,
        "no null edge is a known interaction",
    );
    if genes.len() < 6 {
        out.rate.reason = Some(format!("{units} query genes are too few for an interval (at least 6)"));
        return Ok(out);
    }
    let rates: Vec<f64> = (0..options.draws)
        .map(|draw| {
            let mut rng = Rng::stream(options.seed ^ 0x5eed, draw as u64);
            let (mut all, mut hits) = (0.0, 0.0);
            for _ in 0..genes.len() {
                let (a, h) = genes[rng.below(genes.len())];
                all += a;
                hits += h;
            }
            hits / all
        })
        .collect();
    if let Some(i) = percentile(&rates, options.level)? {
        (out.rate.low, out.rate.high) = (Some(i.low), Some(i.high));
        if expected > 0.0 {
            (out.enrichment.low, out.enrichment.high) = (Some(i.low / expected), Some(i.high / expected));
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nulls::random_pairs;
    use microtome_core::Silent;

    #[test]
    fn planted_interactions_are_enriched_and_hubs_are_not() {
        let mut rng = Rng::new(4);
        let pairs = random_pairs(300, 2000, &mut rng).unwrap();
        let network = Network::new(300, &pairs, true).unwrap();
        assert!(network.contains(pairs[0]) && network.n_edges() <= 2000 && network.n_covered() == 300);
        let planted: Vec<Edge> =
            pairs[..150].iter().copied().chain(random_pairs(300, 150, &mut rng).unwrap()).collect();
        let options = EnrichmentOptions { draws: 199, ..EnrichmentOptions::default() };
        let out = edge_enrichment(&planted, &network, None, &options, &Silent).unwrap();
        assert!(out.p.unwrap() < 0.01 && out.enrichment.low.unwrap() > 3.0, "{out:?}");
        assert!(out.rate.low.unwrap() < out.rate.value.unwrap());

        // Hubs of the network that are hubs of the model: above the background, no more than degrees give.
        let hub_network = |seed: u64| -> Vec<Edge> {
            let mut rng = Rng::new(seed);
            (0..1500).map(|_| Edge::new(rng.below(300) as u32, rng.below(12) as u32)).collect()
        };
        let network = Network::new(300, &hub_network(1), true).unwrap();
        let mut significant = 0;
        for seed in 0..30 {
            let mut edges = hub_network(100 + seed);
            edges.truncate(200);
            edges.sort_unstable();
            edges.dedup();
            let out = edge_enrichment(&edges, &network, None, &options, &Silent).unwrap();
            assert!(out.rate.value.unwrap() > 3.0 * out.background);
            significant += usize::from(out.p.unwrap() <= 0.05);
        }
        assert!(significant <= 5, "{significant} of 30 nulls are significant at 5 %");
    }

    #[test]
    fn a_null_that_cannot_move_says_nothing() {
        // One query and one key: whatever is exchanged, the edge stays.
        let network = Network::new(4, &[Edge::new(0, 1), Edge::new(2, 3)], true).unwrap();
        let options = EnrichmentOptions { draws: 20, ..EnrichmentOptions::default() };
        let out = edge_enrichment(&[Edge::new(0, 1)], &network, None, &options, &Silent).unwrap();
        assert_eq!((out.known, out.rate.value, out.enrichment.value, out.p), (1, Some(1.0), None, None));
        assert!(out.enrichment.reason.unwrap().contains("paired anew"));
    }

    #[test]
    fn uncovered_genes_say_nothing() {
        let network = Network::new(5, &[Edge::new(0, 1), Edge::new(1, 0), Edge::new(2, 2)], false).unwrap();
        assert_eq!((network.n_edges(), network.n_covered()), (1, 2));
        let none = edge_enrichment(
            &[Edge::new(0, 3), Edge::new(2, 2)],
            &network,
            None,
            &EnrichmentOptions::default(),
            &Silent,
        )
        .unwrap();
        assert_eq!((none.n, none.p, none.rate.value), (0, None, None));
        assert!(Network::new(1, &[Edge::new(0, 1)], true).is_err());
    }
}
