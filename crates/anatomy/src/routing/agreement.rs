//! How far two blocks agree on their strongest edges.

use crate::outcome::{Estimated, Pairwise};
use microtome_core::Result;
use microtome_numerics::ranks::average_ranks;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Where the strongest edges of one block stand in another: quantiles of rank, 0 = top of all pairs, 1 = bottom.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RankAgreement {
    /// Block whose strongest edges are asked about.
    pub query: usize,
    /// Block in which they are ranked.
    pub eval: usize,
    /// Edges.
    pub n: u64,
    /// Mean quantile; none without edges.
    pub mean: Option<f64>,
    /// Median quantile; none without edges.
    pub median: Option<f64>,
    /// Smallest quantile; none without edges.
    pub min: Option<f64>,
    /// Largest quantile; none without edges.
    pub max: Option<f64>,
}

impl RankAgreement {
    /// From ranks among `all` pairs.
    pub(crate) fn new(query: usize, eval: usize, mut ranks: Vec<u32>, all: f64) -> Self {
        ranks.sort_unstable();
        let n = ranks.len();
        let quantile = |i: usize| ranks.get(i).map(|&r| f64::from(r) / all);
        let middle = |a: Option<f64>, b: Option<f64>| Some((a? + b?) / 2.0);
        Self {
            query,
            eval,
            n: n as u64,
            mean: (n > 0).then(|| ranks.iter().map(|&r| f64::from(r)).sum::<f64>() / n as f64 / all),
            median: middle(quantile(n.saturating_sub(1) / 2), quantile(n / 2)),
            min: quantile(0),
            max: quantile(n.saturating_sub(1)),
        }
    }

    /// 1 - median quantile: 1 when all stay at the top. Where chance lies must be measured; it is not 0.5 when some genes
    /// score highly with all others.
    pub fn agreement(&self) -> Option<f64> {
        self.median.map(|m| 1.0 - m)
    }
}

/// Spearman's correlation between every pair of blocks over the same edges: `values[block][edge]`. `n` counts edges.
///
/// Errors on NaN or rows of different length.
pub fn union_spearman(names: &[String], values: &[Vec<f32>]) -> Result<Pairwise> {
    let ranks: Vec<Vec<f64>> = values
        .par_iter()
        .map(|v| {
            let wide: Vec<f64> = v.iter().map(|&x| f64::from(x)).collect();
            let mut ranks = average_ranks(&wide)?;
            let mean = (ranks.len() + 1) as f64 / 2.0;
            ranks.iter_mut().for_each(|r| *r -= mean);
            Ok(ranks)
        })
        .collect::<Result<_>>()?;
    let l = ranks.len();
    let pairs: Vec<(usize, usize)> = (0..l).flat_map(|a| (a..l).map(move |b| (a, b))).collect();
    let dot = |a: usize, b: usize| ranks[a].iter().zip(&ranks[b]).map(|(x, y)| x * y).sum::<f64>();
    let mut sums = vec![0.0; l * l];
    let dots: Vec<f64> = pairs.par_iter().map(|&(a, b)| dot(a, b)).collect();
    pairs.iter().zip(dots).for_each(|(&(a, b), v)| sums[a * l + b] = v);
    let n = ranks.first().map_or(0, Vec::len) as u64;
    Pairwise::from_upper("union_spearman", names, |a, b| {
        let (aa, bb) = (sums[a * l + a], sums[b * l + b]);
        Ok(if n < 2 {
            Estimated::missing(n, "fewer than two edges")
        } else if aa == 0.0 || bb == 0.0 {
            Estimated::missing(n, "all edges of a block score the same")
        } else {
            Estimated::exact((sums[a * l + b] / (aa * bb).sqrt()).clamp(-1.0, 1.0), n)
        })
    })
}
