//! Scores over pairs of perturbations, and of retrieval, under multiplicities of perturbations.

use crate::protocol::{LANES, Lanes, Scale, ScoreSet, Weights, add_lanes};

/// Position of the pair `p < q` among all pairs of `n`, row by row.
pub(super) fn pair(n: usize, p: usize, q: usize) -> usize {
    let (p, q) = if p < q { (p, q) } else { (q, p) };
    p * (2 * n - p - 1) / 2 + q - p - 1
}

/// Weights of pairs: the product of the weights of both; a pair of a perturbation with itself does not exist.
fn of_pairs(weights: &Weights) -> Weights {
    let w = weights.cells();
    let mut out = Vec::with_capacity(w.len() * w.len().saturating_sub(1) / 2);
    for p in 0..w.len() {
        for q in p + 1..w.len() {
            out.push(std::array::from_fn(|l| w[p][l] * w[q][l]));
        }
    }
    Weights::from_cells(out)
}

/// Permutations of perturbations as permutations of pairs (Mantel 1967).
fn permuted_pairs(truth_of: &[Vec<u32>]) -> Vec<Vec<u32>> {
    let one = |order: &Vec<u32>| {
        let n = order.len();
        let of = |p: usize, q: usize| pair(n, order[p] as usize, order[q] as usize) as u32;
        (0..n).flat_map(|p| (p + 1..n).map(move |q| (p, q))).map(|(p, q)| of(p, q)).collect()
    };
    truth_of.iter().map(one).collect()
}

/// Mean over blocks (halves and splits) of scores of the same representations.
pub(super) struct Blocks<S>(pub(super) Vec<S>);

impl<S: ScoreSet> Blocks<S> {
    fn mean(&self, score: impl Fn(&S) -> Vec<Lanes>) -> Vec<Lanes> {
        let mut sum = vec![[0.0; LANES]; self.0.first().map_or(0, ScoreSet::len)];
        for block in &self.0 {
            sum.iter_mut().zip(score(block)).for_each(|(s, b)| add_lanes(s, &b));
        }
        sum.iter_mut().flatten().for_each(|s| *s /= self.0.len() as f64);
        sum
    }
}

impl<S: ScoreSet> ScoreSet for Blocks<S> {
    fn scale(&self) -> Scale {
        self.0.first().map_or(Scale::Correlation, ScoreSet::scale)
    }
    fn len(&self) -> usize {
        self.0.first().map_or(0, ScoreSet::len)
    }
    fn weighted(&self, weights: &Weights) -> Vec<Lanes> {
        self.mean(|b| b.weighted(weights))
    }
    fn permuted(&self, truth_of: &[Vec<u32>]) -> Vec<Lanes> {
        self.mean(|b| b.permuted(truth_of))
    }
}

/// A score over pairs of perturbations under multiplicities and permutations of perturbations.
pub(super) struct Pairs<S>(pub(super) S);

impl<S: ScoreSet> ScoreSet for Pairs<S> {
    fn scale(&self) -> Scale {
        self.0.scale()
    }
    fn len(&self) -> usize {
        self.0.len()
    }
    fn weighted(&self, weights: &Weights) -> Vec<Lanes> {
        self.0.weighted(&of_pairs(weights))
    }
    fn permuted(&self, truth_of: &[Vec<u32>]) -> Vec<Lanes> {
        self.0.permuted(&permuted_pairs(truth_of))
    }
}

/// Mean over perturbations of how high each one's own effect ranks among all.
pub(super) struct RetrievalSet {
    n: usize,
    /// Per representation, `[query, candidate]`: the score if the candidate were the right one.
    scores: Vec<Vec<f64>>,
}

impl RetrievalSet {
    pub(super) fn new(n: usize, scores: &[&[f64]]) -> Self {
        Self { n, scores: scores.iter().map(|s| s.to_vec()).collect() }
    }
}

impl ScoreSet for RetrievalSet {
    fn scale(&self) -> Scale {
        Scale::Share
    }
    fn len(&self) -> usize {
        self.scores.len()
    }
    fn weighted(&self, weights: &Weights) -> Vec<Lanes> {
        let totals = weights.totals();
        let one = |s: &Vec<f64>| {
            let mut sum = [0.0; LANES];
            for (p, w) in weights.cells().iter().enumerate() {
                (0..LANES).for_each(|l| sum[l] += w[l] * s[p * self.n + p]);
            }
            std::array::from_fn(|l| if totals[l] > 0.0 { sum[l] / totals[l] } else { f64::NAN })
        };
        self.scores.iter().map(one).collect()
    }
    fn permuted(&self, truth_of: &[Vec<u32>]) -> Vec<Lanes> {
        let lane = |s: &[f64], order: &Vec<u32>| {
            order.iter().enumerate().map(|(p, &q)| s[p * self.n + q as usize]).sum::<f64>() / self.n as f64
        };
        let one = |s: &Vec<f64>| std::array::from_fn(|l| truth_of.get(l).map_or(f64::NAN, |order| lane(s, order)));
        self.scores.iter().map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::SpearmanSet;

    #[test]
    fn pairs_are_counted_row_by_row() {
        let n = 5;
        let all: Vec<usize> = (0..n).flat_map(|p| (p + 1..n).map(move |q| pair(n, p, q))).collect();
        assert_eq!(all, (0..10).collect::<Vec<_>>());
        assert_eq!(pair(n, 3, 1), pair(n, 1, 3));
    }

    #[test]
    fn leaving_a_perturbation_out_leaves_its_pairs_out() {
        let reference = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let x = [1.0, 2.0, 9.0, 4.0, 0.0, -3.0];
        let set = Pairs(SpearmanSet::new(&reference, &[&x]));
        // Without the last of four, pairs 01, 02, 12 are left, all in order.
        let w = Weights::subsets(4, &[vec![0, 1, 2]]);
        assert!((set.weighted(&w)[0][0] - 1.0).abs() < 1e-12);
        assert!(set.weighted(&Weights::all(4))[0][0] < 0.5);
        let same: Vec<u32> = vec![0, 1, 2, 3];
        assert!((set.permuted(&[same])[0][0] - set.weighted(&Weights::all(4))[0][0]).abs() < 1e-12);
    }

    #[test]
    fn retrieval_is_the_mean_of_the_diagonal() {
        let s = [1.0, 0.0, 0.5, 0.5];
        let set = RetrievalSet::new(2, &[&s]);
        assert_eq!(set.weighted(&Weights::all(2))[0][0], 0.75);
        assert_eq!(set.permuted(&[vec![1, 0]])[0][0], 0.25);
    }
}
