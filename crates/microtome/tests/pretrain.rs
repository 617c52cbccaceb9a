//! Pretraining from cells to a checkpoint that opens like a published one.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use microtome::{
    AnnotationOptions, Asked, Begin, PretrainOptions, PretrainReport, Recipe, Shape, SimulateOptions,
    SimulateRun, Split, pretrain, simulate,
};
use microtome_core::{Progress, Result, Silent};
use microtome_models::families::geneformer::{GeneformerGene, GeneformerShape, Generation, write_untrained};

const SHAPE: Shape = Shape { layers: 2, width: 32, heads: 4, feed_forward: 48, max_tokens: 96 };

fn cells(dir: &Path, name: &str, n_cells: usize) -> PathBuf {
    let path = dir.join(name);
    let options = SimulateOptions { n_cells, n_genes: 300, ..SimulateOptions::default() };
    simulate(&SimulateRun { options, out: path.clone(), ..SimulateRun::default() }, &Silent).unwrap();
    path
}

fn options(data: &Path, out: &Path) -> PretrainOptions {
    PretrainOptions {
        data: vec![data.to_path_buf()],
        family: "geneformer".into(),
        begin: Begin::New(SHAPE),
        split: Split { held_out: 0.2, unit: None, leave_out: vec![] },
        recipe: Recipe {
            steps: 150,
            batch_tokens: 2_000,
            learning_rate: 5e-3,
            validate_every: 50,
            keep_every: 15,
            ..Recipe::default()
        },
        asked: None,
        annotation: None,
        mask: None,
        epochs: None,
        out: out.to_path_buf(),
        resume: false,
        overwrite: false,
        command: vec![],
    }
}

fn run(options: &PretrainOptions) -> PretrainReport {
    pretrain(options, &Silent).unwrap()
}

fn refused(options: &PretrainOptions) -> String {
    pretrain(options, &Silent).unwrap_err().to_string()
}

/// Asks to stop after some steps.
struct StopAfter(AtomicU64, u64);

impl Progress for StopAfter {
    fn begin(&self, _: &str, _: u64, _: &str) {}
    fn advance(&self, n: u64) {
        self.0.fetch_add(n, Ordering::SeqCst);
    }
    fn end(&self) {}
    fn note(&self, _: &str) {}
    fn stopped(&self) -> bool {
        self.0.load(Ordering::SeqCst) >= self.1
    }
}

#[test]
fn a_trained_model_opens_knows_its_cells_and_goes_on_after_a_stop() -> Result<()> {
    let dir = tempfile::tempdir().unwrap();
    let data = cells(dir.path(), "cells.h5ad", 200);
    let whole = options(&data, &dir.path().join("whole"));
    let report = run(&whole);
    let model = microtome_models::open(&whole.out)?;
    let audit = model.audit();
    let tied = audit.missing.iter().all(|name| name.contains("(tied to"));
    assert!(audit.unexpected.is_empty() && tied, "{:?} {:?}", audit.unexpected, audit.missing);
    assert_eq!((model.info().n_blocks, model.info().n_parameters), (2, report.n_parameters));
    assert!(model.info().d_vocab > 250 && (report.n_train, report.n_held_out) == (160, 40));
    let (baselines, (_, best)) = (report.baselines.clone().unwrap(), report.best.unwrap());
    assert!(best < baselines.guesses[0].loss && best < report.validations[0].loss, "{report:?}");
    for file in ["config.json", "model.safetensors", "token_dictionary.pkl", "curve.csv", "pretrain.json"] {
        assert!(whole.out.join(file).is_file(), "{file}");
    }
    assert!(!whole.out.join(".work").exists());
    assert!(refused(&whole).contains("finished run"));

    // Stopped twice, the second time before a state was due, and gone on: the same curve, the same weights.
    let mut stopped = options(&data, &dir.path().join("stopped"));
    for stop in [8, 21] {
        let e = pretrain(&stopped, &StopAfter(AtomicU64::new(0), stop)).unwrap_err();
        assert!(e.exit_code() == 130 && e.to_string().contains("--resume"), "{e}");
        assert!(refused(&stopped.clone_without_resume()).contains("unfinished run"));
        stopped.resume = true;
    }
    let mut other = stopped.clone();
    other.recipe.learning_rate = 1e-3;
    assert!(refused(&other).contains("something else"));
    run(&stopped);
    for file in ["curve.csv", "model.safetensors"] {
        let read = |o: &PretrainOptions| std::fs::read(o.out.join(file)).unwrap();
        assert!(read(&whole) == read(&stopped), "{file} differs");
    }

    // Training goes on from a checkpoint: its loss begins where the other ended.
    let mut more = options(&data, &dir.path().join("more"));
    more.begin = Begin::From(whole.out.clone());
    more.recipe.steps = 1;
    let more = run(&more);
    assert!((more.validations[0].loss - best).abs() < 1e-6, "{} {best}", more.validations[0].loss);
    Ok(())
}

trait WithoutResume {
    fn clone_without_resume(&self) -> Self;
}

impl WithoutResume for PretrainOptions {
    fn clone_without_resume(&self) -> Self {
        Self { resume: false, ..self.clone() }
    }
}

#[test]
fn wrong_inputs_say_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let empty = dir.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    assert!(refused(&options(&empty, &out)).contains("holds no .h5ad file"));
    assert!(refused(&options(&dir.path().join("nowhere.h5ad"), &out)).contains("nowhere.h5ad"));
    let data = cells(dir.path(), "cells.h5ad", 24);
    let change = |change: &dyn Fn(&mut PretrainOptions)| {
        let mut options = PretrainOptions { overwrite: true, ..options(&data, &out) };
        change(&mut options);
        refused(&options)
    };
    assert!(change(&|o| o.family = "uce".into()).contains("cannot be pretrained"));
    assert!(change(&|o| o.family = "genformer".into()).contains("did you mean geneformer?"));
    assert!(change(&|o| o.asked = Some(Asked::Regression)).contains("masked-genes"));
    assert!(change(&|o| o.recipe.dropout = 1.0).contains("dropout"));
    let annotation = |obs: &str, weight| Some(AnnotationOptions { obs: obs.into(), weight });
    assert!(change(&|o| o.annotation = annotation("nowhere", 1.0)).contains("nowhere"));
    assert!(change(&|o| o.annotation = annotation("cell_type", f64::NAN)).contains("weight"));
    assert!(change(&|o| o.recipe.learning_rate = -1.0).contains("learning_rate"));
    assert!(change(&|o| o.split.unit = Some("donor".into())).contains("donor"));
    assert!(change(&|o| o.split.held_out = 1.0).contains("below 1"));
    let one = cells(dir.path(), "one.h5ad", 1);
    assert!(change(&|o| o.data = vec![one.clone()]).contains("--held-out 0"));
    let foreign = dir.path().join("foreign");
    let genes: Vec<GeneformerGene> = (0..50)
        .map(|i| GeneformerGene { ensembl_id: format!("ENSG{i:011}"), symbol: None, median: 1.0 })
        .collect();
    let shape = GeneformerShape { layers: 1, d: 16, heads: 2, ffn: 16, max_tokens: 16 };
    write_untrained(Generation::V1, shape, &genes, 0, &foreign).unwrap();
    let said = change(&|o| o.begin = Begin::From(foreign.clone()));
    assert!(said.contains("gene"), "{said}");
    let steep = change(&|o| {
        o.recipe.learning_rate = 1e30;
        o.recipe.clip = 1e30;
        o.recipe.keep_every = 1;
    });
    assert!(steep.contains("no number") && out.join(".work/state.safetensors").is_file(), "{steep}");
}

#[test]
fn groups_are_held_out_whole_and_cells_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let data = cells(dir.path(), "cells.h5ad", 80);
    let mut o = options(&data, &dir.path().join("out"));
    o.recipe.steps = 1;
    o.split = Split {
        held_out: 0.3,
        unit: Some("donor_id".into()),
        leave_out: vec![("donor_id".into(), "donor_1".into())],
    };
    let report = run(&o);
    assert_eq!((report.held_out_groups.len(), report.n_train + report.n_held_out), (2, 70));
    assert!(!report.held_out_groups.contains(&"donor_1".to_string()));
}
