//! How far a wrong label is from the right one in an ontology.

use microtome_core::Result;

use crate::Groups;
use crate::metrics::ontology::Ontology;
use crate::protocol::{LANES, Lanes, Scale, ScoreSet, Weights, add_lanes};

/// Where labels stand in an ontology.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelTerms {
    /// Terms and their parents.
    pub ontology: Ontology,
    /// Term of every label, or [`Groups::MISSING`].
    pub term_of_label: Vec<u32>,
}

/// What is averaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Steps {
    /// From the common ancestor down to the truth, over wrong cells.
    Published,
    /// Both ways, over wrong cells.
    Symmetric,
    /// Both ways, over all cells.
    AllCells,
}

/// Distances between classes.
pub(super) struct Distances {
    n: usize,
    /// `[true class, predicted class]`: steps down to both; `None` without a common ancestor.
    steps: Vec<Option<(u32, u32)>>,
}

impl Distances {
    /// Distances of the classes with these labels.
    pub(super) fn new(terms: &LabelTerms, label_of_class: &[u32]) -> Result<Self> {
        let n = label_of_class.len();
        let term = |class: usize| terms.term_of_label[label_of_class[class] as usize];
        let mut steps = vec![];
        for t in 0..n {
            for p in 0..n {
                let (a, b) = (term(t), term(p));
                let known = a != Groups::MISSING && b != Groups::MISSING;
                steps.push(if known { terms.ontology.lowest_common_ancestor(a, b)? } else { None });
            }
        }
        Ok(Self { n, steps })
    }

    fn of(&self, kind: Steps, truth: usize, predicted: usize) -> Option<f64> {
        if truth == predicted {
            return (kind == Steps::AllCells).then_some(0.0);
        }
        let (down, up) = self.steps[truth * self.n + predicted]?;
        Some(f64::from(if kind == Steps::Published { down } else { down + up }))
    }
}

/// Mean distance of several predictions from one truth.
pub(super) struct DistanceSet {
    n: usize,
    /// `[true class, predicted class]`; NaN where the pair does not count.
    table: Vec<f64>,
    truth: Vec<usize>,
    predictions: Vec<Vec<usize>>,
}

impl DistanceSet {
    pub(super) fn new(distances: &Distances, kind: Steps, truth: &[f64], predictions: &[&[f64]]) -> Self {
        let n = distances.n;
        let table = (0..n * n).map(|i| distances.of(kind, i / n, i % n).unwrap_or(f64::NAN)).collect();
        let classes = |v: &[f64]| v.iter().map(|&c| c as usize).collect();
        Self { n, table, truth: classes(truth), predictions: predictions.iter().map(|p| classes(p)).collect() }
    }

    fn mean(&self, predicted: &[usize], weight: impl Fn(usize) -> Lanes, truth: impl Fn(usize, usize) -> Option<usize>) -> Lanes {
        let (mut sum, mut total) = ([0.0; LANES], [0.0; LANES]);
        for (i, &p) in predicted.iter().enumerate() {
            let w = weight(i);
            let steps: Lanes =
                std::array::from_fn(|l| truth(i, l).map_or(f64::NAN, |t| self.table[t * self.n + p]));
            let counted = std::array::from_fn(|l| if steps[l].is_nan() { 0.0 } else { w[l] });
            add_lanes(&mut total, &counted);
            add_lanes(&mut sum, &std::array::from_fn(|l| if steps[l].is_nan() { 0.0 } else { w[l] * steps[l] }));
        }
        std::array::from_fn(|l| sum[l] / total[l])
    }
}

impl ScoreSet for DistanceSet {
    fn scale(&self) -> Scale {
        Scale::Plain
    }

    fn len(&self) -> usize {
        self.predictions.len()
    }

    fn weighted(&self, weights: &Weights) -> Vec<Lanes> {
        let w = weights.cells();
        self.predictions.iter().map(|p| self.mean(p, |i| w[i], |i, _| Some(self.truth[i]))).collect()
    }

    fn permuted(&self, truth_of: &[Vec<u32>]) -> Vec<Lanes> {
        let truth = |i: usize, l: usize| truth_of.get(l).map(|t| self.truth[t[i] as usize]);
        self.predictions.iter().map(|p| self.mean(p, |_| [1.0; LANES], truth)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::ontology::lcad;

    #[test]
    fn the_same_as_the_library() {
        // root <- a <- b, root <- c; label 3 has no term.
        let ids = ["root", "a", "b", "c"].map(String::from).to_vec();
        let ontology = Ontology::new(ids, vec![vec![], vec![0], vec![1], vec![0]]).unwrap();
        let terms = LabelTerms { ontology, term_of_label: vec![1, 2, 3, Groups::MISSING] };
        let distances = Distances::new(&terms, &[0, 1, 2, 3]).unwrap();
        let truth = [0.0, 1.0, 2.0, 1.0, 0.0, 3.0, 2.0];
        let predicted = [0.0, 2.0, 0.0, 0.0, 0.0, 1.0, 3.0];
        let codes = |v: &[f64]| v.iter().map(|&c| terms.term_of_label[c as usize]).collect::<Vec<_>>();
        let want = lcad(&terms.ontology, &codes(&truth), &codes(&predicted)).unwrap();
        for (kind, want) in
            [(Steps::Published, want.published), (Steps::Symmetric, want.symmetric), (Steps::AllCells, want.all_cells)]
        {
            let set = DistanceSet::new(&distances, kind, &truth, &[&predicted]);
            let got = set.weighted(&Weights::all(7))[0][0];
            assert!((got - want.value.unwrap()).abs() < 1e-12, "{kind:?} {got} {want:?}");
            let order: Vec<u32> = vec![0, 2, 1, 3, 4, 5, 6];
            let moved: Vec<f64> = order.iter().map(|&i| truth[i as usize]).collect();
            let want = DistanceSet::new(&distances, kind, &moved, &[&predicted]).weighted(&Weights::all(7))[0][0];
            assert_eq!(set.permuted(&[order])[0][0], want);
        }
    }
}
