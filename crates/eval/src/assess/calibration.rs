//! Simulations with known truth: how often claims are made when there is nothing to claim, and how often
//! intervals hold what they should.

use microtome_core::{Matrix, Role, Silent, Site, Verdict};

use super::{Assessment, Prediction, Scored};
use crate::protocol::bootstrap::{Series, bootstrap};
use crate::protocol::nested::Folds;
use crate::protocol::random::stream;
use crate::protocol::{Protocol, Resampling, Units};
use crate::tasks::trajectory::TASK;
use crate::{Cells, Groups, Representation, TaskOutcome};

const HEADLINE: &crate::metrics::Metric = &crate::metrics::DPT_SPEARMAN;

fn cells(n: usize, n_units: Option<usize>) -> Cells {
    let cells = Cells::new("null", n);
    let Some(m) = n_units else { return cells };
    let names = (0..m).map(|u| u.to_string()).collect();
    let codes = (0..n).map(|i| (i % m) as u32).collect();
    cells.with_unit(Groups::new("donor", names, codes).unwrap()).unwrap()
}

fn simple_protocol(seed: u64) -> Protocol {
    Protocol { n_bootstrap: 200, n_permutations: 100, n_repeats: 2, seed, ..Protocol::default() }
}

/// Runs the headline on given predictions: the last is a baseline, the others are blocks from first to final.
fn headline(cells: &Cells, truth: &[f64], predictions: &[Vec<f64>], seed: u64) -> TaskOutcome {
    let protocol = simple_protocol(seed);
    let all: Vec<usize> = (0..cells.n).collect();
    let units = Units::new(cells, &all).unwrap();
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
        protocol: &protocol,
        progress: &Silent,
    };
    let predictions: Vec<_> =
        predictions.iter().map(|p| Ok(Prediction { values: p.clone(), remark: None })).collect();
    let scored = Scored::new(HEADLINE, truth, &predictions);
    let nested = Folds::new(&units, truth, &protocol).map(|f| scored.nested(&assessment, f));
    let h = assessment.headline(&scored, &nested).unwrap();
    TaskOutcome { records: h.records, summaries: h.summaries, ..TaskOutcome::default() }
}

/// Largest count that `n` trials of probability `p` exceed with probability below 0.001 (normal approximation with
/// continuity correction; exact enough for the counts used here).
fn at_most(n: usize, p: f64) -> usize {
    let n = n as f64;
    (n * p + 3.09 * (n * p * (1.0 - p)).sqrt() + 0.5).ceil() as usize
}

/// What happened in many runs in which all depths are equally useless.
#[derive(Default)]
struct NullRuns {
    n: usize,
    /// The naive best depth is not the final block.
    naive: usize,
    /// Verdict "depth matters".
    depth_matters: usize,
    /// Verdict "model recommended".
    recommended: usize,
    /// The final block is outside the confidence set of best depths.
    final_excluded: usize,
    /// Some depth leaves the simultaneous bands around zero difference.
    band: usize,
    /// The best depth is significant at 0.05 after adjustment.
    significant: usize,
    gains: Vec<f64>,
    naive_gains: Vec<f64>,
    /// Unadjusted p values of the first depth.
    p: Vec<f64>,
}

/// 8 depths that share half of their variance and know nothing of the truth of 4 levels.
fn null_runs(n_cells: usize, n_units: Option<usize>, n_runs: usize) -> NullRuns {
    let mut out = NullRuns { n: n_runs, ..NullRuns::default() };
    let cells = cells(n_cells, n_units);
    for run in 0..n_runs as u64 {
        let mut rng = stream(99, "null", run);
        let truth: Vec<f64> = (0..n_cells).map(|_| rng.below(4) as f64).collect();
        let shared: Vec<f64> = (0..n_cells).map(|_| rng.normal()).collect();
        let predictions: Vec<Vec<f64>> =
            (0..9).map(|_| shared.iter().map(|s| s + rng.normal()).collect()).collect();
        let result = headline(&cells, &truth, &predictions, run);
        let (s, last) = (&result.summaries[0], "blocks.7.resid_post");
        let own: Vec<_> = result
            .records
            .iter()
            .filter(|r| r.metric == HEADLINE.id && r.split == "all" && r.model == "m")
            .collect();
        out.naive += usize::from(s.oracle_site.as_deref() != Some(last));
        out.depth_matters += usize::from(s.depth_verdict == Verdict::DepthMatters);
        out.recommended += usize::from(s.model_verdict == Verdict::ModelRecommended);
        out.final_excluded += usize::from(!s.confidence_set.iter().any(|c| c == last));
        out.band += usize::from(result.records.iter().any(|r| {
            r.metric.ends_with("_minus_final") && (r.ci_low.unwrap() > 0.0 || r.ci_high.unwrap() < 0.0)
        }));
        out.significant += usize::from(own.iter().any(|r| r.p_adj.unwrap() <= 0.05));
        out.p.push(own[0].p.unwrap());
        out.gains.push(s.gain_over_final.as_ref().unwrap().estimate.value);
        let values: Vec<f64> = own.iter().map(|r| r.value.unwrap()).collect();
        out.naive_gains.push(values.iter().copied().fold(f64::MIN, f64::max) - values[7]);
    }
    out
}

/// Mean and its standard error.
fn mean_and_error(v: &[f64]) -> (f64, f64) {
    let n = v.len() as f64;
    let mean = v.iter().sum::<f64>() / n;
    let variance = v.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}

fn assert_calibrated(r: &NullRuns) {
    assert!(r.naive * 10 > r.n * 7, "naive choice claims a better block in {} of {}", r.naive, r.n);
    // The claim itself: at most 5%, without any allowance.
    assert!(r.depth_matters * 20 <= r.n, "depth matters in {} of {}", r.depth_matters, r.n);
    assert!(r.recommended <= at_most(r.n, 0.025), "model recommended in {} of {}", r.recommended, r.n);
    assert!(r.band <= at_most(r.n, 0.05), "bands left in {} of {}", r.band, r.n);
    assert!(r.final_excluded <= at_most(r.n, 0.05), "final excluded in {} of {}", r.final_excluded, r.n);
    assert!(r.significant <= at_most(r.n, 0.05), "significant in {} of {}", r.significant, r.n);
    let (gain, error) = mean_and_error(&r.gains);
    assert!(gain.abs() < 3.5 * error, "nested gain {gain} with standard error {error}");
    let (naive, error) = mean_and_error(&r.naive_gains);
    assert!(naive > 10.0 * error, "the naive gain is {naive} although there is none");
    for (below, share) in [(0.25, 0.25), (0.5, 0.5), (0.75, 0.75)] {
        let count = r.p.iter().filter(|p| **p <= below).count();
        let fits = count <= at_most(r.n, share) && r.n - count <= at_most(r.n, 1.0 - share);
        assert!(fits, "p at most {below} in {count} of {}", r.n);
    }
}

#[test]
fn equal_depths_are_not_distinguished_cells_as_units() {
    assert_calibrated(&null_runs(200, None, 200));
}

#[test]
fn equal_depths_are_not_distinguished_8_units() {
    assert_calibrated(&null_runs(240, Some(8), 200));
}

#[test]
fn equal_depths_are_not_distinguished_25_units() {
    assert_calibrated(&null_runs(300, Some(25), 200));
}

/// How often the 95% interval of Spearman's rho holds the true value, for a bivariate normal of correlation `r`
/// (rho = 6/pi asin(r/2), Pearson 1907), in 300 runs.
fn coverage(n_cells: usize, n_units: Option<usize>, resampling: Resampling, r: f64) -> usize {
    let rho = 6.0 / std::f64::consts::PI * (r / 2.0).asin();
    let cells = cells(n_cells, n_units);
    let all: Vec<usize> = (0..n_cells).collect();
    let units = Units::new(&cells, &all).unwrap();
    let hit = |run: u64| {
        let mut rng = stream(7, "coverage", run);
        let x: Vec<f64> = (0..n_cells).map(|_| rng.normal()).collect();
        let y: Vec<f64> = x.iter().map(|x| r * x + (1.0 - r * r).sqrt() * rng.normal()).collect();
        let set = HEADLINE.statistic.set(&x, &[&y]);
        let protocol = Protocol { n_bootstrap: 400, resampling, seed: run, ..Protocol::default() };
        let found = bootstrap(set.as_ref(), &[Series::Score(0)], &units, &protocol, &Silent).unwrap();
        let i = found[0].interval(0.95).unwrap();
        i.low <= rho && rho <= i.high
    };
    (0..300).filter(|&run| hit(run)).count()
}

#[test]
fn intervals_hold_the_truth_as_often_as_they_say() {
    let worst = 300 - at_most(300, 0.05);
    for (n, units, resampling) in [
        (200, None, Resampling::TwoStage),
        (240, Some(8), Resampling::TwoStage),
        (240, Some(15), Resampling::TwoStage),
        (300, Some(30), Resampling::Units),
    ] {
        for r in [0.0, 0.6] {
            let hits = coverage(n, units, resampling, r);
            assert!((worst..300).contains(&hits), "{hits} of 300: {n} cells, {units:?} units, r = {r}");
        }
    }
    // With units that do not differ at all, two stages are wider than they need to be, never narrower.
    assert!(coverage(300, Some(30), Resampling::TwoStage, 0.6) >= worst);
}
