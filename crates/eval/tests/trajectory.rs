//! The trajectory task from representations to verdicts.

#![allow(clippy::unwrap_used)]

mod common;

use common::{block, cells, four_times, matrix, model_and_baseline};
use microtome_core::{Matrix, Record, Role, Silent, Verdict};
use microtome_eval::tasks::trajectory::{GraphWeights, Root, TASK, TrajectoryOptions, run};
use microtome_eval::{Groups, Protocol, Representation, TaskOutcome};
use microtome_numerics::resample::Rng;

fn protocol() -> Protocol {
    Protocol { n_bootstrap: 200, n_permutations: 199, seed: 5, run_card: "abc".into(), ..Protocol::default() }
}

fn go(n: usize, units: Option<usize>, time: &[f64], all: &[Representation], headline: &str) -> TaskOutcome {
    let options = TrajectoryOptions::new("stage", time.to_vec()).with_headline(headline).unwrap();
    run(&cells(n, units), all, &options, &protocol(), &Silent).unwrap()
}

fn row<'a>(out: &'a TaskOutcome, model: &str, block: Option<usize>, metric: &str, split: &str) -> &'a Record {
    out.records
        .iter()
        .find(|r| {
            r.model == model
                && r.block == block
                && (block.is_none() || r.site.is_some())
                && r.metric == metric
                && r.split == split
        })
        .unwrap_or_else(|| panic!("no record {model} {block:?} {metric} {split}"))
}

#[test]
fn a_planted_block_is_found_and_the_baseline_beaten() {
    let time = four_times(480, 8);
    let all = model_and_baseline(&time, &[0.2, 0.3, 3.0, 0.4, 0.3], 0.5, 1);
    let out = go(480, Some(8), &time, &all, "dpt_spearman");
    let s = &out.summaries[0];
    assert_eq!(s.chosen_site.as_deref(), Some("blocks.2.resid_post"), "{s:#?}");
    assert_eq!(s.oracle_site, s.chosen_site);
    assert_eq!(s.confidence_set, ["blocks.2.resid_post"]);
    assert_eq!((s.depth_verdict, s.model_verdict), (Verdict::DepthMatters, Verdict::ModelRecommended));
    assert!(s.gain_over_final.as_ref().unwrap().estimate.low.unwrap() > 0.1);
    assert_eq!(s.optimism, Some(0.0), "the same block wins in every fold");
    assert!(s.warnings.iter().any(|w| w.contains("only 8 independent units")), "{:?}", s.warnings);
    let reliability = |block| row(&out, "toy", Some(block), "dpt_reliability", "halves").value.unwrap();
    assert!(
        reliability(2) > 0.6 && reliability(2) > reliability(0) + 0.2,
        "{} {}",
        reliability(2),
        reliability(0)
    );
    let free = row(&out, "toy", Some(2), "dpt_without_noise", "halves").value.unwrap();
    let score = row(&out, "toy", Some(2), "dpt_spearman", "all").value.unwrap();
    assert!((free - score / reliability(2).sqrt()).abs() < 1e-12);
    let minus = row(&out, "toy", Some(2), "dpt_spearman_minus_final", "all");
    assert!(minus.ci_low.unwrap() > 0.0 && minus.p_adj.unwrap() < 0.05, "{minus:?}");
    let best = row(&out, "toy", Some(2), "dpt_spearman", "all");
    assert!(best.p_adj.unwrap() <= 0.01 && best.ci_method.as_deref() == Some("percentile_t"), "{best:?}");
    // The metrics of the field see the same block, and compare spaces with the principal components.
    let of = |model: &str, block, metric: &str| row(&out, model, block, metric, "all").value.unwrap();
    for metric in ["knn_roughness", "rogi_xd", "rogi"] {
        assert!(of("toy", Some(2), metric) < of("toy", Some(0), metric), "{metric}");
        assert!(of("noisy_truth", None, metric) < of("random_embedding", None, metric), "{metric}");
    }
    let pca = all.iter().find(|r| r.role == Role::Baseline).unwrap().model.clone();
    assert_eq!((of(&pca, None, "neighbour_preservation"), of(&pca, None, "distance_emd")), (1.0, 0.0));
    assert!(of("toy", Some(2), "neighbour_preservation") < 0.5 && of("toy", Some(2), "distance_emd") > 0.0);
}

#[test]
fn a_better_baseline_wins_and_says_so_with_numbers() {
    let time = four_times(400, 10);
    let all = model_and_baseline(&time, &[0.3, 0.4, 0.3], 3.0, 2);
    let out = go(400, Some(10), &time, &all, "knn_time_spearman");
    let s = &out.summaries[0];
    assert_eq!(s.model_verdict, Verdict::BaselineWins, "{s:#?}");
    assert!(s.sentences[0].starts_with("A simple baseline, pca_8_hvg_100, beats "), "{}", s.sentences[0]);
    assert!(s.sentences[1].starts_with("pca_8_hvg_100 (principal components of the most variable genes)"));
    let gain = s.gain_over_best_baseline.as_ref().unwrap().estimate;
    assert!(s.sentences[1].contains(&format!("{:+.3}", gain.value)));
}

#[test]
fn two_equal_representations_tie() {
    let time = four_times(300, 6);
    let mut rng = Rng::new(3);
    let shared = matrix(&time, 2.0, 8, &mut rng);
    let all = vec![
        block("toy", Role::Model, 0, 2, shared.clone()),
        block("toy", Role::Model, 1, 2, shared.clone()),
        Representation::simple("same", Role::Baseline, shared),
    ];
    let s = &go(300, Some(6), &time, &all, "dpt_spearman").summaries[0];
    assert_eq!(s.depth_verdict, Verdict::CannotDistinguishDepths);
    assert_eq!(s.model_verdict, Verdict::TieWithBaseline);
    assert_eq!(s.gain_over_best_baseline.as_ref().unwrap().estimate.value, 0.0);
    assert_eq!(s.confidence_set.len(), 2);
}

#[test]
fn fewer_than_six_units_refuse_intervals_and_show_units() {
    let time = four_times(200, 5);
    let all = model_and_baseline(&time, &[3.0, 0.3], 0.5, 4);
    let out = go(200, Some(5), &time, &all, "dpt_spearman");
    let s = &out.summaries[0];
    assert_eq!((s.depth_verdict, s.model_verdict), (Verdict::NotEnoughUnits, Verdict::NotEnoughUnits));
    assert!(s.nested_score.unwrap().low.is_none() && s.confidence_set.is_empty());
    assert!(out.records.iter().all(|r| r.ci_low.is_none() && r.ci_high.is_none() && r.ci_method.is_none()));
    assert!(out.records.iter().all(|r| r.reason.is_some()), "every row says why it has no interval");
    assert!(row(&out, "toy", Some(0), "dpt_spearman", "unit:d3").value.is_some());
    assert_eq!(out.unit_scores.len(), 5 * (3 + 1 + 2));
    let p = row(&out, "toy", Some(0), "dpt_spearman_minus_final", "all").p.unwrap();
    assert_eq!(p, 2.0 / 32.0, "all five units favour block 0, and no smaller p exists");
}

#[test]
fn without_units_cells_are_the_unit_and_the_reader_is_warned() {
    let time = four_times(200, 1);
    let all = model_and_baseline(&time, &[1.0, 2.0], 0.5, 5);
    let out = go(200, None, &time, &all, "dpt_spearman");
    let s = &out.summaries[0];
    assert_eq!((s.unit.as_str(), s.n_units), ("cell", 200));
    assert!(s.warnings[0].contains("no unit was named"));
    let r = row(&out, "toy", Some(1), "dpt_spearman", "all");
    assert_eq!(r.ci_method.as_deref(), Some("bca"));
    assert!(r.ci_low.unwrap() < r.value.unwrap() && r.value.unwrap() < r.ci_high.unwrap());
    assert!(r.reason.as_ref().unwrap().contains("cells stand in"));
    assert!(out.unit_scores.is_empty());
}

#[test]
fn defects_become_reasons_never_numbers() {
    let time = four_times(210, 7);
    let mut all = model_and_baseline(&time, &[1.0, 1.0, 1.0], 0.5, 6);
    all[0].matrix = Matrix::new(210, 2, vec![0.5; 420]).unwrap();
    all[1].matrix.row_mut(3)[2] = f32::NAN;
    let out = go(210, Some(7), &time, &all, "dpt_spearman");
    for (b, why) in [(0, "the same for every cell"), (1, "1 values that are not finite")] {
        for metric in TASK.metrics.iter().filter(|m| m.reading != "palantir" && !m.id.contains("clonal")) {
            let r = row(&out, "toy", Some(b), metric.id, "all");
            assert_eq!((r.value, r.ci_low, r.p), (None, None, None));
            assert!(r.reason.as_ref().unwrap().contains(why), "{r:?}");
        }
    }
    assert!(row(&out, "toy", Some(2), "dpt_spearman", "all").value.is_some());
    let finite = |v: Option<f64>| v.is_none_or(f64::is_finite);
    for r in &out.records {
        assert!(finite(r.value) && finite(r.ci_low) && finite(r.ci_high) && finite(r.p) && finite(r.p_adj));
        assert!(r.value.is_some() || r.reason.is_some(), "{r:?}");
    }
}

#[test]
fn every_representation_has_a_complete_row_per_metric() {
    let time = four_times(210, 7);
    let mut all = model_and_baseline(&time, &[1.0, 2.0], 0.5, 7);
    let mut rng = Rng::new(8);
    for i in 0..2 {
        all.push(block("toy untrained", Role::Control, i, 2, matrix(&time, 0.0, 8, &mut rng)));
    }
    let out = go(210, Some(7), &time, &all, "ridge_time_spearman");
    // Given: 2 blocks, baseline, 2 twins; added: mean of blocks and two controls of the task.
    for metric in TASK.metrics.iter().filter(|m| !m.id.contains("clonal")) {
        let rows: Vec<&Record> =
            out.records.iter().filter(|r| r.metric == metric.id && r.split == "all").collect();
        assert_eq!(rows.len(), 8, "{}", metric.id);
        for r in rows {
            assert_eq!((r.dataset.as_str(), r.task.as_str(), r.task_version), ("simulated", "trajectory", 1));
            assert_eq!((r.metric_version, r.transform.as_str(), r.run_card.as_str()), (1, "none", "abc"));
            assert_eq!((r.n_units, r.n_cells, r.unit.as_deref()), (Some(7), Some(210), Some("donor")));
            assert_eq!((r.seed, r.higher_is_better), (5, true));
            // Palantir was not asked for, and principal components are what the partial score looks beyond.
            if metric.reading == "palantir"
                || (metric.id == "dpt_partial_spearman" && r.model.starts_with("pca_"))
            {
                assert!(r.value.is_none() && r.reason.is_some(), "{r:?}");
                continue;
            }
            assert!(r.role.is_some() && r.ci_method.as_deref() == Some("percentile_t"), "{r:?}");
        }
    }
    for model in ["random_embedding", "noisy_truth"] {
        assert_eq!(row(&out, model, None, "dpt_spearman", "all").role, Some(Role::Control));
    }
    assert!(row(&out, "noisy_truth", None, "dpt_spearman", "all").value.unwrap() > 0.9);
    assert!(row(&out, "noisy_truth", None, "ridge_time_spearman", "all").value.unwrap() > 0.9);
    assert!(row(&out, "random_embedding", None, "dpt_spearman", "all").value.unwrap().abs() < 0.2);
    assert!(row(&out, "toy", Some(1), "ridge_time_spearman_minus_control", "all").ci_low.unwrap() > 0.0);
    assert!(row(&out, "toy", None, "ridge_time_spearman", "nested").value.is_some());
    let mean = out.records.iter().find(|r| r.site.as_deref() == Some("mean_of_blocks")).unwrap();
    assert!(mean.value.is_some() && mean.depth.is_none());
    let s = &out.summaries[0];
    assert!(s.sentences.iter().any(|s| s.contains("same network without training")), "{:#?}", s.sentences);
    assert_eq!(out.columns.len(), 8);
    assert!(out.choices["root_cells"].as_array().unwrap().len() == 20);
}

#[test]
fn missing_times_and_units_are_dropped_and_reported() {
    let mut time = four_times(212, 7);
    let all = model_and_baseline(&time, &[1.0, 2.0], 0.5, 9);
    (time[0], time[9]) = (f64::NAN, f64::NAN);
    let mut cells = cells(212, Some(7));
    cells.unit.as_mut().unwrap().codes[20] = Groups::MISSING;
    let options = TrajectoryOptions::new("stage", time);
    let out = run(&cells, &all, &options, &protocol(), &Silent).unwrap();
    assert_eq!(out.summaries[0].n_cells, 209);
    assert_eq!(out.columns[0].values.len(), 212);
    let notes = out.notes.join("\n");
    assert!(
        notes.contains("2 of 212 cells have no stage") && notes.contains("1 cells have a time but no donor")
    );
}

#[test]
fn cells_apart_from_the_root_are_ranked_last_and_counted() {
    let time = four_times(240, 6);
    let mut all = model_and_baseline(&time, &[2.0, 2.0], 0.5, 10);
    // The last 30 cells are moved far away, so that no edge reaches them.
    for i in 210..240 {
        all[0].matrix.row_mut(i)[3] += 1e4;
    }
    let options = TrajectoryOptions {
        root: Root::Cell(0),
        weights: GraphWeights::Gaussian,
        ..TrajectoryOptions::new("stage", time)
    };
    let out = run(&cells(240, Some(6)), &all, &options, &protocol(), &Silent).unwrap();
    let r = row(&out, "toy", Some(0), "dpt_spearman", "all");
    assert!(r.value.is_some() && r.reason.as_ref().unwrap().starts_with("30 of 240 cells are not connected"));
    assert_eq!(out.columns[0].values.numbers().unwrap().iter().filter(|v| v.is_infinite()).count(), 30);
}

#[test]
fn time_that_is_constant_within_units_still_gets_an_answer() {
    // 12 embryos, each of one stage.
    let time: Vec<f64> = (0..240).map(|i| (i % 12 / 3) as f64).collect();
    let all = model_and_baseline(&time, &[3.0, 0.3], 0.5, 11);
    let out = go(240, Some(12), &time, &all, "dpt_spearman");
    let s = &out.summaries[0];
    assert!(s.nested_score.unwrap().value > 0.5, "{s:#?}");
    assert_eq!(out.choices["null"], "time permuted among whole units");
}

#[test]
fn results_do_not_depend_on_threads() {
    let time = four_times(210, 7);
    let all = model_and_baseline(&time, &[1.0, 2.0], 0.5, 12);
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| go(210, Some(7), &time, &all, "dpt_spearman"))
    };
    assert_eq!(with(1), with(3));
}

#[test]
fn refuses_runs_that_make_no_sense() {
    let time = four_times(100, 5);
    let all = model_and_baseline(&time, &[1.0], 0.5, 13);
    let cells = cells(100, Some(5));
    let fail = |all: &[Representation], time: Vec<f64>| {
        let options = TrajectoryOptions::new("stage", time);
        run(&cells, all, &options, &protocol(), &Silent).unwrap_err().to_string()
    };
    assert!(fail(&all[..1], time.clone()).contains("no baseline"));
    assert!(fail(&all, vec![1.0; 100]).contains("two different times"));
    assert!(fail(&all, vec![1.0; 99]).contains("100 values"));
    assert!(fail(&all, vec![f64::INFINITY; 100]).contains("finite or missing"));
    assert!(TrajectoryOptions::new("stage", time).with_headline("dpt").is_err());
    let refuse = |time: Vec<f64>, headline: &str| {
        let options = TrajectoryOptions::new("stage", time).with_headline(headline).unwrap();
        run(&cells, &all, &options, &protocol(), &Silent).unwrap_err().to_string()
    };
    assert!(
        refuse((0..100).map(f64::from).collect(), "ordinal_time_spearman").contains("100 different values")
    );
    assert!(refuse(four_times(100, 5), "dpt_clonal_order").contains("clones to be named"));
}

/// Stages that are not equally far apart: the ordinal probe finds their order and chooses the depth that holds it.
#[test]
fn the_ordinal_probe_reads_stages() {
    let time = four_times(280, 7);
    let stages: Vec<f64> = time.iter().map(|t| t * t * t).collect();
    let all = model_and_baseline(&time, &[0.2, 2.5, 0.3], 0.3, 14);
    let out = go(280, Some(7), &stages, &all, "ordinal_time_spearman");
    let s = &out.summaries[0];
    assert_eq!(s.chosen_site.as_deref(), Some("blocks.1.resid_post"), "{s:#?}");
    assert_eq!((s.depth_verdict, s.model_verdict), (Verdict::DepthMatters, Verdict::ModelRecommended));
    assert!(row(&out, "toy", Some(1), "ordinal_time_spearman", "all").value.unwrap() > 0.8);
    assert!(row(&out, "random_embedding", None, "ordinal_time_spearman", "all").value.unwrap().abs() < 0.25);
    // Many different times are not stages.
    let time: Vec<f64> = (0..280).map(|i| f64::from(i * 37 % 280)).collect();
    let out = go(280, Some(7), &time, &all, "ridge_time_spearman");
    let r = row(&out, "toy", Some(1), "ordinal_time_spearman", "all");
    assert!(r.value.is_none() && r.reason.as_ref().unwrap().contains("280 different values"), "{r:?}");
}

/// Clones start at different places: over all cells time is hidden, within clones it is not.
#[test]
fn order_within_clones_is_seen_where_order_over_all_cells_is_not() {
    // 24 clones of 12 cells at three days, each clone shifted by far more than a day; block 1 follows the day.
    let n = 288;
    let clone = |i: usize| i / 12;
    let time: Vec<f64> = (0..n).map(|i| (i % 3) as f64).collect();
    let mut rng = Rng::new(15);
    let shift: Vec<f64> = (0..24).map(|_| 12.0 * rng.uniform()).collect();
    let mut along = |signal: f64| {
        let mut m = Matrix::zeros(n, 3);
        for i in 0..n {
            m.row_mut(i)[0] = (shift[clone(i)] + signal * time[i] + 0.3 * rng.normal()) as f32;
            (1..3).for_each(|j| m.row_mut(i)[j] = (0.3 * rng.normal()) as f32);
        }
        m
    };
    let all = vec![
        block("toy", Role::Model, 0, 3, along(0.0)),
        block("toy", Role::Model, 1, 3, along(1.0)),
        block("toy", Role::Model, 2, 3, along(0.05)),
        Representation::simple("pca_3_hvg_100", Role::Baseline, along(0.05)),
    ];
    let names = (0..25).map(|c| format!("clone {c}")).collect();
    let mut codes: Vec<u32> = (0..n).map(|i| clone(i) as u32).collect();
    codes[7] = Groups::MISSING;
    // A clone of one day, which has no order.
    (0..12).filter(|i| i % 3 == 2).for_each(|i| codes[i] = 24);
    let clones = Groups::new("clone", names, codes).unwrap();
    // The root is the cell that lies first, so that pseudotime runs along the shifts and the days.
    let values = all[1].matrix.clone();
    let first = (0..n).min_by(|&a, &b| values.row(a)[0].total_cmp(&values.row(b)[0])).unwrap();
    let options = TrajectoryOptions {
        clones: Some(clones),
        root: Root::Cell(first),
        ..TrajectoryOptions::new("day", time).with_headline("dpt_clonal_order").unwrap()
    };
    let out = run(&cells(n, None), &all, &options, &protocol(), &Silent).unwrap();
    assert!(row(&out, "toy", Some(1), "dpt_spearman", "all").value.unwrap() < 0.4);
    let within = |block| row(&out, "toy", Some(block), "dpt_clonal_order", "all");
    assert!(within(1).value.unwrap() > 0.9 && within(1).p_adj.unwrap() < 0.05, "{:?}", within(1));
    assert!((within(0).value.unwrap() - 0.5).abs() < 0.1, "{:?}", within(0));
    assert_eq!((within(1).unit.as_deref(), within(1).n_units), (Some("clone"), Some(24)));
    let s = &out.summaries[0];
    assert_eq!(s.chosen_site.as_deref(), Some("blocks.1.resid_post"));
    assert_eq!(
        (s.depth_verdict, s.model_verdict),
        (Verdict::DepthMatters, Verdict::ModelRecommended),
        "{s:#?}"
    );
    assert_eq!(out.choices["null"], "time permuted among the cells of each unit");
    let note = out.notes.iter().find(|n| n.starts_with("order within clones")).unwrap();
    assert!(
        note.contains("283 cells of 24 clones")
            && note.contains("1 clones of one value, 1 cells of no clone"),
        "{note}"
    );
    // Every reading is asked, and those that learn hold clones out.
    for reading in ["shortest_path", "knn_time", "ridge_time", "ordinal_time"] {
        assert!(
            row(&out, "noisy_truth", None, &format!("{reading}_clonal_order"), "all").value.unwrap() > 0.9,
            "{reading}"
        );
    }
    let none = Groups::new("clone", vec![], vec![Groups::MISSING; n]).unwrap();
    let options = TrajectoryOptions { clones: Some(none), ..options };
    assert!(
        run(&cells(n, None), &all, &options, &protocol(), &Silent)
            .unwrap_err()
            .to_string()
            .contains("0 such clones of 0")
    );
}
