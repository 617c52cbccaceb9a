//! Cells calibrated on a file look like those of the file.

#![allow(clippy::unwrap_used, reason = "the lint's exception for tests does not reach their helpers")]

use microtome_train::{Calibration, Description, Preset, SimulateOptions, Simulator, Statistics, simulate};

fn described(simulator: &Simulator, n: usize) -> Description {
    let mut statistics = Statistics::new(simulator.n_genes());
    for start in (0..n).step_by(500) {
        statistics.add(&simulator.chunk(start..(start + 500).min(n)).unwrap().counts);
    }
    statistics.describe().unwrap()
}

fn median(mut v: Vec<f64>) -> f64 {
    v.retain(|x| x.is_finite());
    v.sort_by(f64::total_cmp);
    v[v.len() / 2]
}

/// Cells of another tree, deeper and with more noise than the default, stand in for a file.
fn file() -> (Statistics, Vec<(String, String)>) {
    let options = SimulateOptions {
        n_cells: 2500,
        seed: 9,
        n_branches: 5,
        dispersion_floor: 0.4,
        molecules_sd: 0.6,
        ..Preset::Deep.into()
    };
    let data = simulate(&options).unwrap();
    let mut statistics = Statistics::new(1000);
    statistics.add(&data.counts);
    let symbols = data.var.column("var", "gene_symbol").unwrap();
    let names =
        data.var.index.iter().enumerate().map(|(g, id)| (id.clone(), symbols.text(g).unwrap())).collect();
    (statistics, names)
}

#[test]
fn means_dispersions_zeros_and_depths_are_those_of_the_file() {
    let (statistics, names) = file();
    let real = statistics.describe().unwrap();
    let calibration = Calibration::new(&statistics, &names, None, "file").unwrap();
    let real = calibration.reduced(&real);
    let options = SimulateOptions { n_cells: 2500, ..SimulateOptions::default() };
    let simulator = Simulator::calibrated(&options, calibration).unwrap();
    let found = described(&simulator, 2500);
    let plain = described(&Simulator::new(&options).unwrap(), 2500);
    let genes = || (0..real.mean.len()).filter(|&g| real.mean[g] > 0.1);
    let off = |d: &Description| {
        [
            median(genes().map(|g| (d.mean[g] / real.mean[g]).ln().abs()).collect()),
            median(genes().map(|g| (d.variance[g] / real.variance[g]).ln().abs()).collect()),
            median(genes().map(|g| (d.zeros[g] - real.zeros[g]).abs()).collect()),
        ]
    };
    let (near, far) = (off(&found), off(&plain));
    assert!(near[0] < 0.1 && near[1] < 0.25 && near[2] < 0.02, "{near:?}");
    assert!((0..3).all(|k| near[k] < 0.4 * far[k]), "calibrated {near:?}, not calibrated {far:?}");
    for p in [0.05, 0.25, 0.5, 0.75, 0.95] {
        let ratio = found.depth_quantile(p) / real.depth_quantile(p);
        assert!((ratio - 1.0).abs() < 0.1, "depth at {p}: {ratio}");
    }
    assert_eq!(simulator.truth()["calibration"]["n_cells"], 2500);
}

#[test]
fn programs_are_still_there_and_the_cells_stream() {
    let (statistics, names) = file();
    let calibration = Calibration::new(&statistics, &names, Some(600), "file").unwrap();
    assert_eq!(calibration.genes().len(), 600);
    let options = SimulateOptions { n_cells: 400, ..SimulateOptions::default() };
    let simulator = Simulator::calibrated(&options, calibration).unwrap();
    assert_eq!(simulator.n_genes(), 600);
    let whole = simulator.chunk(0..400).unwrap();
    let rows: Vec<usize> = (90..130).collect();
    assert_eq!(simulator.chunk(90..130).unwrap().counts, whole.counts.select_cells(&rows));
    // Genes of a branch are higher in its mature cells than in those of the others.
    let types = whole.obs.column("obs", "cell_type").unwrap();
    let program = simulator.var();
    let program = program.column("var", "program").unwrap();
    let share = |wanted: &str| {
        let (mut own, mut all) = (0.0, 0.0);
        for cell in (0..400).filter(|&c| types.text(c).as_deref() == Some(wanted)) {
            let (genes, values) = whole.counts.row(cell);
            for (g, v) in genes.iter().zip(values) {
                all += f64::from(*v);
                if program.text(*g as usize).as_deref() == Some("branch_1_late") {
                    own += f64::from(*v);
                }
            }
        }
        own / all
    };
    assert!(share("mature_1") > 1.5 * share("mature_2"), "{} {}", share("mature_1"), share("mature_2"));
}

#[test]
fn files_that_cannot_carry_the_programs_are_refused() {
    let (statistics, _) = file();
    let unknown: Vec<(String, String)> = (0..1000).map(|g| (String::new(), format!("gene{g}"))).collect();
    let calibration = Calibration::new(&statistics, &unknown, None, "file").unwrap();
    let error = Simulator::calibrated(&SimulateOptions::default(), calibration).unwrap_err();
    assert!(error.to_string().contains("0 known transcription factors"), "{error}");
    assert!(Calibration::new(&Statistics::new(5), &unknown[..5], None, "file").is_err());
    let (statistics, names) = file();
    let calibration = Calibration::new(&statistics, &names, None, "file").unwrap();
    let options =
        SimulateOptions { mouse: Some(microtome_train::Mouse::default()), ..SimulateOptions::default() };
    assert!(Simulator::calibrated(&options, calibration).is_err());
}
