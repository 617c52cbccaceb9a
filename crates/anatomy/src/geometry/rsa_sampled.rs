//! Representational similarity from a seeded sample of gene pairs, with its interval.

use super::rsa::Directions;
use crate::input::Blocks;
use crate::outcome::{Estimated, Pairwise};
use microtome_core::{Error, Progress, Result};
use microtome_numerics::ranks::average_ranks;
use microtome_numerics::resample::{Rng, normal_quantile};
use rayon::prelude::*;

/// How [`rsa_sampled`] works.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampledRsaOptions {
    /// Subtract the mean row first.
    pub centre: bool,
    /// Pairs to draw, with replacement.
    pub pairs: usize,
    /// Seed of the draw.
    pub seed: u64,
    /// Level of the interval, such as 0.95.
    pub level: f64,
}

impl Default for SampledRsaOptions {
    fn default() -> Self {
        Self { centre: false, pairs: 1_000_000, seed: 0, level: 0.95 }
    }
}

/// [`super::rsa`] over pairs of different rows drawn at random; `n` counts the drawn pairs.
///
/// The interval is Fisher's z with the standard error `sqrt((1 + r^2 / 2) / (n - 3))` of Bonett and Wright (2000,
/// Psychometrika 65:23). Pairs are drawn independently given the genes, so it covers the value over **all pairs of these
/// genes**; it says nothing about other genes or cells.
///
/// Errors with fewer than two rows or ten pairs, a level outside 0..1, or when stopped.
pub fn rsa_sampled(
    blocks: &Blocks<'_>,
    options: &SampledRsaOptions,
    progress: &dyn Progress,
) -> Result<Pairwise> {
    let n = blocks.n_rows();
    if n < 2 || options.pairs < 10 || !(options.level > 0.0 && options.level < 1.0) {
        return Err(Error::usage("gene pairs cannot be sampled like this")
            .expected("two genes or more, 10 pairs or more, a level between 0 and 1")
            .found(format!("{n} genes, {} pairs, level {}", options.pairs, options.level)));
    }
    let mut rng = Rng::new(options.seed);
    let drawn: Vec<(usize, usize)> = (0..options.pairs)
        .map(|_| {
            let i = rng.below(n);
            let j = rng.below(n - 1);
            (i, if j >= i { j + 1 } else { j })
        })
        .collect();
    progress.begin("cosines of sampled gene pairs", blocks.len() as u64, "blocks");
    let ranks: Result<Vec<Vec<f64>>> = blocks
        .values()
        .iter()
        .map(|x| {
            progress.check()?;
            let directions = Directions::new(x, options.centre);
            let cosines: Vec<f64> = drawn.par_iter().map(|&(i, j)| directions.cosine(i, j)).collect();
            let mut ranks = average_ranks(&cosines)?;
            let mean = (ranks.len() + 1) as f64 / 2.0;
            ranks.iter_mut().for_each(|r| *r -= mean);
            progress.advance(1);
            Ok(ranks)
        })
        .collect();
    progress.end();
    let ranks = ranks?;
    let z = normal_quantile(0.5 + options.level / 2.0);
    Pairwise::from_upper("cosine_rsa_spearman_sampled", blocks.names(), |a, b| {
        let dot = |a: usize, b: usize| ranks[a].iter().zip(&ranks[b]).map(|(x, y)| x * y).sum::<f64>();
        let (aa, bb) = (dot(a, a), dot(b, b));
        let count = drawn.len() as u64;
        if aa == 0.0 || bb == 0.0 {
            return Ok(Estimated::missing(count, "all sampled cosines of a block are equal"));
        }
        let r = if a == b { 1.0 } else { (dot(a, b) / (aa * bb).sqrt()).clamp(-1.0, 1.0) };
        let half = z * ((1.0 + r * r / 2.0) / (drawn.len() as f64 - 3.0)).sqrt();
        let centre = r.atanh();
        let (low, high) =
            if r.abs() == 1.0 { (r, r) } else { ((centre - half).tanh(), (centre + half).tanh()) };
        Ok(Estimated { low: Some(low), high: Some(high), ..Estimated::exact(r, count) })
    })
}
