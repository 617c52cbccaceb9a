//! Whether rankings of genes, one per regulator, find the regulator's known targets.
//!
//! Targets are compared with genes of their own stratum only (like expression, like number of regulators), since highly
//! expressed genes and hubs of a network are found by anything. The unit is the regulator.

use std::collections::BTreeMap;

use microtome_core::{Error, Progress, Result};

use crate::protocol::bootstrap::{Series, bootstrap};
use crate::protocol::interval::Interval;
use crate::protocol::{LANES, Lanes, Protocol, Scale, ScoreSet, Units, Weights};

/// Rankings by one method: a score per regulator and gene, higher for likelier targets; NaN where there is none.
#[derive(Clone, Debug, PartialEq)]
pub struct Rankings {
    /// Name of the method.
    pub name: String,
    /// `[regulator][gene]`.
    pub scores: Vec<Vec<f64>>,
}

/// What is true.
#[derive(Clone, Debug, PartialEq)]
pub struct Targets {
    /// Names of the regulators.
    pub regulators: Vec<String>,
    /// `[regulator][gene]`: `Some(true)` for a target, `Some(false)` for a gene it is compared with, `None` for one that takes no part
    /// (the regulator itself).
    pub is_target: Vec<Vec<Option<bool>>>,
    /// Stratum of every gene.
    pub strata: Vec<u32>,
}

/// How well a method finds targets.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Name of the method.
    pub name: String,
    /// Mean over regulators of the matched area under the ROC curve.
    pub mean: Option<f64>,
    /// Its interval over regulators; `None` with fewer than six.
    pub interval: Option<Interval>,
    /// Mean of the first method minus that of this one; `None` for the first.
    pub ahead: Option<f64>,
    /// Its interval, paired over regulators.
    pub ahead_interval: Option<Interval>,
    /// Area of every regulator that counts, in the order of [`Comparison::regulators`].
    pub areas: Vec<f64>,
}

/// All methods on the same regulators and genes.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Regulators (by position) that every method has an area for.
    pub regulators: Vec<usize>,
    /// Targets of each that were compared.
    pub n_targets: Vec<usize>,
    /// The methods, in their order.
    pub found: Vec<Found>,
}

/// Probability that a target is scored above another gene of its stratum, ties counted half: the area under the ROC curve (Mann and
/// Whitney 1947) over pairs within strata. `None` without such a pair. Genes without a score take no part.
pub fn matched_area(scores: &[f64], is_target: &[Option<bool>], strata: &[u32]) -> Option<f64> {
    let mut by_stratum: BTreeMap<u32, Vec<(f64, bool)>> = BTreeMap::new();
    for ((&score, is), &stratum) in scores.iter().zip(is_target).zip(strata) {
        if let (Some(is), false) = (*is, score.is_nan()) {
            by_stratum.entry(stratum).or_default().push((score, is));
        }
    }
    let (mut won, mut pairs) = (0.0, 0.0);
    for genes in by_stratum.values_mut() {
        let targets = genes.iter().filter(|g| g.1).count();
        pairs += (targets * (genes.len() - targets)) as f64;
        genes.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut below = 0.0;
        for tied in genes.chunk_by(|a, b| a.0 == b.0) {
            let targets = tied.iter().filter(|g| g.1).count() as f64;
            let others = tied.len() as f64 - targets;
            won += targets * (below + 0.5 * others);
            below += others;
        }
    }
    (pairs > 0.0).then(|| won / pairs)
}

/// Compares methods on the genes that all of them score and the regulators with at least `min_targets` targets among these. The first
/// method is compared with each of the others.
///
/// # Errors
/// When sizes disagree, no regulator has enough targets, or the user stops.
pub fn compare(
    rankings: &[Rankings],
    truth: &Targets,
    min_targets: usize,
    protocol: &Protocol,
    progress: &dyn Progress,
) -> Result<Comparison> {
    protocol.check()?;
    let (n, n_genes) = (truth.regulators.len(), truth.strata.len());
    let fine = rankings.iter().all(|r| fits(&r.scores, n, n_genes)) && fits(&truth.is_target, n, n_genes);
    if !fine || rankings.is_empty() {
        return Err(Error::usage("rankings are needed for every regulator and gene")
            .expected(format!("{n} regulators x {n_genes} genes")));
    }
    let mut comparison = Comparison { regulators: vec![], n_targets: vec![], found: vec![] };
    let mut areas: Vec<Vec<f64>> = vec![vec![]; rankings.len()];
    for r in 0..n {
        let scored = |g: usize| rankings.iter().all(|k| !k.scores[r][g].is_nan());
        let is: Vec<Option<bool>> =
            (0..n_genes).map(|g| truth.is_target[r][g].filter(|_| scored(g))).collect();
        let n_targets = is.iter().filter(|t| **t == Some(true)).count();
        if n_targets < min_targets.max(1) {
            continue;
        }
        let of = |k: &Rankings| matched_area(&k.scores[r], &is, &truth.strata);
        let Some(own) = rankings.iter().map(of).collect::<Option<Vec<f64>>>() else { continue };
        comparison.regulators.push(r);
        comparison.n_targets.push(n_targets);
        areas.iter_mut().zip(own).for_each(|(all, one)| all.push(one));
    }
    let m = comparison.regulators.len();
    if m == 0 {
        return Err(Error::mismatch(
            "no regulator has enough known targets among the genes that were ranked",
        )
        .expected(format!("at least {min_targets} targets of one regulator, and other genes like them"))
        .remedy("use more cells, a network of more of these genes, or fewer --min-targets"));
    }
    let units = Units {
        name: "regulator".into(),
        names: comparison.regulators.iter().map(|&r| truth.regulators[r].clone()).collect(),
        members: (0..m).map(|i| vec![i]).collect(),
    };
    let series: Vec<Series> = (0..rankings.len())
        .map(Series::Score)
        .chain((1..rankings.len()).map(|k| Series::Difference(0, vec![k])))
        .collect();
    let set = Means(&areas);
    let replicates = bootstrap(&set, &series, &units, protocol, progress)?;
    let interval = |s: usize| replicates.get(s).and_then(|r| r.interval(protocol.level));
    let mean = |k: usize| areas[k].iter().sum::<f64>() / m as f64;
    comparison.found = rankings
        .iter()
        .enumerate()
        .map(|(k, ranking)| Found {
            name: ranking.name.clone(),
            mean: Some(mean(k)),
            interval: interval(k),
            ahead: (k > 0).then(|| mean(0) - mean(k)),
            ahead_interval: if k > 0 { interval(rankings.len() + k - 1) } else { None },
            areas: areas[k].clone(),
        })
        .collect();
    Ok(comparison)
}

fn fits<T>(rows: &[Vec<T>], n: usize, width: usize) -> bool {
    rows.len() == n && rows.iter().all(|r| r.len() == width)
}

/// Mean over regulators, `[method][regulator]`.
struct Means<'a>(&'a [Vec<f64>]);

impl ScoreSet for Means<'_> {
    fn scale(&self) -> Scale {
        Scale::Share
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn weighted(&self, weights: &Weights) -> Vec<Lanes> {
        let totals = weights.totals();
        let of = |areas: &Vec<f64>| {
            let mut sum = [0.0; LANES];
            for (w, a) in weights.cells().iter().zip(areas) {
                (0..LANES).for_each(|l| sum[l] += w[l] * a);
            }
            std::array::from_fn(|l| sum[l] / totals[l])
        };
        self.0.iter().map(of).collect()
    }

    /// Areas have no truth that could be exchanged between regulators.
    fn permuted(&self, _: &[Vec<u32>]) -> Vec<Lanes> {
        vec![[f64::NAN; LANES]; self.0.len()]
    }
}

#[cfg(test)]
mod tests {
    use microtome_core::Silent;
    use microtome_numerics::resample::Rng;

    use super::*;

    fn protocol() -> Protocol {
        Protocol { n_bootstrap: 400, ..Protocol::default() }
    }

    /// Pair by pair.
    fn plain(scores: &[f64], is: &[Option<bool>], strata: &[u32]) -> Option<f64> {
        let (mut won, mut n) = (0.0, 0.0);
        for a in (0..scores.len()).filter(|&a| is[a] == Some(true) && !scores[a].is_nan()) {
            for b in (0..scores.len()).filter(|&b| is[b] == Some(false) && !scores[b].is_nan()) {
                if strata[a] == strata[b] {
                    n += 1.0;
                    won += if scores[a] > scores[b] { 1.0 } else { 0.5 * f64::from(scores[a] == scores[b]) };
                }
            }
        }
        (n > 0.0).then(|| won / n)
    }

    #[test]
    fn areas_are_those_of_all_pairs_within_strata() {
        let mut random = Rng::new(3);
        for _ in 0..50 {
            let n = 30;
            let mut scores: Vec<f64> = (0..n).map(|_| random.below(8) as f64).collect();
            scores[4] = f64::NAN;
            let is: Vec<Option<bool>> =
                (0..n).map(|_| [Some(true), Some(false), Some(false), None][random.below(4)]).collect();
            let strata: Vec<u32> = (0..n).map(|_| random.below(3) as u32).collect();
            let (a, b) = (matched_area(&scores, &is, &strata), plain(&scores, &is, &strata));
            assert!((a.unwrap() - b.unwrap()).abs() < 1e-12, "{a:?} {b:?}");
        }
        assert_eq!(matched_area(&[1.0, 2.0], &[Some(true), Some(false)], &[0, 1]), None);
    }

    /// 40 regulators with 6 targets among 60 genes; targets lie in the second stratum, whose genes all score higher.
    fn planted(shift: f64, seed: u64) -> (Targets, Rankings) {
        let mut random = Rng::new(seed);
        let strata: Vec<u32> = (0..60).map(|g| u32::from(g >= 30)).collect();
        let is_target: Vec<Vec<Option<bool>>> =
            (0..40).map(|r| (0..60).map(|g| Some(g >= 30 && (g + r) % 5 == 0)).collect()).collect();
        let scores = is_target
            .iter()
            .map(|t| {
                let of = |(g, t): (usize, &Option<bool>)| {
                    f64::from(strata[g]) * 5.0 + if *t == Some(true) { shift } else { 0.0 } + random.normal()
                };
                t.iter().enumerate().map(of).collect()
            })
            .collect();
        let regulators = (0..40).map(|r| format!("r{r}")).collect();
        (Targets { regulators, is_target, strata }, Rankings { name: "planted".into(), scores })
    }

    #[test]
    fn what_is_planted_is_found_and_expression_alone_is_chance() {
        let (truth, planted_one) = planted(1.0, 1);
        let (_, nothing) = planted(0.0, 2);
        let both = compare(&[planted_one, nothing.clone()], &truth, 3, &protocol(), &Silent).unwrap();
        assert_eq!((both.regulators.len(), both.n_targets[0]), (40, 6));
        // Two normal scores a standard deviation apart: 0.76.
        let (a, b) = (&both.found[0], &both.found[1]);
        assert!((a.mean.unwrap() - 0.76).abs() < 0.04, "{a:?}");
        let i = b.interval.unwrap();
        assert!(i.low < 0.5 && i.high > 0.5, "{i:?}");
        assert!(b.ahead_interval.unwrap().low > 0.1);
        // Without strata the same noise looks like a finding.
        let unmatched = Targets { strata: vec![0; 60], ..truth };
        let fooled = compare(&[nothing], &unmatched, 3, &protocol(), &Silent).unwrap();
        assert!(fooled.found[0].interval.unwrap().low > 0.6);
    }

    #[test]
    fn chance_is_rarely_called_more() {
        let above = (0..200)
            .filter(|&seed| {
                let (truth, nothing) = planted(0.0, 100 + seed);
                let c = compare(&[nothing], &truth, 3, &protocol(), &Silent).unwrap();
                c.found[0].interval.unwrap().low > 0.5
            })
            .count();
        assert!(above <= 10, "{above} of 200, 5 expected");
    }

    #[test]
    fn few_targets_and_wrong_sizes_are_said() {
        let (truth, ranking) = planted(1.0, 1);
        let said =
            |r: &[Rankings], min| compare(r, &truth, min, &protocol(), &Silent).unwrap_err().to_string();
        assert!(said(std::slice::from_ref(&ranking), 7).contains("enough known targets"));
        let short = Rankings { scores: ranking.scores[1..].to_vec(), ..ranking };
        assert!(said(&[short], 3).contains("every regulator and gene"));
        assert!(said(&[], 3).contains("every regulator and gene"));
    }
}
