//! Order within clones under cell multiplicities: of two cells of one clone that were seen at different times, is the later
//! one predicted to be later?

use super::kendall::{count_pairs, levels};
use super::spearman::Order;
use crate::protocol::{LANES, Lanes, Scale, ScoreSet, Weights};

/// Share of pairs of sister cells of different time that are predicted in the right order (half of those predicted
/// alike), mean over clones. Within a clone it is (1 + Somers' D of the prediction given time) / 2; chance is one half.
pub(crate) struct ClonalSet {
    /// Cells of every clone.
    clones: Vec<Vec<usize>>,
    time: Vec<f64>,
    /// Per clone: rank of each cell's time within the clone, and the number of times.
    ranks: Vec<Ranks>,
    /// `[prediction][clone]`: the clone's cells in order, as places among them.
    orders: Vec<Vec<Order>>,
}

type Ranks = (Vec<u32>, usize);

impl ClonalSet {
    /// `clone_of[cell]` counts clones; `predictions[r][cell]` may be infinite (last) but not NaN.
    pub(crate) fn new(clone_of: &[usize], time: &[f64], predictions: &[&[f64]]) -> Self {
        let mut clones: Vec<Vec<usize>> = vec![];
        for (cell, &clone) in clone_of.iter().enumerate() {
            if clones.len() <= clone {
                clones.resize_with(clone + 1, Vec::new);
            }
            clones[clone].push(cell);
        }
        clones.retain(|c| c.len() > 1);
        let order = |p: &&[f64], c: &Vec<usize>| Order::new(&c.iter().map(|&i| p[i]).collect::<Vec<f64>>());
        let orders = predictions.iter().map(|p| clones.iter().map(|c| order(p, c)).collect()).collect();
        let ranks = ranks(&clones, |cell| time[cell]);
        Self { ranks, time: time.to_vec(), orders, clones }
    }

    /// Mean over clones, each counted as often as its cells are on average.
    fn mean(&self, orders: &[Order], ranks: &[Ranks], weights: &Weights) -> Lanes {
        let w = weights.cells();
        let (mut sum, mut total) = ([0.0; LANES], [0.0; LANES]);
        for ((cells, order), (times, n)) in self.clones.iter().zip(orders).zip(ranks) {
            let pairs = count_pairs(order, times, *n, |i| &w[cells[i]]);
            for l in 0..LANES {
                let comparable = pairs.all[l] - pairs.truth_tied[l];
                if comparable > 0.0 {
                    let copies = cells.iter().map(|&i| w[i][l]).sum::<f64>() / cells.len() as f64;
                    sum[l] += copies * (0.5 + 0.5 * pairs.difference[l] / comparable);
                    total[l] += copies;
                }
            }
        }
        std::array::from_fn(|l| sum[l] / total[l])
    }
}

fn ranks(clones: &[Vec<usize>], time: impl Fn(usize) -> f64) -> Vec<Ranks> {
    clones.iter().map(|c| levels(&c.iter().map(|&i| time(i)).collect::<Vec<f64>>())).collect()
}

impl ScoreSet for ClonalSet {
    fn scale(&self) -> Scale {
        Scale::Share
    }

    fn len(&self) -> usize {
        self.orders.len()
    }

    fn weighted(&self, weights: &Weights) -> Vec<Lanes> {
        self.orders.iter().map(|o| self.mean(o, &self.ranks, weights)).collect()
    }

    /// Times are exchanged; cells stay in their clones.
    fn permuted(&self, truth_of: &[Vec<u32>]) -> Vec<Lanes> {
        let once = Weights::all(self.time.len());
        let mut out = vec![[f64::NAN; LANES]; self.orders.len()];
        for (lane, from) in truth_of.iter().take(LANES).enumerate() {
            let moved = ranks(&self.clones, |cell| self.time[from[cell] as usize]);
            for (score, orders) in out.iter_mut().zip(&self.orders) {
                score[lane] = self.mean(orders, &moved, &once)[0];
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The score by its definition over all pairs of expanded cells.
    fn by_pairs(clone_of: &[usize], time: &[f64], p: &[f64], times: &[usize]) -> f64 {
        let (mut sum, mut total) = (0.0, 0.0);
        for clone in 0..=clone_of.iter().copied().max().unwrap() {
            let own: Vec<usize> = (0..time.len()).filter(|&i| clone_of[i] == clone).collect();
            let copies: Vec<usize> = own.iter().flat_map(|&i| std::iter::repeat_n(i, times[i])).collect();
            let (mut right, mut n) = (0.0, 0.0);
            for &i in &copies {
                for &j in copies.iter().filter(|&&j| time[i] < time[j]) {
                    right += if p[i] < p[j] {
                        1.0
                    } else if p[i] == p[j] {
                        0.5
                    } else {
                        0.0
                    };
                    n += 1.0;
                }
            }
            if n > 0.0 {
                let weight = copies.len() as f64 / own.len() as f64;
                sum += weight * right / n;
                total += weight;
            }
        }
        sum / total
    }

    #[test]
    fn equals_the_definition_on_expanded_cells_with_ties() {
        let clone_of = [0, 0, 0, 1, 1, 1, 1, 2, 3, 3];
        let time = [1.0, 2.0, 4.0, 1.0, 1.0, 2.0, 4.0, 2.0, 1.0, 1.0];
        let p = [0.1, 0.5, 0.5, 0.9, 0.2, 0.3, f64::INFINITY, 0.4, 0.0, 1.0];
        let set = ClonalSet::new(&clone_of, &time, &[&p]);
        let times = [vec![1; 10], vec![2, 0, 1, 3, 1, 1, 2, 5, 1, 1], vec![0, 0, 0, 2, 1, 0, 1, 0, 0, 3]];
        let mut w = Weights::zero(10);
        for (lane, t) in times.iter().enumerate() {
            t.iter().enumerate().for_each(|(c, &k)| w.add(c, lane, k as f64));
        }
        let got = set.weighted(&w)[0];
        for (lane, t) in times.iter().enumerate() {
            assert!((got[lane] - by_pairs(&clone_of, &time, &p, t)).abs() < 1e-12, "{lane}");
        }
        assert!(got[3].is_nan(), "no cell at all");
        let order = vec![3u32, 1, 0, 2, 5, 4, 6, 9, 8, 7];
        let moved: Vec<f64> = order.iter().map(|&i| time[i as usize]).collect();
        let want = by_pairs(&clone_of, &moved, &p, &[1; 10]);
        assert!((set.permuted(&[order])[0][0] - want).abs() < 1e-12);
    }

    #[test]
    fn a_perfect_order_is_one_whatever_differs_between_clones() {
        // Clones are founded at different places, so that time says little over all cells together.
        let clone_of: Vec<usize> = (0..30).map(|i| i / 3).collect();
        let time: Vec<f64> = (0..30).map(|i| (i % 3) as f64).collect();
        let p: Vec<f64> = (0..30).map(|i| (i % 3) as f64 - 7.0 * (i / 3) as f64).collect();
        let back: Vec<f64> = p.iter().map(|v| -v).collect();
        let got = ClonalSet::new(&clone_of, &time, &[&p, &back]).weighted(&Weights::all(30));
        assert_eq!((got[0][0], got[1][0]), (1.0, 0.0));
    }
}
