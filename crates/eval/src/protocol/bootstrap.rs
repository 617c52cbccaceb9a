//! Bootstrap over units, paired over all representations: one replicate draws one set of cells and scores all.

use microtome_core::{Progress, Result};
use microtome_numerics::resample::Rng;
use rayon::prelude::*;

use super::interval::{Interval, bca, jackknife_se, percentile_t};
use super::random::stream;
use super::units::{MIN_UNITS, MIN_UNITS_BCA, Units};
use super::weights::{LANES, Lanes, Scale, ScoreSet, Weights};
use super::{Protocol, Resampling};

/// With more units than this, acceleration is estimated by leaving out one of this many groups of units.
const MAX_JACKKNIFE: usize = 200;
/// With more units than this, standard errors within replicates come from leaving out one of this many groups of units.
const MAX_STUDENT: usize = 20;

/// What an interval is wanted for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Series {
    /// The score of one representation.
    Score(usize),
    /// The score of the first minus the mean score of the others.
    Difference(usize, Vec<usize>),
}

impl Series {
    /// The value on the scale on which intervals are made: that of the scores; the difference itself for a difference.
    fn value(&self, scale: Scale, score: impl Fn(usize) -> f64) -> f64 {
        match self {
            Self::Score(r) => scale.to(score(*r)),
            Self::Difference(a, others) => {
                score(*a) - others.iter().map(|&b| score(b)).sum::<f64>() / others.len() as f64
            }
        }
    }

    /// Back from the scale of [`Series::value`].
    fn back(&self, scale: Scale, interval: Interval) -> Interval {
        match self {
            Self::Score(_) => {
                Interval { low: scale.back(interval.low), high: scale.back(interval.high), ..interval }
            }
            Self::Difference(..) => interval,
        }
    }
}

/// Replicates of one series, on the scale of the series.
#[derive(Clone, Debug)]
pub struct Replicates {
    /// What it is.
    pub series: Series,
    /// The scale of its score.
    pub scale: Scale,
    /// The estimate on all cells.
    pub estimate: f64,
    /// The standard error of the estimate: jackknife over units.
    pub se: f64,
    /// One value per replicate; NaN where the score was undefined.
    pub values: Vec<f64>,
    /// Standard error within each replicate; empty where BCa is used.
    pub ses: Vec<f64>,
    /// The estimate without each unit or group of units.
    pub jackknife: Vec<f64>,
}

impl Replicates {
    /// BCa with at least 20 units of one cell, otherwise symmetric percentile-t. `None` when the interval is undefined.
    pub fn interval(&self, level: f64) -> Option<Interval> {
        if !self.estimate.is_finite() {
            return None;
        }
        let interval = if self.ses.is_empty() {
            bca(self.estimate, &self.values, &self.jackknife, level)
        } else {
            percentile_t(self.estimate, self.se, &self.values, &self.ses, level)
        };
        interval.map(|i| self.series.back(self.scale, i))
    }
}

/// Bootstraps every series. Empty when there are fewer than [`MIN_UNITS`] units: no interval is given then.
///
/// With [`MIN_UNITS_BCA`] units or more of one cell each the replicates are plain. Otherwise every replicate also carries
/// its own standard error from leaving out each of its units, or each of 20 groups of them. BCa would do for
/// many units of several cells only if the spread of the replicates were that of the estimate: drawing units and then
/// cells within them counts the variation within units twice (intervals held the truth in 98.6 to 99.4% of 500 runs with 30
/// donors), drawing whole units leaves BCa too few of them (91.2 to 93.2%). Studentised, both cancel. The interval is
/// symmetric on the scale of the score: with equal tails it held the truth in 92.9 to 93.4% of 1000 runs with 8 donors
/// that differ, symmetric in 95.6%.
///
/// # Errors
/// When the user stops.
pub fn bootstrap(
    scores: &dyn ScoreSet,
    series: &[Series],
    units: &Units,
    protocol: &Protocol,
    progress: &dyn Progress,
) -> Result<Vec<Replicates>> {
    let m = units.len();
    if m < MIN_UNITS || series.is_empty() {
        return Ok(vec![]);
    }
    let studentised = m < MIN_UNITS_BCA || units.members.iter().any(|cells| cells.len() > 1);
    let jackknife = leave_out(scores, series, units, if studentised { MAX_STUDENT } else { MAX_JACKKNIFE });
    let point = scores.weighted(&Weights::all(units.n_cells()));
    let n_blocks = protocol.n_bootstrap.div_ceil(LANES);
    progress.begin("bootstrap", protocol.n_bootstrap as u64, "replicates");
    let blocks: Vec<Block> = (0..n_blocks)
        .into_par_iter()
        .map(|block| {
            progress.check()?;
            let out = replicate_block(scores, series, units, protocol, block, studentised);
            progress.advance(LANES.min(protocol.n_bootstrap - block * LANES) as u64);
            Ok(out)
        })
        .collect::<Result<_>>()?;
    progress.end();
    let gather = |pick: fn(&Block) -> &Vec<Lanes>, s: usize| -> Vec<f64> {
        let mut v: Vec<f64> = blocks.iter().flat_map(|b| pick(b).get(s).copied()).flatten().collect();
        v.truncate(protocol.n_bootstrap);
        v
    };
    Ok(series
        .iter()
        .enumerate()
        .map(|(s, series)| Replicates {
            series: series.clone(),
            scale: scores.scale(),
            estimate: series.value(scores.scale(), |r| point[r][0]),
            se: jackknife_se(&jackknife[s]),
            values: gather(|b| &b.values, s),
            ses: gather(|b| &b.ses, s),
            jackknife: jackknife[s].clone(),
        })
        .collect())
}

/// Values, and where wanted standard errors, of [`LANES`] replicates per series.
struct Block {
    values: Vec<Lanes>,
    ses: Vec<Lanes>,
}

fn values_of(series: &[Series], set: &dyn ScoreSet, weights: &Weights) -> Vec<Lanes> {
    let (scale, scores) = (set.scale(), set.weighted(weights));
    series.iter().map(|s| std::array::from_fn(|l| s.value(scale, |r| scores[r][l]))).collect()
}

fn replicate_block(
    scores: &dyn ScoreSet,
    series: &[Series],
    units: &Units,
    protocol: &Protocol,
    block: usize,
    studentised: bool,
) -> Block {
    let n_cells = units.n_cells();
    let mut full = Weights::zero(n_cells);
    let mut drawn: Vec<Vec<Vec<usize>>> = vec![];
    for lane in 0..LANES {
        let mut random = stream(protocol.seed, "bootstrap", (block * LANES + lane) as u64);
        let slots = draw(units, protocol.resampling, &mut random);
        slots.iter().flatten().for_each(|&c| full.add(c, lane, 1.0));
        if studentised {
            drawn.push(slots);
        }
    }
    let values = values_of(series, scores, &full);
    if !studentised {
        return Block { values, ses: vec![] };
    }
    // The slots of a group are taken out of every lane, scored and put back.
    let n_groups = units.len().min(MAX_STUDENT);
    let without: Vec<Vec<Lanes>> = (0..n_groups)
        .map(|group| {
            let change = |full: &mut Weights, by: f64| {
                for (lane, slots) in drawn.iter().enumerate() {
                    let own = slots.iter().skip(group).step_by(n_groups);
                    own.flatten().for_each(|&c| full.add(c, lane, by));
                }
            };
            change(&mut full, -1.0);
            let values = values_of(series, scores, &full);
            change(&mut full, 1.0);
            values
        })
        .collect();
    let se = |s: usize, l: usize| jackknife_se(&without.iter().map(|w| w[s][l]).collect::<Vec<_>>());
    let ses = (0..series.len()).map(|s| std::array::from_fn(|l| se(s, l))).collect();
    Block { values, ses }
}

/// Cells of one replicate by drawn unit.
fn draw(units: &Units, resampling: Resampling, random: &mut Rng) -> Vec<Vec<usize>> {
    (0..units.len())
        .map(|_| {
            let cells = &units.members[random.below(units.len())];
            match resampling {
                Resampling::Units => cells.clone(),
                Resampling::TwoStage if cells.len() == 1 => cells.clone(),
                Resampling::TwoStage => cells.iter().map(|_| cells[random.below(cells.len())]).collect(),
            }
        })
        .collect()
}

/// Values of every series without each unit, or without each of `most` groups of units.
fn leave_out(scores: &dyn ScoreSet, series: &[Series], units: &Units, most: usize) -> Vec<Vec<f64>> {
    let n_groups = units.len().min(most);
    let blocks: Vec<Vec<Lanes>> = (0..n_groups.div_ceil(LANES))
        .into_par_iter()
        .map(|block| {
            let mut w = Weights::all(units.n_cells());
            for lane in 0..LANES {
                let group = block * LANES + lane;
                for u in (group..units.len()).step_by(n_groups).filter(|_| group < n_groups) {
                    units.members[u].iter().for_each(|&c| w.add(c, lane, -1.0));
                }
            }
            values_of(series, scores, &w)
        })
        .collect();
    (0..series.len())
        .map(|s| {
            let mut v: Vec<f64> = blocks.iter().flat_map(|b| b[s]).collect();
            v.truncate(n_groups);
            v
        })
        .collect()
}
