//! Enrichment of gene neighbourhoods in gene sets: are a gene's nearest genes in the stream its pathway mates.

use crate::outcome::Estimated;
use microtome_core::{Error, Matrix, Progress, Result};
use microtome_numerics::knn::{Metric, exact_knn};
use microtome_numerics::resample::{Rng, percentile, permutation_p};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Genes that belong together, by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeneSet {
    /// Name.
    pub name: String,
    /// Rows.
    pub genes: Vec<u32>,
}

/// How [`set_enrichment`] works.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SetOptions {
    /// Nearest genes that make a neighbourhood.
    pub k: usize,
    /// What near means.
    pub metric: Metric,
    /// Sets with fewer genes are passed over.
    pub min_size: usize,
    /// Sets with more genes are passed over.
    pub max_size: usize,
    /// Draws of the null per set, and of the bootstrap.
    pub draws: usize,
    /// Seed.
    pub seed: u64,
    /// Level of the intervals.
    pub level: f64,
}

impl Default for SetOptions {
    fn default() -> Self {
        Self { k: 10, metric: Metric::Cosine, min_size: 5, max_size: 500, draws: 199, seed: 0, level: 0.95 }
    }
}

/// One set in one block.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SetEnrichment {
    /// Name.
    pub name: String,
    /// Genes.
    pub n: u64,
    /// Share of the neighbours of the set's genes that are in the set, mean over its genes.
    pub share: f64,
    /// The same for random sets with as many genes of every group: mean, with the interval of draws.
    pub null: Estimated,
    /// Permutation p, one-sided.
    pub p: f64,
}

/// All sets in one block.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SetsEnrichment {
    /// Mean over sets of share minus null, with a bootstrap interval over sets (`n` sets).
    pub excess: Estimated,
    /// Every set in order.
    pub sets: Vec<SetEnrichment>,
    /// Sets passed over for their size.
    pub passed_over: u64,
}

/// Enrichment of neighbourhoods among the rows of `stream [gene, d]` in `sets`. The null keeps the number of genes of every
/// group of `strata` (by expression), so that a set of highly expressed genes is compared with others of that kind.
///
/// Errors when `k` does not fit the number of genes, a row or group does not exist, or without draws, or when stopped.
pub fn set_enrichment(
    stream: &Matrix,
    sets: &[GeneSet],
    strata: &[u32],
    options: &SetOptions,
    progress: &dyn Progress,
) -> Result<SetsEnrichment> {
    let n = stream.rows();
    if strata.len() != n || options.draws == 0 {
        return Err(Error::usage("gene sets need a group for every gene and draws of the null")
            .expected(format!("{n} groups"))
            .found(format!("{} groups, {} draws", strata.len(), options.draws)));
    }
    let found = exact_knn(stream, options.k, options.metric)?;
    progress.check()?;
    let n_groups = strata.iter().max().map_or(0, |&g| g as usize + 1);
    let mut groups = vec![Vec::new(); n_groups];
    strata.iter().enumerate().for_each(|(row, &g)| groups[g as usize].push(row as u32));

    let outcomes: Vec<Option<SetEnrichment>> = sets
        .par_iter()
        .enumerate()
        .map_init(
            || vec![false; n],
            |inside, (index, set)| {
                progress.check()?;
                let mut genes = set.genes.clone();
                genes.sort_unstable();
                genes.dedup();
                if genes.last().is_some_and(|&g| g as usize >= n) {
                    return Err(Error::usage("a gene set names a gene that does not exist")
                        .at_key(set.name.clone())
                        .expected(format!("rows below {n}")));
                }
                if !(options.min_size.max(2)..=options.max_size).contains(&genes.len()) {
                    return Ok(None);
                }
                let share = shared(&genes, &found.indices, found.k, inside);
                let mut wanted = vec![0usize; n_groups];
                genes.iter().for_each(|&g| wanted[strata[g as usize] as usize] += 1);
                let mut rng = Rng::stream(options.seed, index as u64);
                let null: Vec<f64> = (0..options.draws)
                    .map(|_| {
                        let drawn = draw(&groups, &wanted, &mut rng);
                        shared(&drawn, &found.indices, found.k, inside)
                    })
                    .collect();
                let interval = percentile(&null, options.level)?;
                let mean = null.iter().sum::<f64>() / null.len() as f64;
                Ok(Some(SetEnrichment {
                    name: set.name.clone(),
                    n: genes.len() as u64,
                    share,
                    p: permutation_p(share, &null)?,
                    null: Estimated {
                        low: interval.map(|i| i.low),
                        high: interval.map(|i| i.high),
                        ..Estimated::exact(mean, null.len() as u64)
                    },
                }))
            },
        )
        .collect::<Result<_>>()?;
    let kept: Vec<SetEnrichment> = outcomes.into_iter().flatten().collect();
    let excess: Vec<f64> = kept.iter().map(|s| s.share - s.null.value.unwrap_or(0.0)).collect();
    Ok(SetsEnrichment {
        excess: mean_over_sets(&excess, options)?,
        passed_over: (sets.len() - kept.len()) as u64,
        sets: kept,
    })
}

/// Mean with a bootstrap interval over sets.
fn mean_over_sets(values: &[f64], options: &SetOptions) -> Result<Estimated> {
    let n = values.len();
    if n == 0 {
        return Ok(Estimated::missing(0, "no gene set has a usable size"));
    }
    let mean = |v: &mut dyn Iterator<Item = f64>| v.sum::<f64>() / n as f64;
    let mut out = Estimated::exact(mean(&mut values.iter().copied()), n as u64);
    if n < 6 {
        out.reason = Some(format!("{n} gene sets are too few for an interval (at least 6)"));
        return Ok(out);
    }
    let mut rng = Rng::new(options.seed);
    let means: Vec<f64> =
        (0..options.draws).map(|_| mean(&mut (0..n).map(|_| values[rng.below(n)]))).collect();
    if let Some(i) = percentile(&means, options.level)? {
        (out.low, out.high) = (Some(i.low), Some(i.high));
    }
    Ok(out)
}

/// Share of neighbours of `genes` that are among them. `inside` is all false before and after.
fn shared(genes: &[u32], neighbours: &[u32], k: usize, inside: &mut [bool]) -> f64 {
    genes.iter().for_each(|&g| inside[g as usize] = true);
    let hits: usize = genes
        .iter()
        .map(|&g| {
            neighbours[g as usize * k..(g as usize + 1) * k].iter().filter(|&&j| inside[j as usize]).count()
        })
        .sum();
    genes.iter().for_each(|&g| inside[g as usize] = false);
    hits as f64 / (genes.len() * k) as f64
}

/// `wanted[g]` different rows of every group.
fn draw(groups: &[Vec<u32>], wanted: &[usize], rng: &mut Rng) -> Vec<u32> {
    let mut out = Vec::with_capacity(wanted.iter().sum());
    for (members, &count) in groups.iter().zip(wanted) {
        // Floyd's way: `count` different places without a copy of the group.
        let first = out.len();
        for j in members.len() - count..members.len() {
            let pick = members[rng.below(j + 1)];
            out.push(if out[first..].contains(&pick) { members[j] } else { pick });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use microtome_core::Silent;

    #[test]
    fn planted_sets_are_enriched_and_random_ones_are_not() {
        let (n, d) = (400, 12);
        let mut rng = Rng::new(8);
        let mut x = Matrix::new(n, d, (0..n * d).map(|_| rng.normal() as f32).collect()).unwrap();
        // Genes 0..20 point the same way.
        (0..20).for_each(|i| x.row_mut(i)[0] += 8.0);
        let strata: Vec<u32> = (0..n as u32).map(|i| i % 4).collect();
        let mut sets = vec![GeneSet { name: "planted".into(), genes: (0..20).collect() }];
        for s in 0..60 {
            let genes = rng.choose(380, 20).into_iter().map(|g| g as u32 + 20).collect();
            sets.push(GeneSet { name: format!("random {s}"), genes });
        }
        sets.push(GeneSet { name: "tiny".into(), genes: vec![1] });
        let out = set_enrichment(&x, &sets, &strata, &SetOptions::default(), &Silent).unwrap();
        assert_eq!((out.passed_over, out.sets.len()), (1, 61));
        assert!(out.sets[0].p <= 0.005 && out.sets[0].share > 10.0 * out.sets[0].null.value.unwrap());
        let significant = out.sets[1..].iter().filter(|s| s.p <= 0.05).count();
        assert!(significant <= 8, "{significant} of 60 random sets are significant at 5 %");
        let outside = [GeneSet { name: "x".into(), genes: vec![0, 1, 2, 3, 4, 5, 900] }];
        assert!(set_enrichment(&x, &outside, &strata, &SetOptions::default(), &Silent).is_err());
    }

    #[test]
    fn draws_keep_groups_and_are_different_rows() {
        let groups = vec![vec![0, 1, 2], vec![3, 4, 5, 6]];
        let mut rng = Rng::new(0);
        let mut seen = [0; 7];
        for _ in 0..3000 {
            let mut got = draw(&groups, &[2, 3], &mut rng);
            got.sort_unstable();
            got.iter().for_each(|&g| seen[g as usize] += 1);
            got.dedup();
            assert_eq!(got.len(), 5);
        }
        assert!(seen[..3].iter().all(|&s| (1850..2150).contains(&s)), "{seen:?}");
    }
}
