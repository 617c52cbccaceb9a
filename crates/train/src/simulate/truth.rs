//! The truth, for `uns`.

use serde_json::{Value, json};

use super::levels::mean_levels;
use super::tree::{Place, ROOT_CELL, Tree};
use super::{Simulator, ontology};

/// Steps of pseudotime at which the truth gives the activity of programs.
const ACTIVITY_STEPS: usize = 20;

/// Everything that is true of a data set beyond its cells and genes.
pub(super) fn truth(simulator: &Simulator) -> Value {
    let tree = &simulator.tree;
    let network = &simulator.network;
    let id = |gene: usize| simulator.genes[gene].ensembl_id.as_str();
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
    let mut truth = if tree.is_hierarchy {
        json!({ "ontology": ontology::truth(tree), "programs": programs(simulator) })
    } else {
        json!({ "root_cell": ROOT_CELL, "tree": segments(tree), "program_activities": activities(simulator) })
    };
    let mut add = |key: &str, value: Value| truth[key] = value;
    add("regulators", regulators.into());
    add("edges", edges.into());
    add("donor_branch_weights", json!(simulator.levels.tip_weights));
    if let Some(clonality) = &simulator.clonality {
        add("clones", clonality.truth(tree));
    }
    let levels = mean_levels(tree, network);
    if let Some(library) = &simulator.treatments.library {
        add("perturbations", library.truth(simulator, &levels));
    }
    if let Some(pharmacy) = &simulator.treatments.pharmacy {
        add("drugs", pharmacy.truth(simulator, &levels));
    }
    if let Some(calibration) = &simulator.calibration {
        add("calibration", calibration.truth());
    }
    add("options", json!(simulator.options));
    truth
}

fn segments(tree: &Tree) -> Vec<Value> {
    let name_of = |segment: usize| tree.segments[segment].name.as_str();
    tree
        .segments
        .iter()
        .map(|s| {
            let mut types: Vec<&str> =
                s.cell_types.iter().map(|&t| tree.cell_types[t as usize].as_str()).collect();
            types.dedup();
            json!({"name": s.name, "parent": s.parent.map(name_of), "start": s.start, "end": s.end, "cell_types": types})
        })
        .collect()
}

fn activities(simulator: &Simulator) -> Vec<Value> {
    let (tree, network) = (&simulator.tree, &simulator.network);
    tree.segments
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
        .collect()
}

/// The program of every term of a hierarchy, and the factor of its effects.
fn programs(simulator: &Simulator) -> Vec<Value> {
    let program = |p: &super::programs::Program| json!({ "program": p.name, "strength": p.strength });
    simulator.network.programs.iter().map(program).collect()
}
