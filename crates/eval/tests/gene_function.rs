//! The gene-function task from representations of genes to verdicts.

#![allow(clippy::unwrap_used)]

mod common;

use common::block;
use microtome_core::{Matrix, Record, Role, Silent, Verdict};
use microtome_eval::tasks::gene_function::{GeneFunctionOptions, GeneSet, TASK, run};
use microtome_eval::{Cells, Groups, Protocol, Representation, TaskOutcome};
use microtome_numerics::resample::Rng;

const N: usize = 240;

fn protocol(seed: u64) -> Protocol {
    Protocol { n_bootstrap: 200, n_permutations: 199, n_repeats: 2, seed, ..Protocol::default() }
}

/// Genes in families of 10.
fn genes(families: bool) -> Cells {
    let cells = Cells::genes("simulated", N);
    if !families {
        return cells;
    }
    let names = (0..N / 10).map(|f| format!("family {f}")).collect();
    cells.with_unit(Groups::new("family", names, (0..N).map(|g| (g / 10) as u32).collect()).unwrap()).unwrap()
}

/// Three sets that overlap, spread over the families, and one that is too small.
fn options(seed: u64) -> GeneFunctionOptions {
    let mut rng = Rng::new(900 + seed);
    let mut set = |name: &str, size: usize| GeneSet { name: name.into(), members: rng.choose(N, size) };
    let sets = vec![set("a", 60), set("b", 40), set("c", 30), set("small", 5)];
    GeneFunctionOptions::new("test.gmt", sets)
}

/// Membership `signal` strong in the first dimensions.
fn matrix(o: &GeneFunctionOptions, signal: f64, rng: &mut Rng) -> Matrix {
    let mut m = Matrix::zeros(N, 12);
    for g in 0..N {
        m.row_mut(g).iter_mut().for_each(|v| *v = rng.normal() as f32);
        let own = (0..o.sets.len()).filter(|&s| o.sets[s].members.contains(&g));
        own.for_each(|s| m.row_mut(g)[s] += signal as f32);
    }
    m
}

fn representations(o: &GeneFunctionOptions, blocks: &[f64], baseline: f64, seed: u64) -> Vec<Representation> {
    let mut rng = Rng::new(seed);
    let n = blocks.len();
    let mut all: Vec<Representation> =
        (0..n).map(|i| block("toy", Role::Model, i, n, matrix(o, blocks[i], &mut rng))).collect();
    all.push(Representation::simple("gene_coexpression_12", Role::Baseline, matrix(o, baseline, &mut rng)));
    all
}

fn go(genes: &Cells, o: &GeneFunctionOptions, all: &[Representation], seed: u64) -> TaskOutcome {
    run(genes, all, o, &protocol(seed), &Silent).unwrap()
}

fn row<'a>(out: &'a TaskOutcome, model: &str, metric: &str) -> &'a Record {
    let found = |r: &&Record| r.model == model && r.metric == metric && r.split == "all";
    out.records.iter().find(found).unwrap_or_else(|| panic!("no record {model} {metric}"))
}

#[test]
fn a_planted_block_is_found_and_controls_stand_where_they_must() {
    let o = options(1);
    let out = go(&genes(true), &o, &representations(&o, &[0.0, 3.0, 0.2], 0.3, 1), 1);
    let s = &out.summaries[0];
    assert_eq!(
        (s.depth_verdict, s.model_verdict),
        (Verdict::DepthMatters, Verdict::ModelRecommended),
        "{s:#?}"
    );
    assert_eq!(s.chosen_site.as_deref(), Some("blocks.1.resid_post"));
    assert_eq!((s.n_units, s.unit.as_str()), (24, "family"));
    let top = row(&out, TASK.positive_control.id, "gene_sets_auroc");
    let floor = row(&out, TASK.negative_control.id, "gene_sets_auroc");
    assert!(top.value.unwrap() > 0.99 && top.p.unwrap() < 0.02, "{top:?}");
    assert!((floor.value.unwrap() - 0.5).abs() < 0.1 && floor.p.unwrap() > 0.01, "{floor:?}");
    let precision = row(&out, TASK.negative_control.id, "gene_sets_auprc").value.unwrap();
    let prevalence = (60.0 + 40.0 + 30.0) / 3.0 / N as f64;
    assert!((precision - prevalence).abs() < 0.08, "{precision} {prevalence}");
    let table = out.tables.iter().find(|t| t.title == "Gene sets").unwrap();
    assert_eq!(table.rows.iter().map(|r| r[0].as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(table.rows[0][..3], ["a", "60", "0.250"]);
    let left = out.tables.iter().find(|t| t.title == "Gene sets left out").unwrap();
    assert_eq!(left.rows, [["small", "5", "fewer than 10"]]);
    let index = |model: &str| row(&out, model, "attribute_learning_index");
    let (top, floor) = (index("noisy_sets"), index("random_embedding"));
    assert!(top.value.unwrap() > 0.8 && floor.value.unwrap() < 0.35, "{top:?} {floor:?}");
    assert!(top.reason.as_ref().unwrap().contains("with permuted sets, p = 0.0"), "{top:?}");
}

#[test]
fn on_pure_noise_hardly_anything_is_claimed() {
    let runs = 60;
    let (mut depth, mut model, mut significant) = (0, 0, 0);
    for seed in 0..runs {
        let o = options(10 + seed);
        let out = go(&genes(true), &o, &representations(&o, &[0.0; 4], 0.0, 70 + seed), seed);
        let s = &out.summaries[0];
        depth += usize::from(s.depth_verdict == Verdict::DepthMatters);
        model += usize::from(s.model_verdict == Verdict::ModelRecommended);
        let own = |r: &&Record| r.model == "toy" && r.metric == "gene_sets_auroc" && r.split == "all";
        significant +=
            usize::from(out.records.iter().filter(own).any(|r| r.p_adj.is_some_and(|p| p <= 0.05)));
    }
    assert!(depth * 20 <= runs as usize, "depth matters in {depth} of {runs}");
    assert!(model * 20 <= runs as usize, "model recommended in {model} of {runs}");
    assert!(significant <= 9, "significant in {significant} of {runs}");
}

#[test]
fn unknown_genes_and_bad_input_are_said() {
    let o = options(3);
    let mut all = representations(&o, &[2.0, 2.0], 1.0, 3);
    (0..7).for_each(|g| all[0].matrix.row_mut(g * 3).fill(f32::NAN));
    let out = go(&genes(false), &o, &all, 3);
    let s = &out.summaries[0];
    assert_eq!((s.n_cells, s.unit.as_str()), (N - 7, "gene"));
    assert!(out.notes.iter().any(|n| n.contains("7 of 240 genes are left out")), "{:?}", out.notes);
    assert!(s.warnings.iter().any(|w| w.contains("optimistic")));
    assert!(out.records.iter().filter_map(|r| r.reason.as_ref()).any(|r| r.contains("genes stand in")));
    let few = GeneFunctionOptions { sets: o.sets[3..].to_vec(), ..o.clone() };
    let said = run(&genes(true), &all, &few, &protocol(3), &Silent).unwrap_err().to_string();
    assert!(said.contains("gene sets cannot be scored"), "{said}");
    let wrong =
        GeneFunctionOptions { sets: vec![GeneSet { name: "x".into(), members: vec![N] }], ..o.clone() };
    assert!(run(&genes(true), &all, &wrong, &protocol(3), &Silent).is_err());
    assert!(o.clone().with_headline("gene_sets_auprc").is_ok() && o.with_headline("knn_accuracy").is_err());
}
