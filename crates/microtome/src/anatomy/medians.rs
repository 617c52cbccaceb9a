//! Medians over categories, with intervals where there are enough categories.

use microtome_anatomy::{Estimated, Pairwise, over_categories};
use microtome_core::Result;

use super::analyse::{CategoryResult, Side};

const LEVEL: f64 = 0.95;
const REPLICATES: usize = 1000;

/// Which side of every category.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    Models,
    Twins,
}

impl Of {
    pub(super) fn side(self, c: &CategoryResult) -> &Side {
        match self {
            Self::Models => &c.models,
            Self::Twins => &c.twins,
        }
    }
}

/// Median over categories of one number of each.
pub(super) fn median(
    results: &[CategoryResult],
    seed: u64,
    value: impl Fn(&CategoryResult) -> Option<f64>,
) -> Result<Estimated> {
    let values: Vec<Option<f64>> = results.iter().map(value).collect();
    over_categories(&values, LEVEL, REPLICATES, seed)
}

/// Medians of a square of a comparison, row-major.
pub(super) fn square(
    results: &[CategoryResult],
    seed: u64,
    places: &std::ops::Range<usize>,
    of: impl Fn(&CategoryResult) -> Option<&Pairwise>,
) -> Result<Vec<Option<f64>>> {
    let mut out = Vec::with_capacity(places.len() * places.len());
    for a in places.clone() {
        for b in places.clone() {
            out.push(median(results, seed, |c| of(c).and_then(|p| p.at(a, b).value))?.value);
        }
    }
    Ok(out)
}

/// Agreement (1 - median quantile) of the strongest edges of one place in another at the K at `at`.
pub(super) fn agreement(side: &Side, at: usize, query: usize, eval: usize) -> Option<f64> {
    side.routing.as_ref()?.at.get(at)?.between(query, eval)?.agreement()
}

/// Mean agreement over pairs of different places of one member.
pub(super) fn within(
    side: &Side,
    at: usize,
    member: usize,
    keep: impl Fn(usize, usize) -> bool,
) -> Option<f64> {
    let places: Vec<usize> = (0..side.places.len()).filter(|&p| side.places[p].0 == member).collect();
    let pairs = places.iter().flat_map(|&a| places.iter().map(move |&b| (a, b)));
    let chosen = pairs.filter(|&(a, b)| a != b && keep(side.places[a].1, side.places[b].1));
    mean(chosen.filter_map(|(a, b)| agreement(side, at, a, b)))
}

/// Mean agreement of a member's places in the places of all others.
pub(super) fn across(side: &Side, at: usize, member: usize) -> Option<f64> {
    let of = |p: usize| side.places[p].0;
    let all = 0..side.places.len();
    let pairs = all.clone().flat_map(|a| all.clone().map(move |b| (a, b)));
    mean(
        pairs
            .filter(|&(a, b)| of(a) == member && of(b) != member)
            .filter_map(|(a, b)| agreement(side, at, a, b)),
    )
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut n) = (0.0, 0usize);
    for v in values {
        sum += v;
        n += 1;
    }
    (n > 0).then(|| sum / n as f64)
}
