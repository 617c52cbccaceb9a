//! Classification: F1, balanced accuracy, accuracy.
//!
//! A cell without a true label is left out and counted. A prediction of [`Groups::MISSING`](crate::Groups::MISSING)
//! ("rejected") is a wrong answer, not a missing cell, and makes no class of its own.

use super::definition::{Definition, Need};
use super::score::{Score, mean_of, same_number};
use crate::Groups;
use microtome_core::{Direction, Result};

/// Macro F1 over all classes that occur in truth or prediction.
pub static F1_MACRO_UNION: Definition = Definition {
    id: "f1_macro_union",
    version: 1,
    direction: Direction::Higher,
    range: (0.0, 1.0),
    needs: &[Need::Labels, Need::Predictions],
    words: "F1, mean over the classes that occur in truth or prediction",
    citation: "van Rijsbergen 1979; class set as scikit-learn's default",
    deviations: "",
};

/// Macro F1 over the classes of the truth.
pub static F1_MACRO_TRUE: Definition = Definition {
    id: "f1_macro_true",
    words: "F1, mean over the classes that occur in the truth",
    ..F1_MACRO_UNION
};

/// F1 weighted by class size.
pub static F1_WEIGHTED: Definition = Definition {
    id: "f1_weighted",
    words: "F1, mean over the classes of the truth weighted by their size",
    ..F1_MACRO_UNION
};

/// Mean recall.
pub static BALANCED_ACCURACY: Definition = Definition {
    id: "balanced_accuracy",
    words: "Recall, mean over the classes of the truth",
    citation: "Brodersen et al. 2010, ICPR",
    ..F1_MACRO_UNION
};

/// Share of right answers.
pub static ACCURACY: Definition = Definition {
    id: "accuracy",
    words: "Share of cells whose predicted class is right",
    citation: "standard",
    ..F1_MACRO_UNION
};

pub(super) static DEFINITIONS: &[&Definition] =
    &[&F1_MACRO_UNION, &F1_MACRO_TRUE, &F1_WEIGHTED, &BALANCED_ACCURACY, &ACCURACY];

/// One class of a table of results.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassRow {
    /// Class code.
    pub class: u32,
    /// Cells of the class.
    pub n_true: usize,
    /// Cells predicted as the class.
    pub n_predicted: usize,
    /// Cells of the class that were predicted as it.
    pub n_right: usize,
}

impl ClassRow {
    /// `2 right / (true + predicted)`; `None` for a class that never occurs.
    pub fn f1(&self) -> Option<f64> {
        let n = self.n_true + self.n_predicted;
        (n > 0).then(|| 2.0 * self.n_right as f64 / n as f64)
    }

    /// Share of the class that was found; `None` for a class that is not in the truth.
    pub fn recall(&self) -> Option<f64> {
        (self.n_true > 0).then(|| self.n_right as f64 / self.n_true as f64)
    }

    /// Share of its predictions that are right; `None` for a class that was never predicted.
    pub fn precision(&self) -> Option<f64> {
        (self.n_predicted > 0).then(|| self.n_right as f64 / self.n_predicted as f64)
    }
}

/// Results by class.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassTable {
    /// Classes that occur in truth or prediction, by rising code.
    pub classes: Vec<ClassRow>,
    n: usize,
    missing: usize,
}

impl ClassTable {
    /// Counts. Errors when lengths differ.
    pub fn new(truth: &[u32], predicted: &[u32]) -> Result<Self> {
        same_number("predictions and cells", truth.len(), predicted.len())?;
        let kept: Vec<usize> = (0..truth.len()).filter(|&i| truth[i] != Groups::MISSING).collect();
        let pairs = || kept.iter().map(|&i| (truth[i], predicted[i]));
        let mut codes: Vec<u32> = pairs().flat_map(|(t, p)| [t, p]).collect();
        codes.sort_unstable();
        codes.dedup();
        codes.retain(|&c| c != Groups::MISSING);
        let mut classes: Vec<ClassRow> =
            codes.iter().map(|&class| ClassRow { class, n_true: 0, n_predicted: 0, n_right: 0 }).collect();
        let at = |class| codes.binary_search(&class).ok();
        for (t, p) in pairs() {
            if let Some(row) = at(t) {
                classes[row].n_true += 1;
                classes[row].n_right += usize::from(t == p);
            }
            if let Some(row) = at(p) {
                classes[row].n_predicted += 1;
            }
        }
        Ok(Self { classes, n: kept.len(), missing: truth.len() - kept.len() })
    }

    fn score(&self, value: impl FnOnce() -> f64) -> Score {
        let score = if self.n == 0 { Score::undefined("no cells") } else { Score::new(value(), self.n) };
        score.excluding(self.missing, "cells without a label or batch")
    }

    fn mean(&self, values: impl Iterator<Item = Option<f64>>) -> Score {
        let mean = mean_of(values.filter(Option::is_some), "").value;
        self.score(|| mean.unwrap_or(f64::NAN))
    }

    /// [`F1_MACRO_UNION`].
    pub fn f1_macro_union(&self) -> Score {
        self.mean(self.classes.iter().map(ClassRow::f1))
    }

    /// [`F1_MACRO_TRUE`].
    pub fn f1_macro_true(&self) -> Score {
        self.mean(self.classes.iter().filter(|c| c.n_true > 0).map(ClassRow::f1))
    }

    /// [`F1_WEIGHTED`].
    pub fn f1_weighted(&self) -> Score {
        let weighted = |c: &ClassRow| c.n_true as f64 * c.f1().unwrap_or(0.0);
        self.score(|| self.classes.iter().map(weighted).sum::<f64>() / self.n as f64)
    }

    /// [`BALANCED_ACCURACY`].
    pub fn balanced_accuracy(&self) -> Score {
        self.mean(self.classes.iter().map(ClassRow::recall))
    }

    /// [`ACCURACY`].
    pub fn accuracy(&self) -> Score {
        self.score(|| self.classes.iter().map(|c| c.n_right).sum::<usize>() as f64 / self.n as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use microtome_numerics::resample::Rng;

    #[test]
    fn golden_g17() {
        let table = ClassTable::new(&[0, 0, 1, 2], &[0, 1, 1, 3]).unwrap();
        assert!((table.f1_macro_union().value.unwrap() - 0.333_333).abs() < 1e-6);
        assert!((table.f1_macro_true().value.unwrap() - 0.444_444).abs() < 1e-6);
        assert_eq!(table.accuracy().value, Some(0.5));
        assert_eq!(table.balanced_accuracy().value, Some(0.5));
        assert!((table.f1_weighted().value.unwrap() - 0.5).abs() < 1e-12);
        assert_eq!((table.classes[3].recall(), table.classes[2].precision()), (None, None));
    }

    #[test]
    fn perfect_rejected_and_renamed_predictions() {
        let truth: Vec<u32> = (0..60).map(|i| i % 4).collect();
        let table = ClassTable::new(&truth, &truth).unwrap();
        for s in [table.f1_macro_union(), table.f1_macro_true(), table.f1_weighted(), table.balanced_accuracy()] {
            assert_eq!(s.value, Some(1.0));
        }
        let rejected = ClassTable::new(&truth, &[Groups::MISSING; 60]).unwrap();
        assert_eq!((rejected.classes.len(), rejected.f1_macro_union().value), (4, Some(0.0)));
        let mut rng = Rng::new(1);
        let predicted: Vec<u32> = (0..60).map(|_| rng.below(5) as u32).collect();
        let want = ClassTable::new(&truth, &predicted).unwrap().f1_macro_union().value.unwrap();
        let rename = |v: &[u32]| -> Vec<u32> { v.iter().map(|c| 90 - 3 * c).collect() };
        let got = ClassTable::new(&rename(&truth), &rename(&predicted)).unwrap().f1_macro_union();
        assert!((got.value.unwrap() - want).abs() < 1e-12);
    }
}
