//! `obs`, `var` and the truth.

use microtome_core::{Column, Table};
use serde_json::{Value, json};

use super::Simulator;
use super::cell::State;
use super::programs::PHASES;
use super::tree::{Place, ROOT_CELL};

/// Steps of pseudotime at which the truth gives the activity of programs.
const ACTIVITY_STEPS: usize = 20;

/// Rows for the cells from `first` on.
pub(super) fn obs<'a>(simulator: &Simulator, first: usize, states: impl Iterator<Item = &'a State>) -> Table {
    let states: Vec<&State> = states.collect();
    let o = &simulator.options;
    let tree = &simulator.tree;
    let float = |value: fn(&State) -> f64| Column::Float(states.iter().map(|s| value(s)).collect());
    let category = |categories: Vec<String>, code: &dyn Fn(&State) -> u32| Column::Categorical {
        categories,
        codes: states.iter().map(|s| Some(code(s))).collect(),
        ordered: false,
    };
    let numbered = |word: &str, n: usize| (1..=n).map(|k| format!("{word}_{k}")).collect();
    let branches = tree.segments.iter().map(|s| s.name.clone()).collect();
    let columns = [
        ("pseudotime", float(|s| s.place.pseudotime)),
        ("branch", category(branches, &|s| s.place.segment as u32)),
        ("cell_type", category(tree.cell_types.clone(), &|s| tree.cell_type(s.place))),
        ("donor_id", category(numbered("donor", o.n_donors), &|s| s.donor as u32)),
        ("batch", category(numbered("batch", o.n_batches), &|s| s.batch as u32)),
        ("phase", category(PHASES.map(str::to_owned).to_vec(), &|s| s.phase as u32)),
        ("total_true_depth", float(|s| s.molecules)),
        ("capture_rate", float(|s| s.capture_rate)),
        ("n_counts", float(|s| s.n_counts)),
        ("n_genes", Column::Int(states.iter().map(|s| Some(s.n_genes as i64)).collect())),
    ];
    Table {
        index: (first..first + states.len()).map(|i| format!("cell_{i:07}")).collect(),
        columns: columns.into_iter().map(|(n, c)| (n.to_owned(), c)).collect(),
    }
}

pub(super) fn var(simulator: &Simulator) -> Table {
    let genes = &simulator.genes;
    let network = &simulator.network;
    let text = |values: Vec<String>| Column::Text(values.into_iter().map(Some).collect());
    let ids: Vec<String> = genes.iter().map(|g| g.ensembl_id.clone()).collect();
    let mut programs: Vec<String> = network.programs.iter().map(|p| p.name.clone()).collect();
    let outside = programs.len() as u32;
    programs.push("none".into());
    let codes = network.program_of.iter().map(|p| Some(p.map_or(outside, |p| p as u32))).collect();
    let flag =
        |of: fn(&super::catalog::Gene) -> bool| Column::Bool(genes.iter().map(|g| Some(of(g))).collect());
    let columns = [
        ("ensembl_id", text(ids.clone())),
        ("gene_symbol", text(genes.iter().map(|g| g.symbol.to_owned()).collect())),
        ("program", Column::Categorical { categories: programs, codes, ordered: false }),
        ("is_regulator", Column::Bool(network.regulator_of.iter().map(|r| Some(r.is_some())).collect())),
        ("is_housekeeping", flag(|g| g.is_housekeeping())),
        ("is_ribosomal", flag(|g| g.is_ribosomal())),
        ("is_mitochondrial", flag(|g| g.is_mitochondrial())),
        ("mean_true", Column::Float(simulator.levels.mean.clone())),
        ("dispersion_true", Column::Float(simulator.levels.dispersion.clone())),
    ];
    Table { index: ids, columns: columns.into_iter().map(|(n, c)| (n.to_owned(), c)).collect() }
}

pub(super) fn truth(simulator: &Simulator) -> Value {
    let tree = &simulator.tree;
    let network = &simulator.network;
    let id = |gene: usize| simulator.genes[gene].ensembl_id.as_str();
    let name_of = |segment: usize| tree.segments[segment].name.as_str();
    let segments: Vec<Value> = tree
        .segments
        .iter()
        .map(|s| {
            let mut types: Vec<&str> =
                s.cell_types.iter().map(|&t| tree.cell_types[t as usize].as_str()).collect();
            types.dedup();
            json!({"name": s.name, "parent": s.parent.map(name_of), "start": s.start, "end": s.end, "cell_types": types})
        })
        .collect();
    let activities: Vec<Value> = tree
        .segments
        .iter()
        .enumerate()
        .map(|(segment, s)| {
            let times: Vec<f64> = (0..=ACTIVITY_STEPS)
                .map(|k| s.start + (s.end - s.start) * k as f64 / ACTIVITY_STEPS as f64)
                .collect();
            let programs: serde_json::Map<String, Value> = network
                .programs
                .iter()
                .map(|p| {
                    let course: Vec<f64> = times
                        .iter()
                        .map(|&pseudotime| p.activity(tree, Place { pseudotime, segment }, 0))
                        .collect();
                    (p.name.clone(), json!(course))
                })
                .collect();
            json!({"segment": s.name, "pseudotime": times, "programs": programs})
        })
        .collect();
    let regulators: Vec<Value> = network
        .regulators
        .iter()
        .map(|r| json!({"regulator": id(r.gene), "program": network.programs[r.program].name, "own_weight": r.own_weight}))
        .collect();
    let edges: Vec<Value> = network
        .edges
        .iter()
        .enumerate()
        .flat_map(|(target, edges)| edges.iter().map(move |e| (target, e)))
        .map(|(target, e)| {
            let regulator = network.regulators[e.regulator].gene;
            let sign = if e.weight < 0.0 { -1 } else { 1 };
            json!({"regulator": id(regulator), "target": id(target), "sign": sign, "weight": e.weight})
        })
        .collect();
    json!({
        "root_cell": ROOT_CELL,
        "tree": segments,
        "program_activities": activities,
        "regulators": regulators,
        "edges": edges,
        "donor_branch_weights": simulator.levels.tip_weights,
        "options": simulator.options,
    })
}
