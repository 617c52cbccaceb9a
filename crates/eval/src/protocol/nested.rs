//! Nested choice: a depth is chosen on inner units and scored on outer units that had no part in the choice.

use super::Protocol;
use super::interval::{Interval, corrected_t};
use super::random::stream;
use super::units::{Units, grouped_folds, varies};
use super::weights::{LANES, ScoreSet, Weights};

/// One outer fold. Units by index.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// Units that are scored.
    pub test: Vec<usize>,
    /// Units the choice is made on.
    pub train: Vec<usize>,
    /// The training units in inner folds; a single fold of all of them where two cannot be made.
    pub inner: Vec<Vec<usize>>,
}

/// The outer folds of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Folds {
    /// Every outer fold of every repeat.
    pub splits: Vec<Split>,
    /// What they are, for a reader.
    pub words: String,
    /// Mean number of test cells over training cells.
    pub test_to_train: f64,
}

impl Folds {
    /// Leave-one-unit-out with at most `protocol.max_leave_one_out` units, provided the truth varies within every
    /// unit; otherwise grouped folds, repeated. `Err` with the reason when no folds can be made.
    pub fn new(units: &Units, truth: &[f64], protocol: &Protocol) -> Result<Self, String> {
        let all: Vec<usize> = (0..units.len()).collect();
        let fine = units.len() >= 3 && units.members.iter().all(|m| varies(truth, m));
        let rounds: Vec<Vec<Vec<usize>>> = if fine && units.len() <= protocol.max_leave_one_out {
            vec![all.iter().map(|&u| vec![u]).collect()]
        } else {
            (0..protocol.n_repeats)
                .map(|r| {
                    let mut random = stream(protocol.seed, "outer folds", r as u64);
                    grouped_folds(units, &all, truth, protocol.n_outer, &mut random)
                })
                .collect::<Option<_>>()
                .ok_or_else(|| no_folds(units))?
        };
        let leave_one_out = fine && units.len() <= protocol.max_leave_one_out;
        let words = if leave_one_out {
            format!("leave-one-{}-out", units.name)
        } else {
            format!("{} grouped folds x {} repeats", rounds[0].len(), rounds.len())
        };
        let mut splits = vec![];
        for folds in rounds {
            for test in folds {
                let train = units.without(&all, &test);
                if !varies(truth, &units.cells_of(&train)) {
                    return Err(no_folds(units));
                }
                let mut random = stream(protocol.seed, "inner folds", splits.len() as u64);
                let inner = grouped_folds(units, &train, truth, protocol.n_inner, &mut random)
                    .unwrap_or_else(|| vec![train.clone()]);
                splits.push(Split { test, train, inner });
            }
        }
        let ratio =
            |s: &Split| units.cells_of(&s.test).len() as f64 / units.cells_of(&s.train).len().max(1) as f64;
        let test_to_train = splits.iter().map(ratio).sum::<f64>() / splits.len() as f64;
        Ok(Self { splits, words, test_to_train })
    }
}

fn no_folds(units: &Units) -> String {
    format!("{} units ({}) cannot be split into folds within which the truth varies", units.len(), units.name)
}

/// Scores of every representation by outer fold; NaN where undefined.
#[derive(Clone, Debug, PartialEq)]
pub struct FoldScores {
    /// `[fold][representation]`: score on the test units.
    pub outer: Vec<Vec<f64>>,
    /// `[fold][representation]`: mean score on the held-out inner folds.
    pub inner: Vec<Vec<f64>>,
}

impl FoldScores {
    /// For predictions that never saw the truth of any cell they are scored on, so that a fold is a subset of cells.
    pub fn of_fixed(scores: &dyn ScoreSet, units: &Units, folds: &Folds) -> Self {
        let subsets: Vec<Vec<usize>> = folds
            .splits
            .iter()
            .flat_map(|s| std::iter::once(&s.test).chain(&s.inner))
            .map(|u| units.cells_of(u))
            .collect();
        let mut flat: Vec<Vec<f64>> = vec![];
        for part in subsets.chunks(LANES) {
            let scored = scores.weighted(&Weights::subsets(units.n_cells(), part));
            flat.extend((0..part.len()).map(|l| scored.iter().map(|s| s[l]).collect::<Vec<f64>>()));
        }
        let mut flat = flat.into_iter();
        let (mut outer, mut inner) = (vec![], vec![]);
        for split in &folds.splits {
            outer.extend(flat.next());
            let parts: Vec<Vec<f64>> = flat.by_ref().take(split.inner.len()).collect();
            inner.push((0..scores.len()).map(|r| mean_defined(parts.iter().map(|p| p[r]))).collect());
        }
        Self { outer, inner }
    }

    /// The candidate with the highest inner score in every fold; ties go to the first. `None` where no candidate has
    /// an inner score.
    pub fn choose(&self, candidates: &[usize]) -> Vec<Option<usize>> {
        let better = |scores: &[f64]| {
            candidates.iter().copied().filter(|&c| !scores[c].is_nan()).fold(
                None,
                |best: Option<usize>, c| {
                    if best.is_none_or(|b| scores[c] > scores[b]) { Some(c) } else { best }
                },
            )
        };
        self.inner.iter().map(|s| better(s)).collect()
    }

    /// Outer scores of what was chosen in every fold.
    pub fn outer_of(&self, chosen: &[Option<usize>]) -> Vec<f64> {
        self.outer.iter().zip(chosen).map(|(s, c)| c.map_or(f64::NAN, |c| s[c])).collect()
    }

    /// Outer scores of one representation.
    pub fn fixed(&self, representation: usize) -> Vec<f64> {
        self.outer.iter().map(|s| s[representation]).collect()
    }
}

/// Mean over folds with its corrected t interval; folds where the value is undefined are left out.
pub fn over_folds(values: &[f64], folds: &Folds, level: f64) -> Option<(f64, Interval)> {
    let defined: Vec<f64> = values.iter().copied().filter(|v| !v.is_nan()).collect();
    corrected_t(&defined, folds.test_to_train, level)
}

/// Mean of the values that are not NaN; NaN when there is none.
pub(crate) fn mean_defined(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.filter(|v| !v.is_nan()).fold((0.0, 0usize), |(s, n), v| (s + v, n + 1));
    sum / n as f64
}

/// How often each representation was chosen, most often first, ties in the order of the representations.
pub fn frequencies(chosen: &[Option<usize>]) -> Vec<(usize, usize)> {
    let mut counts = std::collections::BTreeMap::new();
    for &c in chosen.iter().flatten() {
        *counts.entry(c).or_insert(0) += 1;
    }
    let mut out: Vec<(usize, usize)> = counts.into_iter().collect();
    out.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    out
}
