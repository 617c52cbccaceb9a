//! The truth agrees with itself and with the cells, and the cells show it the way real cells would.

#![allow(clippy::unwrap_used, reason = "the lint's exception for tests does not reach their helpers")]

use microtome_core::{Counts, Table};
use microtome_train::{Preset, SimulateOptions, Simulated, Topology, simulate};
use serde_json::Value;

fn numbers(table: &Table, name: &str) -> Vec<f64> {
    table.column("obs", name).unwrap().numbers().unwrap()
}

fn floats(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

/// `ln(1 + counts per 10,000)`, `[cell, gene]`.
fn log_normalised(counts: &Counts) -> Vec<Vec<f64>> {
    (0..counts.n_cells())
        .map(|cell| {
            let mut row = vec![0.0; counts.n_genes()];
            let (genes, values) = counts.row(cell);
            let total = counts.total(cell);
            genes
                .iter()
                .zip(values)
                .for_each(|(g, v)| row[*g as usize] = (1e4 * f64::from(*v) / total).ln_1p());
            row
        })
        .collect()
}

fn correlation(x: &[f64], y: &[f64]) -> f64 {
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let (mx, my) = (mean(x), mean(y));
    let sum = |f: &dyn Fn(f64, f64) -> f64| x.iter().zip(y).map(|(a, b)| f(a - mx, b - my)).sum::<f64>();
    let scale = (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt();
    if scale == 0.0 { 0.0 } else { sum(&|a, b| a * b) / scale }
}

fn ranks(x: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..x.len()).collect();
    order.sort_by(|&a, &b| x[a].total_cmp(&x[b]));
    let mut ranks = vec![0.0; x.len()];
    order.iter().enumerate().for_each(|(rank, &i)| ranks[i] = rank as f64);
    ranks
}

fn spearman(x: &[f64], y: &[f64]) -> f64 {
    correlation(&ranks(x), &ranks(y))
}

/// Rows of the 15 nearest other cells of each cell.
fn neighbours(cells: &[Vec<f64>]) -> Vec<Vec<usize>> {
    (0..cells.len())
        .map(|i| {
            let mut near: Vec<(f64, usize)> = (0..cells.len())
                .filter(|&j| j != i)
                .map(|j| (cells[i].iter().zip(&cells[j]).map(|(a, b)| (a - b) * (a - b)).sum(), j))
                .collect();
            near.sort_by(|a, b| a.0.total_cmp(&b.0));
            near.iter().take(15).map(|n| n.1).collect()
        })
        .collect()
}

/// Spearman correlation of pseudotime with the mean pseudotime of neighbours.
fn recovered(data: &Simulated, cells: &[Vec<f64>]) -> f64 {
    let time = numbers(&data.obs, "pseudotime");
    let guess: Vec<f64> =
        neighbours(cells).iter().map(|near| near.iter().map(|&j| time[j]).sum::<f64>() / 15.0).collect();
    spearman(&guess, &time)
}

#[test]
fn the_tree_holds_together_and_cells_are_on_it() {
    for (topology, n_branches, trunk) in [
        (Topology::Star, 3, 0.3),
        (Topology::Bifurcating, 4, 0.2),
        (Topology::Bifurcating, 2, 0.6),
        (Topology::Star, 1, 0.05),
    ] {
        let options =
            SimulateOptions { topology, n_branches, trunk, n_cells: 400, n_genes: 300, ..Default::default() };
        let data = simulate(&options).unwrap();
        let tree = data.truth["tree"].as_array().unwrap();
        let named = |name: &str| tree.iter().find(|s| s["name"] == name).unwrap();
        assert_eq!((tree[0]["name"].as_str(), tree[0]["start"].as_f64()), (Some("trunk"), Some(0.0)));
        let mut tips = 0;
        for segment in tree {
            let (start, end) = (segment["start"].as_f64().unwrap(), segment["end"].as_f64().unwrap());
            assert!(start < end, "pseudotime rises along a segment");
            if let Some(parent) = segment["parent"].as_str() {
                assert_eq!(
                    named(parent)["end"].as_f64().unwrap(),
                    start,
                    "a segment starts where its parent ends"
                );
            }
            if !tree.iter().any(|s| s["parent"] == segment["name"]) {
                assert!((end - 1.0).abs() < 1e-12);
                tips += 1;
            }
        }
        assert_eq!(tips, n_branches);

        let time = numbers(&data.obs, "pseudotime");
        assert_eq!(time[data.truth["root_cell"].as_u64().unwrap() as usize], 0.0);
        assert!(time.iter().all(|t| (0.0..1.0).contains(t)));
        let (branch, cell_type) =
            (data.obs.column("obs", "branch").unwrap(), data.obs.column("obs", "cell_type").unwrap());
        for (cell, t) in time.iter().enumerate() {
            let segment = named(&branch.text(cell).unwrap());
            assert!(segment["start"].as_f64().unwrap() <= *t && *t < segment["end"].as_f64().unwrap());
            assert!(
                segment["cell_types"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|c| *c == *cell_type.text(cell).unwrap())
            );
        }
        assert_eq!(branch.groups().0.len(), tree.len(), "every segment has cells");
    }
}

#[test]
fn programs_are_continuous_where_the_tree_forks() {
    let options = SimulateOptions { topology: Topology::Bifurcating, n_branches: 4, ..Default::default() };
    let truth = simulate(&SimulateOptions { n_cells: 2, ..options }).unwrap().truth;
    let activities = truth["program_activities"].as_array().unwrap();
    let of = |name: &Value| {
        activities.iter().find(|a| a["segment"] == *name).unwrap()["programs"].as_object().unwrap()
    };
    let mut n_forks = 0;
    for segment in truth["tree"].as_array().unwrap().iter().filter(|s| !s["parent"].is_null()) {
        n_forks += 1;
        for (program, course) in of(&segment["name"]) {
            let course = floats(course);
            assert!(course.iter().all(|a| (0.0..=1.0).contains(a)));
            let before = *floats(&of(&segment["parent"])[program]).last().unwrap();
            assert!((before - course[0]).abs() < 1e-9, "{program} jumps from {before} to {}", course[0]);
        }
        let own = of(&segment["name"]);
        let early = floats(&own[&format!("{}_early", segment["name"].as_str().unwrap())]);
        assert!(early[0] == 0.0 && (early[20] - 1.0).abs() < 1e-9);
    }
    assert_eq!(n_forks, 6);
}

#[test]
fn edges_lead_from_regulators_to_targets_and_show_in_the_counts() {
    let data = simulate(&Preset::Deep.into()).unwrap();
    let regulator = data.var.column("var", "is_regulator").unwrap().numbers().unwrap();
    let row = |id: &Value| data.var.index.iter().position(|n| *n == *id).unwrap();
    let cells = log_normalised(&data.counts);
    let gene = |g: usize| -> Vec<f64> { cells.iter().map(|c| c[g]).collect() };
    let (mut activated, mut repressed, mut unrelated) = (vec![], vec![], vec![]);
    for edge in data.truth["edges"].as_array().unwrap() {
        let (from, to) = (row(&edge["regulator"]), row(&edge["target"]));
        assert!(regulator[from] == 1.0 && regulator[to] == 0.0);
        let weight = edge["weight"].as_f64().unwrap();
        assert_eq!(weight.signum(), edge["sign"].as_f64().unwrap());
        let r = correlation(&gene(from), &gene(to));
        if weight > 0.0 {
            activated.push(r)
        } else {
            repressed.push(r)
        }
        unrelated.push(correlation(&gene(from), &gene((to + 500) % 1000)));
    }
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    assert!(activated.len() > 300 && repressed.len() > 30);
    assert!(mean(&activated) > mean(&unrelated) + 0.15, "{} {}", mean(&activated), mean(&unrelated));
    assert!(mean(&repressed) < mean(&unrelated) - 0.05, "{} {}", mean(&repressed), mean(&unrelated));
}

#[test]
fn means_are_those_announced_and_dispersion_falls_with_the_mean_as_in_real_cells() {
    let options = SimulateOptions { n_cells: 2000, ..Default::default() };
    let data = simulate(&options).unwrap();
    let (n, n_genes) = (2000.0, 1000);
    let totals = numbers(&data.obs, "n_counts");
    let mean_total = totals.iter().sum::<f64>() / n;
    let size: Vec<f64> = totals.iter().map(|t| t / mean_total).collect();
    let inverse = size.iter().map(|s| 1.0 / s).sum::<f64>() / n;
    let (mut sum, mut squares) = (vec![0.0; n_genes], vec![0.0; n_genes]);
    for (cell, s) in size.iter().enumerate() {
        let (genes, values) = data.counts.row(cell);
        for (g, v) in genes.iter().zip(values) {
            let scaled = f64::from(*v) / s;
            sum[*g as usize] += scaled;
            squares[*g as usize] += scaled * scaled;
        }
    }
    let announced = numbers(&data.var, "mean_true");
    let mut bins: Vec<Vec<f64>> = vec![vec![]; 4];
    let mut log_ratio = vec![];
    for g in 0..n_genes {
        let m = sum[g] / n;
        let dispersion = (squares[g] / n - m * m - m * inverse) / (m * m);
        let bin = match m {
            m if m < 0.3 => 0,
            m if m < 1.0 => 1,
            m if m < 10.0 => 2,
            _ => 3,
        };
        bins[bin].push(dispersion);
        log_ratio.push((m / announced[g]).ln());
    }
    let median = |v: &mut Vec<f64>| {
        v.sort_by(f64::total_cmp);
        v[v.len() / 2]
    };
    // Between what two real data sets show (README), and falling.
    let found: Vec<f64> = bins.iter_mut().map(median).collect();
    for (found, (low, high)) in found.iter().zip([(0.15, 2.8), (0.15, 2.8), (0.1, 1.0), (0.02, 0.2)]) {
        assert!((low..high).contains(found), "{found} not in {low}..{high}");
    }
    assert!(found[0] > found[2] && found[2] > found[3], "{found:?}");
    // Log-normal depth lifts the mean above the median by exp(sd^2 / 2).
    let lift = median(&mut log_ratio);
    assert!((lift - 0.08).abs() < 0.15, "{lift}");
    let zeros = 1.0 - data.counts.nnz() as f64 / (n * n_genes as f64);
    assert!((0.27..0.574).contains(&zeros), "{zeros}");
}

#[test]
fn neighbours_in_expression_know_pseudotime_and_shuffled_or_signal_free_cells_do_not() {
    let data = simulate(&SimulateOptions::default()).unwrap();
    let cells = log_normalised(&data.counts);
    let rho = recovered(&data, &cells);
    assert!((0.85..0.99).contains(&rho), "high but not perfect: {rho}");

    // Another cell's profile in each place: same matrix, no relation to pseudotime.
    let moved: Vec<Vec<f64>> = (0..cells.len()).map(|i| cells[(i * 7 + 13) % 600].clone()).collect();
    let rho = recovered(&data, &moved);
    assert!(rho.abs() < 0.2, "{rho}");

    let none = simulate(&Preset::NoSignal.into()).unwrap();
    let rho = recovered(&none, &log_normalised(&none.counts));
    assert!(rho.abs() < 0.2, "{rho}");
    let rho = spearman(&numbers(&none.obs, "n_counts"), &numbers(&none.obs, "pseudotime"));
    assert!(rho.abs() < 0.15, "{rho}");
}

#[test]
fn donors_and_batches_are_visible_but_do_not_dominate() {
    let agreement = |data: &Simulated, near: &[Vec<usize>], name: &str| {
        let column = data.obs.column("obs", name).unwrap();
        let groups: Vec<u32> = column.groups().1.into_iter().map(Option::unwrap).collect();
        let n = groups.len() as f64;
        let same = |i: usize| near[i].iter().filter(|&&j| groups[j] == groups[i]).count() as f64 / 15.0;
        let k = groups.iter().max().unwrap() + 1;
        let chance: f64 =
            (0..k).map(|g| (groups.iter().filter(|&&x| x == g).count() as f64 / n).powi(2)).sum();
        // 0 by chance, 1 when all neighbours are of the same group.
        ((0..groups.len()).map(same).sum::<f64>() / n - chance) / (1.0 - chance)
    };
    let data = simulate(&SimulateOptions::default()).unwrap();
    let near = neighbours(&log_normalised(&data.counts));
    let (branch, donor, batch) = (
        agreement(&data, &near, "branch"),
        agreement(&data, &near, "donor_id"),
        agreement(&data, &near, "batch"),
    );
    assert!(donor > 0.01 && batch > 0.05, "donor {donor}, batch {batch}");
    assert!(branch > 1.5 * batch && branch > 3.0 * donor, "branch {branch}, donor {donor}, batch {batch}");

    let strong = simulate(&Preset::StrongBatch.into()).unwrap();
    let near = neighbours(&log_normalised(&strong.counts));
    assert!(agreement(&strong, &near, "batch") > agreement(&strong, &near, "branch"));
}
