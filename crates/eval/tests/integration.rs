//! The integration task from representations to verdicts.

#![allow(clippy::unwrap_used)]

mod common;

use common::{block, cells};
use microtome_core::{Matrix, Record, Role, Silent, Verdict};
use microtome_eval::tasks::integration::{IntegrationOptions, TASK, run};
use microtome_eval::{Cells, Groups, Protocol, Representation, TaskOutcome};
use microtome_numerics::resample::Rng;

fn protocol(seed: u64) -> Protocol {
    Protocol { n_bootstrap: 200, n_permutations: 199, n_repeats: 2, seed, ..Protocol::default() }
}

fn groups(name: &str, n_groups: usize, codes: Vec<u32>) -> Groups {
    Groups::new(name, (0..n_groups).map(|g| format!("{name} {g}")).collect(), codes).unwrap()
}

/// Three types, evenly over four batches and over the units of [`cells`].
fn options(n: usize) -> IntegrationOptions {
    let labels = groups("type", 3, (0..n).map(|i| (i / 35 % 3) as u32).collect());
    let batches = groups("batch", 4, (0..n).map(|i| (i / 7 % 4) as u32).collect());
    IntegrationOptions { k: 10, ..IntegrationOptions::new(labels, batches) }
}

/// Types and batches so far apart, along dimensions of their own.
fn matrix(o: &IntegrationOptions, types: f64, batches: f64, rng: &mut Rng) -> Matrix {
    let n = o.labels.codes.len();
    let mut m = Matrix::zeros(n, 8);
    for i in 0..n {
        m.row_mut(i).iter_mut().for_each(|v| *v = rng.normal() as f32);
        m.row_mut(i)[o.labels.codes[i] as usize] += types as f32;
        m.row_mut(i)[3 + o.batches.codes[i] as usize] += batches as f32;
    }
    m
}

/// A model whose blocks keep `(types, batches)` apart by so much, and a baseline.
fn representations(
    o: &IntegrationOptions,
    blocks: &[(f64, f64)],
    baseline: (f64, f64),
    seed: u64,
) -> Vec<Representation> {
    let mut rng = Rng::new(seed);
    let n = blocks.len();
    let mut all: Vec<Representation> = (0..n)
        .map(|i| block("toy", Role::Model, i, n, matrix(o, blocks[i].0, blocks[i].1, &mut rng)))
        .collect();
    let matrix = matrix(o, baseline.0, baseline.1, &mut rng);
    all.push(Representation::simple("pca_8_hvg_100", Role::Baseline, matrix));
    all
}

fn go(cells: &Cells, o: &IntegrationOptions, all: &[Representation], seed: u64) -> TaskOutcome {
    run(cells, all, o, &protocol(seed), &Silent).unwrap()
}

fn row<'a>(out: &'a TaskOutcome, model: &str, block: Option<usize>, metric: &str) -> &'a Record {
    let found = |r: &&Record| r.model == model && r.block == block && r.metric == metric && r.split == "all";
    out.records.iter().find(found).unwrap_or_else(|| panic!("no record {model} {metric}"))
}

#[test]
fn the_block_that_mixes_batches_and_keeps_types_wins_over_both_failures() {
    let (n, o) = (420, options(420));
    // Types mixed up; batches apart; both right; both wrong.
    let all = representations(&o, &[(0.0, 0.0), (8.0, 8.0), (8.0, 0.0), (0.0, 8.0)], (8.0, 8.0), 1);
    let out = go(&cells(n, Some(7)), &o, &all, 1);
    let s = &out.summaries[0];
    assert_eq!(s.chosen_site.as_deref(), Some("blocks.2.resid_post"), "{s:#?}");
    assert_eq!((s.depth_verdict, s.model_verdict), (Verdict::DepthMatters, Verdict::ModelRecommended));
    let at = |b, metric| row(&out, "toy", Some(b), metric).value.unwrap();
    assert!((at(0, "mixed_neighbours") - 1.0 / 3.0).abs() < 0.06, "noise scores the share of a type");
    assert!(at(1, "mixed_neighbours") < 0.02 && at(3, "mixed_neighbours") < 0.02);
    assert!(at(2, "mixed_neighbours") > 0.85);
    assert!(at(1, "neighbour_labels") > 0.99 && at(0, "neighbour_batches") > 0.75);
    // The control that holds the types and nothing else is near the ceiling, noise is at chance.
    let top = row(&out, TASK.positive_control.id, None, "mixed_neighbours");
    let floor = row(&out, TASK.negative_control.id, None, "mixed_neighbours");
    assert!(top.value.unwrap() > 0.85 && top.p.unwrap() < 0.02, "{top:?}");
    assert!((floor.value.unwrap() - 1.0 / 3.0).abs() < 0.06 && floor.p.unwrap() > 0.01, "{floor:?}");
    // The metrics of the field agree on the direction and say why they have no interval.
    for metric in ["bras", "ilisi_knn", "cilisi", "kbet_per_label", "pcr_comparison", "scib_total"] {
        let (good, bad) = (row(&out, "toy", Some(2), metric), row(&out, "toy", Some(1), metric));
        assert!(good.value.unwrap() > bad.value.unwrap() + 0.1, "{metric}");
        assert!(good.ci_low.is_none() && good.ci_method.is_none());
        assert!(good.reason.as_ref().unwrap().contains("not resampled"), "{good:?}");
    }
    let table = out.tables.iter().find(|t| t.title == "Metrics of the field").unwrap();
    assert!(table.header.last().unwrap().contains("comparability only"));
    assert!(
        table.rows.iter().any(|r| r[0] == "toy, blocks.2.resid_post")
            && table.rows.iter().all(|r| r.len() == table.header.len())
    );
    // Batch-balanced neighbours find the types in a space whose own neighbours find types and batches.
    let (graph, space) = ("bbknn_pca_8_hvg_100", "pca_8_hvg_100");
    let nmi = "nmi_ari_cluster_labels_leiden_nmi";
    let of = |model: &str| row(&out, model, None, nmi).value.unwrap();
    assert!(of(graph) > 0.95 && of(space) < 0.8, "{} {}", of(graph), of(space));
    assert!(row(&out, graph, None, "graph_connectivity").value.unwrap() > 0.99);
    assert!(table.rows.iter().any(|r| r[0].starts_with(graph) && r[1] == "n/a"));
    let few = row(&out, "toy", Some(2), "scgraph_corr_weighted");
    assert!(few.value.is_none() && few.reason.is_some(), "no log-normalised expression is given: {few:?}");
}

/// Distances between types as within batches: a space that keeps them agrees with the consensus, one of noise does not.
#[test]
fn distances_between_types_are_compared_with_those_within_batches() {
    let n = 480;
    let labels = groups("type", 6, (0..n).map(|i| (i / 8 % 6) as u32).collect());
    let batches = groups("batch", 2, (0..n).map(|i| (i / 4 % 2) as u32).collect());
    let o = IntegrationOptions { k: 10, ..IntegrationOptions::new(labels.clone(), batches) };
    let mut rng = Rng::new(8);
    // Types along a line, so that their distances differ; expression is not negative.
    let mut space = |signal: f64, low: f32| {
        let mut m = Matrix::zeros(n, 12);
        for i in 0..n {
            m.row_mut(i).iter_mut().for_each(|v| *v = (low + rng.normal() as f32).max(0.0));
            for c in 0..6 {
                m.row_mut(i)[c] += (signal * f64::from(labels.codes[i])) as f32;
            }
        }
        m
    };
    let all = vec![
        block("toy", Role::Model, 0, 2, space(2.0, 4.0)),
        block("toy", Role::Model, 1, 2, space(0.0, 4.0)),
        Representation::simple("log_normalised", Role::Baseline, space(2.0, 4.0)),
    ];
    let out = go(&cells(n, Some(8)), &o, &all, 2);
    for metric in ["scgraph_corr_weighted", "scgraph_corr_pca", "scgraph_rank_pca"] {
        let of = |b| row(&out, "toy", Some(b), metric).value.unwrap();
        assert!(of(0) > 0.85 && of(1) < 0.7, "{metric} {} {}", of(0), of(1));
    }
    // Three batches of 80 cells hold no consensus, and say so.
    let small: Vec<usize> = (0..240).collect();
    let cut = |g: &Groups, codes: Vec<u32>| Groups { codes, ..g.clone() };
    let few = IntegrationOptions {
        labels: cut(&o.labels, o.labels.codes[..240].to_vec()),
        batches: groups("batch", 3, (0..240).map(|i| (i / 2 % 3) as u32).collect()),
        ..o
    };
    let of_few: Vec<Representation> =
        all.iter().map(|r| Representation { matrix: r.matrix.select_rows(&small), ..r.clone() }).collect();
    let out = go(&cells(240, Some(8)), &few, &of_few, 2);
    let none = row(&out, "toy", Some(0), "scgraph_corr_weighted");
    assert!(none.reason.as_ref().unwrap().starts_with("no consensus: no batch has 100 cells"), "{none:?}");
}

#[test]
fn on_pure_noise_hardly_anything_is_claimed() {
    let o = IntegrationOptions { field_metrics: false, ..options(210) };
    let cells = cells(210, Some(7));
    let runs = 60;
    let (mut depth, mut model, mut significant) = (0, 0, 0);
    for seed in 0..runs {
        let out = go(&cells, &o, &representations(&o, &[(0.0, 0.0); 4], (0.0, 0.0), 50 + seed), seed);
        let s = &out.summaries[0];
        depth += usize::from(s.depth_verdict == Verdict::DepthMatters);
        model += usize::from(s.model_verdict == Verdict::ModelRecommended);
        let own = |r: &&Record| r.model == "toy" && r.metric == "mixed_neighbours" && r.split == "all";
        significant +=
            usize::from(out.records.iter().filter(own).any(|r| r.p_adj.is_some_and(|p| p <= 0.05)));
    }
    assert!(depth * 20 <= runs as usize, "depth matters in {depth} of {runs}");
    assert!(model * 20 <= runs as usize, "model recommended in {model} of {runs}");
    assert!(significant <= 9, "significant in {significant} of {runs}");
}

#[test]
fn what_cannot_be_scored_is_refused_or_said() {
    let mut o = IntegrationOptions { field_metrics: false, ..options(210) };
    let all = representations(&o, &[(4.0, 0.0), (4.0, 1.0)], (2.0, 1.0), 3);
    let said = |o: &IntegrationOptions| {
        run(&cells(210, None), &all, o, &protocol(3), &Silent).unwrap_err().to_string()
    };
    let nested = IntegrationOptions { batches: groups("batch", 3, o.labels.codes.clone()), ..o.clone() };
    assert!(said(&nested).contains("cannot be told apart"), "{}", said(&nested));
    let one = IntegrationOptions { batches: groups("batch", 1, vec![0; 210]), ..o.clone() };
    assert!(said(&one).contains("1 batches"));
    o.batches.codes[3] = Groups::MISSING;
    (0..210).filter(|i| o.labels.codes[*i] == 2).for_each(|i| o.batches.codes[i] = 1);
    let out = go(&cells(210, None), &o, &all, 3);
    assert_eq!(out.summaries[0].n_cells, 209);
    assert!(out.summaries[0].warnings.iter().any(|w| w.contains("no unit was named")));
    let table = out.tables.iter().find(|t| t.title == "Labels of one batch").unwrap();
    assert_eq!(table.rows, [["type 2", "70", "batch 1"]]);
    assert!(o.clone().with_headline("neighbour_labels").is_ok() && o.with_headline("bras").is_err());
}

/// What a model only repeats of the principal components is gone; what it holds of its own stays.
#[test]
fn beyond_expression_only_what_a_model_adds_is_left() {
    let o = IntegrationOptions { field_metrics: false, ..options(420) };
    let beyond = |baseline: (f64, f64)| {
        let mut all = representations(&o, &[(0.0, 0.0), (6.0, 0.0)], baseline, 31);
        // The first block is a rotation of the components.
        let pca = all[2].matrix.clone();
        for i in 0..420 {
            let row = pca.row(i).to_vec();
            all[0].matrix.row_mut(i).iter_mut().enumerate().for_each(|(j, v)| {
                *v = row[j] - 2.0 * row[(j + 1) % 8];
            });
        }
        let out = go(&cells(420, Some(6)), &o, &all, 31);
        let own = |block: usize| {
            let is = |r: &&Record| {
                r.model == "toy" && r.block == Some(block) && r.metric == "mixed_neighbours_beyond"
            };
            out.records.iter().find(is).unwrap().clone()
        };
        (own(0), own(1))
    };
    let (repeats, adds) = beyond((0.0, 0.0));
    assert!(repeats.reason.unwrap().contains("nothing is left"));
    assert!(adds.value.unwrap() > 0.8, "the components know nothing of the types: {adds:?}");
    let (_, adds) = beyond((6.0, 0.0));
    // Three types: a third of the neighbours is of the own type by chance.
    assert!(adds.value.unwrap() < 0.55, "the components know the types: {adds:?}");
}
