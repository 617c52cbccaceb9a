//! Edges that several models have among their strongest, against what their degrees alone would give.

use crate::nulls::degree_matched;
use crate::outcome::Estimated;
use crate::routing::Edge;
use microtome_core::{Error, Progress, Result};
use microtome_numerics::resample::{Rng, percentile, permutation_p, quantile};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// How [`recovered`] works.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RecoveredOptions {
    /// Count `a -> b` and `b -> a` as one edge.
    pub undirected: bool,
    /// Draws of the null.
    pub draws: usize,
    /// Seed of the draws.
    pub seed: u64,
    /// Level of the interval of the null.
    pub level: f64,
}

impl Default for RecoveredOptions {
    fn default() -> Self {
        Self { undirected: false, draws: 999, seed: 0, level: 0.95 }
    }
}

/// How many edges at least so many models found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recovered {
    /// Models that must have found an edge.
    pub models: usize,
    /// Edges that so many or more found.
    pub edges: Vec<Edge>,
    /// Number expected when every model keeps the degrees of its genes but not its edges: median and interval over draws
    /// (`n` draws).
    pub expected: Estimated,
    /// Permutation p, one-sided: `(1 + draws at least as large) / (1 + draws)`.
    pub p: f64,
}

/// One entry for every number of models from 2 up. `lists` holds each model's strongest edges over the shared genes.
///
/// Errors with fewer than two models or without draws, or when stopped.
pub fn recovered(
    lists: &[Vec<Edge>],
    options: &RecoveredOptions,
    progress: &dyn Progress,
) -> Result<Vec<Recovered>> {
    if lists.len() < 2 || options.draws == 0 {
        return Err(Error::usage("edges shared by models need two models and draws of the null")
            .found(format!("{} models, {} draws", lists.len(), options.draws)));
    }
    let observed = shared(lists, options.undirected);
    progress.begin("edges shared by chance", options.draws as u64, "draws");
    let draws: Result<Vec<Vec<usize>>> = (0..options.draws)
        .into_par_iter()
        .map(|draw| {
            progress.check()?;
            let mut rng = Rng::stream(options.seed, draw as u64);
            let nulls: Vec<Vec<Edge>> = lists
                .iter()
                .map(|edges| Ok(degree_matched(edges, None, &mut rng)?.edges))
                .collect::<Result<_>>()?;
            progress.advance(1);
            Ok(shared(&nulls, options.undirected).iter().map(Vec::len).collect())
        })
        .collect();
    progress.end();
    let draws = draws?;
    observed
        .into_iter()
        .enumerate()
        .map(|(i, edges)| {
            let null: Vec<f64> = draws.iter().map(|d| d[i] as f64).collect();
            let interval = percentile(&null, options.level)?;
            let middle = quantile(&null, 0.5)?;
            Ok(Recovered {
                models: i + 2,
                p: permutation_p(edges.len() as f64, &null)?,
                edges,
                expected: Estimated {
                    low: interval.map(|i| i.low),
                    high: interval.map(|i| i.high),
                    ..Estimated::or_reason(middle, null.len() as u64, "no draw was made")
                },
            })
        })
        .collect()
}

/// Per number of models from 2 up: edges in so many lists or more, rising.
fn shared(lists: &[Vec<Edge>], undirected: bool) -> Vec<Vec<Edge>> {
    let mut all: Vec<Edge> = Vec::new();
    for list in lists {
        let mut own: Vec<Edge> = list
            .iter()
            .map(|e| if undirected { Edge::new(e.from.min(e.to), e.from.max(e.to)) } else { *e })
            .collect();
        own.sort_unstable();
        own.dedup();
        all.extend(own);
    }
    all.sort_unstable();
    let mut out = vec![Vec::new(); lists.len() - 1];
    for run in all.chunk_by(|a, b| a == b) {
        (2..=run.len()).for_each(|m| out[m - 2].push(run[0]));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nulls::random_pairs;
    use microtome_core::Silent;

    #[test]
    fn planted_overlap_is_found_and_hubs_alone_are_not() {
        let options = RecoveredOptions { draws: 199, ..RecoveredOptions::default() };
        let mut rng = Rng::new(2);
        let planted = random_pairs(200, 60, &mut rng).unwrap();
        let lists: Vec<Vec<Edge>> = (0..3)
            .map(|_| planted.iter().copied().chain(random_pairs(200, 200, &mut rng).unwrap()).collect())
            .collect();
        let out = recovered(&lists, &options, &Silent).unwrap();
        assert_eq!(out.len(), 2);
        assert!(out[1].edges.len() >= 60 && out[1].p < 0.01 && out[0].p < 0.01);

        // All models prefer the same five keys, at random otherwise: a large overlap, all of it due to degrees.
        let hubs = |seed: u64| -> Vec<Edge> {
            let mut rng = Rng::new(seed);
            (0..200).map(|_| Edge::new(5 + rng.below(195) as u32, rng.below(5) as u32)).collect()
        };
        let significant = (0..40)
            .filter(|&t| recovered(&[hubs(2 * t), hubs(2 * t + 1)], &options, &Silent).unwrap()[0].p <= 0.05)
            .count();
        assert!(significant <= 6, "{significant} of 40 null overlaps are significant at 5 %");
        assert!(recovered(&lists[..1], &options, &Silent).is_err());
    }

    #[test]
    fn direction_counts_unless_told_not_to() {
        let lists = [vec![Edge::new(0, 1), Edge::new(2, 3)], vec![Edge::new(1, 0), Edge::new(2, 3)]];
        assert_eq!(shared(&lists, false)[0], [Edge::new(2, 3)]);
        assert_eq!(shared(&lists, true)[0], [Edge::new(0, 1), Edge::new(2, 3)]);
    }
}
