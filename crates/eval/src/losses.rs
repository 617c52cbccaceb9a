//! Losses on held-out units beside each other: of models that are trained without a label, and of what guesses without them.

use microtome_core::{Direction, Error, Progress, Result};

use crate::held_out::compare;

use crate::protocol::{LANES, Lanes, Protocol, Scale, ScoreSet, Units, Weights};
use crate::{Cells, Compared, HeldOut};

/// Folds of units at most, as the readings of the tasks have them.
const FOLDS: usize = 5;

/// Losses of several models on the same answers: every cell is asked a number of things, and the loss of a model is its mean over all
/// answers, so that a cell that is asked more counts more.
#[derive(Clone, Debug)]
pub struct UnitLosses {
    /// Cells in folds of whole units.
    pub held_out: HeldOut,
    /// Answers of every cell.
    pub answers: Vec<usize>,
}

impl UnitLosses {
    /// Deals units into folds without regard to any truth. Errors when no unit is named, or fewer than three are there.
    pub fn new(cells: &Cells, answers: Vec<usize>, protocol: &Protocol) -> Result<Self> {
        protocol.check()?;
        if answers.len() != cells.n {
            return Err(Error::usage("every cell needs its number of answers")
                .expected(cells.n.to_string())
                .found(answers.len().to_string()));
        }
        let scored: Vec<usize> = (0..cells.n).collect();
        let units = Units::new(cells, &scored)?;
        HeldOut::check_units(&units)?;
        let mut order: Vec<usize> = (0..units.len()).collect();
        crate::protocol::random::stream(protocol.seed, "folds of units", 0).shuffle(&mut order);
        let mut folds = vec![vec![]; FOLDS.min(units.len())];
        let n = folds.len();
        order.into_iter().enumerate().for_each(|(i, u)| folds[i % n].push(u));
        let held_out = HeldOut { cells: scored, truth: vec![0.0; cells.n], classes: vec![], folds, units };
        Ok(Self { held_out, answers })
    }

    /// Mean losses, and how far the first is ahead (lower) of each of the others. A set holds the sum of the losses of every cell.
    ///
    /// # Errors
    /// When a set has another number of cells, or the user stops.
    pub fn compare(
        &self,
        sets: &[(String, Vec<f64>)],
        protocol: &Protocol,
        progress: &dyn Progress,
    ) -> Result<Vec<Compared>> {
        self.check(sets)?;
        let names: Vec<&str> = sets.iter().map(|(name, _)| name.as_str()).collect();
        let set = Means { sets: sets.iter().map(|(_, s)| s.as_slice()).collect(), answers: &self.answers };
        compare(&set, &names, Direction::Lower, &self.held_out.units, protocol, progress)
    }

    /// Mean losses by unit, `[unit][set]`, with the unit's name; `None` for a unit without answers.
    ///
    /// # Errors
    /// As [`UnitLosses::compare`].
    pub fn by_unit(&self, sets: &[(String, Vec<f64>)]) -> Result<Vec<(String, Vec<Option<f64>>)>> {
        self.check(sets)?;
        let units = &self.held_out.units;
        let of = |(name, cells): (&String, &Vec<usize>)| {
            let n: usize = cells.iter().map(|&c| self.answers[c]).sum();
            let mean = |s: &(String, Vec<f64>)| {
                (n > 0).then(|| cells.iter().map(|&c| s.1[c]).sum::<f64>() / n as f64)
            };
            (name.clone(), sets.iter().map(mean).collect())
        };
        Ok(units.names.iter().zip(&units.members).map(of).collect())
    }

    fn check(&self, sets: &[(String, Vec<f64>)]) -> Result<()> {
        match sets.iter().find(|(_, s)| s.len() != self.answers.len()) {
            Some((name, s)) => Err(Error::usage("losses are needed for every cell")
                .at_key(name.clone())
                .expected(self.answers.len().to_string())
                .found(s.len().to_string())),
            None => Ok(()),
        }
    }
}

struct Means<'a> {
    sets: Vec<&'a [f64]>,
    answers: &'a [usize],
}

impl ScoreSet for Means<'_> {
    fn scale(&self) -> Scale {
        Scale::Plain
    }

    fn len(&self) -> usize {
        self.sets.len()
    }

    fn weighted(&self, weights: &Weights) -> Vec<Lanes> {
        let mut n = [0.0; LANES];
        for (w, a) in weights.cells().iter().zip(self.answers) {
            n.iter_mut().zip(w).for_each(|(n, w)| *n += w * *a as f64);
        }
        let mean = |set: &&[f64]| {
            let mut sum = [0.0; LANES];
            for (w, s) in weights.cells().iter().zip(*set) {
                sum.iter_mut().zip(w).for_each(|(sum, w)| *sum += w * s);
            }
            std::array::from_fn(|l| if n[l] > 0.0 { sum[l] / n[l] } else { f64::NAN })
        };
        self.sets.iter().map(mean).collect()
    }

    /// Losses have no truth apart from them that could be exchanged.
    fn permuted(&self, _: &[Vec<u32>]) -> Vec<Lanes> {
        vec![[f64::NAN; LANES]; self.sets.len()]
    }
}

#[cfg(test)]
mod tests {
    use microtome_core::Silent;

    use super::*;
    use crate::Groups;

    fn losses(n_units: usize) -> UnitLosses {
        let n = 20 * n_units;
        let names = (0..n_units).map(|u| format!("d{u}")).collect();
        let donors = Groups::new("donor", names, (0..n as u32).map(|c| c / 20).collect()).unwrap();
        let cells = Cells::new("t", n).with_unit(donors).unwrap();
        UnitLosses::new(&cells, (0..n).map(|c| 1 + c % 3).collect(), &Protocol::default()).unwrap()
    }

    #[test]
    fn the_lower_loss_is_ahead_per_answer_and_units_are_whole() {
        let l = losses(8);
        assert_eq!(l.held_out.folds.len(), 5);
        let mut dealt: Vec<usize> = l.held_out.folds.concat();
        dealt.sort_unstable();
        assert_eq!(dealt, (0..8).collect::<Vec<_>>());
        // 2 nats per answer, more in later donors; half a nat lower; another noise of the same mean.
        let set = |shift: f64, wave: f64| -> Vec<f64> {
            let of = |c: usize| 2.0 + 0.05 * (c / 20) as f64 + shift + wave * ((c * 7 % 20) as f64 - 9.5);
            (0..160).map(|c| of(c) * l.answers[c] as f64).collect()
        };
        let sets: Vec<(String, Vec<f64>)> =
            [("low", set(-0.5, 0.01)), ("high", set(0.0, 0.02)), ("even", set(-0.5, -0.02))]
                .into_iter()
                .map(|(n, s)| (n.to_string(), s))
                .collect();
        let protocol = Protocol { n_bootstrap: 200, ..Protocol::default() };
        let out = l.compare(&sets, &protocol, &Silent).unwrap();
        assert!((out[1].score.unwrap() - 2.175).abs() < 0.01, "{:?}", out[1]);
        assert!(out[1].ahead.unwrap() > 0.49 && out[1].ahead_interval.unwrap().low > 0.4, "{:?}", out[1]);
        assert!(out[2].ahead_interval.unwrap().contains_zero(), "{:?}", out[2]);
        let units = l.by_unit(&sets).unwrap();
        assert_eq!((units.len(), units[7].0.as_str()), (8, "d7"));
        let own = |of: &dyn Fn(usize) -> f64| (140..160).map(of).sum::<f64>();
        let mean = own(&|c| sets[1].1[c]) / own(&|c| l.answers[c] as f64);
        assert!((units[7].1[1].unwrap() - mean).abs() < 1e-12);
        assert!(l.compare(&[("short".into(), vec![0.0])], &protocol, &Silent).is_err());
    }

    #[test]
    fn units_are_needed() {
        let said = UnitLosses::new(&Cells::new("t", 60), vec![1; 60], &Protocol::default()).unwrap_err();
        assert!(said.to_string().contains("--unit"), "{said}");
    }
}
