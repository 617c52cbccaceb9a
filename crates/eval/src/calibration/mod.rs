//! Simulations with known truth that go through the whole protocol: how often claims are made when there is nothing to
//! claim, how often an effect of a given size is found, how often intervals hold what they should.
//!
//! `examples/calibrate.rs` runs them at size; `docs/calibration.md` records what came out.

mod coverage;
#[cfg(test)]
mod tests;

use microtome_core::{Matrix, Record, Result, Role, Silent, Site, Summary, Verdict};
use rayon::prelude::*;

pub use coverage::{Coverage, coverage};

use crate::assess::{Assessment, Prediction, Scored};
use crate::metrics::DPT_SPEARMAN;
use crate::protocol::nested::Folds;
use crate::protocol::random::stream;
use crate::protocol::{Protocol, Units};
use crate::tasks::trajectory::TASK;
use crate::{Cells, Groups, Representation};

/// What the depths of a simulated model hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum World {
    /// Nothing: predictions share half of their variance with each other and none with the truth.
    Random,
    /// All depths hold the same signal, each with noise of its own and noise that all share.
    Equal,
    /// As [`World::Equal`], and one depth in the middle is better: its own noise is smaller by this share of its variance.
    Planted(f64),
    /// As [`World::Equal`], and the baseline holds the same signal with less noise.
    BetterBaseline,
}

/// One kind of experiment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Experiment {
    /// What the depths hold.
    pub world: World,
    /// Depths of the model.
    pub n_depths: usize,
    /// Cells.
    pub n_cells: usize,
    /// Independent units of equal size; `None`: every cell.
    pub n_units: Option<usize>,
    /// Bootstrap replicates of a run.
    pub n_bootstrap: usize,
}

/// Counts over many runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claims {
    /// Runs.
    pub n: usize,
    /// The highest score on all cells is not the final block's: the naive claim.
    pub naive: usize,
    /// Verdict *depth matters*.
    pub depth_matters: usize,
    /// Verdict *model recommended*.
    pub recommended: usize,
    /// Verdict *baseline wins*.
    pub baseline_wins: usize,
    /// The final block is outside the confidence set of best depths.
    pub final_excluded: usize,
    /// The truly best depth is outside the confidence set (where one is best).
    pub best_excluded: usize,
    /// The simultaneous band of some depth's gain over the final block does not hold zero.
    pub band_left: usize,
    /// The band of the middle depth's gain over the final block lies above zero.
    pub band_found: usize,
    /// Some depth beats chance at 5%, adjusted for the number of depths.
    pub significant: usize,
    /// Unadjusted p of the first depth at most 0.25, 0.5 and 0.75.
    pub p_at_most: [usize; 3],
    /// Naive gain over the final block.
    pub naive_gain: Mean,
    /// Nested gain over the final block.
    pub nested_gain: Mean,
    /// Gain of the middle depth over the final block, without any choice.
    pub middle_gain: Mean,
    /// Difference that is said to be found in 80% of such experiments.
    pub detectable: Mean,
}

/// A mean over runs with its standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mean {
    /// The mean.
    pub value: f64,
    /// Its standard error; NaN for a single run.
    pub error: f64,
}

impl Mean {
    fn of(values: impl Iterator<Item = f64> + Clone) -> Self {
        let n = values.clone().count() as f64;
        let value = values.clone().sum::<f64>() / n;
        let variance = values.map(|v| (v - value).powi(2)).sum::<f64>() / (n - 1.0);
        Self { value, error: (variance / n).sqrt() }
    }
}

/// What one run claims.
struct Run {
    /// In the order of the counts of [`Claims`] from `naive` to `significant`.
    claims: [bool; 9],
    /// P of the first depth.
    p: f64,
    /// Naive, nested, middle gain, detectable difference.
    gains: [f64; 4],
}

/// Truth and predictions; the last prediction is the baseline's.
fn draw(e: &Experiment, seed: u64, run: u64) -> (Vec<f64>, Vec<Vec<f64>>) {
    let mut rng = stream(seed, "calibration", run);
    let truth: Vec<f64> = (0..e.n_cells).map(|_| rng.below(4) as f64).collect();
    let shared: Vec<f64> = (0..e.n_cells).map(|_| rng.normal()).collect();
    let middle = e.n_depths / 2;
    let signal = if e.world == World::Random { 0.0 } else { 1.0 };
    let predictions = (0..=e.n_depths)
        .map(|d| {
            let own: f64 = match e.world {
                World::Planted(share) if d == middle => (1.0 - share).max(0.0).sqrt(),
                World::BetterBaseline if d == e.n_depths => 0.3,
                _ => 1.0,
            };
            let common = if e.world == World::BetterBaseline && d == e.n_depths { 0.3 } else { 1.0 };
            (0..e.n_cells).map(|i| signal * truth[i] + common * shared[i] + own * rng.normal()).collect()
        })
        .collect();
    (truth, predictions)
}

/// Runs the headline of a task on predictions: the last is a baseline, the others are blocks from first to final.
fn headline(
    cells: &Cells,
    truth: &[f64],
    predictions: &[Vec<f64>],
    protocol: &Protocol,
) -> Result<(Vec<Record>, Summary)> {
    let all: Vec<usize> = (0..cells.n).collect();
    let units = Units::new(cells, &all)?;
    let n_blocks = predictions.len() - 1;
    let representations: Vec<Representation> = (0..predictions.len())
        .map(|i| {
            let mut r = Representation::simple("m", Role::Model, Matrix::zeros(cells.n, 1));
            if i == n_blocks {
                (r.model, r.role) = ("baseline".into(), Role::Baseline);
            } else {
                r.site = Some(Site::resid_post(i));
                r.depth = Some((i + 1) as f64 / n_blocks as f64);
            }
            r
        })
        .collect();
    let assessment = Assessment {
        task: &TASK,
        cells,
        representations: &representations,
        units: &units,
        truth_name: "time",
        truth,
        protocol,
        progress: &Silent,
    };
    let predictions: Vec<_> =
        predictions.iter().map(|p| Ok(Prediction { values: p.clone(), remark: None })).collect();
    let scored = Scored::new(&DPT_SPEARMAN, truth, &predictions);
    let nested = Folds::new(&units, truth, protocol).map(|f| scored.nested(&assessment, f));
    let mut h = assessment.headline(&scored, &nested)?;
    Ok((h.records, h.summaries.remove(0)))
}

/// Cells with units of equal size, dealt out in turn.
fn cells(n: usize, n_units: Option<usize>) -> Result<Cells> {
    let cells = Cells::new("simulated", n);
    let Some(m) = n_units else { return Ok(cells) };
    let names = (0..m).map(|u| u.to_string()).collect();
    cells.with_unit(Groups::new("donor", names, (0..n).map(|i| (i % m) as u32).collect())?)
}

/// Runs an experiment many times. Errors when the numbers of cells, units or replicates make no sense.
pub fn claims(e: &Experiment, n_runs: usize, seed: u64) -> Result<Claims> {
    let cells = cells(e.n_cells, e.n_units)?;
    let last = format!("blocks.{}.resid_post", e.n_depths - 1);
    let best = format!("blocks.{}.resid_post", e.n_depths / 2);
    let runs: Vec<Run> = (0..n_runs as u64)
        .into_par_iter()
        .map(|run| {
            let (truth, predictions) = draw(e, seed, run);
            let protocol = Protocol {
                n_bootstrap: e.n_bootstrap,
                n_permutations: 100,
                n_repeats: 2,
                seed: run,
                ..Protocol::default()
            };
            let (records, s) = headline(&cells, &truth, &predictions, &protocol)?;
            let own: Vec<&Record> = records
                .iter()
                .filter(|r| r.metric == DPT_SPEARMAN.id && r.split == "all" && r.model == "m")
                .collect();
            let scores = || own.iter().filter_map(|r| r.value);
            let minus: Vec<&Record> = records.iter().filter(|r| r.metric.ends_with("_minus_final")).collect();
            let middle = minus.iter().find(|r| r.site.as_ref().is_some_and(|s| *s == best));
            let missing = |site: &String| !s.confidence_set.contains(site);
            let above = |r: &Record| r.ci_low.is_some_and(|low| low > 0.0);
            let below = |r: &Record| r.ci_high.is_some_and(|high| high < 0.0);
            Ok(Run {
                claims: [
                    s.oracle_site.as_ref() != Some(&last),
                    s.depth_verdict == Verdict::DepthMatters,
                    s.model_verdict == Verdict::ModelRecommended,
                    s.model_verdict == Verdict::BaselineWins,
                    missing(&last),
                    missing(&best),
                    minus.iter().any(|r| above(r) || below(r)),
                    middle.is_some_and(|r| above(r)),
                    own.iter().any(|r| r.p_adj.is_some_and(|p| p <= 0.05)),
                ],
                p: own.first().and_then(|r| r.p).unwrap_or(f64::NAN),
                gains: [
                    scores().fold(f64::MIN, f64::max) - scores().next_back().unwrap_or(f64::NAN),
                    s.gain_over_final.map_or(0.0, |g| g.estimate.value),
                    middle.and_then(|r| r.value).unwrap_or(f64::NAN),
                    s.detectable.unwrap_or(f64::NAN),
                ],
            })
        })
        .collect::<Result<_>>()?;
    let count = |claim: usize| runs.iter().filter(|r| r.claims[claim]).count();
    let mean = |gain: usize| Mean::of(runs.iter().map(|r| r.gains[gain]));
    Ok(Claims {
        n: n_runs,
        naive: count(0),
        depth_matters: count(1),
        recommended: count(2),
        baseline_wins: count(3),
        final_excluded: count(4),
        best_excluded: count(5),
        band_left: count(6),
        band_found: count(7),
        significant: count(8),
        p_at_most: [0.25, 0.5, 0.75].map(|p| runs.iter().filter(|r| r.p <= p).count()),
        naive_gain: mean(0),
        nested_gain: mean(1),
        middle_gain: mean(2),
        detectable: mean(3),
    })
}
