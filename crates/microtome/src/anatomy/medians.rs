//! Medians over categories, with intervals where there are enough categories.

use microtome_anatomy::routing::Routing;
use microtome_anatomy::{Estimated, Pairwise, over_categories};
use microtome_core::Result;

use super::analyse::{CategoryResult, Side};
use super::routes::Routes;

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

/// The same of numbers that have an interval of their own, which is what a single category shows.
pub(super) fn median_of<'a>(
    results: &'a [CategoryResult],
    seed: u64,
    value: impl Fn(&'a CategoryResult) -> Option<&'a Estimated>,
) -> Result<Estimated> {
    if let [only] = results {
        return Ok(value(only)
            .cloned()
            .unwrap_or_else(|| Estimated::missing(0, "the category has no value")));
    }
    let values: Vec<Option<f64>> = results.iter().map(|c| value(c)?.value).collect();
    over_categories(&values, LEVEL, REPLICATES, seed)
}

/// Medians of a square of a comparison, row-major.
pub(super) fn square(
    results: &[CategoryResult],
    seed: u64,
    places: &std::ops::Range<usize>,
    of: impl Fn(&CategoryResult) -> Option<&Pairwise>,
) -> Result<Vec<Estimated>> {
    let mut out = Vec::with_capacity(places.len() * places.len());
    for a in places.clone() {
        for b in places.clone() {
            out.push(median(results, seed, |c| of(c).and_then(|p| p.at(a, b).value))?);
        }
    }
    Ok(out)
}

/// Agreement (1 - median quantile) of the strongest edges of one place in another at the K at `at`.
pub(super) fn agreement(routes: &Routes, at: usize, query: usize, eval: usize) -> Option<f64> {
    routes.routing.at.get(at)?.between(query, eval)?.agreement()
}

/// Mean of `value(query place, eval place)` over pairs of different places of one member.
pub(super) fn within(
    routes: &Routes,
    member: usize,
    keep: impl Fn(usize, usize) -> bool,
    value: impl Fn(usize, usize) -> Option<f64>,
) -> Option<f64> {
    let places: Vec<usize> = (0..routes.places.len()).filter(|&p| routes.places[p].0 == member).collect();
    let pairs = places.iter().flat_map(|&a| places.iter().map(move |&b| (a, b)));
    let chosen = pairs.filter(|&(a, b)| a != b && keep(routes.places[a].1, routes.places[b].1));
    mean(chosen.filter_map(|(a, b)| value(a, b)))
}

/// Mean of `value(query place, eval place)` over a member's places as queries and the places of all others.
pub(super) fn across(
    routes: &Routes,
    member: usize,
    value: impl Fn(usize, usize) -> Option<f64>,
) -> Option<f64> {
    let of = |p: usize| routes.places[p].0;
    let all = 0..routes.places.len();
    let pairs = all.clone().flat_map(|a| all.clone().map(move |b| (a, b)));
    mean(pairs.filter(|&(a, b)| of(a) == member && of(b) != member).filter_map(|(a, b)| value(a, b)))
}

/// Where a set of edges stands: agreement of the set called `name`, drawn for `block`, in the place `eval`.
pub(super) fn of_set(routing: &Routing, name: &str, block: Option<usize>, eval: usize) -> Option<f64> {
    let set = routing.sets.iter().find(|s| s.name == name && s.block == block)?;
    set.ranks.get(eval)?.agreement()
}

/// Agreement of the set called `name`, drawn for every place, in the places other than its own: the median over pairs.
pub(super) fn chance(routing: &Routing, name: &str) -> Option<f64> {
    let n = routing.top.len();
    let pairs = (0..n).flat_map(|a| (0..n).map(move |b| (a, b))).filter(|(a, b)| a != b);
    let mut all: Vec<f64> = pairs.filter_map(|(a, b)| of_set(routing, name, Some(a), b)).collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied()
}

/// Mean over what there is.
pub(super) fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut n) = (0.0, 0usize);
    for v in values {
        sum += v;
        n += 1;
    }
    (n > 0).then(|| sum / n as f64)
}
