//! Permutation nulls: what the scores would be if cells and truth had nothing to do with each other.

use microtome_core::{Progress, Result};
use microtome_numerics::resample::Rng;
use rayon::prelude::*;

use super::Protocol;
use super::bands::p_value;
use super::random::stream;
use super::units::{Units, varies};
use super::weights::{LANES, Lanes, ScoreSet, Weights};

/// What is exchanged under the null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// The truth among all cells (no unit was named).
    Cells,
    /// The truth among the cells of each unit.
    WithinUnits,
    /// The truth of whole units, because it is the same for all cells of each unit.
    WholeUnits,
}

impl Exchange {
    /// The finest exchange that leaves the dependence within units alone.
    pub fn choose(units: &Units, truth: &[f64]) -> Self {
        if units.are_cells() {
            Self::Cells
        } else if units.members.iter().any(|m| varies(truth, m)) {
            Self::WithinUnits
        } else {
            Self::WholeUnits
        }
    }

    /// For a reader; `truth` says what is exchanged (`time`, `labels`), `noun` between what (`cell`, `gene`).
    pub fn words(self, truth: &str, noun: &str) -> String {
        match self {
            Self::Cells => format!("{truth} permuted among all {noun}s"),
            Self::WithinUnits => format!("{truth} permuted among the {noun}s of each unit"),
            Self::WholeUnits => format!("{truth} permuted among whole units"),
        }
    }

    /// Whose truth every cell is given.
    fn draw(self, units: &Units, random: &mut Rng) -> Vec<u32> {
        let mut truth_of: Vec<u32> = (0..units.n_cells() as u32).collect();
        match self {
            Self::Cells => random.shuffle(&mut truth_of),
            Self::WithinUnits => {
                for cells in &units.members {
                    let mut from = cells.clone();
                    random.shuffle(&mut from);
                    cells.iter().zip(from).for_each(|(&c, f)| truth_of[c] = f as u32);
                }
            }
            Self::WholeUnits => {
                let mut from: Vec<usize> = (0..units.len()).collect();
                random.shuffle(&mut from);
                for (cells, f) in units.members.iter().zip(from) {
                    // The truth is the same for all cells of unit f, so its first cell stands for it.
                    cells.iter().for_each(|&c| truth_of[c] = units.members[f][0] as u32);
                }
            }
        }
        truth_of
    }
}

/// Scores under the null.
#[derive(Clone, Debug)]
pub struct Null {
    /// What was exchanged.
    pub exchange: Exchange,
    observed: Vec<f64>,
    /// `[representation][permutation]`.
    draws: Vec<Vec<f64>>,
}

/// P values of one representation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NullP {
    /// For this representation alone, one-sided (larger is better).
    pub p: f64,
    /// Adjusted over the family (Westfall and Young 1993, step-down on the maximum).
    pub p_adj: f64,
}

/// Draws `protocol.n_permutations` permutations and scores all representations under each.
///
/// Predictions stay as they are: a supervised reading is not fitted again, so for these the p value is an
/// approximation.
///
/// # Errors
/// When the user stops.
pub fn permutation_null(
    scores: &dyn ScoreSet,
    units: &Units,
    truth: &[f64],
    protocol: &Protocol,
    progress: &dyn Progress,
) -> Result<Null> {
    let exchange = Exchange::choose(units, truth);
    let n = protocol.n_permutations;
    progress.begin("permutation null", n as u64, "permutations");
    let blocks: Vec<Vec<Lanes>> = (0..n.div_ceil(LANES))
        .into_par_iter()
        .map(|block| {
            progress.check()?;
            let lanes = LANES.min(n - block * LANES);
            let orders: Vec<Vec<u32>> = (0..lanes)
                .map(|l| {
                    let index = (block * LANES + l) as u64;
                    exchange.draw(units, &mut stream(protocol.seed, "permutation", index))
                })
                .collect();
            progress.advance(lanes as u64);
            Ok(scores.permuted(&orders))
        })
        .collect::<Result<_>>()?;
    progress.end();
    let draws = (0..scores.len())
        .map(|r| {
            let mut v: Vec<f64> = blocks.iter().flat_map(|b| b[r]).collect();
            v.truncate(n);
            v
        })
        .collect();
    let observed = scores.weighted(&Weights::all(units.n_cells())).iter().map(|s| s[0]).collect();
    Ok(Null { exchange, observed, draws })
}

impl Null {
    /// P values of the representations in `family`, adjusted over it. `None` for an undefined score.
    pub fn p_values(&self, family: &[usize]) -> Vec<Option<NullP>> {
        let fine = |r: usize| self.observed[r].is_finite();
        let mut order: Vec<usize> = (0..family.len()).filter(|&i| fine(family[i])).collect();
        order.sort_by(|&a, &b| self.observed[family[b]].total_cmp(&self.observed[family[a]]).then(a.cmp(&b)));
        let mut out = vec![None; family.len()];
        let mut least = 0.0f64;
        // Ties count against the claim, up to rounding: a permutation that changes nothing scores the same.
        let reaches = |draw: f64, observed: f64| draw >= observed - 1e-12;
        for k in 0..order.len() {
            let r = family[order[k]];
            let n = self.draws[r].len();
            let own = self.draws[r].iter().filter(|&&d| reaches(d, self.observed[r])).count();
            let exceed = (0..n)
                .filter(|&b| order[k..].iter().any(|&i| reaches(self.draws[family[i]][b], self.observed[r])))
                .count();
            least = least.max(p_value(n, exceed));
            out[order[k]] = Some(NullP { p: p_value(n, own), p_adj: least });
        }
        out
    }
}
