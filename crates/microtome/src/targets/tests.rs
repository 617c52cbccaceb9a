//! Ranking of targets, end to end on simulated cells.

use std::path::{Path, PathBuf};

use microtome_core::Silent;
use microtome_train::SimulateOptions;

use super::*;
use crate::demo_model;
use crate::simulate::{SimulateRun, simulate};

/// Cells of the tissue that the bundled model learned from, and the model.
fn demo(folder: &Path) -> (PathBuf, PathBuf) {
    let cells = folder.join("cells.h5ad");
    let options = SimulateOptions { n_cells: 120, seed: demo_model::TISSUE, ..SimulateOptions::default() };
    simulate(&SimulateRun { options, out: cells.clone(), ..SimulateRun::default() }, &Silent).unwrap();
    let model = folder.join("model");
    demo_model::write(&model).unwrap();
    (cells, model)
}

fn options(cells: &Path, model: &Path, out: &Path) -> TargetsOptions {
    TargetsOptions {
        data: DataOptions { path: cells.to_path_buf(), ..DataOptions::default() },
        control: None,
        model: model.to_path_buf(),
        network: None,
        readout: Readout::MaskedGene,
        within: None,
        cells_per_regulator: 8,
        min_cells: 5,
        min_targets: 5,
        hidden: 0.15,
        n_bootstrap: 200,
        out: out.to_path_buf(),
        overwrite: false,
        command: vec!["microtome".into(), "targets".into()],
    }
}

#[test]
fn all_methods_are_scored_on_the_same_targets_and_a_repeat_gives_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (cells, model) = demo(folder.path());
    let out = folder.path().join("out");
    let r = targets(&options(&cells, &model, &out), &Silent).unwrap();
    assert!(r.n_regulators >= 6 && r.n_targets >= 5 * r.n_regulators, "{r:?}");
    let names: Vec<&str> = r.activated.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["model", "model (untrained twin)", "co-expression", "random numbers"]);
    assert!(r.activated.iter().chain(&r.all).all(|s| s.area.is_some() && s.interval.is_some()));
    assert!(r.activated[1].ahead_interval.is_some() && r.activated[0].ahead.is_none());
    // The control is at chance, the baseline is not.
    let [random, baseline] = [3, 2].map(|k| r.activated[k].interval.unwrap());
    assert!(random[0] < 0.5 && random[1] > 0.5 && baseline[0] > 0.5, "{:?}", r.activated);
    assert!(out.join("report.html").exists() && out.join("targets.csv").exists() && !out.join(WORK).exists());
    let again = folder.path().join("again");
    let s = targets(&options(&cells, &model, &again), &Silent).unwrap();
    assert_eq!((s.activated, s.all), (r.activated, r.all));
    let read = |f: &Path| std::fs::read(f.join("targets.csv")).unwrap();
    assert!(read(&out) == read(&again));
    // The other readout; a network in a file that says the same as the truth in part.
    let tsv = folder.path().join("edges.tsv");
    let table = String::from_utf8(read(&out)).unwrap();
    let edges = table.lines().skip(1).map(|l| l.split(',').collect::<Vec<_>>()).filter(|f| !f[2].is_empty());
    let edges: String = edges.map(|f| format!("{}\t{}\t{}\n", f[0], f[1], f[2])).collect();
    std::fs::write(&tsv, edges).unwrap();
    let file = TargetsOptions {
        network: Some(tsv),
        readout: Readout::Embedding,
        ..options(&cells, &model, &folder.path().join("file"))
    };
    let f = targets(&file, &Silent).unwrap();
    assert!(f.n_regulators >= 6 && f.activated[0].area.is_some(), "{f:?}");
}

#[test]
fn what_cannot_be_asked_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let (cells, model) = demo(folder.path());
    let out = folder.path().join("out");
    let good = || options(&cells, &model, &out);
    let said = |o: TargetsOptions| targets(&o, &Silent).unwrap_err().to_string();
    assert!(said(TargetsOptions { hidden: 1.0, ..good() }).contains("--hidden"));
    assert!(said(TargetsOptions { within: Some("n_such".into()), ..good() }).contains("n_such"));
    let control = Some(("branch".into(), "n_such".into()));
    assert!(said(TargetsOptions { control, ..good() }).contains("no cell has this value"));
    let none = folder.path().join("none.tsv");
    std::fs::write(&none, "A\tB\n").unwrap();
    assert!(said(TargetsOptions { network: Some(none), ..good() }).contains("no edge"));
    assert!(!out.exists());
}
