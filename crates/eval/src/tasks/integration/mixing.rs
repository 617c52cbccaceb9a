//! The headline and its two halves, from neighbours.

use std::sync::Arc;

use crate::protocol::{LANES, Lanes, Scale, ScoreSet, Weights};

/// What is read from a cell's neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    /// Own type and another batch, over perfect mixing.
    Mixed,
    /// Own type.
    Label,
    /// Another batch among those of the own type, over perfect mixing.
    Batch,
}

/// Label and batch of the scored cells, with the sizes of their groups.
pub(super) struct Groups {
    /// Label of every cell.
    pub(super) labels: Vec<usize>,
    batches: Vec<usize>,
    /// Cells per label.
    sizes: Vec<usize>,
    /// Cells per label and batch.
    in_batch: Vec<Vec<usize>>,
}

impl Groups {
    pub(super) fn new(labels: Vec<usize>, batches: Vec<usize>, n_labels: usize, n_batches: usize) -> Self {
        let mut in_batch = vec![vec![0; n_batches]; n_labels];
        labels.iter().zip(&batches).for_each(|(&l, &b)| in_batch[l][b] += 1);
        let sizes = in_batch.iter().map(|b| b.iter().sum()).collect();
        Self { labels, batches, sizes, in_batch }
    }

    /// Whether some label is in more than one batch.
    pub(super) fn any_shared(&self) -> bool {
        self.in_batch.iter().any(|b| b.iter().filter(|n| **n > 0).count() > 1)
    }

    /// The batch and the number of cells of a label that is in one batch only.
    pub(super) fn only_batch(&self, label: usize) -> Option<(usize, usize)> {
        let mut with = self.in_batch[label].iter().enumerate().filter(|(_, n)| **n > 0);
        let (batch, n) = with.next()?;
        with.next().is_none().then_some((batch, *n))
    }

    /// Share of other batches among the other cells of the own type: what perfect mixing gives. 0 where the type is in one
    /// batch only.
    fn expected(&self, label: usize, batch: usize) -> f64 {
        let others = self.sizes[label].saturating_sub(1).max(1);
        (self.sizes[label] - self.in_batch[label][batch]) as f64 / others as f64
    }

    /// The value of one cell whose neighbours (nearest first) and itself are given as cells to look up; `None` where it is
    /// not defined. No more neighbours are looked at than the type has other cells.
    fn value(&self, share: Share, cell: usize, neighbours: impl Iterator<Item = usize>) -> Option<f64> {
        let (label, batch) = (self.labels[cell], self.batches[cell]);
        let expected = self.expected(label, batch);
        let most = self.sizes[label].saturating_sub(1);
        if most == 0 || (expected == 0.0 && share != Share::Label) {
            return None;
        }
        let (mut n, mut own, mut other) = (0, 0, 0);
        for c in neighbours.take(most) {
            n += 1;
            if self.labels[c] == label {
                own += 1;
                other += usize::from(self.batches[c] != batch);
            }
        }
        let ratio = |a: i32, b: i32| f64::from(a) / f64::from(b);
        match share {
            Share::Label => Some(ratio(own, n)),
            Share::Mixed => Some((other as f64 / f64::from(n) / expected).min(1.0)),
            // A cell without a neighbour of its type says nothing about mixing.
            Share::Batch => (own > 0).then(|| (other as f64 / f64::from(own) / expected).min(1.0)),
        }
    }
}

/// A share for several representations: mean over the cells of each type, then over types.
pub(super) struct ShareSet {
    share: Share,
    groups: Arc<Groups>,
    k: usize,
    /// `[cell, k]` neighbours per representation.
    neighbours: Vec<Vec<u32>>,
    /// Value per cell and representation, NaN where undefined.
    values: Vec<Vec<f64>>,
}

impl ShareSet {
    /// `neighbours[r]` holds `k` neighbours per cell, row by row, as whole numbers.
    pub(super) fn new(share: Share, groups: Arc<Groups>, k: usize, neighbours: &[&[f64]]) -> Self {
        let neighbours: Vec<Vec<u32>> =
            neighbours.iter().map(|n| n.iter().map(|&c| c as u32).collect()).collect();
        let value = |near: &Vec<u32>, cell: usize| {
            let row = near[cell * k..(cell + 1) * k].iter().map(|&c| c as usize);
            groups.value(share, cell, row).unwrap_or(f64::NAN)
        };
        let values = neighbours.iter().map(|n| (0..groups.labels.len()).map(|c| value(n, c)).collect()).collect();
        Self { share, groups, k, neighbours, values }
    }

    /// Mean over labels of the mean over cells, when cell `i` of lane `l` counts `weight(i)[l]` times and is worth
    /// `value(i, l)` with label `label(i, l)`.
    fn mean(
        &self,
        weight: impl Fn(usize) -> Lanes,
        value: impl Fn(usize, usize) -> f64,
        label: impl Fn(usize, usize) -> usize,
    ) -> Lanes {
        let n_labels = self.groups.sizes.len();
        let (mut sum, mut total) = (vec![[0.0; LANES]; n_labels], vec![[0.0; LANES]; n_labels]);
        for i in 0..self.groups.labels.len() {
            let w = weight(i);
            for l in 0..LANES {
                let v = value(i, l);
                if !v.is_nan() {
                    let at = label(i, l);
                    sum[at][l] += w[l] * v;
                    total[at][l] += w[l];
                }
            }
        }
        std::array::from_fn(|l| {
            let means = (0..n_labels).filter(|&c| total[c][l] > 0.0).map(|c| sum[c][l] / total[c][l]);
            let (s, n) = means.fold((0.0, 0.0), |(s, n), m| (s + m, n + 1.0));
            s / n
        })
    }
}

impl ScoreSet for ShareSet {
    fn scale(&self) -> Scale {
        Scale::Share
    }

    fn len(&self) -> usize {
        self.values.len()
    }

    fn weighted(&self, weights: &Weights) -> Vec<Lanes> {
        let w = weights.cells();
        let labels = &self.groups.labels;
        self.values.iter().map(|v| self.mean(|i| w[i], |i, _| v[i], |i, _| labels[i])).collect()
    }

    fn permuted(&self, truth_of: &[Vec<u32>]) -> Vec<Lanes> {
        let near_of = |near: &[u32], i: usize, order: &[u32]| -> f64 {
            let row = near[i * self.k..(i + 1) * self.k].iter().map(|&c| order[c as usize] as usize);
            self.groups.value(self.share, order[i] as usize, row).unwrap_or(f64::NAN)
        };
        let one = |near: &Vec<u32>| {
            let value = |i: usize, l: usize| truth_of.get(l).map_or(f64::NAN, |order| near_of(near, i, order));
            let label = |i: usize, l: usize| truth_of.get(l).map_or(0, |t| self.groups.labels[t[i] as usize]);
            self.mean(|_| [1.0; LANES], value, label)
        };
        self.neighbours.iter().map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two types of four cells in two batches; neighbours are given by hand.
    fn groups() -> Groups {
        Groups::new(vec![0, 0, 0, 0, 1, 1, 1, 1], vec![0, 0, 1, 1, 0, 0, 1, 1], 2, 2)
    }

    fn score(share: Share, near: &[[usize; 2]; 8]) -> f64 {
        let flat: Vec<f64> = near.iter().flatten().map(|&c| c as f64).collect();
        ShareSet::new(share, Arc::new(groups()), 2, &[&flat]).weighted(&Weights::all(8))[0][0]
    }

    #[test]
    fn the_four_ends() {
        // Expected share of the other batch: 2 of 3 other cells.
        let mixed = [[2, 1], [3, 0], [0, 3], [1, 2], [6, 5], [7, 4], [4, 7], [5, 6]];
        assert!((score(Share::Mixed, &mixed) - 0.75).abs() < 1e-12, "one of two neighbours, over two thirds");
        assert_eq!(score(Share::Label, &mixed), 1.0);
        let over = [[2, 3], [2, 3], [0, 1], [0, 1], [6, 7], [6, 7], [4, 5], [4, 5]];
        assert_eq!(score(Share::Mixed, &over), 1.0, "more than perfect counts as perfect");
        let apart = [[1, 4], [0, 5], [3, 6], [2, 7], [5, 0], [4, 1], [7, 2], [6, 3]];
        assert_eq!((score(Share::Mixed, &apart), score(Share::Batch, &apart)), (0.0, 0.0));
        assert_eq!(score(Share::Label, &apart), 0.5);
        let wrong = [[4, 6], [5, 7], [4, 6], [5, 7], [0, 2], [1, 3], [0, 2], [1, 3]];
        assert_eq!((score(Share::Mixed, &wrong), score(Share::Label, &wrong)), (0.0, 0.0));
        assert!(score(Share::Batch, &wrong).is_nan(), "no neighbour of the own type anywhere");
    }

    #[test]
    fn a_permutation_moves_labels_and_batches_together_and_weights_are_copies() {
        let near = [[2, 1], [3, 0], [0, 3], [1, 2], [6, 5], [7, 4], [4, 7], [5, 6]];
        let flat: Vec<f64> = near.iter().flatten().map(|&c: &usize| c as f64).collect();
        let g = Arc::new(groups());
        let order: Vec<u32> = vec![5, 2, 7, 0, 1, 3, 6, 4];
        for share in [Share::Mixed, Share::Label, Share::Batch] {
            let set = ShareSet::new(share, g.clone(), 2, &[&flat]);
            let pick = |v: &[usize]| order.iter().map(|&i| v[i as usize]).collect::<Vec<_>>();
            let moved = Groups::new(pick(&g.labels), pick(&g.batches), 2, 2);
            let want = ShareSet::new(share, Arc::new(moved), 2, &[&flat]).weighted(&Weights::all(8))[0][0];
            let got = set.permuted(std::slice::from_ref(&order))[0];
            assert!((got[0] - want).abs() < 1e-12 && got[1].is_nan());
            let mut w = Weights::zero(8);
            w.add(0, 0, 3.0);
            w.add(5, 0, 1.0);
            let got = set.weighted(&w)[0][0];
            let want = (set.values[0][0] + set.values[0][5]) / 2.0;
            assert!((got - want).abs() < 1e-12, "one cell per type, however often");
        }
    }

    #[test]
    fn a_type_of_one_batch_or_one_cell_has_no_mixing() {
        let g = Groups::new(vec![0, 0, 1, 2, 2], vec![0, 0, 0, 0, 1], 3, 2);
        let near = |_: usize| [3usize, 4].into_iter();
        assert_eq!(g.value(Share::Mixed, 0, near(0)), None);
        assert_eq!(g.value(Share::Label, 0, near(0)), Some(0.0));
        assert_eq!(g.value(Share::Label, 2, near(2)), None, "the only cell of its type");
        assert_eq!(g.value(Share::Mixed, 3, [4usize, 0].into_iter()), Some(1.0), "one other cell, one neighbour");
    }
}
