//! Predictions that were made elsewhere (by a model that was trained on labels or numbers), beside those of a task's own readings.

use microtome_core::{Direction, Error, Progress, Result};

use crate::metrics::Metric;
use crate::protocol::bootstrap::{Series, bootstrap};
use crate::protocol::interval::Interval;
use crate::protocol::{Protocol, ScoreSet, Units, Weights};

/// The scored cells, what is true of them, and the folds of units that a task's readings are held out by. Made by
/// [`HeldOut::of_classes`] and [`HeldOut::of_numbers`].
#[derive(Clone, Debug)]
pub struct HeldOut {
    /// Rows of the data set that are scored.
    pub cells: Vec<usize>,
    /// Number, or class, of every scored cell.
    pub truth: Vec<f64>,
    /// Names of the classes; none for numbers.
    pub classes: Vec<String>,
    /// Units of every fold.
    pub folds: Vec<Vec<usize>>,
    pub(crate) units: Units,
}

/// A set of predictions beside the first one.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    /// Name of the predictions.
    pub name: String,
    /// Score on all cells; `None` where it is undefined.
    pub score: Option<f64>,
    /// Its interval over units; `None` with fewer than six units.
    pub interval: Option<Interval>,
    /// How far the first set is ahead of this one, positive where it is better; `None` for the first.
    pub ahead: Option<f64>,
    /// Its interval, paired: the same units for both.
    pub ahead_interval: Option<Interval>,
}

impl HeldOut {
    /// Errors when no unit is named or fewer than three units are there.
    pub(crate) fn check_units(units: &Units) -> Result<()> {
        if units.are_cells() || units.len() < 3 {
            let n = if units.are_cells() { "no unit".into() } else { format!("{} units", units.len()) };
            return Err(Error::usage(
                "training needs units: some to learn from, some to stop by, some to be judged on",
            )
            .at_key("--unit")
            .expected("a column of obs with at least three donors, clones or batches")
            .found(n)
            .remedy("name the independent unit, as in --unit donor_id"));
        }
        Ok(())
    }

    /// What a unit is called.
    pub fn unit(&self) -> &str {
        &self.units.name
    }

    /// Number of units.
    pub fn n_units(&self) -> usize {
        self.units.len()
    }

    /// Scored cells (by position) of these units.
    pub fn cells_of(&self, units: &[usize]) -> Vec<usize> {
        self.units.cells_of(units)
    }

    /// Scores sets of predictions (classes by number, or numbers), one per scored cell, and how far the first is ahead of each of the
    /// others.
    ///
    /// # Errors
    /// When a set has another number of cells, or the user stops.
    pub fn compare(
        &self,
        metric: &'static Metric,
        predictions: &[(String, Vec<f64>)],
        protocol: &Protocol,
        progress: &dyn Progress,
    ) -> Result<Vec<Compared>> {
        let n = self.truth.len();
        if let Some((name, p)) = predictions.iter().find(|(_, p)| p.len() != n) {
            return Err(Error::usage("predictions are needed for every scored cell")
                .at_key(name.clone())
                .expected(n.to_string())
                .found(p.len().to_string()));
        }
        let used: Vec<&[f64]> = predictions.iter().map(|(_, p)| p.as_slice()).collect();
        let set = metric.statistic.set(&self.truth, &used);
        let names: Vec<&str> = predictions.iter().map(|(name, _)| name.as_str()).collect();
        compare(set.as_ref(), &names, Direction::Higher, &self.units, protocol, progress)
    }
}

/// Scores of sets, and how far the first is ahead of each of the others: positive where it is better.
pub(crate) fn compare(
    set: &dyn ScoreSet,
    names: &[&str],
    better: Direction,
    units: &Units,
    protocol: &Protocol,
    progress: &dyn Progress,
) -> Result<Vec<Compared>> {
    let scores: Vec<f64> = set.weighted(&Weights::all(units.n_cells())).iter().map(|s| s[0]).collect();
    let ahead = |r: usize| match better {
        Direction::Higher => Series::Difference(0, vec![r]),
        Direction::Lower => Series::Difference(r, vec![0]),
    };
    let series: Vec<Series> =
        (0..names.len()).map(Series::Score).chain((1..names.len()).map(ahead)).collect();
    let replicates = bootstrap(set, &series, units, protocol, progress)?;
    let interval = |s: usize| replicates.get(s).and_then(|r| r.interval(protocol.level));
    let finite = |v: f64| v.is_finite().then_some(v);
    let by = |r: usize| match better {
        Direction::Higher => scores[0] - scores[r],
        Direction::Lower => scores[r] - scores[0],
    };
    let of = |(r, name): (usize, &&str)| Compared {
        name: (*name).into(),
        score: finite(scores[r]),
        interval: interval(r),
        ahead: (r > 0).then(|| by(r)).and_then(finite),
        ahead_interval: if r > 0 { interval(names.len() + r - 1) } else { None },
    };
    Ok(names.iter().enumerate().map(of).collect())
}

#[cfg(test)]
mod tests {
    use microtome_core::Silent;

    use super::*;
    use crate::tasks::annotation::AnnotationOptions;
    use crate::{Cells, Groups, metrics};

    /// Eight donors of forty cells, two labels.
    fn held_out() -> HeldOut {
        let n = 320;
        let groups = |name: &str, names: &[&str], code: &dyn Fn(usize) -> u32| {
            let names = names.iter().map(ToString::to_string).collect();
            Groups::new(name, names, (0..n).map(code).collect()).unwrap()
        };
        let donors = groups("donor", &["a", "b", "c", "d", "e", "f", "g", "h"], &|i| (i / 40) as u32);
        let cells = Cells::new("t", n).with_unit(donors).unwrap();
        let labels = groups("label", &["x", "y"], &|i| (i % 2) as u32);
        HeldOut::of_classes(&cells, &AnnotationOptions::new(labels), &Protocol::default()).unwrap()
    }

    #[test]
    fn the_better_predictions_are_ahead_and_equal_ones_are_not() {
        let h = held_out();
        assert_eq!((h.cells.len(), h.n_units(), h.classes.len()), (320, 8, 2));
        assert_eq!(h.folds.iter().map(Vec::len).sum::<usize>(), 8);
        // Wrong in one or two cells of ten, and in four to six of ten, by donor.
        let wrong = |per_ten: usize, donors: usize| -> Vec<f64> {
            let is_wrong = |i: usize| (i * 7) % 10 < per_ten + i / 40 % donors;
            (0..320).map(|i| if is_wrong(i) { 1.0 - h.truth[i] } else { h.truth[i] }).collect()
        };
        let sets = [("good", wrong(1, 2)), ("bad", wrong(4, 3)), ("same", wrong(1, 2))];
        let sets: Vec<(String, Vec<f64>)> = sets.into_iter().map(|(n, p)| (n.to_string(), p)).collect();
        let protocol = Protocol { n_bootstrap: 200, ..Protocol::default() };
        let out = h.compare(&metrics::LOGISTIC_ACCURACY, &sets, &protocol, &Silent).unwrap();
        assert!((out[0].score.unwrap() - 0.85).abs() < 1e-9 && out[0].ahead.is_none());
        assert!(out[1].ahead_interval.unwrap().low > 0.0, "{:?}", out[1]);
        assert_eq!(out[2].ahead, Some(0.0));
        assert!(
            h.compare(&metrics::LOGISTIC_ACCURACY, &[("short".into(), vec![0.0])], &protocol, &Silent)
                .is_err()
        );
    }

    #[test]
    fn units_are_needed() {
        let labels =
            Groups::new("l", vec!["x".into(), "y".into()], (0..60).map(|i| i % 2).collect()).unwrap();
        let error =
            HeldOut::of_classes(&Cells::new("t", 60), &AnnotationOptions::new(labels), &Protocol::default());
        assert!(error.unwrap_err().to_string().contains("--unit"));
    }
}
