//! Simulations at a size that a test can afford. Every bound on a count is a binomial one: a rate that keeps what is stated
//! misses it in one of a thousand.

use statrs::distribution::{Binomial, DiscreteCDF};

use super::*;
use crate::protocol::Resampling;

/// Largest count that `n` runs of probability `p` exceed with probability below 0.001.
fn at_most(n: usize, p: f64) -> usize {
    Binomial::new(p, n as u64).unwrap().inverse_cdf(0.999) as usize
}

/// Smallest count that `n` runs of probability `p` fall short of with probability below 0.001.
fn at_least(n: usize, p: f64) -> usize {
    n - at_most(n, 1.0 - p)
}

/// Shares that are stated: in 80% of experiments a difference is found that is as large as the one that is said to be.
const POWER: f64 = 0.8;

#[test]
fn a_planted_depth_is_found_as_often_as_stated_and_a_better_baseline_wins() {
    // One depth without noise of its own is ahead by more than the difference that is said to be found.
    let e = Experiment {
        world: World::Planted(1.0),
        n_depths: 12,
        n_cells: 400,
        n_units: None,
        n_bootstrap: 200,
    };
    let planted = claims(&e, 40, 1).unwrap();
    assert!(planted.middle_gain.value > planted.detectable.value, "{planted:?}");
    let enough = at_least(planted.n, POWER);
    assert!(planted.band_found >= enough && planted.depth_matters >= enough, "{planted:?}");
    assert!(planted.best_excluded <= at_most(planted.n, 0.05), "{planted:?}");
    let baseline = claims(&Experiment { world: World::BetterBaseline, ..e }, 40, 1).unwrap();
    assert!(baseline.baseline_wins >= enough, "{baseline:?}");
    assert!(baseline.recommended <= at_most(baseline.n, 0.025), "{baseline:?}");
}

/// 8 depths that know the same of the truth.
fn assert_calibrated(world: World, n_cells: usize, n_units: Option<usize>) {
    let e = Experiment { world, n_depths: 8, n_cells, n_units, n_bootstrap: 200 };
    let c = claims(&e, 200, 99).unwrap();
    let n = c.n;
    // Any of 8 equal depths is as likely to be the highest as the final one.
    assert!(c.naive >= at_least(n, 7.0 / 8.0), "naive choice claims a better block: {c:?}");
    for (what, count, rate) in [
        ("depth matters", c.depth_matters, 0.05),
        ("final excluded", c.final_excluded, 0.05),
        ("bands left", c.band_left, 0.05),
        ("model recommended", c.recommended, 0.025),
    ] {
        assert!(count <= at_most(n, rate), "{what}: {c:?}");
    }
    assert!(c.nested_gain.value < 3.5 * c.nested_gain.error, "there is no gain: {c:?}");
    assert!(c.naive_gain.value > 10.0 * c.naive_gain.error, "the naive gain is there all the same: {c:?}");
    if world == World::Random {
        assert!(c.significant <= at_most(n, 0.05), "{c:?}");
        for (count, share) in c.p_at_most.into_iter().zip([0.25, 0.5, 0.75]) {
            assert!((at_least(n, share)..=at_most(n, share)).contains(&count), "p at most {share}: {c:?}");
        }
    }
}

#[test]
fn useless_depths_are_not_distinguished_cells_as_units() {
    assert_calibrated(World::Random, 200, None);
}

#[test]
fn useless_depths_are_not_distinguished_8_units() {
    assert_calibrated(World::Random, 240, Some(8));
}

#[test]
fn useless_depths_are_not_distinguished_25_units() {
    assert_calibrated(World::Random, 300, Some(25));
}

#[test]
fn equal_depths_are_not_distinguished() {
    assert_calibrated(World::Equal, 200, None);
}

#[test]
fn intervals_hold_the_truth_as_often_as_they_say() {
    let n = 300;
    let fine = at_least(n, 0.93)..=at_most(n, 0.97);
    let two = Resampling::TwoStage;
    for (n_cells, n_units, resampling) in [
        (200, None, two),
        (240, Some(8), two),
        (240, Some(15), two),
        (300, Some(30), two),
        (300, Some(30), Resampling::Units),
    ] {
        for (r, between) in [(0.0, 0.0), (0.6, 0.2)] {
            let between = if n_units.is_none() { 0.0 } else { between };
            let e = Coverage { n_cells, n_units, resampling, r, between };
            let hits = coverage(&e, n, 7).unwrap();
            assert!(fine.contains(&hits), "{hits} of {n}: {e:?}");
        }
    }
}
