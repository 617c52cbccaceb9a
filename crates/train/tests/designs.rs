//! Hierarchies, screens, drugs, clones and mice: the truth can be recovered from the cells.

#![allow(clippy::unwrap_used, reason = "the lint's exception for tests does not reach their helpers")]

use std::collections::HashMap;

use microtome_core::{Column, Counts};
use microtome_train::{
    Clones, Drugs, Mouse, Screen, SimulateOptions, Simulated, Simulator, TypeTree, simulate,
};
use serde_json::Value;

/// Nothing but what is tested: one batch and donor, deep cells.
fn plain(n_cells: usize) -> SimulateOptions {
    SimulateOptions {
        n_cells,
        n_genes: 400,
        n_donors: 1,
        n_batches: 1,
        capture_rate: 0.5,
        molecules_sd: 0.0,
        capture_sd: 0.0,
        ..Default::default()
    }
}

fn texts(data: &Simulated, name: &str) -> Vec<Option<String>> {
    let column = data.obs.column("obs", name).unwrap();
    (0..column.len()).map(|i| column.text(i)).collect()
}

fn numbers(data: &Simulated, name: &str) -> Vec<f64> {
    data.obs.column("obs", name).unwrap().numbers().unwrap()
}

/// Log of the share of counts of every gene in the rows, with half a count added.
fn pseudobulk(counts: &Counts, rows: &[usize]) -> Vec<f64> {
    let mut sum = vec![0.5; counts.n_genes()];
    for &row in rows {
        let (genes, values) = counts.row(row);
        genes.iter().zip(values).for_each(|(g, v)| sum[*g as usize] += f64::from(*v));
    }
    let total: f64 = sum.iter().sum();
    sum.iter().map(|s| (s / total).ln()).collect()
}

fn rows(values: &[Option<String>], wanted: &str) -> Vec<usize> {
    (0..values.len()).filter(|&i| values[i].as_deref() == Some(wanted)).collect()
}

fn correlation(x: &[f64], y: &[f64]) -> f64 {
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let (mx, my) = (mean(x), mean(y));
    let sum = |f: &dyn Fn(f64, f64) -> f64| x.iter().zip(y).map(|(a, b)| f(a - mx, b - my)).sum::<f64>();
    sum(&|a, b| a * b) / (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt()
}

/// Slope through the origin of y over x.
fn slope(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(a, b)| a * b).sum::<f64>() / x.iter().map(|a| a * a).sum::<f64>()
}

fn effects(data: &Simulated, list: &Value) -> Vec<f64> {
    let of: HashMap<&str, f64> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|e| (e["gene"].as_str().unwrap(), e["log_effect"].as_f64().unwrap()))
        .collect();
    data.var.index.iter().map(|id| of.get(id.as_str()).copied().unwrap_or(0.0)).collect()
}

#[test]
fn nothing_is_added_where_nothing_is_asked_for() {
    let truth = Simulator::new(&SimulateOptions::default()).unwrap().truth();
    let keys: Vec<&String> = truth.as_object().unwrap().keys().collect();
    let before =
        ["root_cell", "tree", "program_activities", "regulators", "edges", "donor_branch_weights", "options"];
    assert_eq!(keys, before);
    assert!(truth["options"].as_object().unwrap().keys().all(|k| k != "screen" && k != "mouse"));
}

#[test]
fn a_cell_of_a_screen_is_the_same_cell_but_for_what_was_done() {
    let screen = Screen { escape_share: 0.3, ..Screen::default() };
    let with = simulate(&SimulateOptions { screen: Some(screen), ..plain(300) }).unwrap();
    let without = simulate(&plain(300)).unwrap();
    let perturbation = texts(&with, "perturbation");
    let works = numbers(&with, "guides_work");
    let (mut same, mut moved) = (0, 0);
    for i in 0..300 {
        if perturbation[i].as_deref() == Some("control") {
            assert_eq!(with.counts.row(i), without.counts.row(i), "a control is not touched");
            same += 1;
        } else if works[i] == 1.0 {
            assert_ne!(with.counts.row(i), without.counts.row(i));
            moved += 1;
        }
    }
    assert!(same > 30 && moved > 100);
}

#[test]
fn knock_downs_move_their_targets_as_the_truth_says_and_pairs_interact() {
    let screen = Screen { n_targets: 4, n_pairs: 3, escape_share: 0.0, ..Screen::default() };
    let options = SimulateOptions { screen: Some(screen), ..plain(8000) };
    let data = simulate(&options).unwrap();
    let perturbation = texts(&data, "perturbation");
    let control = pseudobulk(&data.counts, &rows(&perturbation, "control"));
    // Genes that are seen often enough for their change to be measured.
    let mean = data.var.column("var", "mean_true").unwrap().numbers().unwrap();
    let all = data.truth["perturbations"].as_array().unwrap();
    assert_eq!(all.len(), 1 + 4 + 3);
    let mut factors = HashMap::new();
    let mut found: HashMap<String, Vec<f64>> = HashMap::new();
    for p in &all[1..] {
        let name = p["perturbation"].as_str().unwrap();
        let mine = pseudobulk(&data.counts, &rows(&perturbation, name));
        let change: Vec<f64> = mine.iter().zip(&control).map(|(a, b)| a - b).collect();
        let expected = effects(&data, &p["effects"]);
        let touched: Vec<usize> =
            (0..expected.len()).filter(|&g| expected[g] != 0.0 && mean[g] > 1.0).collect();
        let of = |v: &[f64]| touched.iter().map(|&g| v[g]).collect::<Vec<f64>>();
        let seen: Vec<usize> = (0..expected.len()).filter(|&g| mean[g] > 1.0).collect();
        let of_seen = |v: &[f64]| seen.iter().map(|&g| v[g]).collect::<Vec<f64>>();
        let r = correlation(&of_seen(&expected), &of_seen(&change));
        assert!(r > 0.9, "{name}: correlation of found and true effects {r}");
        let b = slope(&of(&expected), &of(&change));
        assert!((0.75..1.25).contains(&b), "{name}: slope {b}");
        for target in p["targets"].as_array().unwrap() {
            let own = data.var.index.iter().position(|id| *id == *target["gene"].as_str().unwrap()).unwrap();
            assert!(change[own] < -0.8, "{name}: its own expression changes by {}", change[own]);
        }
        if let Some(kind) = p["interaction"]["kind"].as_str() {
            let (a, b) = name.split_once('+').unwrap();
            let sum: Vec<f64> = found[a].iter().zip(&found[b]).map(|(a, b)| a + b).collect();
            // Regulators themselves do not interact.
            let regulator = data.var.column("var", "is_regulator").unwrap().numbers().unwrap();
            let only: Vec<usize> = touched.iter().copied().filter(|&g| regulator[g] == 0.0).collect();
            let of = |v: &[f64]| only.iter().map(|&g| v[g]).collect::<Vec<f64>>();
            factors.insert(kind.to_string(), slope(&of(&sum), &of(&change)));
        }
        found.insert(name.into(), change);
    }
    assert!((factors["synergistic"] - 1.6).abs() < 0.25, "{factors:?}");
    assert!((factors["additive"] - 1.0).abs() < 0.15, "{factors:?}");
    assert!((factors["buffering"] - 0.4).abs() < 0.15, "{factors:?}");
    // Guides carry the names of what they are against, and less efficient ones do less.
    let guides = texts(&data, "guide");
    for (p, g) in perturbation.iter().zip(&guides) {
        let (p, g) = (p.as_deref().unwrap(), g.as_deref().unwrap());
        let of = g.split('+').map(|g| g.rsplit_once("_g").unwrap().0).collect::<Vec<_>>().join("+");
        assert!(if p == "control" { of == "non-targeting" } else { of == p }, "{p} {g}");
    }
}

#[test]
fn half_of_the_effect_of_a_drug_is_reached_at_its_ec50() {
    let drugs = Drugs {
        n_drugs: 2,
        doses: (0..9).map(|k| 10_f64.powf(f64::from(k) / 2.0 - 2.0)).collect(),
        ..Drugs::default()
    };
    let data = simulate(&SimulateOptions { drugs: Some(drugs), ..plain(8000) }).unwrap();
    let (drug, dose) = (texts(&data, "drug"), numbers(&data, "dose_micromolar"));
    let response = numbers(&data, "response_true");
    let control_rows = rows(&drug, "control");
    assert!(control_rows.iter().all(|&i| dose[i] == 0.0 && response[i] == 0.0));
    let control = pseudobulk(&data.counts, &control_rows);
    for d in data.truth["drugs"].as_array().unwrap() {
        let of_drug = rows(&drug, d["drug"].as_str().unwrap());
        let most = effects(&data, &d["greatest_effects"]);
        let mut doses: Vec<f64> = of_drug.iter().map(|&i| dose[i]).collect();
        doses.sort_by(f64::total_cmp);
        doses.dedup();
        let ec50 = d["ec50_micromolar"].as_f64().unwrap();
        let touched: Vec<usize> = (0..most.len()).filter(|&g| most[g] != 0.0).collect();
        let reached: Vec<f64> = doses
            .iter()
            .map(|&at| {
                let here: Vec<usize> = of_drug.iter().copied().filter(|&i| dose[i] == at).collect();
                let bulk = pseudobulk(&data.counts, &here);
                let change: Vec<f64> = touched.iter().map(|&g| bulk[g] - control[g]).collect();
                slope(&touched.iter().map(|&g| most[g]).collect::<Vec<_>>(), &change)
            })
            .collect();
        let top = *reached.last().unwrap();
        assert!(reached[0].abs() < 0.2 && top > 0.7, "{reached:?}");
        // Where half is passed, between two doses on the scale of logarithms.
        let k = reached.iter().position(|r| *r > 0.5).unwrap();
        let part = (0.5 - reached[k - 1]) / (reached[k] - reached[k - 1]);
        let half = (doses[k - 1].ln() + part * (doses[k] / doses[k - 1]).ln()).exp();
        assert!((half / ec50).ln().abs() < 0.7, "half at {half}, EC50 {ec50}");
    }
}

#[test]
fn close_relatives_of_a_hierarchy_are_alike_and_the_ontology_says_so() {
    let types = TypeTree { children: vec![3, 3], decay: 0.5 };
    let options = SimulateOptions { type_tree: Some(types), ..plain(3000) };
    let data = simulate(&options).unwrap();
    assert!(data.obs.column("obs", "pseudotime").is_err(), "there is no time in a hierarchy");
    let (types, classes) = (texts(&data, "cell_type"), texts(&data, "cell_class"));
    let ids = texts(&data, "cell_type_ontology_term_id");
    let terms = data.truth["ontology"].as_array().unwrap();
    assert_eq!(terms.len(), 1 + 3 + 9);
    let named = |name: &str| terms.iter().find(|t| t["name"] == name).unwrap();
    for i in 0..types.len() {
        let term = named(types[i].as_deref().unwrap());
        assert_eq!(term["id"].as_str(), ids[i].as_deref());
        assert_eq!(term["parent"], named(classes[i].as_deref().unwrap())["id"]);
    }
    let mut names: Vec<String> = types.iter().flatten().cloned().collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 9);
    let bulk: Vec<Vec<f64>> = names.iter().map(|n| pseudobulk(&data.counts, &rows(&types, n))).collect();
    let distance =
        |a: usize, b: usize| bulk[a].iter().zip(&bulk[b]).map(|(x, y)| (x - y) * (x - y)).sum::<f64>().sqrt();
    let (mut near, mut far) = (vec![], vec![]);
    for a in 0..9 {
        for b in 0..a {
            let same = names[a].rsplit_once('_').unwrap().0 == names[b].rsplit_once('_').unwrap().0;
            if same { near.push(distance(a, b)) } else { far.push(distance(a, b)) }
        }
    }
    let most = near.iter().copied().fold(0.0, f64::max);
    let least = far.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(most < least, "cousins {least} are closer than siblings {most}");
    let obo = Simulator::new(&options).unwrap().obo().unwrap();
    assert_eq!(obo.matches("[Term]").count(), 13);
    assert!(obo.contains("name: type_2_3\nis_a: SIM:0000003 ! type_2\n"), "{obo}");
    assert!(Simulator::new(&plain(3)).unwrap().obo().is_none());
}

#[test]
fn clones_stay_within_donors_keep_to_their_fates_and_lie_behind_their_founding() {
    let clones = Clones { n_clones: 24, fate_bias: 2.5, ..Clones::default() };
    let options = SimulateOptions {
        n_cells: 6000,
        n_genes: 200,
        n_donors: 4,
        donor_composition: 0.0,
        clones: Some(clones),
        ..Default::default()
    };
    let data = simulate(&options).unwrap();
    let (clone, donor, branch) = (texts(&data, "clone"), texts(&data, "donor_id"), texts(&data, "branch"));
    let (barcode, time) = (texts(&data, "barcode"), numbers(&data, "pseudotime"));
    let truth = &data.truth["clones"];
    let tips: Vec<&str> = truth["tips"].as_array().unwrap().iter().map(|t| t.as_str().unwrap()).collect();
    let all = truth["clones"].as_array().unwrap();
    let of = |name: &str| all.iter().find(|c| c["clone"] == name).unwrap();
    let read = barcode.iter().flatten().count() as f64 / 6000.0;
    assert!((read - 0.7).abs() < 0.03, "{read}");
    let mut counts: HashMap<&str, Vec<f64>> = HashMap::new();
    for i in 1..6000 {
        let c = of(clone[i].as_deref().unwrap());
        assert_eq!(c["donor_id"].as_str(), donor[i].as_deref());
        assert!(time[i] >= c["founded_at"].as_f64().unwrap());
        assert!(barcode[i].is_none() || c["barcode"].as_str() == barcode[i].as_deref());
        if let Some(tip) = tips.iter().position(|t| branch[i].as_deref() == Some(t)) {
            counts.entry(c["clone"].as_str().unwrap()).or_insert_with(|| vec![0.0; tips.len()])[tip] += 1.0;
        }
    }
    let mut daughters = 0;
    let (mut seen, mut said) = (vec![], vec![]);
    for c in all {
        if let Some(parent) = c["parent"].as_str() {
            daughters += 1;
            assert!(of(parent)["founded_at"].as_f64() <= c["founded_at"].as_f64());
            assert_eq!(of(parent)["donor_id"], c["donor_id"]);
        }
        let Some(n) = counts.get(c["clone"].as_str().unwrap()) else { continue };
        let total: f64 = n.iter().sum();
        if total > 60.0 {
            seen.extend(n.iter().map(|n| n / total));
            said.extend(c["fates"].as_array().unwrap().iter().map(|f| f.as_f64().unwrap()));
        }
    }
    assert!(daughters > 2 && seen.len() > 30);
    let r = correlation(&seen, &said);
    assert!(r > 0.97, "fates found and true correlate at {r}");
}

#[test]
fn conserved_genes_follow_the_same_programs_in_mouse() {
    let human_options = SimulateOptions { n_genes: 1000, ..plain(3000) };
    let mouse = Mouse { conserved_share: 0.6, base_sd: 0.5 };
    let human = simulate(&human_options).unwrap();
    let mouse = simulate(&SimulateOptions { mouse: Some(mouse), ..human_options }).unwrap();
    let Column::Text(partner) = mouse.var.column("var", "human_ensembl_id").unwrap() else { panic!() };
    assert!(mouse.var.index.iter().all(|id| id.starts_with("ENSMUSG")));
    assert!(mouse.var.index.len() > 850 && mouse.var.index.len() < 1000);
    assert_ne!(human.counts.row(5), mouse.counts.row(5));
    let change = |d: &Simulated| {
        let types = texts(d, "cell_type");
        let bulk = |t: &str| pseudobulk(&d.counts, &rows(&types, t));
        let (a, b) = (bulk("mature_1"), bulk("mature_2"));
        a.iter().zip(&b).map(|(a, b)| a - b).collect::<Vec<f64>>()
    };
    let (h, m) = (change(&human), change(&mouse));
    let conserved = mouse.var.column("var", "is_conserved").unwrap().numbers().unwrap();
    let programs = |d: &Simulated| {
        let c = d.var.column("var", "program").unwrap();
        (0..c.len()).map(|g| c.text(g).unwrap()).collect::<Vec<_>>()
    };
    let (hp, mp) = (programs(&human), programs(&mouse));
    let (mut same, mut other) = ((vec![], vec![]), (vec![], vec![]));
    for (g, id) in partner.iter().enumerate() {
        let at = human.var.index.iter().position(|n| Some(n) == id.as_ref()).unwrap();
        if conserved[g] == 1.0 {
            assert_eq!(hp[at], mp[g]);
        }
        if mp[g] == "none" {
            continue;
        }
        let kind = if conserved[g] == 1.0 { &mut same } else { &mut other };
        kind.0.push(h[at]);
        kind.1.push(m[g]);
    }
    assert!(same.0.len() > 100 && other.0.len() > 100, "{} {}", same.0.len(), other.0.len());
    let (same, other) = (correlation(&same.0, &same.1), correlation(&other.0, &other.1));
    assert!(same > 0.9 && other < 0.5, "conserved {same}, moved {other}");
}

#[test]
fn everything_at_once_streams_and_wrong_options_are_named() {
    let options = SimulateOptions {
        n_cells: 50,
        n_genes: 300,
        screen: Some(Screen::default()),
        drugs: Some(Drugs::default()),
        clones: Some(Clones::default()),
        ..Default::default()
    };
    let simulator = Simulator::new(&options).unwrap();
    let whole = simulator.chunk(0..50).unwrap();
    let part = simulator.chunk(20..33).unwrap();
    let rows: Vec<usize> = (20..33).collect();
    assert_eq!(part.obs, whole.obs.select(&rows));
    assert_eq!(part.counts, whole.counts.select_cells(&rows));
    let again: SimulateOptions = serde_json::from_value(simulator.truth()["options"].clone()).unwrap();
    assert_eq!(again, options);

    let check = |options: SimulateOptions, key: &str| {
        let error = Simulator::new(&options).unwrap_err();
        assert_eq!(error.key(), Some(key), "{error}");
    };
    let screen = |screen: Screen| SimulateOptions { screen: Some(screen), ..plain(10) };
    check(screen(Screen { n_targets: 500, ..Screen::default() }), "screen.n_targets");
    check(screen(Screen { n_targets: 2, n_pairs: 2, ..Screen::default() }), "screen.n_pairs");
    check(screen(Screen { n_targets: 0, n_pairs: 0, ..Screen::default() }), "screen.n_targets");
    check(screen(Screen { control_share: f64::NAN, ..Screen::default() }), "screen.control_share");
    let drugs = Drugs { doses: vec![0.0], ..Drugs::default() };
    check(SimulateOptions { drugs: Some(drugs), ..plain(10) }, "drugs.doses");
    let drugs = Drugs { doses: vec![], ..Drugs::default() };
    check(SimulateOptions { drugs: Some(drugs), ..plain(10) }, "drugs.doses (number)");
    let clones = Clones { n_clones: 3, ..Clones::default() };
    check(SimulateOptions { clones: Some(clones), ..SimulateOptions::default() }, "clones.n_clones");
    let tree = TypeTree { children: vec![16, 16, 16, 16], ..TypeTree::default() };
    check(SimulateOptions { type_tree: Some(tree), ..plain(10) }, "type_tree.children (terms)");
    let tree = TypeTree { children: vec![1], ..TypeTree::default() };
    check(SimulateOptions { type_tree: Some(tree), ..plain(10) }, "type_tree.children (types)");
}
