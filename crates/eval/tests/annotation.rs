//! The annotation task from representations to verdicts.

#![allow(clippy::unwrap_used)]

mod common;

use common::{block, cells};
use microtome_core::{Matrix, Record, Role, Silent, Verdict};
use microtome_eval::metrics::ontology::Ontology;
use microtome_eval::tasks::annotation::{AnnotationOptions, LabelTerms, TASK, run};
use microtome_eval::{Cells, Groups, Protocol, Representation, TaskOutcome};
use microtome_numerics::resample::Rng;

const K: usize = 4;

fn protocol(seed: u64) -> Protocol {
    Protocol { n_bootstrap: 200, n_permutations: 199, n_repeats: 2, seed, ..Protocol::default() }
}

/// Four labels, mixed evenly over units of [`cells`] as long as their number does not divide by four.
fn labels(n: usize) -> Groups {
    let names = (0..K).map(|k| format!("type {k}")).collect();
    Groups::new("cell_type", names, (0..n).map(|i| (i / 7 % K) as u32).collect()).unwrap()
}

/// Classes `signal` apart along dimensions of their own.
fn matrix(labels: &Groups, signal: f64, rng: &mut Rng) -> Matrix {
    let mut m = Matrix::zeros(labels.codes.len(), 8);
    for (i, &c) in labels.codes.iter().enumerate() {
        for (j, v) in m.row_mut(i).iter_mut().enumerate() {
            *v = (rng.normal() + if j == c as usize { signal } else { 0.0 }) as f32;
        }
    }
    m
}

/// A model whose block `i` carries the labels with strength `signals[i]`, and a baseline of strength `baseline`.
fn representations(labels: &Groups, signals: &[f64], baseline: f64, seed: u64) -> Vec<Representation> {
    let mut rng = Rng::new(seed);
    let n = signals.len();
    let mut all: Vec<Representation> = signals
        .iter()
        .enumerate()
        .map(|(i, &s)| block("toy", Role::Model, i, n, matrix(labels, s, &mut rng)))
        .collect();
    all.push(Representation::simple("pca_8_hvg_100", Role::Baseline, matrix(labels, baseline, &mut rng)));
    all
}

fn go(cells: &Cells, labels: &Groups, all: &[Representation], seed: u64) -> TaskOutcome {
    run(cells, all, &AnnotationOptions::new(labels.clone()), &protocol(seed), &Silent).unwrap()
}

fn row<'a>(out: &'a TaskOutcome, model: &str, metric: &str) -> &'a Record {
    let found = |r: &&Record| r.model == model && r.metric == metric && r.split == "all";
    out.records.iter().find(found).unwrap_or_else(|| panic!("no record {model} {metric}"))
}

#[test]
fn a_planted_block_is_found_and_controls_stand_where_they_must() {
    let (cells, labels) = (cells(336, Some(6)), labels(336));
    let out = go(&cells, &labels, &representations(&labels, &[0.3, 4.0, 0.5], 0.5, 1), 1);
    let s = &out.summaries[0];
    assert_eq!(
        (s.depth_verdict, s.model_verdict),
        (Verdict::DepthMatters, Verdict::ModelRecommended),
        "{s:#?}"
    );
    assert_eq!(s.chosen_site.as_deref(), Some("blocks.1.resid_post"));
    let grid = &out.tables[0];
    assert_eq!(grid.rows.len(), 4, "the model's chosen block, the baseline, two controls: {grid:?}");
    let shown = row(&out, "pca_8_hvg_100", "logistic_f1_macro").value.unwrap();
    assert_eq!(grid.rows.iter().find(|r| r[0] == "pca_8_hvg_100").unwrap()[3], format!("{shown:.3}"));
    for metric in TASK.metrics.iter().filter(|m| !m.id.contains("lcad")) {
        let (top, floor) = (row(&out, "noisy_classes", metric.id), row(&out, "random_embedding", metric.id));
        assert!(top.value.unwrap() > 0.97, "{}: {top:?}", metric.id);
        let chance = if metric.id.ends_with("auroc") { 0.5 } else { 0.25 };
        assert!((floor.value.unwrap() - chance).abs() < 0.12, "{}: {floor:?}", metric.id);
        for r in [top, floor] {
            assert!(r.ci_low.is_none_or(|l| l >= 0.0) && r.ci_high.is_none_or(|h| h <= 1.0), "{r:?}");
        }
    }
    let table = out.tables.iter().find(|t| t.title.starts_with("Labels by toy")).unwrap();
    assert_eq!(table.rows.len(), K);
    let column = out.columns.iter().find(|c| c.site.as_deref() == Some("blocks.1.resid_post")).unwrap();
    let right = (0..336)
        .filter(|&i| column.values.text(i).as_deref() == Some(&labels.names[labels.codes[i] as usize]));
    assert!(right.count() > 300);
    // The metrics of the field know the planted block from noise, and say why they have no interval.
    let field = |model: &str, block: Option<usize>, metric: &str| {
        let of = |r: &&Record| r.model == model && r.block == block && r.metric == metric;
        out.records.iter().find(of).unwrap_or_else(|| panic!("no record {model} {metric}"))
    };
    let (good, noise) = (field("toy", Some(1), "rogi_xd"), field("random_embedding", None, "rogi_xd"));
    assert!(
        !good.higher_is_better && good.value.unwrap() < noise.value.unwrap() - 0.05,
        "{good:?} {noise:?}"
    );
    let (good, noise) = (field("toy", Some(1), "knn_purity"), field("random_embedding", None, "knn_purity"));
    assert!(good.value.unwrap() > 0.9 && (noise.value.unwrap() - 0.25).abs() < 0.05, "{good:?} {noise:?}");
    assert!(good.ci_low.is_none() && good.reason.as_ref().unwrap().contains("not resampled"));
    let kept = "neighbour_preservation";
    assert_eq!(field("pca_8_hvg_100", None, kept).value, Some(1.0), "all of its own neighbours");
    assert!(field("random_embedding", None, kept).value.unwrap() < 0.1);
    assert!(out.tables.iter().any(|t| t.title == "Metrics of the field"));
}

#[test]
fn a_better_baseline_wins() {
    let (cells, labels) = (cells(336, Some(6)), labels(336));
    let out = go(&cells, &labels, &representations(&labels, &[0.3, 0.5], 4.0, 2), 2);
    assert_eq!(out.summaries[0].model_verdict, Verdict::BaselineWins, "{:#?}", out.summaries[0].sentences);
}

#[test]
fn on_pure_noise_hardly_anything_is_claimed() {
    let (cells, labels) = (cells(210, Some(7)), labels(210));
    let runs = 60;
    let (mut depth, mut model, mut significant) = (0, 0, 0);
    for seed in 0..runs {
        let out = go(&cells, &labels, &representations(&labels, &[0.0; 4], 0.0, 100 + seed), seed);
        let s = &out.summaries[0];
        depth += usize::from(s.depth_verdict == Verdict::DepthMatters);
        model += usize::from(s.model_verdict == Verdict::ModelRecommended);
        let own = |r: &&Record| r.model == "toy" && r.metric == "knn_f1_macro" && r.split == "all";
        significant +=
            usize::from(out.records.iter().filter(own).any(|r| r.p_adj.is_some_and(|p| p <= 0.05)));
    }
    assert!(depth * 20 <= runs as usize, "depth matters in {depth} of {runs}");
    assert!(model * 20 <= runs as usize, "model recommended in {model} of {runs}");
    // 0.001 quantile of 60 trials at 5%: 9.
    assert!(significant <= 9, "significant in {significant} of {runs}");
}

#[test]
fn labels_of_one_unit_and_rare_ones_are_left_out_with_a_reason() {
    let n = 336;
    let cells = cells(n, Some(6));
    let mut labels = labels(n);
    labels.names.extend(["only one donor".into(), "rare".into()]);
    (0..10).for_each(|i| labels.codes[6 * i] = 4);
    (0..4).for_each(|i| labels.codes[6 * i + 1 + i] = 5);
    labels.codes[5] = Groups::MISSING;
    let out = go(&cells, &labels, &representations(&labels, &[3.0, 3.0], 1.0, 3), 3);
    let table = out.tables.iter().find(|t| t.title == "Labels left out").unwrap();
    assert_eq!(table.rows[0], ["only one donor", "10", "1", "in one donor only"]);
    assert_eq!(table.rows[1], ["rare", "4", "4", "fewer than 10 cells"]);
    assert_eq!(out.summaries[0].n_cells, n - 15);
    assert!(out.summaries[0].warnings.iter().any(|w| w.contains("2 of 6 labels (14 cells)")));
    assert!(out.summaries[0].warnings.iter().any(|w| w.contains("1 of 336 cells have no cell_type")));
    assert_eq!(out.columns[0].values.text(0), None, "a cell that is not scored has no predicted label");
}

#[test]
fn few_units_are_shown_without_an_interval_and_none_is_called_optimistic() {
    let labels = labels(210);
    let out = go(&cells(210, Some(3)), &labels, &representations(&labels, &[3.0, 0.5], 1.0, 4), 4);
    let s = &out.summaries[0];
    assert_eq!((s.depth_verdict, s.model_verdict), (Verdict::NotEnoughUnits, Verdict::NotEnoughUnits));
    assert!(out.records.iter().all(|r| r.ci_low.is_none()));
    assert!(out.records.iter().any(|r| r.split == "unit:d2" && r.value.is_some()));
    assert!(out.records.iter().all(|r| r.value.is_some() || r.reason.is_some()));

    let out = go(&cells(210, None), &labels, &representations(&labels, &[3.0, 0.5], 1.0, 5), 5);
    let s = &out.summaries[0];
    assert_eq!(s.unit, "cell");
    assert!(s.warnings.iter().any(|w| w.contains("optimistic")), "{:?}", s.warnings);
    assert!(s.nested_score.unwrap().low.is_some());
}

#[test]
fn mistakes_are_measured_in_the_ontology_and_bad_input_is_refused() {
    let (cells, labels) = (cells(336, Some(6)), labels(336));
    let all = representations(&labels, &[1.0, 1.0], 1.0, 6);
    // types 0 and 1 are siblings under one parent, 2 and 3 hang on the root.
    let ids = ["root", "parent", "t0", "t1", "t2", "t3"].map(String::from).to_vec();
    let ontology = Ontology::new(ids, vec![vec![], vec![0], vec![1], vec![1], vec![0], vec![0]]).unwrap();
    let mut options = AnnotationOptions::new(labels.clone());
    options.terms = Some(LabelTerms { ontology, term_of_label: vec![2, 3, 4, 5] });
    let out = run(&cells, &all, &options, &protocol(6), &Silent).unwrap();
    let distance = row(&out, "random_embedding", "knn_lcad_symmetric");
    let v = distance.value.unwrap();
    assert!((2.0..3.0).contains(&v) && !distance.higher_is_better, "{distance:?}");
    assert!(distance.ci_low.unwrap() < v && v < distance.ci_high.unwrap());
    let perfect = row(&out, "noisy_classes", "knn_lcad_all_cells").value.unwrap();
    assert!(perfect < 0.05);
    let walks = row(&out, "noisy_classes", "scgraph_onto_rwr_unit");
    assert!(walks.value.is_none() && walks.reason.as_ref().unwrap().contains("4 cell types"), "{walks:?}");

    assert!(options.clone().with_headline("knn_lcad").is_err());
    assert!(options.clone().with_headline("logistic_f1_macro").is_ok());
    let short = AnnotationOptions::new(Groups { codes: vec![0; 5], ..labels.clone() });
    assert!(run(&cells, &all, &short, &protocol(6), &Silent).is_err());
    let one = AnnotationOptions::new(Groups { codes: vec![0; 336], ..labels });
    let said = run(&cells, &all, &one, &protocol(6), &Silent).unwrap_err().to_string();
    assert!(said.contains("labels cannot be scored"), "{said}");
}

/// What a model only repeats of the principal components is gone; what it holds of its own stays.
#[test]
fn beyond_expression_only_what_a_model_adds_is_left() {
    let l = labels(420);
    let mut all = representations(&l, &[0.0, 3.0, 3.0], 3.0, 21);
    // The first block is a rotation of the components.
    let pca = all[3].matrix.clone();
    for i in 0..420 {
        let row = pca.row(i).to_vec();
        all[0].matrix.row_mut(i).iter_mut().enumerate().for_each(|(j, v)| {
            *v = row[j] - 2.0 * row[(j + 1) % 8];
        });
    }
    let out = go(&cells(420, Some(6)), &l, &all, 21);
    let of = |site: &str, metric: &str| {
        let own = |r: &&Record| {
            r.model == "toy" && r.site.as_deref() == Some(site) && r.metric == metric && r.split == "all"
        };
        out.records.iter().find(own).unwrap()
    };
    let (repeats, adds) = ("blocks.0.resid_post", "blocks.1.resid_post");
    assert!(of(repeats, "logistic_f1_macro").value.unwrap() > 0.8);
    let left = of(repeats, "logistic_beyond_f1_macro");
    assert!(left.value.is_none() && left.reason.as_ref().unwrap().contains("nothing is left"), "{left:?}");
    // Chance is 0.25; half of what this block holds is in the components too.
    let (all_of_it, left) = (of(adds, "logistic_f1_macro").value, of(adds, "logistic_beyond_f1_macro"));
    assert!(left.ci_low.unwrap() > 0.3 && left.value < all_of_it, "{left:?} {all_of_it:?}");
    let judged = row(&out, "pca_8_hvg_100", "logistic_beyond_f1_macro");
    assert!(
        judged.value.is_none() && judged.reason.as_deref() == Some("it is what the others are judged beyond")
    );
}
