//! Predicted classes against true ones under cell multiplicities.
//!
//! Codes of classes are whole numbers held as `f64`, so that classes travel the same way as times do. A predicted code
//! below 0 is no class: always wrong.

use super::Statistic;
use crate::protocol::{LANES, Lanes, Scale, ScoreSet, Weights, add_lanes};

/// Macro-F1, balanced accuracy, accuracy or weighted F1 of several predictions of one truth.
pub(crate) struct ClassSet {
    statistic: Statistic,
    n_classes: usize,
    truth: Vec<u32>,
    /// Class per cell, or [`NONE`].
    predictions: Vec<Vec<u32>>,
}

const NONE: u32 = u32::MAX;

/// A code as a class. What is not a class of the truth's range is none.
fn class(code: f64) -> u32 {
    if code >= 0.0 && code < f64::from(NONE) { code as u32 } else { NONE }
}

impl ClassSet {
    /// `predictions[r][cell]` against `truth[cell]`.
    pub(super) fn new(statistic: Statistic, truth: &[f64], predictions: &[&[f64]]) -> Self {
        let truth: Vec<u32> = truth.iter().map(|&t| class(t)).collect();
        let predictions: Vec<Vec<u32>> =
            predictions.iter().map(|p| p.iter().map(|&c| class(c)).collect()).collect();
        let all = truth.iter().chain(predictions.iter().flatten());
        let n_classes = all.filter(|&&c| c != NONE).max().map_or(0, |&c| c as usize + 1);
        Self { statistic, n_classes, truth, predictions }
    }

    /// Scores of one set of predictions, when cell `i` of lane `l` counts `weight(i)[l]` times with truth `truth(i, l)`.
    fn score(
        &self,
        predicted: &[u32],
        weight: impl Fn(usize) -> Lanes,
        truth: impl Fn(usize, usize) -> u32,
    ) -> Lanes {
        let mut counts = Counts::new(self.n_classes);
        for (i, &p) in predicted.iter().enumerate() {
            let w = weight(i);
            if p != NONE {
                add_lanes(&mut counts.predicted[p as usize], &w);
            }
            for (l, w) in w.iter().enumerate() {
                let t = truth(i, l);
                if t != NONE {
                    counts.truth[t as usize][l] += w;
                    counts.right[t as usize][l] += if t == p { *w } else { 0.0 };
                }
            }
        }
        counts.score(self.statistic)
    }
}

/// Counts per class and lane.
struct Counts {
    truth: Vec<Lanes>,
    predicted: Vec<Lanes>,
    right: Vec<Lanes>,
}

impl Counts {
    fn new(n_classes: usize) -> Self {
        let zero = vec![[0.0; LANES]; n_classes];
        Self { truth: zero.clone(), predicted: zero.clone(), right: zero }
    }

    /// NaN in a lane without cells. Means run over the classes that are in the truth of the lane (the true-label set).
    fn score(&self, statistic: Statistic) -> Lanes {
        std::array::from_fn(|l| {
            let (mut sum, mut weight) = (0.0, 0.0);
            for c in 0..self.truth.len() {
                let (t, p, r) = (self.truth[c][l], self.predicted[c][l], self.right[c][l]);
                if t <= 0.0 {
                    continue;
                }
                let (value, w) = match statistic {
                    Statistic::Accuracy => (r / t, t),
                    Statistic::F1Weighted => (2.0 * r / (t + p), t),
                    Statistic::BalancedAccuracy => (r / t, 1.0),
                    _ => (2.0 * r / (t + p), 1.0),
                };
                sum += w * value;
                weight += w;
            }
            sum / weight
        })
    }
}

impl ScoreSet for ClassSet {
    fn scale(&self) -> Scale {
        Scale::Share
    }

    fn len(&self) -> usize {
        self.predictions.len()
    }

    fn weighted(&self, weights: &Weights) -> Vec<Lanes> {
        let w = weights.cells();
        self.predictions.iter().map(|p| self.score(p, |i| w[i], |i, _| self.truth[i])).collect()
    }

    fn permuted(&self, truth_of: &[Vec<u32>]) -> Vec<Lanes> {
        // A lane without a permutation has no truth and is NaN.
        let truth = |i: usize, l: usize| truth_of.get(l).map_or(NONE, |t| self.truth[t[i] as usize]);
        self.predictions.iter().map(|p| self.score(p, |_| [1.0; LANES], truth)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::classification::ClassTable;
    use microtome_numerics::resample::Rng;

    const ALL: [Statistic; 4] =
        [Statistic::F1Macro, Statistic::BalancedAccuracy, Statistic::Accuracy, Statistic::F1Weighted];

    /// The same from the library's table, which counts every cell once.
    fn by_table(statistic: Statistic, truth: &[f64], predicted: &[f64]) -> f64 {
        let codes = |v: &[f64]| v.iter().map(|&c| class(c)).collect::<Vec<_>>();
        let table = ClassTable::new(&codes(truth), &codes(predicted)).unwrap();
        let score = match statistic {
            Statistic::F1Macro => table.f1_macro_true(),
            Statistic::BalancedAccuracy => table.balanced_accuracy(),
            Statistic::Accuracy => table.accuracy(),
            _ => table.f1_weighted(),
        };
        score.value.unwrap()
    }

    #[test]
    fn weights_are_copies_and_permutations_move_the_truth() {
        let mut rng = Rng::new(3);
        let n = 90;
        let truth: Vec<f64> = (0..n).map(|_| rng.below(4) as f64).collect();
        let predicted: Vec<f64> = (0..n).map(|_| rng.below(6) as f64 - 1.0).collect();
        let mut weights = Weights::zero(n);
        let drawn: Vec<Vec<usize>> = (0..LANES).map(|_| (0..n).map(|_| rng.below(n)).collect()).collect();
        for (lane, cells) in drawn.iter().enumerate() {
            cells.iter().for_each(|&c| weights.add(c, lane, 1.0));
        }
        let orders: Vec<Vec<u32>> =
            (0..3).map(|_| rng.permutation(n).into_iter().map(|i| i as u32).collect()).collect();
        for statistic in ALL {
            let set = ClassSet::new(statistic, &truth, &[&predicted]);
            let got = set.weighted(&weights)[0];
            for (lane, cells) in drawn.iter().enumerate() {
                let pick = |v: &[f64]| cells.iter().map(|&c| v[c]).collect::<Vec<_>>();
                let want = by_table(statistic, &pick(&truth), &pick(&predicted));
                assert!((got[lane] - want).abs() < 1e-12, "{statistic:?} {} {want}", got[lane]);
            }
            let got = set.permuted(&orders)[0];
            for (lane, order) in orders.iter().enumerate() {
                let moved: Vec<f64> = order.iter().map(|&j| truth[j as usize]).collect();
                assert!((got[lane] - by_table(statistic, &moved, &predicted)).abs() < 1e-12);
            }
            assert!(got[3].is_nan(), "a lane without a permutation");
            assert!(set.weighted(&Weights::zero(n))[0][0].is_nan(), "no cells");
        }
    }
}
