//! Partial rank correlation under multiplicities: agreement beyond what covariates already explain.

use super::SpearmanSet;
use crate::protocol::{Lanes, ScoreSet, Weights};

/// Rank correlation of several predictions with one truth given covariates, by the recursion over covariates.
pub(crate) struct PartialSet {
    n: usize,
    /// Truth against predictions, then covariates.
    truth: SpearmanSet,
    /// Covariate `k` against predictions, then covariates.
    covariates: Vec<SpearmanSet>,
}

impl PartialSet {
    pub(crate) fn new(truth: &[f64], predictions: &[&[f64]], covariates: &[&[f64]]) -> Self {
        let all: Vec<&[f64]> = predictions.iter().chain(covariates).copied().collect();
        Self {
            n: predictions.len(),
            truth: SpearmanSet::new(truth, &all),
            covariates: covariates.iter().map(|c| SpearmanSet::new(c, &all)).collect(),
        }
    }

    /// Partial correlation of prediction `r` with the truth from plain ones, lane by lane.
    fn partial(&self, r: usize, with_truth: &[Lanes], with_covariates: &[Vec<Lanes>]) -> Lanes {
        let k = self.covariates.len();
        std::array::from_fn(|l| {
            // Variables: 0 the prediction, 1 the truth, then covariates.
            let c = |i: usize, at: usize| with_covariates[i][at][l];
            let mut m = vec![vec![1.0; k + 2]; k + 2];
            let mut put = |i: usize, j: usize, v: f64| {
                m[i][j] = v;
                m[j][i] = v;
            };
            put(0, 1, with_truth[r][l]);
            for i in 0..k {
                put(0, i + 2, c(i, r));
                put(1, i + 2, with_truth[self.n + i][l]);
                (i + 1..k).for_each(|j| put(i + 2, j + 2, c(i, self.n + j)));
            }
            for z in (2..k + 2).rev() {
                // A covariate that is constant, or that determines a variable, explains nothing or everything.
                if m[z][0].is_nan() || m[z][1].is_nan() {
                    continue;
                }
                let old = m.clone();
                for i in 0..z {
                    for j in 0..z {
                        let left = ((1.0 - old[i][z].powi(2)) * (1.0 - old[j][z].powi(2))).sqrt();
                        m[i][j] = if i == j {
                            1.0
                        } else if left > 1e-9 {
                            (old[i][j] - old[i][z] * old[j][z]) / left
                        } else {
                            0.0
                        };
                    }
                }
            }
            m[0][1]
        })
    }
}

impl ScoreSet for PartialSet {
    fn len(&self) -> usize {
        self.n
    }

    fn weighted(&self, weights: &Weights) -> Vec<Lanes> {
        let truth = self.truth.weighted(weights);
        let covariates: Vec<Vec<Lanes>> = self.covariates.iter().map(|c| c.weighted(weights)).collect();
        (0..self.n).map(|r| self.partial(r, &truth, &covariates)).collect()
    }

    /// The truth is exchanged, the covariates stay with the predictions.
    fn permuted(&self, truth_of: &[Vec<u32>]) -> Vec<Lanes> {
        let n = truth_of.first().map_or(0, Vec::len);
        let truth = self.truth.permuted(truth_of);
        let all = Weights::all(n);
        let covariates: Vec<Vec<Lanes>> = self.covariates.iter().map(|c| c.weighted(&all)).collect();
        (0..self.n).map(|r| self.partial(r, &truth, &covariates)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_correlation_by_hand() {
        let a = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let b = [2.0, 1.0, 4.0, 3.0, 6.0, 5.0];
        let c = [1.0, 3.0, 2.0, 4.0, 6.0, 5.0];
        let rho = |x: &[f64], y: &[f64]| microtome_numerics::spearman(x, y).unwrap().unwrap();
        let (ab, ac, bc) = (rho(&a, &b), rho(&a, &c), rho(&b, &c));
        let want = (ab - ac * bc) / ((1.0 - ac * ac) * (1.0 - bc * bc)).sqrt();
        let set = PartialSet::new(&a, &[&b], &[&c]);
        assert!((set.weighted(&Weights::all(6))[0][0] - want).abs() < 1e-12);
        let same: Vec<u32> = (0..6).collect();
        assert!((set.permuted(&[same])[0][0] - want).abs() < 1e-12);
        // What the covariate explains entirely is gone.
        assert_eq!(PartialSet::new(&a, &[&c], &[&c]).weighted(&Weights::all(6))[0][0], 0.0);
        // Two covariates: the textbook recursion in either order gives the same.
        let d = [6.0, 1.0, 2.0, 5.0, 3.0, 4.0];
        let one = PartialSet::new(&a, &[&b], &[&c, &d]).weighted(&Weights::all(6))[0][0];
        let other = PartialSet::new(&a, &[&b], &[&d, &c]).weighted(&Weights::all(6))[0][0];
        assert!((one - other).abs() < 1e-12, "{one} {other}");
    }
}
