//! Spearman's rank correlation under cell multiplicities, without sorting again.
//!
//! The cells are sorted once by prediction and once by truth. A replicate in which cell `i` occurs `w_i` times
//! has average ranks that follow from running sums of `w` along these orders, so a replicate costs one pass.

use crate::protocol::{LANES, Lanes, ScoreSet, Weights, add_lanes};

/// Cells in ascending order with the ends of their tie groups.
pub(super) struct Order {
    /// Cell indices, ascending by value.
    pub(super) cells: Vec<u32>,
    /// End (exclusive) of every tie group, in positions of `cells`.
    pub(super) group_ends: Vec<u32>,
}

impl Order {
    /// Sorts by value, ties by index.
    pub(super) fn new(values: &[f64]) -> Self {
        let mut cells: Vec<u32> = (0..values.len() as u32).collect();
        cells.sort_by(|&a, &b| values[a as usize].total_cmp(&values[b as usize]).then(a.cmp(&b)));
        let mut group_ends = vec![];
        for k in 0..cells.len() {
            let here = values[cells[k] as usize];
            if cells.get(k + 1).is_none_or(|&next| values[next as usize] != here) {
                group_ends.push(k as u32 + 1);
            }
        }
        Self { cells, group_ends }
    }

    /// Calls `f` with every tie group in ascending order.
    pub(super) fn groups(&self) -> impl Iterator<Item = &[u32]> {
        let mut start = 0;
        self.group_ends.iter().map(move |&end| {
            let group = &self.cells[start..end as usize];
            start = end as usize;
            group
        })
    }

    /// Average ranks minus their mean, per cell, every cell counting once.
    fn centred_ranks(&self) -> Vec<f64> {
        let n = self.cells.len();
        let mut ranks = vec![0.0; n];
        let mut below = -(n as f64) / 2.0;
        for group in self.groups() {
            let size = group.len() as f64;
            for &c in group {
                ranks[c as usize] = below + size / 2.0;
            }
            below += size;
        }
        ranks
    }
}

/// Spearman correlation of several predictions with one truth.
pub(crate) struct SpearmanSet {
    truth: Order,
    truth_ranks: Vec<f64>,
    predictions: Vec<Order>,
}

impl SpearmanSet {
    /// `predictions[r][cell]` against `truth[cell]`. Infinite predictions rank last, all tied.
    pub(crate) fn new(truth: &[f64], predictions: &[&[f64]]) -> Self {
        let truth = Order::new(truth);
        let truth_ranks = truth.centred_ranks();
        Self { truth, truth_ranks, predictions: predictions.iter().map(|p| Order::new(p)).collect() }
    }
}

/// Weight times centred truth rank per cell, and the sum of weight times squared centred truth rank.
fn weighted_truth(truth: &Order, weights: &Weights, totals: &Lanes) -> (Vec<Lanes>, Lanes) {
    let w = weights.cells();
    let mut product = vec![[0.0; LANES]; w.len()];
    let mut squares = [0.0; LANES];
    let mut below = totals.map(|n| -n / 2.0);
    for group in truth.groups() {
        let mut size = [0.0; LANES];
        for &c in group {
            add_lanes(&mut size, &w[c as usize]);
        }
        let mut rank = [0.0; LANES];
        for l in 0..LANES {
            rank[l] = below[l] + size[l] / 2.0;
            squares[l] += size[l] * rank[l] * rank[l];
            below[l] += size[l];
        }
        for &c in group {
            for l in 0..LANES {
                product[c as usize][l] = w[c as usize][l] * rank[l];
            }
        }
    }
    (product, squares)
}

impl ScoreSet for SpearmanSet {
    fn len(&self) -> usize {
        self.predictions.len()
    }

    fn weighted(&self, weights: &Weights) -> Vec<Lanes> {
        let w = weights.cells();
        let totals = weights.totals();
        let (truth, truth_squares) = weighted_truth(&self.truth, weights, &totals);
        let score = |order: &Order| {
            let mut below = totals.map(|n| -n / 2.0);
            let (mut products, mut squares) = ([0.0; LANES], [0.0; LANES]);
            for group in order.groups() {
                // Most groups hold one cell; a group shares one rank, so its cells are summed first.
                let first = group[0] as usize;
                let (mut size, mut truth_sum) = (w[first], truth[first]);
                for &c in &group[1..] {
                    add_lanes(&mut size, &w[c as usize]);
                    add_lanes(&mut truth_sum, &truth[c as usize]);
                }
                for l in 0..LANES {
                    let rank = below[l] + size[l] / 2.0;
                    products[l] += truth_sum[l] * rank;
                    squares[l] += size[l] * rank * rank;
                    below[l] += size[l];
                }
            }
            let mut out = [f64::NAN; LANES];
            for l in 0..LANES {
                if squares[l] > 0.0 && truth_squares[l] > 0.0 {
                    out[l] = (products[l] / (squares[l] * truth_squares[l]).sqrt()).clamp(-1.0, 1.0);
                }
            }
            out
        };
        self.predictions.iter().map(score).collect()
    }

    fn permuted(&self, truth_of: &[Vec<u32>]) -> Vec<Lanes> {
        let n = self.truth_ranks.len();
        let mut truth = vec![[f64::NAN; LANES]; n];
        for (lane, from) in truth_of.iter().take(LANES).enumerate() {
            for (cell, &other) in from.iter().enumerate() {
                truth[cell][lane] = self.truth_ranks[other as usize];
            }
        }
        let truth_squares: f64 = self.truth_ranks.iter().map(|r| r * r).sum();
        let score = |order: &Order| {
            let ranks = order.centred_ranks();
            let squares: f64 = ranks.iter().map(|r| r * r).sum();
            let mut products = [0.0; LANES];
            for (rank, truth) in ranks.iter().zip(&truth) {
                for l in 0..LANES {
                    products[l] += rank * truth[l];
                }
            }
            let scale = (squares * truth_squares).sqrt();
            products.map(|p| if scale > 0.0 { p / scale } else { f64::NAN })
        };
        self.predictions.iter().map(score).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Average ranks by their definition: one plus the values below plus half of the other values that are equal.
    fn ranks(values: &[f64]) -> Vec<f64> {
        values
            .iter()
            .map(|v| {
                let below = values.iter().filter(|o| *o < v).count() as f64;
                let equal = values.iter().filter(|o| *o == v).count() as f64;
                below + (equal + 1.0) / 2.0
            })
            .collect()
    }

    fn spearman(x: &[f64], y: &[f64]) -> f64 {
        let (x, y) = (ranks(x), ranks(y));
        let mean = (x.len() as f64 + 1.0) / 2.0;
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>();
        dot(&x, &y) / (dot(&x, &x) * dot(&y, &y)).sqrt()
    }

    #[test]
    fn equals_the_definition_on_expanded_cells_with_ties() {
        let truth = [0.0, 0.0, 1.0, 2.0, 2.0, 3.0, 1.0];
        let p = [0.3, 0.1, 0.3, f64::INFINITY, 0.2, f64::INFINITY, 0.9];
        let set = SpearmanSet::new(&truth, &[&p]);
        let times = [[1, 1, 1, 1, 1, 1, 1], [2, 0, 1, 3, 0, 1, 2], [0, 0, 1, 0, 4, 2, 0]];
        let mut w = Weights::zero(7);
        for (lane, t) in times.iter().enumerate() {
            t.iter().enumerate().for_each(|(c, &k)| w.add(c, lane, f64::from(k)));
        }
        let got = set.weighted(&w)[0];
        for (lane, t) in times.iter().enumerate() {
            let expand = |v: &[f64]| -> Vec<f64> {
                v.iter().zip(t).flat_map(|(&x, &k)| std::iter::repeat_n(x, k as usize)).collect()
            };
            let want = spearman(&expand(&p), &expand(&truth));
            assert!((got[lane] - want).abs() < 1e-12, "lane {lane}: {} is not {want}", got[lane]);
        }
        assert!(got[3].is_nan(), "no cells, no score");
    }

    #[test]
    fn permuted_equals_scoring_the_permuted_truth() {
        let truth = [0.0, 0.0, 1.0, 2.0, 5.0];
        let p = [3.0, 1.0, 1.0, 2.0, 9.0];
        let order = vec![4u32, 2, 0, 1, 3];
        let moved: Vec<f64> = order.iter().map(|&i| truth[i as usize]).collect();
        let got = SpearmanSet::new(&truth, &[&p]).permuted(&[order])[0];
        assert!((got[0] - spearman(&p, &moved)).abs() < 1e-12);
        assert!(got[1].is_nan());
    }

    #[test]
    fn constant_predictions_have_no_score() {
        let set = SpearmanSet::new(&[1.0, 2.0, 3.0], &[&[5.0, 5.0, 5.0]]);
        assert!(set.weighted(&Weights::all(3))[0][0].is_nan());
    }
}
