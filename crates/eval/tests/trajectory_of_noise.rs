//! What the trajectory task says of noise: nothing.

#![allow(clippy::unwrap_used)]

mod common;

use common::{cells, four_times, model_and_baseline};
use microtome_core::{Record, Silent, Verdict};
use microtome_eval::Protocol;
use microtome_eval::tasks::trajectory::{TrajectoryOptions, run};

fn protocol() -> Protocol {
    Protocol { n_bootstrap: 200, n_permutations: 199, seed: 5, run_card: "abc".into(), ..Protocol::default() }
}

/// Random embeddings carry nothing, so "some block beats the final one" is false in every run. 60 runs; at a true
/// rate of 5% more than 9 claims have probability 0.001. The naive choice claims it in most runs.
#[test]
fn random_embeddings_do_not_make_depth_matter() {
    let (mut claims, mut naive) = (0, 0);
    for seed in 0..60 {
        let time = four_times(120, 6);
        let all = model_and_baseline(&time, &[0.0; 6], 0.0, 1000 + seed);
        let options = TrajectoryOptions::new("stage", time);
        let out = run(&cells(120, Some(6)), &all, &options, &protocol(), &Silent).unwrap();
        let s = &out.summaries[0];
        claims += usize::from(s.depth_verdict == Verdict::DepthMatters);
        naive += usize::from(s.oracle_site.as_deref() != Some("blocks.5.resid_post"));
    }
    assert!(claims <= 9, "{claims} false claims in 60 runs");
    assert!(naive > 30, "the naive choice claims it in {naive} of 60 runs");
}

/// Noise must read as noise: with folds that are not balanced by time the mean below is -0.055.
#[test]
fn held_out_predictions_of_noise_score_near_zero() {
    let scores: Vec<f64> = (0..10)
        .map(|seed| {
            let time = four_times(300, 1);
            let all = model_and_baseline(&time, &[1.0], 0.5, 2000 + seed);
            let options = TrajectoryOptions::new("stage", time);
            let protocol = Protocol { seed, n_repeats: 1, ..protocol() };
            let out = run(&cells(300, None), &all, &options, &protocol, &Silent).unwrap();
            let of = |r: &&Record| {
                r.model == "random_embedding" && r.metric == "ridge_time_spearman" && r.split == "all"
            };
            out.records.iter().find(of).unwrap().value.unwrap()
        })
        .collect();
    let mean = scores.iter().sum::<f64>() / 10.0;
    assert!(mean.abs() < 0.05, "mean {mean:.3} of {scores:?}");
}
