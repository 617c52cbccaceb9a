//! The perturbation task on simulated screens with known effects.

#![allow(clippy::unwrap_used)]

use microtome_core::{Counts, Matrix, Role, Silent, Site, Verdict};
use microtome_eval::tasks::perturbation::{PerturbationOptions, Reference, TASK, run};
use microtome_eval::{Cells, Groups, Protocol, Representation, TaskOutcome, controls};
use microtome_numerics::resample::Rng;

const PERTURBATIONS: usize = 16;
const CELLS: usize = 40;
const CONTROLS: usize = 120;
const GENES: usize = 150;
const PROGRAMMES: usize = 3;

struct Screen {
    counts: Counts,
    perturbation: Groups,
    guide: Groups,
    /// Strength of every programme in every perturbation; the last row is control.
    effects: Vec<Vec<f64>>,
}

fn poisson(mean: f64, rng: &mut Rng) -> f32 {
    let (limit, mut product, mut n) = ((-mean).exp(), rng.uniform(), 0.0);
    while product > limit {
        product *= rng.uniform();
        n += 1.0;
    }
    n
}

fn screen(strength: f64, seed: u64) -> Screen {
    let mut rng = Rng::new(seed);
    let mut effects: Vec<Vec<f64>> =
        (0..PERTURBATIONS).map(|_| (0..PROGRAMMES).map(|_| strength * rng.normal()).collect()).collect();
    effects.push(vec![0.0; PROGRAMMES]);
    let loadings: Vec<Vec<f64>> =
        (0..GENES).map(|_| (0..PROGRAMMES).map(|_| 0.5 * rng.normal()).collect()).collect();
    let base: Vec<f64> = (0..GENES).map(|_| 0.5 + 0.7 * rng.normal()).collect();
    let mut codes = vec![];
    for p in 0..PERTURBATIONS {
        codes.extend(std::iter::repeat_n(p as u32, CELLS));
    }
    codes.extend(std::iter::repeat_n(PERTURBATIONS as u32, CONTROLS));
    let (mut indptr, mut indices, mut values) = (vec![0], vec![], vec![]);
    for &code in &codes {
        let depth = (0.3 * rng.normal()).exp();
        for g in 0..GENES {
            let shift: f64 = effects[code as usize].iter().zip(&loadings[g]).map(|(e, l)| e * l).sum();
            let count = poisson((depth * (base[g] + shift).exp()).min(50.0), &mut rng);
            if count > 0.0 {
                indices.push(g as u32);
                values.push(count);
            }
        }
        indptr.push(values.len());
    }
    let mut names: Vec<String> = (0..PERTURBATIONS).map(|p| format!("P{p}")).collect();
    names.push("control".into());
    let guides = codes.iter().enumerate().map(|(i, c)| c * 4 + (i % 4) as u32).collect();
    let guide_names = (0..4 * (PERTURBATIONS + 1)).map(|g| format!("g{g}")).collect();
    Screen {
        counts: Counts::new(GENES, indptr, indices, values).unwrap(),
        perturbation: Groups::new("target", names, codes).unwrap(),
        guide: Groups::new("guide", guide_names, guides).unwrap(),
        effects,
    }
}

/// Three blocks: the middle one holds the effects, the others a weak copy of them under a large shared vector.
fn model(s: &Screen, share: [f64; 3], seed: u64) -> Vec<Representation> {
    let mut rng = Rng::new(seed);
    (0..3)
        .map(|b| {
            let mut m = Matrix::zeros(s.counts.n_cells(), 8);
            for (i, &code) in s.perturbation.codes.iter().enumerate() {
                for (j, v) in m.row_mut(i).iter_mut().enumerate() {
                    let effect = s.effects[code as usize].get(j).copied().unwrap_or(0.0);
                    *v = (10.0 + share[b] * effect + rng.normal()) as f32;
                }
            }
            let mut r = Representation::simple("m", Role::Model, m);
            r.site = Some(Site::resid_post(b));
            r.block = Some(b);
            r.depth = Some((b + 1) as f64 / 3.0);
            r
        })
        .collect()
}

fn protocol() -> Protocol {
    Protocol { n_bootstrap: 200, n_permutations: 200, n_repeats: 2, ..Protocol::default() }
}

fn outcome(
    s: &Screen,
    representations: Vec<Representation>,
    options: &PerturbationOptions<'_>,
) -> TaskOutcome {
    let cells = Cells::new("screen", s.counts.n_cells());
    let mut all = representations;
    all.extend(controls::baselines(&s.counts, 0, &Silent).unwrap());
    run(&cells, &all, options, &protocol(), &Silent).unwrap()
}

fn value(o: &TaskOutcome, model: &str, site: Option<&str>, metric: &str) -> f64 {
    let found = o.records.iter().find(|r| {
        r.model.starts_with(model)
            && r.site.as_deref() == site
            && r.metric == metric
            && (r.split == "all" || r.split == "halves")
    });
    found.unwrap_or_else(|| panic!("no {metric} of {model}")).value.unwrap_or(f64::NAN)
}

#[test]
fn planted_effects_are_found_and_controls_hold() {
    let s = screen(1.0, 1);
    let mut options = PerturbationOptions::new(s.perturbation.clone(), "control", &s.counts);
    options.unit = Some(s.guide.clone());
    let o = outcome(&s, model(&s, [0.05, 1.0, 0.05], 2), &options);
    let rsa = |model: &str, site: Option<&str>| value(&o, model, site, "rsa_spearman");
    let middle = Some("blocks.1.resid_post");
    assert!(rsa("m", middle) > 0.6, "{}", rsa("m", middle));
    assert!(rsa("m", middle) > rsa("m", Some("blocks.0.resid_post")) + 0.2);
    assert!(rsa("effect_profiles", None) > 0.7 && rsa("random_embedding", None).abs() < 0.3);
    assert!(rsa("pca", None) > 0.6 && rsa("total_counts", None) < 0.5);
    assert!(value(&o, "m", middle, "retrieval_pds_cosine") > 0.9);
    let chance = 0.5 + 0.5 / PERTURBATIONS as f64;
    assert!((value(&o, "random_embedding", None, "retrieval_pds_cosine") - chance).abs() < 0.2);
    assert!(value(&o, "m", middle, "magnitude_spearman") > 0.4);
    assert!(value(&o, "m", middle, "rsa_reliability") > 0.7);
    let summary = &o.summaries[0];
    assert_eq!((summary.n_units, summary.unit.as_str()), (PERTURBATIONS, "target"));
    assert_eq!(summary.n_cells, s.counts.n_cells());
    assert_eq!(summary.chosen_site.as_deref(), middle);
    for metric in TASK.metrics {
        assert!(o.records.iter().any(|r| r.metric == metric.id && r.ci_low.is_some()), "{}", metric.id);
    }
    assert!(o.records.iter().all(|r| r.value.is_some() || r.reason.is_some()));
    assert!(o.notes.iter().any(|n| n.contains("ceiling")), "{:?}", o.notes);
}

#[test]
fn pseudobulks_without_replicates_are_named_as_such() {
    let s = screen(1.0, 3);
    let options = PerturbationOptions::new(s.perturbation.clone(), "control", &s.counts);
    let o = outcome(&s, model(&s, [0.3, 0.3, 0.3], 4), &options);
    assert!(o.notes.iter().any(|n| n.contains("random parts of the same cells")), "{:?}", o.notes);
    assert!(o.summaries[0].warnings.iter().any(|n| n.contains("random parts of the same cells")));
}

#[test]
fn every_reference_agrees_on_a_strong_screen() {
    let s = screen(1.2, 6);
    for reference in [Reference::PseudobulkNb, Reference::MeanDifference, Reference::MeanDifferenceTop500] {
        let mut options = PerturbationOptions::new(s.perturbation.clone(), "control", &s.counts);
        options.reference = reference;
        let o = outcome(&s, model(&s, [0.1, 1.0, 0.1], 7), &options);
        let v = value(&o, "m", Some("blocks.1.resid_post"), "rsa_spearman");
        assert!(v > 0.5, "{reference:?}: {v}");
    }
}

/// Cells differ by batch more than by perturbation; only differences within the batch see the effects.
#[test]
fn effects_are_taken_within_their_context() {
    let s = screen(1.0, 8);
    let mut blocks = model(&s, [1.0, 1.0, 1.0], 9);
    let mut rng = Rng::new(10);
    let batch: Vec<u32> = s
        .perturbation
        .codes
        .iter()
        .map(|&c| u32::from(rng.uniform() < if c % 2 == 0 { 0.8 } else { 0.2 }))
        .collect();
    for r in &mut blocks {
        batch.iter().enumerate().filter(|(_, b)| **b == 1).for_each(|(i, _)| r.matrix.row_mut(i)[5] += 20.0);
    }
    let context = Groups::new("batch", vec!["a".into(), "b".into()], batch).unwrap();
    let mut options = PerturbationOptions::new(s.perturbation.clone(), "control", &s.counts);
    let without = outcome(&s, blocks.clone(), &options);
    options.context = Some(context);
    let within = outcome(&s, blocks, &options);
    let v = |o: &TaskOutcome| value(o, "m", Some("blocks.1.resid_post"), "rsa_spearman");
    assert!(v(&within) > 0.5 && v(&within) > v(&without) + 0.2, "{} {}", v(&within), v(&without));
}

#[test]
fn nothing_is_claimed_when_nothing_happens() {
    let mut claims = 0;
    for seed in 0..8 {
        let s = screen(0.0, 100 + seed);
        let options = PerturbationOptions::new(s.perturbation.clone(), "control", &s.counts);
        let o = outcome(&s, model(&s, [1.0, 1.0, 1.0], 200 + seed), &options);
        let verdict = &o.summaries[0];
        claims += usize::from(verdict.model_verdict == Verdict::ModelRecommended);
        claims += usize::from(verdict.depth_verdict == Verdict::DepthMatters);
    }
    assert!(claims <= 2, "{claims} claims in 8 empty screens");
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let s = screen(0.5, 11);
    let cells = Cells::new("screen", s.counts.n_cells());
    let all = controls::baselines(&s.counts, 0, &Silent).unwrap();
    let try_run =
        |o: &PerturbationOptions<'_>| run(&cells, &all, o, &protocol(), &Silent).unwrap_err().to_string();
    let options = PerturbationOptions::new(s.perturbation.clone(), "contrl", &s.counts);
    assert!(try_run(&options).contains("did you mean control"));
    let mut options = PerturbationOptions::new(s.perturbation.clone(), "control", &s.counts);
    options.min_cells = 1000;
    assert!(try_run(&options).contains("too few perturbations"));
    options.min_cells = 2;
    assert!(try_run(&options).contains("min_cells"));
    let fraction = Counts::new(
        GENES,
        s.counts.indptr().to_vec(),
        s.counts.indices().to_vec(),
        s.counts.values().iter().map(|v| v * 0.5).collect(),
    )
    .unwrap();
    let options = PerturbationOptions::new(s.perturbation.clone(), "control", &fraction);
    assert!(try_run(&options).contains("raw counts"));
}

/// The same seed, the same numbers; perturbations in another order, the same scores.
#[test]
fn runs_repeat() {
    let s = screen(0.8, 12);
    let options = PerturbationOptions::new(s.perturbation.clone(), "control", &s.counts);
    let blocks = model(&s, [0.2, 0.5, 0.2], 13);
    let (a, b) = (outcome(&s, blocks.clone(), &options), outcome(&s, blocks, &options));
    assert_eq!(a, b);
}

/// Effects are in the first block in one state and in the last in the other.
#[test]
fn a_shift_of_the_best_depth_between_states_is_found() {
    let s = screen(1.2, 14);
    let state = |i: usize| (i / 2 % 2) as u32;
    let (first, last) = (model(&s, [1.0, 0.02, 0.02], 15), model(&s, [0.02, 0.02, 1.0], 16));
    let mixed: Vec<Representation> = first
        .iter()
        .zip(&last)
        .map(|(a, b)| {
            let mut r = a.clone();
            (0..s.counts.n_cells())
                .filter(|&i| state(i) == 1)
                .for_each(|i| r.matrix.row_mut(i).copy_from_slice(b.matrix.row(i)));
            r
        })
        .collect();
    let mut options = PerturbationOptions::new(s.perturbation.clone(), "control", &s.counts);
    options.min_cells = 16;
    let codes = (0..s.counts.n_cells()).map(state).collect();
    options.strata = Some(Groups::new("state", vec!["rest".into(), "stim".into()], codes).unwrap());
    let claims = |blocks: Vec<Representation>| {
        let o = outcome(&s, blocks, &options);
        let rows: Vec<_> = o.records.iter().filter(|r| r.metric == "rsa_spearman_interaction").collect();
        assert_eq!(rows.len(), 2);
        assert!(o.summaries[0].sentences.iter().any(|s| s.contains("between rest and stim")));
        rows.iter().any(|r| r.p_adj.unwrap() <= 0.05)
    };
    assert!(claims(mixed), "a shift");
    assert!(!claims(first), "the same in both states");
}
