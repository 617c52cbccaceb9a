//! Areas under curves of class scores under cell multiplicities.

use super::Statistic;
use super::spearman::Order;
use crate::protocol::{LANES, Lanes, Scale, ScoreSet, Weights};

/// Area under the ROC curve, or average precision, one class against the rest, mean over the classes that have both
/// kinds of rows. A row may be of several classes at once.
pub(crate) struct AreaSet {
    precision: bool,
    /// Code of every row.
    truth: Vec<u32>,
    /// `[code][class]`: whether a row of this code is of the class.
    member: Vec<Vec<bool>>,
    /// `[prediction][class]`: rows by rising score.
    orders: Vec<Vec<Order>>,
}

impl AreaSet {
    /// Every code is a class of its own. `predictions[r]` holds one score per class and row, row by row.
    pub(super) fn of_classes(statistic: Statistic, truth: &[f64], predictions: &[&[f64]]) -> Self {
        let width = predictions.first().map_or(0, |p| p.len() / truth.len().max(1));
        let member = (0..width).map(|c| (0..width).map(|k| k == c).collect()).collect();
        Self::new(statistic, truth, member, predictions)
    }

    /// `member[code][class]` says which classes a row of that code belongs to.
    pub(crate) fn new(
        statistic: Statistic,
        truth: &[f64],
        member: Vec<Vec<bool>>,
        predictions: &[&[f64]],
    ) -> Self {
        let n_classes = member.first().map_or(0, Vec::len);
        let order = |p: &[f64], class: usize| {
            Order::new(&p.iter().skip(class).step_by(n_classes).copied().collect::<Vec<_>>())
        };
        let orders = predictions.iter().map(|p| (0..n_classes).map(|c| order(p, c)).collect()).collect();
        let truth = truth.iter().map(|&t| t as u32).collect();
        Self { precision: statistic == Statistic::AuprcMacro, truth, member, orders }
    }

    fn score(
        &self,
        orders: &[Order],
        weight: impl Fn(usize) -> Lanes,
        code: impl Fn(usize, usize) -> Option<u32>,
    ) -> Lanes {
        let (mut sum, mut n) = ([0.0; LANES], [0.0; LANES]);
        for (class, order) in orders.iter().enumerate() {
            let area = self.area(class, order, &weight, &code);
            for l in (0..LANES).filter(|&l| !area[l].is_nan()) {
                sum[l] += area[l];
                n[l] += 1.0;
            }
        }
        std::array::from_fn(|l| sum[l] / n[l])
    }

    /// The area of one class; NaN in a lane with one kind of row only.
    fn area(
        &self,
        class: usize,
        order: &Order,
        weight: &impl Fn(usize) -> Lanes,
        code: &impl Fn(usize, usize) -> Option<u32>,
    ) -> Lanes {
        let (mut hits, mut misses, mut area) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
        let groups: Vec<&[u32]> = order.groups().collect();
        for group in groups.into_iter().rev() {
            let (mut right, mut wrong) = ([0.0; LANES], [0.0; LANES]);
            for &i in group {
                let w = weight(i as usize);
                for l in 0..LANES {
                    match code(i as usize, l).map(|c| self.member[c as usize][class]) {
                        Some(true) => right[l] += w[l],
                        Some(false) => wrong[l] += w[l],
                        None => {}
                    }
                }
            }
            for l in 0..LANES {
                if !self.precision {
                    area[l] += wrong[l] * (hits[l] + 0.5 * right[l]);
                }
                hits[l] += right[l];
                misses[l] += wrong[l];
                if self.precision && right[l] > 0.0 {
                    area[l] += right[l] * hits[l] / (hits[l] + misses[l]);
                }
            }
        }
        std::array::from_fn(|l| match (hits[l] > 0.0 && misses[l] > 0.0, self.precision) {
            (false, _) => f64::NAN,
            (true, true) => area[l] / hits[l],
            (true, false) => area[l] / (hits[l] * misses[l]),
        })
    }
}

impl ScoreSet for AreaSet {
    fn scale(&self) -> Scale {
        Scale::Share
    }

    fn len(&self) -> usize {
        self.orders.len()
    }

    fn weighted(&self, weights: &Weights) -> Vec<Lanes> {
        let w = weights.cells();
        self.orders.iter().map(|o| self.score(o, |i| w[i], |i, _| Some(self.truth[i]))).collect()
    }

    fn permuted(&self, truth_of: &[Vec<u32>]) -> Vec<Lanes> {
        let code = |i: usize, l: usize| truth_of.get(l).map(|t| self.truth[t[i] as usize]);
        self.orders.iter().map(|o| self.score(o, |_| [1.0; LANES], code)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::class_scores::class_areas;
    use microtome_core::Matrix;
    use microtome_numerics::resample::Rng;

    #[test]
    fn weights_are_copies_and_the_library_agrees() {
        let (n, k) = (70, 3);
        let mut rng = Rng::new(8);
        let truth: Vec<f64> = (0..n).map(|_| rng.below(k) as f64).collect();
        let scores: Vec<f64> = (0..n * k).map(|_| rng.below(9) as f64 / 4.0).collect();
        let drawn: Vec<Vec<usize>> = (0..LANES).map(|_| (0..n).map(|_| rng.below(n)).collect()).collect();
        let mut weights = Weights::zero(n);
        for (lane, cells) in drawn.iter().enumerate() {
            cells.iter().for_each(|&c| weights.add(c, lane, 1.0));
        }
        for (statistic, which) in [(Statistic::AurocMacro, 0), (Statistic::AuprcMacro, 1)] {
            let set = AreaSet::of_classes(statistic, &truth, &[&scores]);
            let got = set.weighted(&weights)[0];
            for (lane, cells) in drawn.iter().enumerate() {
                let rows: Vec<f32> = cells
                    .iter()
                    .flat_map(|&c| scores[c * k..(c + 1) * k].iter().map(|&v| v as f32))
                    .collect();
                let codes: Vec<u32> = cells.iter().map(|&c| truth[c] as u32).collect();
                let (_, roc, precision) = class_areas(&codes, &Matrix::new(n, k, rows).unwrap()).unwrap();
                let want = [roc, precision][which].value.unwrap();
                assert!((got[lane] - want).abs() < 1e-12, "{statistic:?} {} {want}", got[lane]);
            }
            let turned: Vec<u32> = (0..n as u32).map(|i| (i + 1) % n as u32).collect();
            let moved: Vec<f64> = turned.iter().map(|&i| truth[i as usize]).collect();
            let want = AreaSet::of_classes(statistic, &moved, &[&scores]).weighted(&Weights::all(n))[0][0];
            let got = set.permuted(&[turned])[0];
            assert!((got[0] - want).abs() < 1e-12 && got[1].is_nan());
        }
    }

    #[test]
    fn rows_of_several_classes() {
        // Code 0 is of no class, code 1 of both, code 2 of the second; scores name the second perfectly.
        let member = vec![vec![false, false], vec![true, true], vec![false, true]];
        let scores = [0.1, 0.1, 0.9, 0.9, 0.9, 0.9, 0.2, 0.2];
        let set = AreaSet::new(Statistic::AurocMacro, &[0.0, 1.0, 2.0, 0.0], member, &[&scores]);
        let got = set.weighted(&Weights::all(4))[0][0];
        // Class 0: one positive tied with one negative, above two others: (2 + 0.5) / 3. Class 1: 1.
        assert!((got - (2.5 / 3.0 + 1.0) / 2.0).abs() < 1e-12, "{got}");
    }
}
