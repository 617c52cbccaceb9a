//! Independent units and the folds made of them.

use microtome_core::{Error, Result};
use microtome_numerics::resample::Rng;

use crate::{Cells, Groups};

/// Fewest units for which an interval is given at all.
pub const MIN_UNITS: usize = 6;
/// Fewest units for BCa; below it the interval is percentile-t with a warning.
pub const MIN_UNITS_BCA: usize = 20;

/// The scored cells by independent unit. Cell indices count scored cells only.
#[derive(Clone, Debug)]
pub struct Units {
    /// What the unit is; `cell` where none was named.
    pub name: String,
    /// Names of the units; empty when every cell is a unit.
    pub names: Vec<String>,
    /// Cells of every unit.
    pub members: Vec<Vec<usize>>,
}

impl Units {
    /// Units of the cells in `scored` (rows of the data set). Units without a scored cell are left out.
    /// Errors when a scored cell has no unit.
    pub fn new(cells: &Cells, scored: &[usize]) -> Result<Self> {
        let Some(groups) = &cells.unit else {
            let members = (0..scored.len()).map(|i| vec![i]).collect();
            return Ok(Self { name: cells.noun.into(), names: vec![], members });
        };
        let mut members = vec![vec![]; groups.names.len()];
        for (i, &row) in scored.iter().enumerate() {
            match groups.codes.get(row) {
                Some(&code) if code != Groups::MISSING => members[code as usize].push(i),
                _ => {
                    return Err(Error::usage("a scored cell belongs to no unit")
                        .at_key(groups.name.clone())
                        .found(format!("cell {row}")));
                }
            }
        }
        let names = groups.names.iter().zip(&members).filter(|(_, m)| !m.is_empty());
        let names = names.map(|(n, _)| n.clone()).collect();
        members.retain(|m| !m.is_empty());
        Ok(Self { name: groups.name.clone(), names, members })
    }

    /// Number of units.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// True when no unit was named and every cell counts as one.
    pub fn are_cells(&self) -> bool {
        self.names.is_empty()
    }

    /// Number of cells in all units.
    pub fn n_cells(&self) -> usize {
        self.members.iter().map(Vec::len).sum()
    }

    /// `among` without `taken`, in the order of `among`.
    pub(crate) fn without(&self, among: &[usize], taken: &[usize]) -> Vec<usize> {
        let mut is_taken = vec![false; self.len()];
        taken.iter().for_each(|&u| is_taken[u] = true);
        among.iter().copied().filter(|&u| !is_taken[u]).collect()
    }

    /// Cells of the units with these indices.
    pub fn cells_of(&self, units: &[usize]) -> Vec<usize> {
        units.iter().flat_map(|&u| self.members[u].iter().copied()).collect()
    }
}

/// Whether the truth takes at least two values among these cells, without which no score exists.
pub(crate) fn varies(truth: &[f64], cells: &[usize]) -> bool {
    cells.iter().any(|&c| truth[c] != truth[cells[0]])
}

/// Deals `units` into folds of whole units, at most `wanted` and at least two, such that the truth varies within
/// every fold. Units are sorted by their mean truth and dealt out in rounds of random order, so that every fold
/// spans the whole range. `None` when even two folds cannot be made.
pub(crate) fn grouped_folds(
    units: &Units,
    among: &[usize],
    truth: &[f64],
    wanted: usize,
    random: &mut Rng,
) -> Option<Vec<Vec<usize>>> {
    let mean = |u: usize| {
        let m = &units.members[u];
        m.iter().map(|&c| truth[c]).sum::<f64>() / m.len() as f64
    };
    let mut sorted: Vec<(f64, usize)> = among.iter().map(|&u| (mean(u), u)).collect();
    // Shuffled first, because the stable sort keeps the order of units with equal means.
    random.shuffle(&mut sorted);
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    (2..=wanted.min(sorted.len())).rev().find_map(|k| {
        let mut folds = vec![vec![]; k];
        for round in sorted.chunks(k) {
            let mut order: Vec<usize> = (0..k).collect();
            random.shuffle(&mut order);
            round.iter().zip(order).for_each(|(&(_, u), f)| folds[f].push(u));
        }
        let fine = folds.iter().all(|f| !f.is_empty() && varies(truth, &units.cells_of(f)));
        fine.then_some(folds)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(sizes: &[usize]) -> Units {
        let mut next = 0;
        let members = sizes
            .iter()
            .map(|&s| {
                next += s;
                (next - s..next).collect()
            })
            .collect();
        Units { name: "donor".into(), names: sizes.iter().map(ToString::to_string).collect(), members }
    }

    #[test]
    fn folds_hold_every_unit_once_and_never_split_one() {
        let u = units(&[3, 1, 4, 1, 5, 9, 2, 6]);
        let truth: Vec<f64> = (0..u.n_cells()).map(|i| (i % 3) as f64).collect();
        let folds = grouped_folds(&u, &[0, 1, 2, 3, 4, 5, 6, 7], &truth, 4, &mut Rng::new(0)).unwrap();
        let mut all: Vec<usize> = folds.concat();
        all.sort_unstable();
        assert_eq!(all, (0..8).collect::<Vec<_>>());
    }

    #[test]
    fn time_that_is_constant_within_units_makes_fewer_folds() {
        let u = units(&[5; 6]);
        let truth: Vec<f64> = (0..30).map(|i| f64::from(i / 5)).collect();
        let folds = grouped_folds(&u, &[0, 1, 2, 3, 4, 5], &truth, 5, &mut Rng::new(0)).unwrap();
        assert!(folds.len() <= 3 && folds.iter().all(|f| f.len() >= 2), "{folds:?}");
        assert!(grouped_folds(&u, &[0, 1], &truth, 5, &mut Rng::new(0)).is_none());
    }
}
