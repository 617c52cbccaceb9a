//! Kendall's tau-b under cell multiplicities.
//!
//! Cells are visited in the order of the predictions; a Fenwick tree over the distinct values of the truth counts
//! concordant and discordant pairs in `O(n log t)`. Copies of one cell are ties in both variables, as they are in
//! a bootstrap sample.

use super::spearman::Order;
use crate::protocol::{LANES, Lanes, ScoreSet, Weights, add_lanes};

/// Kendall's tau-b of several predictions with one truth.
pub(crate) struct KendallSet {
    /// Rank among the distinct values of the truth, per cell.
    truth: Vec<u32>,
    n_levels: usize,
    predictions: Vec<Order>,
}

impl KendallSet {
    /// `predictions[r][cell]` against `truth[cell]`. Infinite predictions rank last, all tied.
    pub(crate) fn new(truth: &[f64], predictions: &[&[f64]]) -> Self {
        let (truth, n_levels) = levels(truth);
        Self { truth, n_levels, predictions: predictions.iter().map(|p| Order::new(p)).collect() }
    }
}

/// Rank of every value among the distinct ones, and how many there are.
pub(super) fn levels(values: &[f64]) -> (Vec<u32>, usize) {
    let order = Order::new(values);
    let mut levels = vec![0; values.len()];
    for (level, group) in order.groups().enumerate() {
        group.iter().for_each(|&c| levels[c as usize] = level as u32);
    }
    (levels, order.group_ends.len())
}

/// Sums of weights by level of the truth.
struct Fenwick(Vec<Lanes>);

impl Fenwick {
    fn add(&mut self, level: usize, w: &Lanes) {
        let mut i = level + 1;
        while i < self.0.len() {
            add_lanes(&mut self.0[i], w);
            i += i & i.wrapping_neg();
        }
    }

    /// Sum over levels below `level`.
    fn below(&self, level: usize) -> Lanes {
        let (mut i, mut sum) = (level, [0.0; LANES]);
        while i > 0 {
            add_lanes(&mut sum, &self.0[i]);
            i &= i - 1;
        }
        sum
    }
}

/// Pairs among `n` cells.
fn pairs(n: f64) -> f64 {
    n * (n - 1.0) / 2.0
}

/// Pairs of cells that differ in the truth or the prediction, by lane.
pub(super) struct PairCounts {
    /// Concordant less discordant pairs.
    pub(super) difference: Lanes,
    /// All pairs.
    pub(super) all: Lanes,
    /// Pairs that are tied in the prediction.
    pub(super) tied: Lanes,
    /// Pairs that are tied in the truth.
    pub(super) truth_tied: Lanes,
}

/// Counts pairs of the cells of `order`. `truth` holds the rank of each among `n_levels` distinct values, `weight` its
/// multiplicity.
pub(super) fn count_pairs<'a>(
    order: &Order,
    truth: &[u32],
    n_levels: usize,
    weight: impl Fn(usize) -> &'a Lanes,
) -> PairCounts {
    let mut seen = Fenwick(vec![[0.0; LANES]; n_levels + 1]);
    let mut level_sizes = vec![[0.0; LANES]; n_levels];
    let (mut total, mut difference, mut tied) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
    for group in order.groups() {
        let mut size = [0.0; LANES];
        for &c in group {
            let (here, level) = (weight(c as usize), truth[c as usize] as usize);
            let lower = seen.below(level);
            for l in 0..LANES {
                let higher = total[l] - lower[l] - level_sizes[level][l];
                difference[l] += here[l] * (lower[l] - higher);
                size[l] += here[l];
            }
        }
        // Added only now, so that cells tied in the prediction are not compared with each other.
        for &c in group {
            let (here, level) = (weight(c as usize), truth[c as usize] as usize);
            seen.add(level, here);
            add_lanes(&mut level_sizes[level], here);
        }
        for l in 0..LANES {
            total[l] += size[l];
            tied[l] += pairs(size[l]);
        }
    }
    let truth_tied = std::array::from_fn(|l| level_sizes.iter().map(|s| pairs(s[l])).sum());
    PairCounts { difference, all: total.map(pairs), tied, truth_tied }
}

fn tau_b(order: &Order, truth: &[u32], n_levels: usize, weights: &Weights) -> Lanes {
    let w = weights.cells();
    let c = count_pairs(order, truth, n_levels, |cell| &w[cell]);
    std::array::from_fn(|l| {
        let scale = (c.all[l] - c.tied[l]) * (c.all[l] - c.truth_tied[l]);
        if scale > 0.0 { (c.difference[l] / scale.sqrt()).clamp(-1.0, 1.0) } else { f64::NAN }
    })
}

impl ScoreSet for KendallSet {
    fn len(&self) -> usize {
        self.predictions.len()
    }

    fn weighted(&self, weights: &Weights) -> Vec<Lanes> {
        self.predictions.iter().map(|p| tau_b(p, &self.truth, self.n_levels, weights)).collect()
    }

    fn permuted(&self, truth_of: &[Vec<u32>]) -> Vec<Lanes> {
        let once = Weights::all(self.truth.len());
        let mut out = vec![[f64::NAN; LANES]; self.predictions.len()];
        for (lane, from) in truth_of.iter().take(LANES).enumerate() {
            let truth: Vec<u32> = from.iter().map(|&i| self.truth[i as usize]).collect();
            for (score, order) in out.iter_mut().zip(&self.predictions) {
                score[lane] = tau_b(order, &truth, self.n_levels, &once)[0];
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tau-b by its definition over all pairs.
    fn by_pairs(x: &[f64], y: &[f64]) -> f64 {
        let (mut s, mut nx, mut ny) = (0.0, 0.0, 0.0);
        for i in 0..x.len() {
            for j in 0..i {
                let sign = |a: f64, b: f64| f64::from(i8::from(a > b) - i8::from(a < b));
                let (dx, dy) = (sign(x[i], x[j]), sign(y[i], y[j]));
                s += dx * dy;
                nx += dx * dx;
                ny += dy * dy;
            }
        }
        s / (nx * ny).sqrt()
    }

    #[test]
    fn equals_the_definition_on_expanded_cells_with_ties() {
        let truth = [0.0, 0.0, 1.0, 2.0, 2.0, 3.0, 1.0];
        let p = [0.3, 0.1, 0.3, f64::INFINITY, 0.2, f64::INFINITY, 0.9];
        let set = KendallSet::new(&truth, &[&p]);
        let times = [[1, 1, 1, 1, 1, 1, 1], [2, 0, 1, 3, 0, 1, 2]];
        let mut w = Weights::zero(7);
        for (lane, t) in times.iter().enumerate() {
            t.iter().enumerate().for_each(|(c, &k)| w.add(c, lane, f64::from(k)));
        }
        let got = set.weighted(&w)[0];
        for (lane, t) in times.iter().enumerate() {
            let expand = |v: &[f64]| -> Vec<f64> {
                v.iter().zip(t).flat_map(|(&x, &k)| std::iter::repeat_n(x, k as usize)).collect()
            };
            assert!((got[lane] - by_pairs(&expand(&p), &expand(&truth))).abs() < 1e-12);
        }
        let order = vec![6u32, 2, 0, 1, 3, 5, 4];
        let moved: Vec<f64> = order.iter().map(|&i| truth[i as usize]).collect();
        assert!((set.permuted(&[order])[0][0] - by_pairs(&p, &moved)).abs() < 1e-12);
    }

    #[test]
    fn constant_predictions_have_no_score() {
        let set = KendallSet::new(&[1.0, 2.0, 3.0], &[&[5.0, 5.0, 5.0]]);
        assert!(set.weighted(&Weights::all(3))[0][0].is_nan());
    }
}
