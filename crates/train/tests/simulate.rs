//! The same cells whatever the way they are made, honest tables, and errors that say what to do.

#![allow(clippy::unwrap_used, reason = "the lint's exception for tests does not reach their helpers")]

use microtome_core::{Column, ErrorKind, Table};
use microtome_train::{BatchDesign, Preset, SimulateOptions, Simulated, Simulator, Topology, simulate};

fn numbers(table: &Table, name: &str) -> Vec<f64> {
    table.column("obs", name).unwrap().numbers().unwrap()
}

fn texts(table: &Table, name: &str) -> Vec<String> {
    let column = table.column("obs", name).unwrap();
    (0..column.len()).map(|i| column.text(i).unwrap()).collect()
}

fn small() -> SimulateOptions {
    SimulateOptions { n_cells: 90, n_genes: 200, ..SimulateOptions::default() }
}

/// FNV-1a over counts and pseudotime.
fn digest(data: &Simulated) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut add =
        |bytes: &[u8]| bytes.iter().for_each(|b| hash = (hash ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3));
    data.counts.indptr().iter().for_each(|v| add(&(*v as u64).to_le_bytes()));
    data.counts.indices().iter().for_each(|v| add(&v.to_le_bytes()));
    data.counts.values().iter().for_each(|v| add(&v.to_le_bytes()));
    numbers(&data.obs, "pseudotime").iter().for_each(|v| add(&v.to_le_bytes()));
    hash
}

#[test]
fn a_seed_means_the_same_cells_for_good() {
    let data = simulate(&small()).unwrap();
    assert_eq!(data, simulate(&small()).unwrap());
    // Changes only when the simulator is changed on purpose.
    assert_eq!(digest(&data), 0x3a38_cd95_9ebb_f7cf, "{:#x}", digest(&data));
    let other = simulate(&SimulateOptions { seed: 1, ..small() }).unwrap();
    assert_ne!(data.counts, other.counts);
    assert_ne!(numbers(&data.obs, "pseudotime")[1..], numbers(&other.obs, "pseudotime")[1..]);
    assert_eq!(data.var.index, other.var.index, "the panel of genes does not depend on the seed");
}

#[test]
fn chunks_threads_and_number_of_cells_change_nothing() {
    let options = small();
    let whole = simulate(&options).unwrap();
    let simulator = Simulator::new(&options).unwrap();
    for (size, threads) in [(1, 1), (7, 3), (64, 2), (90, 5)] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        for start in (0..options.n_cells).step_by(size) {
            let range = start..(start + size).min(options.n_cells);
            let part = pool.install(|| simulator.chunk(range.clone())).unwrap();
            let rows: Vec<usize> = range.clone().collect();
            assert_eq!(part.counts, whole.counts.select_cells(&rows));
            assert_eq!(part.obs, whole.obs.select(&rows));
            assert_eq!(simulator.obs(range).unwrap(), part.obs);
        }
    }
    let more = Simulator::new(&SimulateOptions { n_cells: 1_000_000_000, ..options }).unwrap();
    assert_eq!(more.chunk(0..90).unwrap().counts, whole.counts);
    assert_eq!(more.chunk(999_999_990..1_000_000_000).unwrap().counts.n_cells(), 10);
}

#[test]
fn counts_are_raw_and_totals_agree() {
    let data = simulate(&SimulateOptions::default()).unwrap();
    assert_eq!((data.counts.n_cells(), data.counts.n_genes()), (600, 1000));
    assert!(data.counts.check_raw().is_raw());
    assert!(data.counts.values().iter().all(|&v| v >= 1.0), "no stored zeros");
    let (totals, detected) = (numbers(&data.obs, "n_counts"), numbers(&data.obs, "n_genes"));
    for cell in 0..600 {
        let (genes, _) = data.counts.row(cell);
        assert!(genes.windows(2).all(|w| w[0] < w[1]), "sorted");
        assert_eq!(totals[cell], data.counts.total(cell));
        assert_eq!(detected[cell], genes.len() as f64);
    }
    // Counts are molecules times capture, up to sampling.
    let expected: f64 = numbers(&data.obs, "total_true_depth")
        .iter()
        .zip(numbers(&data.obs, "capture_rate"))
        .map(|(molecules, rate)| molecules * rate)
        .sum();
    let ratio = totals.iter().sum::<f64>() / expected;
    assert!((ratio - 1.0).abs() < 0.02, "{ratio}");
}

#[test]
fn donors_and_batches_are_balanced() {
    for batch_design in [BatchDesign::Nested, BatchDesign::Crossed] {
        let options =
            SimulateOptions { n_cells: 603, batch_design, n_genes: 200, ..SimulateOptions::default() };
        let data = simulate(&options).unwrap();
        let (donors, batches) = (texts(&data.obs, "donor_id"), texts(&data.obs, "batch"));
        for donor in 1..=8 {
            let rows: Vec<usize> = (0..603).filter(|&i| donors[i] == format!("donor_{donor}")).collect();
            assert!((75..=76).contains(&rows.len()), "{}", rows.len());
            let first = rows.iter().filter(|&&i| batches[i] == "batch_1").count();
            match batch_design {
                BatchDesign::Nested => assert!(first == 0 || first == rows.len()),
                BatchDesign::Crossed => assert!((37..=39).contains(&first), "{first}"),
            }
        }
    }
}

#[test]
fn one_cell_and_one_branch() {
    let data =
        simulate(&SimulateOptions { n_cells: 1, n_branches: 1, n_genes: 84, ..Default::default() }).unwrap();
    assert_eq!(data.counts.n_cells(), 1);
    assert_eq!(numbers(&data.obs, "pseudotime"), [0.0]);
    assert_eq!(texts(&data.obs, "branch"), ["trunk"]);
    assert_eq!(texts(&data.obs, "cell_type"), ["stem"]);
    let empty = Simulator::new(&small()).unwrap().chunk(5..5).unwrap();
    assert_eq!((empty.counts.n_cells(), empty.obs.index.len()), (0, 0));
}

#[test]
fn the_largest_and_the_smallest_trees_have_full_networks() {
    for (n_branches, n_genes, topology) in [
        (16, 2000, Topology::Bifurcating),
        (16, 780, Topology::Bifurcating),
        (16, 444, Topology::Star),
        (2, 108, Topology::Star),
        (1, 84, Topology::Bifurcating),
    ] {
        for seed in 0..3 {
            let options =
                SimulateOptions { n_cells: 20, n_branches, n_genes, topology, seed, ..Default::default() };
            let data = simulate(&options).unwrap();
            let Column::Categorical { categories, codes, .. } = data.var.column("var", "program").unwrap()
            else {
                panic!("program is categorical")
            };
            let regulator = data.var.column("var", "is_regulator").unwrap().numbers().unwrap();
            for (p, program) in categories.iter().enumerate().filter(|(_, name)| *name != "none") {
                let genes: Vec<usize> = (0..n_genes).filter(|&g| codes[g] == Some(p as u32)).collect();
                let n_regulators = genes.iter().filter(|&&g| regulator[g] == 1.0).count();
                assert!(n_regulators >= 2, "{program} of {n_branches} branches: {n_regulators} regulators");
                assert!(
                    genes.len() >= n_regulators + 2,
                    "{program} of {n_branches} branches: {} genes",
                    genes.len()
                );
            }
        }
    }
}

#[test]
fn options_out_of_range_are_refused_by_name() {
    let check = |options: SimulateOptions, key: &str, text: &str| {
        let error = Simulator::new(&options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert_eq!(error.key(), Some(key));
        assert!(error.to_string().contains(text), "{error}");
    };
    let base = SimulateOptions::default;
    check(SimulateOptions { n_cells: 0, ..base() }, "n_cells", "found: 0");
    check(SimulateOptions { n_genes: 2001, ..base() }, "n_genes", "expected: 132 to 2000");
    check(SimulateOptions { n_genes: 131, ..base() }, "n_genes", "expected: 132 to 2000");
    check(SimulateOptions { n_branches: 0, ..base() }, "n_branches", "1 to 16");
    check(SimulateOptions { n_branches: usize::MAX, ..base() }, "n_branches", "1 to 16");
    check(SimulateOptions { n_donors: 0, ..base() }, "n_donors", "1 to 1000");
    check(SimulateOptions { n_batches: 9, ..base() }, "n_batches", "at most 8");
    check(SimulateOptions { trunk: 1.0, ..base() }, "trunk", "0.05 to 0.9");
    check(SimulateOptions { signal: f64::NAN, ..base() }, "signal", "found: NaN");
    check(SimulateOptions { capture_rate: 1.5, ..base() }, "capture_rate", "found: 1.5");
    check(SimulateOptions { dispersion_floor: 0.0, ..base() }, "dispersion_floor", "0.02 to 5");
    assert!(
        Simulator::new(&SimulateOptions { n_batches: 9, batch_design: BatchDesign::Crossed, ..base() })
            .is_ok()
    );
    let error = Simulator::new(&base()).unwrap().chunk(599..601).unwrap_err();
    assert!(error.to_string().contains("0..600"), "{error}");
}

#[test]
fn presets_have_names_and_options_have_json() {
    for preset in Preset::ALL {
        assert_eq!(preset.to_string().parse::<Preset>().unwrap(), preset);
        Simulator::new(&preset.into()).unwrap();
    }
    assert!("dmo".parse::<Preset>().unwrap_err().to_string().contains("did you mean \"demo\"?"));
    let options: SimulateOptions =
        serde_json::from_str(r#"{"n_cells": 5, "topology": "bifurcating"}"#).unwrap();
    assert_eq!(
        options,
        SimulateOptions { n_cells: 5, topology: Topology::Bifurcating, ..Default::default() }
    );
    assert!(serde_json::from_str::<SimulateOptions>(r#"{"n_cell": 5}"#).is_err());
    let truth = Simulator::new(&options).unwrap().truth();
    assert_eq!(serde_json::from_value::<SimulateOptions>(truth["options"].clone()).unwrap(), options);
}
